"""Verifying the report of a suite, for somebody who did not see the run.

Owns what can be checked here, and the reading of the records. Must not know how a verdict is shown.

Every episode is replayed by the engine, and every number is computed again. That a model wrote the calls and
the predictions, and what it used, cannot be verified from the files.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safeact_env.evaluation.conditions import agent_mismatches
from safeact_env.evaluation.cost import ReportError
from safeact_env.evaluation.mismatches import (
    OwnPlays,
    cost_mismatches,
    episode_mismatches,
    file_mismatches,
    metric_mismatches,
    prediction_mismatches,
    replay_of,
    suite_mismatches,
    task_mismatches,
)
from safeact_env.evaluation.record import Key
from safeact_env.evaluation.report import REPORT, Report, begun, read_report
from safeact_env.evaluation.store import read_packed
from safeact_env.evaluation.suite import SUITES, Suite
from safeact_env.unique_json import RepeatedKey, unique_json
from safeact_env.version import VERSION

__all__ = ["Check", "read_lines", "records_in", "verify"]


class Check(NamedTuple):
    """One check.

    Attributes:
        name: What was checked.
        about: What that means, in a few words.
        mismatches: What does not match, a sentence each.
    """

    name: str
    about: str
    mismatches: list[str]


def verify(path: Path, suites: Mapping[str, Suite] = SUITES) -> list[Check]:
    """Check a finished run of a suite.

    Args:
        path: The report, or its folder. The records must be beside it, possibly compressed (`.gz`).
        suites: The known suites, by name.

    Returns:
        Every check, in the order of the table.

    Raises:
        ReportError: If the run cannot be checked here: a file is missing or of another kind, the run is
            unfinished, or this installation lacks the suite or the version.
    """
    path = path / REPORT if path.is_dir() else path
    report = read_report(path)
    suite = _known_suite(report, suites)
    here = begun(suite, report.agent)
    _same_versions(report, here)
    files = report.trajectories
    if files is None or report.date is None:
        raise ReportError(f"{path} is of a run that was not finished; there is nothing to verify yet.")
    content = read_lines(path.with_name(files.file))
    plays = OwnPlays() if report.agent.kind == "policy" else None
    replays = [replay_of(key, record, plays) for key, record in records_in(content, files.file)]
    checks = {
        ("suite", f"{suite.name} as this installation has it"): suite_mismatches(report, here),
        ("tasks", "same versions, data and starts as here"): task_mismatches(report, here),
        ("file", "the records are those of the report"): file_mismatches(files, content),
        ("episodes", f"all {suite.episodes} of the suite, each once"): episode_mismatches(
            suite, report, replays
        ),
        ("replay", "every episode played again: calls, rewards, grade, counts"): (
            mismatch for again in replays for mismatch in again.mismatches
        ),
        ("agent", "played under the suite's conditions"): agent_mismatches(suite, report, replays),
        ("metrics", "worked out again from the replays"): metric_mismatches(suite, report, replays),
        ("predictions", "scored again against the classes of the replays"): prediction_mismatches(
            suite, report, replays
        ),
        ("cost", "added up again from the records"): cost_mismatches(report, replays),
    }
    return [Check(*what, list(mismatches)) for what, mismatches in checks.items()]


def _known_suite(report: Report, suites: Mapping[str, Suite]) -> Suite:
    if report.suite.name not in suites:
        raise ReportError(
            f"There is no suite {report.suite.name!r} in safeact-env {VERSION}; the suites are "
            f"{', '.join(suites)}. Verify the report with the version that it names, {report.version}."
        )
    return suites[report.suite.name]


def _same_versions(report: Report, here: Report) -> None:
    """Refuse a report of another version: the same calls may give another episode here."""
    if report.version != VERSION:
        raise ReportError(
            f"The report was made with safeact-env {report.version}, and this is {VERSION}. Verify it with "
            f"safeact-env {report.version}."
        )
    for name, stamp in here.versions.tasks.items():
        there = report.versions.tasks.get(name)
        if there is not None and there.version != stamp.version:
            raise ReportError(
                f"The report is of version {there.version} of the task {name}, and this installation has "
                f"version {stamp.version}. Verify it with an installation that has version {there.version}."
            )


def read_lines(path: Path) -> bytes:
    """Read a file of records, or the same file compressed as `.gz`.

    Raises:
        ReportError: If neither can be read, or both are there and only one can be meant.
    """
    packed = path.with_name(f"{path.name}.gz")
    try:
        if packed.exists() and path.exists():
            raise ReportError(
                f"There are {path.name} and {packed.name} in {path.parent}, and they may differ; leave one."
            )
        return read_packed(packed if packed.exists() else path)
    except FileNotFoundError:
        raise ReportError(
            f"There is no {path.name} or {packed.name} in {path.parent}; the records lie beside a report."
        ) from None
    except OSError as error:
        raise ReportError(f"{path.name} in {path.parent} cannot be read: {error}.") from None


def records_in(content: bytes, name: str) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yield the records of a file with their keys.

    Raises:
        ReportError: If a line is not a record.
    """
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            record = unique_json(line.decode())
            key = Key.of(record)
        except RepeatedKey as error:
            raise ReportError(f"{name}, line {number}: {error}.") from None
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            raise _no_record(name, number) from None
        if [type(part) for part in key[:-1]] != [str, str, str, int, int]:
            raise _no_record(name, number)
        yield key, record


def _no_record(name: str, number: int) -> ReportError:
    return ReportError(
        f"{name}, line {number}, is not the record of an episode: it must be a JSON object that says "
        f"{', '.join(Key._fields[:-1])}."
    )
