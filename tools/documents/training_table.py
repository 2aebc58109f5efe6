"""The recorded training runs as a table, for the documents.

Owns reading the logs and the intervals over runs. Must not need torch.
"""

import gzip
import json
from collections import defaultdict
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from safeact_env.tasks import OFFICIAL
from tools.documents.markdown import dated, table

RUNS = Path(__file__).resolve().parents[2] / "results" / "training"
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Two-sided 95% quantiles of Student's t by number of runs."""
KINDS = {
    ("q", "runbooks"): "Q-learning",
    ("q", "names"): "Q-learning, look-alikes by name only",
    ("ppo", "runbooks"): "PPO",
    ("ppo", "names"): "PPO, look-alikes by name only",
}
"""Kinds of runs, by algorithm and clues, in the order of tables and drawings."""
NONE_YET = "No training run has been recorded yet; `make train` records them."


class Trained(NamedTuple):
    """A recorded run: its settings, and its evaluations in their order."""

    run: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, str]
    points: list[dict[str, Any]]


def trained(folder: Path = RUNS) -> dict[tuple[str, str, str], list[Trained]]:
    """The recorded runs by task, algorithm and clues, each by file name."""
    found: dict[tuple[str, str, str], list[Trained]] = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl.gz")):
        head, *points = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
        run = head["run"]
        one = Trained(run, head["config"], head["versions"], points)
        found[run["task"], run["algorithm"], run["clues"]].append(one)
    return dict(found)


def half_width(values: list[float]) -> float:
    """Half of the 95% interval of a mean over runs; 0 where there is one run, or more than the table has."""
    return STUDENT[len(values)] * stdev(values) / sqrt(len(values)) if len(values) in STUDENT else 0.0


def interval(values: list[float], form: str) -> str:
    """The mean over runs, of numbers in [0, 1], with its 95% interval, which needs two runs."""
    middle = mean(values)
    if len(values) not in STUDENT:
        return form.format(middle)
    half = half_width(values)
    low, high = max(middle - half, 0), min(middle + half, 1)
    return f"{form.format(middle)} [{form.format(low)}, {form.format(high)}]"


def training_table(folder: Path = RUNS) -> str:
    """Per task and kind of run the last evaluations, over the seeds of training."""
    groups = trained(folder)
    if not groups:
        return NONE_YET
    rows = [
        row_of(task, said, groups[task, *kind])
        for task in OFFICIAL
        for kind, said in KINDS.items()
        if (task, *kind) in groups
    ]
    head = ["task", "learner", "runs", "calls", "grade [95%]", "mistakes untrained"]
    head += ["mistakes [95%]", "over-asked", "minutes"]
    versions = {one.versions["safeact-env"] for runs in groups.values() for one in runs}
    return f"{table(head, rows)}\n\n{dated(notes(groups), min(versions))}"


def row_of(task: str, said: str, runs: list[Trained]) -> list[str]:
    """A line of the table."""
    last = [one.points[-1] for one in runs]
    return [
        f"`{task}`",
        said,
        str(len(runs)),
        f"{mean(point['played'] for point in last):,.0f}",
        interval([point["grade"] for point in last], "{:.3f}"),
        f"{mean(one.points[0]['mistakes'] for one in runs):.1%}",
        interval([point["mistakes"] for point in last], "{:.1%}"),
        f"{mean(point['over_escalations'] for point in last):.2f}",
        f"{mean(point['seconds'] for point in last) / 60:.0f}",
    ]


def notes(groups: dict[tuple[str, str, str], list[Trained]]) -> str:
    """What the table shows, and what was searched beside it: return without grade."""
    points = [point for runs in groups.values() for one in runs for point in one.points]
    episodes = sum(point.get("trained_on", 0) for point in points)
    gap = max((point["gap"] for point in points if "gap" in point), default=0.0)
    return (
        "Small policies, trained on the split `train` from the reward alone, playing 200 scenarios of the "
        "split `test` at the end. Intervals: Student's t over training runs. "
        f"In the {episodes:,} episodes of training, all learners together, the largest return above the "
        f"grade of an episode was {gap:.4f}."
    )
