"""What the page draws of the recorded runs, as numbers: it draws them itself, in the colours of its reader.

Owns the form in which the page gets them. `tools.documents.plots` makes pictures of the same.
"""

from pathlib import Path
from statistics import mean
from typing import Any

from safeact_env.evaluation.metrics import Interval
from safeact_env.evaluation.result_files import Row, recorded_runs, rows_of
from safeact_env.policies.reference import POLICIES
from safeact_env.tasks import OFFICIAL
from safeact_env.version import VERSION
from tools.documents.training_table import KINDS, half_width, on_default, trained

MEASURES = {"grade": (0.0, 1.0), "mistakes": (0.0, 1.0)}
"""What is drawn of a training run, and its bounds."""


def drawings(results: Path) -> dict[str, Any]:
    """The numbers behind every drawing.

    Args:
        results: The folder of the recorded runs.

    Returns:
        `bars`: panels by title, each with its rows as `[name, value, low, high]`. `curves`: lines by task and
        measure, each with its points as `[calls, value, low, high]`. `calibration`: the reliability curve of
        every model, its bins as `[said, true, calls]`; empty while none is recorded with this version.
    """
    rows = _rows(results)
    return {"bars": _bars(rows), "curves": _curves(results / "training"), "calibration": _calibration(rows)}


def _rows(results: Path) -> list[Row]:
    """The policies, the ceiling first, then the models of this version of the environment."""
    policies = results / "reference_policies.json"
    found = rows_of(policies) if policies.exists() else []
    models = [row for path in recorded_runs(results) for row in rows_of(path) if row.agent not in POLICIES]
    return found + [row for row in models if row.version.partition(".")[0] == VERSION.partition(".")[0]]


def _bars(rows: list[Row]) -> list[dict[str, Any]]:
    def panel(title: str, values: list[tuple[Row, Interval]], *, end: float | None = None) -> dict[str, Any]:
        shown = [[row.agent, *(round(n, 4) for n in (one.value, one.low, one.high))] for row, one in values]
        return {"title": title, "end": end, "rows": shown}

    def over(metric: str) -> list[tuple[Row, Interval]]:
        return [(row, row.overall[metric]) for row in rows]

    def on(task: str) -> list[tuple[Row, Interval]]:
        return [(row, row.by_task[task]["grade"]) for row in rows if task in row.by_task]

    tasks = [panel(f"grade, {task}", on(task), end=1) for task in OFFICIAL]
    both = [
        panel("episodes ended by a mistake", over("mistakes"), end=1),
        panel("questions too many per episode", over("over_escalations")),
    ]
    return [one for one in (*both, *tasks) if one["rows"]]


def _curves(folder: Path) -> list[dict[str, Any]]:
    runs = on_default(trained(folder))
    return [
        {
            "title": f"{measure}, {task}",
            "lines": [
                {"name": said, "points": _points(runs[task, *kind], measure)}
                for kind, said in KINDS.items()
                if (task, *kind) in runs
            ],
        }
        for measure in MEASURES
        for task in OFFICIAL
        if any(key[0] == task for key in runs)
    ]


def _points(runs: list[Any], measure: str) -> list[list[float]]:
    """The mean over runs at each evaluation, and its 95% interval."""
    least, most = MEASURES[measure]
    found = []
    # Runs of one kind are evaluated after the same numbers of calls.
    for points in zip(*(one.points for one in runs), strict=True):
        values = [float(point[measure]) for point in points]
        middle, half = mean(values), half_width(values)
        numbers = (middle, max(middle - half, least), min(middle + half, most))
        found.append([mean(point["played"] for point in points), *(round(n, 4) for n in numbers)])
    return found


def _calibration(rows: list[Row]) -> list[dict[str, Any]]:
    return [
        {"name": row.agent, "bins": [[round(one.said, 4), round(one.true, 4), one.calls] for one in bins]}
        for row in rows
        if row.predictions and (bins := row.predictions.bins)
    ]
