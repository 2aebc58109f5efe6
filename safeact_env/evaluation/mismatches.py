"""Mismatches between the report of a suite, its records and the engine, a sentence for each.

Owns the comparisons. Must not know files, nor how the sentences are used.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safeact_env.core.episode import Episode
from safeact_env.core.trajectory import TrajectoryError
from safeact_env.evaluation.cost import ReportError, cost_of
from safeact_env.evaluation.predictions import Predictions, predictions_of
from safeact_env.evaluation.record import (
    Key,
    Sample,
    policy_seed,
    record_of,
    said_in,
)
from safeact_env.evaluation.replay import differences, replayed
from safeact_env.evaluation.report import (
    Bounds,
    Compared,
    Files,
    Report,
    Results,
    comparisons_of,
    results_of,
)
from safeact_env.evaluation.suite import Suite
from safeact_env.policies.reference import POLICIES, played
from safeact_env.tasks import get_task

__all__ = [
    "OwnPlays",
    "Replay",
    "cost_mismatches",
    "episode_mismatches",
    "file_mismatches",
    "metric_mismatches",
    "prediction_mismatches",
    "replay_of",
    "suite_mismatches",
    "task_mismatches",
]

TOLERANCE = 1.5e-6
"""Metrics are rounded to six decimals; another machine may round the last one differently."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded episode and its replay.

    Attributes:
        key: The episode.
        record: Its record.
        fresh: The record of the same calls now; `None` if they cannot be replayed.
        mismatches: Where the two differ.
        own: The calls of the reference policy that the record names, played here as the record says; `None`
            if it was not asked to play.
    """

    key: Key
    record: Mapping[str, Any]
    fresh: dict[str, Any] | None
    mismatches: list[str]
    own: list[dict[str, Any]] | None = None


class OwnPlays:
    """What reference policies play here. Attempts differ in a policy's draws: without any, one is all."""

    def __init__(self) -> None:
        self._undrawn: tuple[Key, Episode[Any]] | None = None

    def of(self, key: Key) -> Episode[Any]:
        """The policy's episode. The attempts of a scenario should be asked for in a row."""
        scenario = key._replace(attempt=1)
        if self._undrawn is not None and self._undrawn[0] == scenario:
            return self._undrawn[1]
        own_seed = policy_seed(key.seed, key.attempt)
        episode, drew = played(get_task(key.task), key.split, key.seed, key.policy, own_seed, key.variant)
        self._undrawn = None if drew else (scenario, episode)
        return episode


def replay_of(key: Key, record: Mapping[str, Any], plays: OwnPlays | None = None) -> Replay:
    """Replay a recorded episode, and compare everything in its record.

    Args:
        key: The episode.
        record: Its record.
        plays: What the policies play, if a policy is said to have played it.
    """
    where, own = key.place, None

    def likely() -> Episode[Any]:
        nonlocal own
        assert plays is not None
        episode = plays.of(key)
        own = [turn.call.to_json() for turn in episode.turns]
        return episode

    is_own = plays is not None and key.policy in POLICIES
    try:
        episode, said = replayed(record, likely if is_own else None), said_in(record)
    except TrajectoryError as error:
        return Replay(key, record, None, [f"{where}: {error}."])
    if said is not None:
        # Calls after the end are left out, and reported.
        said = said[: len(episode.turns)]
    fresh = record_of(episode, key.policy, key.attempt, predictions=said)
    found = differences(record, episode)
    told = {"calls", "rewards", "risks", *(sentence.partition(":")[0] for sentence in found)}
    for name, value in fresh.items():
        if name not in record:
            found.append(f"{name}: not recorded")
        elif name not in told and not _same(record[name], value):
            found.append(f"{name}: recorded {json.dumps(record[name])}, replayed {json.dumps(value)}")
    return Replay(key, record, fresh, [f"{where}: {sentence}." for sentence in found], own)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: to Python, 1, 1.0 and true are equal."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


# What was played -----------------------------------------------------------------------------------------


