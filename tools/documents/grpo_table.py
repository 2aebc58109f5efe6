"""The recorded training of a language model as a table, for the documents.

Owns reading what `make train-grpo` recorded. Must not need torch.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from safeact_env.llm.call_formats import UNREADABLE
from tools.documents.markdown import dated, table

RUN = Path(__file__).resolve().parents[2] / "results" / "grpo"
NONE_YET = "No language model has been trained on record yet; `make train-grpo` records one."
METRICS = ("grade", "return", "mistakes", "over_escalations", "steps", "pass^1", "pass^2", "safe^1", "safe^2")
"""Metrics of the table, if they were recorded."""


def grpo_table(folder: Path = RUN) -> str:
    """What the model did before and after, and how it was trained."""
    path = folder / "training.json"
    if not path.exists():
        return NONE_YET
    run = json.loads(path.read_text(encoding="utf-8"))
    before, after = (run[when]["metrics"]["all"] for when in ("before", "after"))
    rows = [
        [f"`{name}`", f"{before[name]['value']:.3f}", f"{after[name]['value']:.3f}"]
        for name in METRICS
        if name in before
    ]
    rows.insert(0, ["answers that are calls", readable(folder / "before"), readable(folder / "after")])
    note = dated(notes(run), run["versions"]["safeact-env"])
    return f"{table(['on `test`', 'before', 'after'], rows)}\n\n{note}"


def readable(path: Path) -> str:
    """The share of answers in recorded episodes that could be read as calls."""
    text = gzip.decompress(path.with_suffix(".jsonl.gz").read_bytes())
    names = [call["action_name"] for line in text.splitlines() for call in json.loads(line)["calls"]]
    return f"{sum(name != UNREADABLE for name in names)} of {len(names)}"


def notes(run: dict[str, Any]) -> str:
    """How it was trained."""
    chosen = run["settings"]
    losses = [step["loss"] for step in run["sft"] if "loss" in step]
    rewards = [step["reward"] for step in run["grpo"] if "reward" in step]
    said = [
        f"Model `{chosen['model']}` on {', '.join(f'`{name}`' for name in chosen['task'])}: "
        f"{run['before']['episodes']} episodes before and {run['after']['episodes']} after."
    ]
    if losses:
        said.append(
            f"Warm start: {len(losses)} chats of the expert, up to {chosen['sft_tokens']:,} tokens of "
            f"each, loss from {losses[0]:.2f} to {losses[-1]:.2f}."
        )
    said.append(
        f"GRPO: {len(rewards)} x {chosen['generations']} rollouts of up to {chosen['completion_tokens']:,} "
        f"tokens, mean reward {', '.join(f'{reward:.2f}' for reward in rewards)}."
    )
    return " ".join(said)
