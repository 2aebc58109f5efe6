"""Rewrites what the page at /demo shows of the recorded runs: tables, drawings, atlas.

The tables are those of the documents, so that the page and the documents cannot differ. The package carries
copies, as it is installed without `results/`. With `--check` nothing is written, and the exit code is 1 if a
copy is stale.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tools.documents.atlas import atlas
from tools.documents.drawings import drawings
from tools.documents.tables import ROOT, SECTIONS

STATIC = ROOT / "static"

SHOWN = {
    "policies": ("Reference policies", "The rulers of the environment. Each sees only what an agent sees."),
    "suite": ("Official suite", "The same policies on the fixed scenarios by which results are compared."),
    "models": ("Models", "Recorded runs of language models."),
    "training": ("What can be learned", "Small policies, trained on the environment's reward alone."),
    "audit": ("Audit", "What the environment promises, and what was checked for it."),
    "undo": ("Ways back", "The most calls that a search needed to undo each action that can be taken back."),
    "bench": ("Speed", "What was measured of speed and memory, beside its goals."),
    "container": ("Container", "What the image weighs, and how it starts and stops."),
}
"""The tables that the page shows, by the name of their markers in the documents: title and meaning."""


MAINTENANCE = ("audit", "undo", "bench", "container")
"""Those that maintainers read, on a page of their own."""


def results() -> dict[str, Any]:
    """The tables as data, and the numbers behind the drawings."""
    made = {name: make for sections in SECTIONS.values() for name, make in sections.items()}
    return {
        "sections": [
            {"title": title, "about": about, "checks": name in MAINTENANCE, **parsed(made[name]())}
            for name, (title, about) in SHOWN.items()
        ],
        "drawings": drawings(ROOT / "results"),
    }


def parsed(markdown: str) -> dict[str, Any]:
    """Tables of a document and the note below them, as data."""
    tables: list[dict[str, Any]] = []
    note = []
    for block in markdown.split("\n\n"):
        lines = block.strip().splitlines()
        if lines and lines[0].startswith("|"):
            head, _rule, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
            tables.append({"head": head, "rows": rows})
        else:
            note.append(" ".join(lines))
    return {"tables": tables, "note": " ".join(note)}


def wanted() -> dict[Path, bytes]:
    """What the package should hold, by file."""
    text = json.dumps(results(), ensure_ascii=False, separators=(",", ":")) + "\n"
    return {STATIC / "results.json": text.encode(), **atlas(ROOT)}


def main(arguments: list[str]) -> int:
    """Rewrite, or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a copy is stale")
    check = parser.parse_args(arguments).check
    made = wanted()
    stale = [path for path, data in made.items() if not path.exists() or path.read_bytes() != data]
    for path in [] if check else stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[path])
    if stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        print(f"{'stale' if check else 'rewritten'}: {names}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
