"""The recorded training runs of `scripts/train_ppo.py` as a table, for the documents.

Owns reading the logs and the intervals over runs. Must not need torch.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from safeact_env.tasks import OFFICIAL
from scripts.markdown import table

__all__ = ["Trained", "ppo_table", "trained"]

RUNS = Path(__file__).resolve().parents[1] / "results" / "ppo"
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Two-sided 95% quantiles of Student's t by number of runs."""
CLUES = {"runbooks": "all that is seen", "names": "look-alikes by name only"}


class Trained(NamedTuple):
    """A recorded run: its settings, and its evaluations in their order."""

    run: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, str]
    points: list[dict[str, Any]]


def trained(folder: Path = RUNS) -> list[Trained]:
    """The recorded runs, by file name."""
    found = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        head, *points = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
        found.append(Trained(head["run"], head["config"], head["versions"], points))
    return found


def interval(values: list[float], form: str) -> str:
    """The mean over runs with its 95% interval, which needs two runs."""
    middle = mean(values)
    if len(values) not in STUDENT:
        return form.format(middle)
    half = STUDENT[len(values)] * stdev(values) / sqrt(len(values))
    low, high = max(middle - half, 0), middle + half
    return f"{form.format(middle)} [{form.format(low)}, {form.format(min(high, 1))}]"


def ppo_table(folder: Path = RUNS) -> str:
    """Per task and clue the last evaluations, over the seeds of training."""
    groups: dict[tuple[str, str], list[Trained]] = defaultdict(list)
    for one in trained(folder):
        groups[one.run["task"], one.run["clues"]].append(one)
    if not groups:
        return "No training run has been recorded yet; `make train-ppo` records them."
    rows = []
    for task in OFFICIAL:
        for clues, said in CLUES.items():
            runs = groups.get((task, clues), [])
            if runs:
                last = [one.points[-1] for one in runs]
                first = mean(one.points[0]["mistakes"] for one in runs)
                rows.append(
                    [
                        f"`{task}`",
                        said,
                        str(len(runs)),
                        f"{mean(point['played'] for point in last):,.0f}",
                        interval([point["grade"] for point in last], "{:.3f}"),
                        f"{first:.1%}",
                        interval([point["mistakes"] for point in last], "{:.1%}"),
                        f"{mean(point['over_escalations'] for point in last):.2f}",
                    ]
                )
    head = [
        "task",
        "clues",
        "runs",
        "calls",
        "grade [95%]",
        "mistakes untrained",
        "mistakes [95%]",
        "over-asked",
    ]
    note = (
        "Small policies trained by PPO on the split `train`, playing scenarios of the split `test`. "
        "Intervals: Student's t over training runs."
    )
    return f"{table(head, rows)}\n\n{note}"
