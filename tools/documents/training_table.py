"""The recorded training runs as a table, for the documents.

Owns reading the logs and the intervals over runs. Must not need torch.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from safeact_env.core.variant import DEFAULT, LEVELS, Variant
from safeact_env.evaluation.suite import V2
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
CARRIED = (
    "The same policies on the levels and framings of the suite: mean grade (mistakes) on 60 scenarios of "
    "`test` each. A policy sees no text, so a framing hides from it only what the handbook tells in numbers."
)
GROUPS = (
    "How far returns differ within groups of 8 rollouts of one training scenario, drawn as the learner "
    "explores, before and after the training, by level: the mean standard deviation, and the share of groups "
    "that were all paid alike, which teach nothing. {harm}"
)
NONE_YET = "No training run has been recorded yet; `make train` records them."


class Trained(NamedTuple):
    """A recorded run: its settings, and its evaluations in their order."""

    run: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, str]
    points: list[dict[str, Any]]


Group = tuple[str, str, str, str]
"""What runs that differ in their seed alone have in common: task, algorithm, clues, levels."""


def trained(folder: Path = RUNS) -> dict[Group, list[Trained]]:
    """The recorded runs by what they have in common, each by file name."""
    found: dict[Group, list[Trained]] = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl.gz")):
        head, *points = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
        run = head["run"]
        one = Trained(run, head["config"], head["versions"], points)
        levels = f"1 to {run['level']}" if run.get("curriculum") else f"{run['level']}"
        found[run["task"], run["algorithm"], run["clues"], levels].append(one)
    return dict(found)


def on_default(groups: dict[Group, list[Trained]]) -> dict[tuple[str, str, str], list[Trained]]:
    """The runs that were trained on the default level, by task, algorithm and clues: those that are drawn."""
    return {group[:3]: runs for group, runs in groups.items() if group[3] == f"{DEFAULT.level}"}


def half_width(values: list[float]) -> float:
    """Half of the 95% interval of a mean over runs; 0 where there is one run, or more than the table has."""
    return STUDENT[len(values)] * stdev(values) / sqrt(len(values)) if len(values) in STUDENT else 0.0


def interval(values: list[float], form: str) -> str:
    """The mean over runs, of numbers in [0, 1], with its 95% interval, which needs runs that differ."""
    middle = mean(values)
    if len(values) not in STUDENT or len(set(values)) == 1:
        return form.format(middle)
    half = half_width(values)
    low, high = max(middle - half, 0), min(middle + half, 1)
    return f"{form.format(middle)} [{form.format(low)}, {form.format(high)}]"


def training_table(folder: Path = RUNS) -> str:
    """Per task and kind of run the last evaluations, over the seeds of training."""
    groups = trained(folder)
    if not groups:
        return NONE_YET
    found = ordered(groups)
    rows = [row_of(group, groups[group]) for group in found]
    head = ["task", "level", "learner", "runs", "calls", "grade [95%]", "mistakes untrained"]
    head += ["mistakes [95%]", "over-asked", "minutes"]
    versions = {one.versions["safeact-env"] for runs in groups.values() for one in runs}
    carried = [carried_row(group, groups[group]) for group in found]
    said = [
        table(head, rows),
        dated(notes(groups), min(versions)),
        table(["task", "level", "learner", *map(named, V2.variants)], carried),
        CARRIED,
    ]
    spread = [line for group in found for line in spread_rows(group, groups[group])]
    if spread:
        levels = [f"level {level}" for level in LEVELS]
        head = ["task", "level", "learner", "when", *levels]
        said += [table(head, spread), GROUPS.format(harm=harm(groups))]
    return "\n\n".join(said)


def ordered(groups: Iterable[Group]) -> list[Group]:
    """The groups in the order of tables."""
    kinds = list(KINDS)
    return sorted(groups, key=lambda one: (OFFICIAL.index(one[0]), kinds.index((one[1], one[2])), one[3]))


def named(variant: Variant) -> str:
    """A variant as a column's head."""
    return f"{variant.framing}, {variant.level}"


def carried_row(group: Group, runs: list[Trained]) -> list[str]:
    """What runs that were trained on one level do on every level and framing of the suite."""
    task, algorithm, clues, levels = group
    cells = []
    for variant in V2.variants:
        found = [
            cell
            for one in runs
            for cell in one.points[-1]["cells"]
            if (cell["level"], cell["framing"]) == (variant.level, variant.framing)
        ]
        grade, mistakes = (mean(cell[name] for cell in found) for name in ("grade", "mistakes"))
        cells.append(f"{grade:.2f} ({mistakes:.0%})")
    return [f"`{task}`", levels, KINDS[algorithm, clues], *cells]


def spread_rows(group: Group, runs: list[Trained]) -> list[list[str]]:
    """What runs show of groups of rollouts, before and after; nothing where that was not recorded."""
    task, algorithm, clues, levels = group
    if not all("groups" in one.points[-1] for one in runs):
        return []
    rows = []
    for number, when in ((0, "before"), (-1, "after")):
        cells = []
        for places in zip(*(one.points[number]["groups"] for one in runs), strict=True):
            deviation, alike = (mean(place[name] for place in places) for name in ("deviation", "alike"))
            cells.append(f"{deviation:.2f} ({alike:.0%})")
        rows.append([f"`{task}`", levels, KINDS[algorithm, clues], when, *cells])
    return rows


def harm(groups: dict[Group, list[Trained]]) -> str:
    """The highest grade of an end that the red team's checkers call harmful, in all that was evaluated."""
    points = [point for runs in groups.values() for one in runs for point in one.points if "groups" in point]
    places = [place for point in points for place in (point, *point["groups"])]
    grades = [place["harmful"] for place in places if place.get("harmful") is not None]
    if not grades:
        return (
            "No final state of theirs, nor of the last evaluation, does harm by the red team's checkers, "
            "which know the briefs of levels 1 to 3."
        )
    return (
        "The highest grade of a final state of theirs, or of the last evaluation, that the red team's "
        f"checkers call harmful is {max(grades):.4f} (levels 1 to 3, whose briefs they know)."
    )


def row_of(group: Group, runs: list[Trained]) -> list[str]:
    """A line of the table."""
    task, algorithm, clues, levels = group
    last = [one.points[-1] for one in runs]
    return [
        f"`{task}`",
        levels,
        KINDS[algorithm, clues],
        str(len(runs)),
        f"{mean(point['played'] for point in last):,.0f}",
        interval([point["grade"] for point in last], "{:.3f}"),
        f"{mean(one.points[0]['mistakes'] for one in runs):.1%}",
        interval([point["mistakes"] for point in last], "{:.1%}"),
        f"{mean(point['over_escalations'] for point in last):.2f}",
        f"{mean(point['seconds'] for point in last) / 60:.0f}",
    ]


def notes(groups: dict[Group, list[Trained]]) -> str:
    """What the table shows, and what was searched beside it: return without grade."""
    points = [point for runs in groups.values() for one in runs for point in one.points]
    episodes = sum(point.get("trained_on", 0) for point in points)
    gap = max((point["gap"] for point in points if "gap" in point), default=0.0)
    return (
        "Small policies, trained on the split `train` from the reward alone, playing 200 scenarios of the "
        "split `test` at the end; mistakes untrained: on 60 others. Intervals: Student's t over training "
        "runs, and none where the runs are all alike, which bounds nothing. "
        f"In the {episodes:,} episodes of training, all learners together, the largest return above the "
        f"grade of an episode was {gap:.4f}."
    )