def suite_mismatches(report: Report, here: Report) -> Iterator[str]:
    """Compare the suite with this installation's, whose report would be `here`."""
    if report.suite.sha256 != here.suite.sha256:
        yield (
            f"The report is of another suite {report.suite.name}: its hash is {report.suite.sha256}, and "
            f"here it is {here.suite.sha256}. Other episodes or other conditions cannot be compared."
        )
    for part in ("selection", "interval"):
        if not _same(getattr(report, part), getattr(here, part)):
            yield f"The report's {part} is not the suite's."


def task_mismatches(report: Report, here: Report) -> Iterator[str]:
    """Compare the tasks with this installation's; their versions are equal."""
    there = report.versions.tasks
    for name, stamp in here.versions.tasks.items():
        if name not in there:
            yield f"{name}: the report does not say which version was played."
        elif there[name].sha256 != stamp.sha256:
            yield (
                f"{name}: the report's hash of the task is {there[name].sha256}, and here it is "
                f"{stamp.sha256}. Its data or its starts were changed without a new version."
            )
    for name in there:
        if name not in here.versions.tasks:
            yield f"{name}: not a task of the suite."


def file_mismatches(files: Files, content: bytes) -> Iterator[str]:
    """Compare the file of records with the hash and the count in the report."""
    found = hashlib.sha256(content).hexdigest()
    if found != files.sha256:
        yield (
            f"The hash of {files.file} is {found}, and the report says {files.sha256}: one of the two was "
            "changed after the run."
        )
    lines = len(content.splitlines())
    if lines != files.episodes:
        yield f"{files.file} has {lines} episodes, and the report says {files.episodes}."


def episode_mismatches(suite: Suite, report: Report, replays: Iterable[Replay]) -> Iterator[str]:
    """Check that every episode of the suite is there once, and no other."""
    counted = Counter(again.key for again in replays)
    wanted = list(suite.keys(report.agent.name))
    for key in wanted:
        if key not in counted:
            yield f"{key.place}: missing."
    for key, times in counted.items():
        if times > 1:
            yield f"{key.place}: there {times} times."
    for key in counted.keys() - set(wanted):
        split = f", split {key.split}" if key.split != suite.split else ""
        by = f", played by {key.policy}" if key.policy != report.agent.name else ""
        yield f"{key.place}{split}{by}: not an episode of this run."


# What came out -------------------------------------------------------------------------------------------


def metric_mismatches(suite: Suite, report: Report, replays: Iterable[Replay]) -> Iterator[str]:
    """Compare the metrics with those of the replayed episodes, whatever the records say."""
    samples = _samples(suite, report, replays)
    now = results_of(samples)
    told = {_scope_of(one): one for one in report.groups}
    if len(told) != len(report.groups):
        yield "The report has two results for the same episodes."
    yield from _order_mismatches("results", map(_scope_of, report.groups), map(_scope_of, now))
    for one in now:
        said = told.pop(_scope_of(one), None)
        if said is None:
            yield f"{_scope(one)}: not in the report."
        else:
            yield from _result_mismatches(said, one)
    for one in told.values():
        yield f"{_scope(one)}, {one.policy}, {one.split or 'all splits'}: results that no episode gives."
    yield from _comparison_mismatches(report.comparisons, comparisons_of(samples))


def _samples(suite: Suite, report: Report, replays: Iterable[Replay]) -> list[Sample]:
    """The replayed episodes, in the order of the suite: the draws of the intervals depend on it."""
    fresh = {again.key: again.fresh for again in replays if again.fresh is not None}
    return [Sample.of(fresh[key]) for key in suite.keys(report.agent.name) if key in fresh]


def prediction_mismatches(suite: Suite, report: Report, replays: Iterable[Replay]) -> Iterator[str]:
    """Compare the scores of the predictions with those of the recorded ones against the replayed classes."""
    there, here = (
        {_scope_of_predictions(one): one for one in found}
        for found in (report.predictions or [], predictions_of(_samples(suite, report, replays)))
    )
    if len(there) != len(report.predictions or []):
        yield "The report scores the predictions of the same calls twice."
    yield from _order_mismatches("scores of predictions", there, here)
    for scope in dict.fromkeys([*here, *there]):
        said, now = there.get(scope), here.get(scope)
        where = _where(scope)
        if said is None or now is None:
            yield f"{where}: {'not in the report' if said is None else 'no call has a prediction'}."
            continue
        # They are computed from whole numbers, so every machine finds the same.
        for (name, old), (_, new) in zip(said, now, strict=True):
            if old != new:
                yield f"{where}, {name.replace('_', ' ')}: reported {_told(old)}, found {_told(new)}."


