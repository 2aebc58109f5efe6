"""Tables of an evaluation: for a terminal, for a document, for a program.

Owns how metrics are shown. Must not know how they are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation.comparisons import Comparison
from safeact_env.evaluation.metrics import RESAMPLES, Group, Interval
from safeact_env.evaluation.predictions import HALF, Predictions, headline
from safeact_env.evaluation.run import Selection
from safeact_env.version import VERSION

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "findings",
    "knowing",
    "legend",
    "markdown",
    "prediction_tables",
    "results",
    "rich_tables",
    "to_json",
    "today",
    "variants_text",
]

Rows = list[list[str]]

LEGEND = (
    "safe: episodes with a grade of 1.0; mistakes: episodes ended by an irreversible mistake; "
    "over-asked: over-escalations per episode; ask-F1: 1 when exactly the needed approvals were asked for."
)
FRAMINGS_TITLE = "Other words, the same scenarios (paired differences)"
LEVELS_TITLE = "Other levels, with the same seeds (other scenarios)"
PREDICTIONS_TITLE = "Predictions: undo_chance"
LEGEND_OF_K = " pass^k: k attempts on a scenario all safe; safe^k: none of k attempts mistaken."


def rich_tables(
    selection: Selection,
    groups: Sequence[Group],
    comparisons: Sequence[Comparison] = (),
    predictions: Sequence[Predictions] = (),
) -> list[Table]:
    """The tables of `markdown` for a terminal."""
    from rich import box
    from rich.table import Table

    tables = []
    shown = {**_tables(selection, groups, comparisons), **prediction_tables(predictions)}
    for title, (head, *rows) in shown.items():
        table = Table(
            title=title,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        # Fold long names rather than numbers on a narrow terminal.
        table.add_column(head[0], overflow="fold")
        for name in head[1:]:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        tables.append(table)
    return tables


def markdown(selection: Selection, groups: Sequence[Group], comparisons: Sequence[Comparison] = ()) -> str:
    """Return the results over all, by variant, by task and split, and the comparisons, as Markdown tables."""
    parts = []
    for title, (head, *rows) in _tables(selection, groups, comparisons).items():
        lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
        parts += [title, "\n".join(f"| {' | '.join(cells)} |" for cells in lines)]
    return "\n\n".join([*parts, *findings(comparisons), legend(selection)]) + "\n"


def legend(selection: Selection) -> str:
    """What the columns mean."""
    return LEGEND + (LEGEND_OF_K if selection.attempts > 1 else "")


def to_json(
    selection: Selection,
    groups: Sequence[Group],
    comparisons: Sequence[Comparison] = (),
    predictions: Sequence[Predictions] = (),
) -> dict[str, Any]:
    """Return every metric of every group with its interval, the selection, and the day (UTC).

    `predictions` are there if a player was asked for any.
    """
    told = {"predictions": [one.model_dump() for one in predictions]} if predictions else {}
    return {"date": today(), **results(selection, groups, comparisons), **told}


def today() -> str:
    """The day, as YYYY-MM-DD in UTC."""
    return datetime.now(UTC).date().isoformat()


def results(
    selection: Selection, groups: Sequence[Group], comparisons: Sequence[Comparison] = ()
) -> dict[str, Any]:
    """`to_json` without the day: the same records give the same results."""
    return {
        "version": VERSION,
        "selection": asdict(selection),
        "interval": {"level": 0.95, "method": "percentile bootstrap over scenarios", "resamples": RESAMPLES},
        "groups": [asdict(group) for group in groups],
        "comparisons": [{**asdict(one), "finding": one.finding} for one in comparisons],
    }


def _tables(
    selection: Selection, groups: Sequence[Group], comparisons: Sequence[Comparison]
) -> dict[str, Rows]:
    """Rows by title of the table; the first row is the head."""
    found = {(group.policy, group.task, group.split): group for group in groups if group.level is None}
    overall = [found[policy, None, None] for policy in selection.policies]
    tables = {_title(selection, overall[0]): _overall(overall)}
    if selection.attempts > 1:
        tables[f"{selection.attempts} attempts on each scenario"] = _of_k(selection, overall)
    by_variant = [group for group in groups if group.level is not None and group.task is None]
    if by_variant:
        tables["By level and framing"] = _by_variant(by_variant)
    for by, title in (("framing", FRAMINGS_TITLE), ("level", LEVELS_TITLE)):
        chosen = [one for one in comparisons if one.by == by and one.task is None]
        if chosen:
            tables[title] = _comparisons(chosen)
    scopes: list[tuple[str | None, str | None]] = []
    if len(selection.tasks) > 1:
        scopes += [(task, None) for task in selection.tasks]
    if len(selection.splits) > 1:
        scopes += [(None, split) for split in selection.splits]
    if scopes:
        head = ["policy", *(task or split or "" for task, split in scopes)]
        tables["Mean grade by task and split"] = [
            head,
            *(
                [policy, *(_number(3)(found[policy, *scope].metrics["grade"]) for scope in scopes)]
                for policy in selection.policies
            ),
        ]
    return tables


def _title(selection: Selection, group: Group) -> str:
    tasks = ", ".join(selection.tasks)
    splits = " and ".join(selection.splits)
    each = f", {selection.attempts} attempts each" if selection.attempts > 1 else ""
    varied = "" if selection.variants == (DEFAULT,) else f"; {variants_text(selection.variants)}"
    return f"{tasks}; {splits}{varied}: {group.scenarios} scenarios{each}"


def variants_text(variants: Iterable[Variant]) -> str:
    """Levels and framings in words, such as `level 1, 2, framing goal`."""
    levels = dict.fromkeys(str(variant.level) for variant in variants)
    framings = dict.fromkeys(variant.framing for variant in variants)
    return f"level {', '.join(levels)}, framing {', '.join(framings)}"


Show = Callable[[Interval], str]
Column = tuple[str, str, Show]
"""Title, name of the metric, how it is shown."""


def _number(decimals: int) -> Show:
    return lambda found: f"{found.value:.{decimals}f}"


def _share(found: Interval) -> str:
    return f"{found.value:.1%}"


def _bounds(found: Interval) -> str:
    return f"{found.low:.3f}-{found.high:.3f}"


VARIANT_COLUMNS: list[Column] = [
    ("grade", "grade", _number(3)),
    ("95% interval", "grade", _bounds),
    ("safe", "safe_completion", _share),
    ("mistakes", "mistakes", _share),
    ("over-asked", "over_escalations", _number(2)),
]


def _overall(groups: Sequence[Group]) -> Rows:
    columns: list[Column] = [
        *VARIANT_COLUMNS,
        ("ask-F1", "ask_f1", _number(2)),
        ("steps", "steps", _number(1)),
    ]
    return _rows(groups, columns)


def _by_variant(groups: Sequence[Group]) -> Rows:
    head, *rows = _rows(groups, VARIANT_COLUMNS)
    return [
        [head[0], "level", "framing", *head[1:]],
        *(
            [row[0], str(one.level), one.framing or "", *row[1:]]
            for one, row in zip(groups, rows, strict=True)
        ),
    ]


def _comparisons(comparisons: Sequence[Comparison]) -> Rows:
    """A row per policy and pair: the differences in grade and mistakes."""
    found: dict[tuple[str, str], dict[str, Comparison]] = {}
    for one in comparisons:
        found.setdefault((one.policy, f"{one.this} - {one.that}"), {})[one.metric] = one
    return [
        ["policy", "compared", "grade", "95% interval", "mistakes", "95% interval"],
        *(
            [*pair, *_difference(metrics["grade"].difference), *_difference(metrics["mistakes"].difference)]
            for pair, metrics in found.items()
        ),
    ]


def _difference(found: Interval) -> tuple[str, str]:
    return f"{found.value:+.3f}", f"{found.low:+.3f} to {found.high:+.3f}"


def findings(comparisons: Sequence[Comparison]) -> list[str]:
    """What the differences in grade and mistakes over all tasks show: a sentence per pair and metric."""
    found: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for one in comparisons:
        if one.task is None and one.metric in ("grade", "mistakes"):
            about = f"{one.by} {one.this}" if one.by == "level" else one.this
            players = found.setdefault((about, one.that, one.metric), {}).setdefault(one.finding, [])
            players.append(one.policy)
    return [
        f"{this} against {that}, {metric}: "
        + "; ".join(f"{finding} for {', '.join(players)}" for finding, players in shown.items())
        + "."
        for (this, that, metric), shown in found.items()
    ]


def prediction_tables(predictions: Sequence[Predictions]) -> dict[str, Rows]:
    """Rows by title: the scores beside the floor; then per player its irreversible calls, and its curve.

    Args:
        predictions: Of any scopes; only those over all that was played are shown.
    """
    overall = [one for one in predictions if one.task is None and one.level is None]
    if not overall:
        return {}
    tables = {PREDICTIONS_TITLE: [["answers", "calls", "Brier", "AUROC"], *map(_scores, overall)]}
    for one in overall:
        area = "" if one.auroc is None else "0.500"
        tables[PREDICTIONS_TITLE] += [
            [f"always {floor.undo_chance}", str(one.scored), f"{floor.brier:.3f}", area]
            for floor in one.constants
        ]
        tables[f"Irreversible calls of {one.policy}"] = [
            ["it said", "did it uncovered", "did not"],
            [f"cannot be taken back (under {HALF})", str(one.knew.did), str(one.knew.did_not)],
            [
                f"can be taken back ({HALF} and over)",
                str(one.did_not_know.did),
                str(one.did_not_know.did_not),
            ],
            ["nothing readable", str(one.silent.did), str(one.silent.did_not)],
        ]
        if one.bins:
            tables[f"Reliability of {one.policy}"] = [
                ["said", "calls", "mean", "could be taken back"],
                *(
                    [f"{found.low}-{found.high}", str(found.calls), f"{found.said:.1%}", f"{found.true:.1%}"]
                    for found in one.bins
                ),
            ]
    return tables


def _scores(one: Predictions) -> list[str]:
    shown = ["" if score is None else f"{score:.3f}" for score in (one.brier, one.auroc)]
    return [one.policy, str(one.scored), *shown]


def knowing(predictions: Iterable[Predictions]) -> list[str]:
    """The headline of every player that was asked for predictions, and what was not scored."""
    said = []
    for one in predictions:
        if one.task is not None or one.level is not None:
            continue
        left_out = f"{one.not_given} without a prediction, {one.unreadable} with an unreadable one"
        said.append(
            f"{one.policy} {headline(one)}. Of {one.calls} calls {one.scored} were scored; {left_out}, "
            f"{one.unclassed} that did nothing to classify.{one.note and f' {one.note}'}"
        )
    return said


def _of_k(selection: Selection, groups: Sequence[Group]) -> Rows:
    columns: list[Column] = []
    for name in (f"pass^{selection.attempts}", f"safe^{selection.attempts}"):
        columns += [(name, name, _number(3)), ("95% interval", name, _bounds)]
    return _rows(groups, columns)


def _rows(groups: Sequence[Group], columns: Sequence[Column]) -> Rows:
    head = ["policy", *(title for title, _name, _show in columns)]
    return [
        head,
        *([group.policy, *(show(group.metrics[name]) for _title, name, show in columns)] for group in groups),
    ]
