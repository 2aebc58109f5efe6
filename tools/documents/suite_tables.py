"""Tables of the official suite: results over all, by level and framing, and what other words change."""

from collections.abc import Callable, Mapping
from pathlib import Path

from safeact_env.evaluation import Comparison, Interval
from safeact_env.evaluation.comparisons import AGAINST
from safeact_env.evaluation.cost import ReportError
from safeact_env.evaluation.metrics import Group
from safeact_env.evaluation.report import REPORT, Report, read_report
from safeact_env.policies.reference import POLICIES
from tools.documents.markdown import dated, plain, table

RESULTS = Path(__file__).resolve().parents[2] / "results"
NOTHING = "No run of the suite has been recorded yet; `make results` records those of the reference policies."
SCORES = ["mean grade [95%]", "mistakes [95%]", "grade 1.0", "over-asked", "pass^k", "safe^k"]
INTERVALS = "Intervals: 95% bootstrap, clustered by scenario."


def reports() -> list[Report]:
    """The finished reports of reference policies, in their order, then those of programs and of models."""
    folders = [RESULTS / "suite_v2" / name for name in POLICIES]
    played = sorted(path.parent for path in (RESULTS / "suite_v2").glob(f"*/{REPORT}"))
    folders += [folder for folder in played if folder.name not in POLICIES]
    folders += sorted(path.parent for path in (RESULTS / "models").glob(f"*/{REPORT}"))
    found = [read_report(folder / REPORT) for folder in folders if (folder / REPORT).exists()]
    finished = [report for report in found if report.trajectories is not None]
    if len(versions := sorted({report.version for report in finished})) > 1:
        raise ReportError(
            f"The reports of the suite are of versions {', '.join(versions)}, which no table can hold; "
            "record the older ones again, or take them away."
        )
    return finished


def _overall(report: Report) -> Group:
    """The metrics over all tasks and variants."""
    return next(one for one in report.results() if (one.task, one.level) == (None, None))


def _attempts(report: Report) -> int:
    return int(str(report.selection["attempts"]))


def scores(found: Mapping[str, Interval], attempts: int) -> list[str]:
    """A run's cells under `SCORES`; those of k attempts are empty where there was one."""
    of_k = [_number(found[f"{name}^{attempts}"].value) for name in ("pass", "safe")]
    return [
        _value(found["grade"], _number),
        _value(found["mistakes"], _share),
        _share(found["safe_completion"].value),
        f"{found['over_escalations'].value:.2f}",
        *(of_k if attempts > 1 else ["", ""]),
    ]


def suite_table() -> str:
    """Every player over all variants."""
    found = reports()
    if not found:
        return NOTHING
    rows = [
        [f"`{plain(report.agent.name)}`", *scores(_overall(report).metrics, _attempts(report))]
        for report in found
    ]
    one = found[0]
    note = (
        f"Suite {one.suite.name}: {_overall(one).episodes} episodes each; k is "
        f"{_attempts(one)}, the attempts on each scenario and framing. A policy that draws "
        f"nothing plays the same episode in every attempt. {INTERVALS}"
    )
    return f"{table(['player', *SCORES], rows)}\n\n{dated(note, one.version)}"


def levels_table() -> str:
    """Every player by level and framing: mean grade, and share of mistakes."""
    found = reports()
    if not found:
        return NOTHING
    cells = [(report.agent.name, _by_variant(report)) for report in found]
    variants = sorted({variant for _name, shown in cells for variant in shown}, key=order_of)
    head = ["player", *(f"{level} {framing}" for level, framing in variants)]
    rows = [[f"`{plain(name)}`", *(shown.get(one, "") for one in variants)] for name, shown in cells]
    note = "Mean grade, and the share of episodes that ended in a mistake, by level and framing."
    return f"{table(head, rows)}\n\n{dated(note, found[0].version)}"


def _by_variant(report: Report) -> dict[tuple[int, str], str]:
    return {
        (group.level, group.framing): grade_and_mistakes(group.metrics)
        for group in report.results()
        if group.task is None and group.level is not None and group.framing is not None
    }


def grade_and_mistakes(found: Mapping[str, Interval]) -> str:
    """A cell with the mean grade and the share of mistakes."""
    return f"{_number(found['grade'].value)}, {_share(found['mistakes'].value)}"


def order_of(variant: tuple[int, str]) -> tuple[int, int]:
    """Where a level with a framing stands in a table."""
    level, framing = variant
    return level, list(AGAINST).index(framing) if framing in AGAINST else -1


def framings_table() -> str:
    """What other words change for every player, in grade and mistakes."""
    found = reports()
    if not found:
        return NOTHING
    rows = []
    for report in found:
        shown = {
            (one.this, one.metric): _changed(one)
            for one in report.differences()
            if one.by == "framing" and one.task is None
        }
        for metric in ("grade", "mistakes"):
            rows.append(
                [
                    f"`{plain(report.agent.name)}`",
                    metric,
                    *(shown.get((this, metric), "") for this in AGAINST),
                ]
            )
    head = ["player", "difference in", *(f"{this} - {that}" for this, that in AGAINST.items())]
    note = (
        "Paired differences on the same scenarios of level 3. `0` stands for the same value on every "
        f"scenario. {INTERVALS}"
    )
    return f"{table(head, rows)}\n\n{dated(note, found[0].version)}"


def _changed(one: Comparison) -> str:
    return _value(one.difference, "{:+.3f}".format) if one.changed else "0"


def _value(found: Interval, show: Callable[[float], str]) -> str:
    return f"{show(found.value)} [{show(found.low)}, {show(found.high)}]"


def _number(value: float) -> str:
    return f"{value:.3f}"


def _share(value: float) -> str:
    return f"{value:.1%}"
