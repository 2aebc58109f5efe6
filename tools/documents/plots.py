"""Draws the recorded runs in `results/` as SVG: grades, mistakes, questions, learning, predictions, costs.

The same results give the same bytes. With `--check` nothing is written, and the exit code is 1 if a drawing
is stale. What nothing is recorded of is not drawn.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from safeact_env.evaluation.metrics import Interval
from safeact_env.evaluation.result_files import Row, recorded_runs, rows_of
from safeact_env.policies.reference import POLICIES
from safeact_env.tasks import OFFICIAL
from tools.documents.curves import curves
from tools.documents.scaling_curves import connections, step_costs
from tools.documents.svg import BLUE, GREEN, GREY, ORANGE, as_svg, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
POLICY_RUN = RESULTS / "reference_policies.json"


class Panel(NamedTuple):
    """One of the drawings side by side.

    Attributes:
        title: Above it.
        of: What it shows of a row; `None` where the row has no such metric.
        colour: Of its bars.
        form: How a value is written beside its bar.
        end: Where the axis ends; by default after the longest bar.
    """

    title: str
    of: Callable[[Row], Interval | None]
    colour: str
    form: str = "{:.2f}"
    end: float | None = None


def recorded() -> list[Row]:
    """The reference policies, the ceiling first, then the models."""
    policies = rows_of(POLICY_RUN)
    models = [row for path in recorded_runs(RESULTS) for row in rows_of(path)]
    return policies + [row for row in models if row.agent not in POLICIES]


def grades(rows: Sequence[Row]) -> bytes:
    """Mean grades with their intervals, a panel per task."""

    def of(task: str) -> Callable[[Row], Interval | None]:
        return lambda row: row.by_task[task]["grade"] if task in row.by_task else None

    panels = [Panel(task, of(task), BLUE, end=1.0) for task in OFFICIAL]
    return drawn(rows, panels, "Mean grade by task, with 95% intervals")


def errors(rows: Sequence[Row]) -> bytes:
    """Mistakes and over-escalations with their intervals."""
    panels = [
        Panel(
            "episodes ended by an irreversible mistake",
            lambda row: row.overall["mistakes"],
            ORANGE,
            form="{:.0%}",
            end=1.0,
        ),
        Panel(
            "over-escalations per episode", lambda row: row.overall["over_escalations"], GREEN, form="{:.1f}"
        ),
    ]
    return drawn(rows, panels, "Acting too soon, and asking too much, with 95% intervals")


def drawn(rows: Sequence[Row], panels: Sequence[Panel], title: str) -> bytes:
    """Horizontal bars with 95% intervals, a line per row, the panels side by side, as SVG."""
    with blank(10, 1.35 + 0.27 * len(rows), title) as figure:
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)  # type: ignore[union-attr, call-arg]
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, panel in zip(axes, panels, strict=True):
            draw(axis, panel, rows)
        axes[0].set_yticks(range(len(rows)), [named(row) for row in rows])
        axes[0].invert_yaxis()  # shared: the first row on top in every panel
        return as_svg(figure)


def draw(axis: "Axes", panel: Panel, rows: Sequence[Row]) -> None:
    """The bars of one panel."""
    found = [(place, panel.of(row)) for place, row in enumerate(rows)]
    shown = [(place, one) for place, one in found if one is not None]
    end = panel.end or max((one.high for _, one in shown), default=0.0) or 1.0
    for place, one in shown:
        axis.barh(place, one.value, height=0.62, color=panel.colour)
        if one.high > one.low:
            axis.plot([one.low, one.high], [place, place], color="black", linewidth=1.1)
        axis.text(
            max(one.value, one.high) + 0.02 * end,
            place,
            panel.form.format(one.value),
            va="center",
            fontsize=7.5,
            color=GREY,
        )
    axis.set_xlim(0, 1.2 * end)
    if panel.end:
        axis.set_xticks([0, end / 2, end])
        axis.xaxis.set_major_formatter(lambda value, _: panel.form.replace(".2f", "g").format(value))
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.tick_params(axis="both", length=0)
    axis.set_title(panel.title)


def calibration(rows: Sequence[Row]) -> bytes | None:
    """The reliability curves of models that were asked for predictions; `None` if none was.

    A point is a bin of predictions, and its area grows with the number of calls in it.
    """
    shown = [(row.agent, row.predictions.bins) for row in rows if row.predictions and row.predictions.bins]
    if not shown:
        return None
    title = "Predictions of models: said to be undoable, and undoable"
    with blank(5.6, 5.2, title) as figure:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--", label="as it is")
        for (agent, bins), colour in zip(shown, cycle((BLUE, ORANGE, GREEN)), strict=False):
            said, true = [one.said for one in bins], [one.true for one in bins]
            most = max(one.calls for one in bins)
            axis.plot(said, true, color=colour, linewidth=1.1, label=f"model: {agent}")
            axis.scatter(said, true, s=[10 + 90 * one.calls / most for one in bins], color=colour)
        axis.set_xlabel("mean prediction that a call could be taken back")
        axis.set_ylabel("share of these calls that could")
        axis.set_xlim(-0.03, 1.03)
        axis.set_ylim(-0.03, 1.03)
        axis.grid(color="#dddddd", linewidth=0.6)
        axis.tick_params(axis="both", length=0)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return as_svg(figure)


def named(row: Row) -> str:
    """A row's name; a model's, so that it is told from a policy's."""
    return row.agent if row.agent in POLICIES else f"model: {row.agent}"


PLOTS: dict[str, Callable[[Sequence[Row]], bytes | None]] = {
    "grades.svg": grades,
    "errors.svg": errors,
    "learning.svg": lambda _rows: curves(),
    "calibration.svg": calibration,
    "connections.svg": lambda _rows: connections(),
    "step_costs.svg": lambda _rows: step_costs(),
}
"""The drawings by file name in `results/`; `None` for one of which nothing is recorded."""


def main(arguments: list[str]) -> int:
    """Draw, or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a drawing is stale")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the drawings (results/)")
    options = parser.parse_args(arguments)
    rows, stale = recorded(), []
    for name, make in PLOTS.items():
        path, fresh = options.out / name, make(rows)
        if fresh == (path.read_bytes() if path.exists() else None):
            continue
        stale.append(name)
        if not options.check and fresh is None:
            path.unlink()
        elif not options.check and fresh is not None:
            path.write_bytes(fresh)
    if stale:
        print(json.dumps({"stale" if options.check else "drawn": stale}))
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
