"""Draws how costs grow, from the recorded run of `benchmarks.scaling`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.documents.svg import BLUE, GREEN, GREY, ORANGE, PURPLE, as_svg, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUN = Path(__file__).resolve().parents[2] / "results" / "scaling.json"
COLOURS = (BLUE, ORANGE, GREEN, GREY, PURPLE)
"""One for each entrant, and for each level."""


def connections(path: Path = RUN) -> bytes | None:
    """Steps per second and processor time of a step by the number of connections; `None` if not recorded."""
    run = recorded(path)
    if run is None:
        return None
    title = "Steps over WebSocket by the number of connections"
    with blank(9, 3.8, title) as figure:
        axes = figure.subplots(1, 2)
        for axis, what, said in zip(
            axes, ("steps/s", "us/step"), ("steps per second", "processor time per step, µs"), strict=True
        ):
            for (name, rows), colour in zip(run["connections"].items(), COLOURS, strict=False):
                numbers, values = [int(one) for one in rows], [row[what] for row in rows.values()]
                axis.plot(numbers, values, color=colour, marker="o", markersize=3, linewidth=1.4, label=name)
            axis.set_xscale("log", base=2)
            axis.set_yscale("log", subs=(2, 5))
            axis.yaxis.set_major_formatter("{x:,.0f}")
            axis.yaxis.set_minor_formatter("{x:,.0f}")
            axis.set_xticks(numbers, numbers)
            axis.set_xlabel("connections")
            axis.set_ylabel(said)
            bare(axis)
        lines, names = axes[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=len(names), frameon=False)
        return as_svg(figure)


def step_costs(path: Path = RUN) -> bytes | None:
    """The cost of a step by its number and the level, a panel per task; `None` if not recorded."""
    run = recorded(path)
    if run is None:
        return None
    title = "Processor time of a step with its answer, in process, by its number and the level"
    with blank(11, 3.4, title) as figure:
        axes = figure.subplots(1, len(run["steps"]), sharey=True, squeeze=False)[0]
        for axis, (task, levels) in zip(axes, run["steps"].items(), strict=True):
            for (level, costs), colour in zip(levels.items(), COLOURS, strict=False):
                numbers = [(place + 0.5) * run["steps per point"] for place in range(len(costs))]
                axis.plot(numbers, costs, color=colour, linewidth=1.2, label=f"level {level}")
            axis.set_title(task)
            axis.set_xlabel("step")
            bare(axis)
        highest = max(cost for levels in run["steps"].values() for costs in levels.values() for cost in costs)
        axes[0].set_ylim(0, 1.05 * highest)
        axes[0].set_ylabel("µs")
        lines, names = axes[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=len(names), frameon=False)
        return as_svg(figure)


def recorded(path: Path) -> Mapping[str, Any] | None:
    """The recorded run, if there is one."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def bare(axis: "Axes") -> None:
    """The grid of an axis, without ticks."""
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.tick_params(axis="both", which="both", length=0)
