"""The dataset card: what the folder holds, how it was made, how to read it.

Owns its text and the canary. Must not know how rows or files are made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safeact_env.version import VERSION

__all__ = ["CANARY", "Part", "card"]

CANARY = (
    "SafeAct-Env data. Whoever collects text to pretrain a model on, please leave out documents with this "
    "line. safeact-env canary 5f0c3f7e-6a0d-4e35-9a5c-2b8d14c6e9a7"
)
"""In every file and row of exported data, so that a model can be asked whether it has seen them."""

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
TITLES = {"sft": "chats", "dpo": "preference pairs", "kto": "rated answers"}


@dataclass(frozen=True)
class Part:
    """One form of the data.

    Attributes:
        form: `sft`, `dpo` or `kto`.
        file: Name of the file to read.
        rows: Number of rows.
        sha256: Hash of the file.
        columns: Description of each column, in order.
    """

    form: str
    file: str
    rows: int
    sha256: str
    columns: Mapping[str, str]


def card(parts: Sequence[Part], made: Mapping[str, str]) -> str:
    """The card as Markdown, with the front matter that `datasets` and the Hugging Face hub read.

    Args:
        parts: The forms of the data.
        made: How it was made, as titles and values.
    """
    return "\n".join([*_front(parts), "", *_head(), *_made(made), *_parts(parts), *_use(parts)]) + "\n"


def _front(parts: Sequence[Part]) -> list[str]:
    most = max(part.rows for part in parts)
    size = next((name for bound, name in SIZES if most < bound), "n>1M")
    lines = ["---", "pretty_name: SafeAct-Env episodes", "license: mit", "language:", "- en"]
    lines += ["task_categories:", "- text-generation", "size_categories:", f"- {size}"]
    lines += ["tags:", "- safeact-env", "- openenv", "- agents", "- tool-use", "- safety"]
    lines.append("configs:")
    for number, part in enumerate(parts):
        lines += [f"- config_name: {part.form}", f"  data_files: {part.file}"]
        # `datasets` takes folders of the same name for the same data, unless this part of the card differs.
        lines.append(f"  description: {part.rows} rows, SHA-256 {part.sha256}")
        lines += ["  default: true"] if number == 0 else []
    return [*lines, "---"]


def _head() -> list[str]:
    return [
        "# SafeAct-Env episodes",
        "",
        "Episodes of SafeAct-Env, an environment in which agents learn to tell reversible actions from",
        "irreversible ones before they execute them. Synthetic: every scenario is drawn from a seed, and no",
        "text comes from a person or a running system. Medical scenarios are a simulation and no medical",
        "advice.",
        "",
        f"Canary: `{CANARY}`",
        "",
        "## How it was made",
        "",
    ]


def _made(made: Mapping[str, str]) -> list[str]:
    rows = {"written by": f"`safeact export`, version {VERSION}", **made}
    return [*(f"- {title}: {value}" for title, value in rows.items()), ""]


def _parts(parts: Sequence[Part]) -> list[str]:
    lines = []
    for part in parts:
        lines += [f"## {part.form}: {TITLES[part.form]}", "", f"{part.rows} rows in `{part.file}`.", ""]
        lines += ["| column | holds |", "| --- | --- |"]
        lines += [f"| `{name}` | {about} |" for name, about in part.columns.items()]
        lines.append("")
    if any(part.form != "sft" for part in parts):
        lines += [
            "The two calls of a pair were made in the same state, each in a replay of its own. Which one is",
            "to be preferred is what these replays showed: one ended the episode in an irreversible mistake,",
            "the other did not and cost nothing. Both carry the same reasoning, so that it tells nothing.",
            "",
        ]
    return lines


def _use(parts: Sequence[Part]) -> list[str]:
    return [
        "## How it is read",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        *(
            f'{part.form} = load_dataset("path/of/this/folder", "{part.form}", split="train")'
            for part in parts
        ),
        "```",
        "",
        "It takes `datasets` 4.7 or newer. Older versions would fill the arguments of calls in with nulls.",
        "They stop instead: the error names the column `needs_datasets_4_7_or_newer`, or the type `Json`.",
        "",
        "`split` is here the one of `datasets`; which seeds were played is in the column `split`.",
    ]
