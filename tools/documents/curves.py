"""Draws what small policies learn, from the logs of their training runs."""

from math import inf
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

from safeact_env.tasks import OFFICIAL
from tools.documents.svg import BLUE, GREEN, GREY, ORANGE, as_svg, blank
from tools.documents.training_table import KINDS, RUNS, Trained, half_width, on_default, trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "What small policies learn from reward alone, on unseen test scenarios; thin: runs, bands: 95%"
LEAST_RUNS = 3
"""Of fewer, an interval says nothing."""
COLOURS = dict(zip(KINDS, (BLUE, ORANGE, GREEN, GREY), strict=True))


class Measure(NamedTuple):
    """A row of drawings.

    Attributes:
        name: In the logs.
        said: Beside the axis.
        least: The least it can be; the least reward of an episode has no bound of use.
        most: The most it can be, likewise.
    """

    name: str
    said: str
    least: float = -inf
    most: float = inf


MEASURES = (
    Measure("grade", "grade", 0.0, 1.0),
    Measure("return", "return", most=1.0),
    Measure("mistakes", "irreversible mistakes", 0.0, 1.0),
    Measure("over_escalations", "over-escalations", 0.0),
)


def curves(folder: Path = RUNS) -> bytes:
    """The curves of every task that was trained on the default level, a column each, as SVG."""
    runs = on_default(trained(folder))
    tasks = [task for task in OFFICIAL if any(key[0] == task for key in runs)]
    with blank(1 + 2 * max(len(tasks), 2), 7.2, TITLE) as figure:
        axes = figure.subplots(len(MEASURES), max(len(tasks), 1), sharex="col", squeeze=False)
        for line, measure in zip(axes, MEASURES, strict=True):
            for axis, task in zip(line, tasks, strict=False):
                for kind in KINDS:
                    if (task, *kind) in runs:
                        draw(axis, runs[task, *kind], measure, COLOURS[kind])
                low, high = axis.get_ylim()
                axis.set_ylim(min(low, -0.03), max(high, 1.03))
                axis.grid(color="#dddddd", linewidth=0.6)
                axis.tick_params(axis="both", length=0, labelsize=7)
            line[0].set_ylabel(measure.said)
        for axis, task in zip(axes[0], tasks, strict=False):
            axis.set_title(task)
        for axis in axes[-1]:
            axis.set_xlabel("calls, thousands")
        there = [kind for kind in KINDS if any(key[1:] == kind for key in runs)]
        lines = [axes[0][0].plot([], [], color=COLOURS[kind], label=KINDS[kind])[0] for kind in there]
        figure.legend(handles=lines, loc="outside lower center", ncols=len(KINDS), frameon=False)
        return as_svg(figure)


def draw(axis: "Axes", runs: list[Trained], measure: Measure, colour: str) -> None:
    """One kind of run: the mean over runs at each evaluation, and its interval."""
    # Runs of one kind are evaluated after the same numbers of calls.
    points = list(zip(*(one.points for one in runs), strict=True))
    calls = [mean(point["played"] for point in found) / 1_000 for found in points]
    values = [[float(point[measure.name]) for point in found] for found in points]
    middle = [mean(found) for found in values]
    half = [half_width(found) for found in values]
    for one in zip(*values, strict=True):
        axis.plot(calls, one, color=colour, linewidth=0.5, alpha=0.5)
    axis.plot(calls, middle, color=colour, linewidth=1.6)
    if len(runs) >= LEAST_RUNS:
        low = [max(m - h, measure.least) for m, h in zip(middle, half, strict=True)]
        high = [min(m + h, measure.most) for m, h in zip(middle, half, strict=True)]
        axis.fill_between(calls, low, high, color=colour, alpha=0.2, linewidth=0)