def _scope_of_predictions(one: Predictions) -> tuple[Any, ...]:
    return one.policy, one.task, one.level, one.framing


def _where(scope: Iterable[Any]) -> str:
    policy, task, level, framing = scope
    return " ".join(
        [policy, task or "all tasks", *([] if level is None else [f"level {level}", str(framing)])]
    )


def _told(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_told, value))}]"
    return str(value) if value is not None else "nothing"


def _comparison_mismatches(said: Sequence[Compared], now: Sequence[Compared]) -> Iterator[str]:
    there, here = ({_pair_of(one): one for one in found} for found in (said, now))
    if len(there) != len(said):
        yield "The report compares the same episodes twice."
    yield from _order_mismatches("comparisons", there, here)
    for pair in dict.fromkeys([*here, *there]):
        old, new = there.get(pair), here.get(pair)
        policy, task, by, this, that, metric = pair
        what = f"{policy} {task or 'all tasks'} {by} {this} against {that} {metric}"
        if old is None or new is None:
            yield f"{what}: {'not in the report' if old is None else 'compared, but not played'}."
        elif not _close(old.difference, new.difference) or _counts(old) != _counts(new):
            yield (
                f"{what}: reported {_bounds(old.difference)}, {old.finding}, found "
                f"{_bounds(new.difference)}, {new.finding}."
            )


def _pair_of(one: Compared) -> tuple[Any, ...]:
    return one.policy, one.task, one.by, one.this, one.that, one.metric


def _counts(one: Compared) -> tuple[int, int, str]:
    return one.scenarios, one.changed, one.finding


def _scope_of(one: Results) -> tuple[Any, ...]:
    return one.policy, one.task, one.split, one.level, one.framing


def _scope(one: Results) -> str:
    variant = "" if one.level is None else f", level {one.level}, {one.framing}"
    return (one.task or "all tasks") + variant


def _result_mismatches(said: Results, now: Results) -> Iterator[str]:
    for count in ("scenarios", "episodes"):
        if getattr(said, count) != getattr(now, count):
            yield f"{_scope(now)}, {count}: reported {getattr(said, count)}, found {getattr(now, count)}."
    for name in dict.fromkeys([*now.metrics, *said.metrics]):
        there, here = said.metrics.get(name), now.metrics.get(name)
        if there is None or here is None or not _close(there, here):
            yield f"{_scope(now)}, {name}: reported {_bounds(there)}, found {_bounds(here)}."


def _order_mismatches(what: str, said: Iterable[Any], now: Iterable[Any]) -> Iterator[str]:
    """Tables take what is first. What is missing or there twice has a sentence of its own."""
    there, here = list(said), list(now)
    if there != here and set(there) == set(here) and len(there) == len(here):
        yield f"The report's {what} stand in another order than a run writes them in."


def _close(one: Bounds, other: Bounds) -> bool:
    pairs = ((one.value, other.value), (one.low, other.low), (one.high, other.high))
    return all(abs(left - right) <= TOLERANCE for left, right in pairs)


def _bounds(found: Bounds | None) -> str:
    return f"{found.value} [{found.low}, {found.high}]" if found else "nothing"


def cost_mismatches(report: Report, replays: Iterable[Replay]) -> Iterator[str]:
    """Compare the cost with the sums over the records."""
    if report.agent.kind != "model":
        if report.cost is not None:
            yield f"A {report.agent.kind} uses no model, and the report names a cost."
        return
    if report.cost is None:
        yield "The report does not say what the model used."
        return
    try:
        now = cost_of((again.record for again in replays), report.cost.prices)
    except ReportError as error:
        yield str(error)
        return
    for name, value in now:
        said = getattr(report.cost, name)
        close = isinstance(said, float) and isinstance(value, float) and abs(said - value) <= TOLERANCE
        if said != value and not close:
            yield f"{name.replace('_', ' ')}: reported {said}, found {value}."
