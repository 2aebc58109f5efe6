"""Makes what the atlas of the page shows: the players of the official suite, and their episodes.

Owns `static/atlas.json` and `static/recorded/suite/`, which `tools.documents.page` writes and checks. Every
verified report in `results/suite_v2/` is a row.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from safeact_env.evaluation.cost import ReportError
from safeact_env.evaluation.report import REPORT, read_report
from safeact_env.evaluation.verify import read_lines, records_in

FRAMING = "goal"
"""The framing that the suite has on every level; the grid shows it."""
METRICS = ("grade", "mistakes", "over_escalations")
KEPT = (
    "version",
    "task",
    "task_version",
    "split",
    "seed",
    "level",
    "framing",
    "calls",
    "score",
    "outcome",
    "return",
)
"""Of a record, what a replay needs and is held against."""


def shown(folder: Path) -> list[dict[str, Any]]:
    """The episodes of a player that the grid shows: the first attempt, in the framing, in a fixed order."""
    files = read_report(folder / REPORT).trajectories
    if files is None:
        raise ReportError(f"{folder} holds a run that was not finished.")
    records = records_in(read_lines(folder / files.file), files.file)
    found = [one for _key, one in records if one["framing"] == FRAMING and one["attempt"] == 1]
    return sorted(found, key=lambda one: (one["task"], one["level"], one["seed"]))


def player(folder: Path, episodes: list[dict[str, Any]]) -> dict[str, Any]:
    """One row: its figures as in its report, and an outcome for each of these episodes."""
    report = read_report(folder / REPORT)
    groups = [
        {
            **{key: getattr(group, key) for key in ("task", "level", "framing")},
            **{name: [*group.metrics[name].model_dump().values()] for name in METRICS},
        }
        for group in report.groups
    ]
    return {
        "name": folder.name,
        "title": report.agent.name,
        "kind": report.agent.kind,
        "groups": groups,
        "cells": [[one["score"], one["steps"], int(one["mistake"])] for one in episodes],
    }


def atlas(root: Path) -> dict[Path, bytes]:
    """What the package should hold, by file. Without a recorded suite, nothing.

    Args:
        root: The folder with `results/` and `static/`.
    """
    folders = sorted(path.parent for path in (root / "results" / "suite_v2").glob("*/report.json"))
    if not folders:
        return {}
    episodes = {folder: shown(folder) for folder in folders}
    scenarios = [[one["task"], one["level"], one["seed"]] for one in episodes[folders[0]]]
    players = [player(folder, played) for folder, played in episodes.items()]
    whole = {"framing": FRAMING, "scenarios": scenarios, "players": players}
    static = root / "static"
    found = {static / "atlas.json": json.dumps(whole, separators=(",", ":")).encode() + b"\n"}
    for folder, played in episodes.items():
        lines = [
            json.dumps({"policy": folder.name, **{key: one[key] for key in KEPT}}, separators=(",", ":"))
            for one in played
        ]
        packed = gzip.compress("\n".join(lines).encode() + b"\n", mtime=0)
        found[static / "recorded" / "suite" / f"{folder.name}.jsonl.gz"] = packed
    return found
