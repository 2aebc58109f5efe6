"""Playing a suite: every episode once, written to disk as it ends, and the report at the end.

Owns the folder of a run, and the threads that play several of its episodes at a time. Must not know who
plays, nor how records are counted.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from safeact_env.evaluation.conditions import misdescribed
from safeact_env.evaluation.cost import Prices, ReportError, usage_of
from safeact_env.evaluation.record import UNDO_CHANCE, Key, Sample, play_attempt, record_of
from safeact_env.evaluation.report import (
    REPORT,
    TRAJECTORIES,
    Agent,
    Files,
    Report,
    begun,
    finished,
    read_report,
)
from safeact_env.evaluation.run import Progress
from safeact_env.evaluation.store import RecordFile, line_of, replace_file, versions_of
from safeact_env.evaluation.suite import Suite
from safeact_env.evaluation.table import today
from safeact_env.tasks import get_task

__all__ = ["Player", "SuiteFolder", "holds_episodes", "policy_player", "run_suite"]

Player = Callable[[Key], Mapping[str, Any]]
"""Plays one episode, and returns its record as `record_of` makes it. A model's record has a part `model`
beside that, with `prompt`, `prompt_version`, `tokens_in`, `tokens_out`, `latency_s` (seconds per answer) and,
where the episode is not over, `stop`: the limit that was reached, by its name in `Limits`. If the suite
asks for predictions, `record_of` gets them as well."""


def policy_player(policy: str) -> Player:
    """Make a player of a reference policy. Each attempt has its own draws, if the policy draws."""

    def player(key: Key) -> dict[str, Any]:
        episode = play_attempt(key.task, key.split, key.seed, policy, key.attempt, key.variant)
        return record_of(episode, policy, key.attempt)

    return player


def run_suite(
    suite: Suite,
    player: Player,
    out: Path,
    agent: Agent,
    *,
    resume: bool = True,
    concurrency: int = 1,
    prices: Prices | None = None,
    progress: Progress = lambda _played, _total: None,
) -> Report:
    """Play the episodes of a suite that are not in the folder yet, then write its report.

    The files of a finished run do not depend on `concurrency`, nor on how often it was stopped.

    Args:
        suite: The suite to play.
        player: Plays an episode. Called from several threads if `concurrency` is above 1.
        out: A folder; created if missing. It gets `report.json` and `trajectories.jsonl`.
        agent: The player's description in the report. A model must have the suite's prompt, and models and
            programs other names than the reference policies.
        resume: Whether to continue the run in the folder; otherwise it starts again.
        concurrency: Episodes at a time, at least 1.
        prices: Prices of tokens; without them the report has no costs in money.
        progress: Called at the start and after each episode with the number played, and of all.

    Returns:
        The report, as written to the folder.

    Raises:
        ReportError: If the agent does not fit the suite, the folder holds another run, or the player returned
            anything but the record of its episode.
        StoreError: If the file of records cannot be opened or resumed.
        OSError: If the folder cannot be written.
        Exception: Whatever the player raises. The episodes that have ended are kept.
    """
    with SuiteFolder(suite, out, agent, resume=resume) as folder:
        missing = folder.missing
        progress(suite.episodes - len(missing), suite.episodes)
        with closing(_records(player, missing, concurrency)) as records:
            for done, (key, record) in enumerate(records, suite.episodes - len(missing) + 1):
                folder.keep(record, key)
                progress(done, suite.episodes)
        return folder.finish(prices)


# The folder ----------------------------------------------------------------------------------------------


class SuiteFolder:
    """A run of a suite on disk. Use it as a context manager.

    Args:
        suite: The suite to play.
        out: The folder; created if missing. It gets a report without results, and a file of records.
        agent: The agent. A model must have the suite's prompt, models and programs names of their own.
        resume: Whether to continue the run in the folder; otherwise it starts again.

    Raises:
        ReportError: If the agent does not fit the suite, or the folder holds another run.
        StoreError: If the file of records cannot be opened or resumed.
        OSError: If the folder cannot be written.
    """

    def __init__(self, suite: Suite, out: Path, agent: Agent, *, resume: bool = True) -> None:
        _check_agent(suite, agent)
        self._suite, self._out, self._agent = suite, out, agent
        self._report = begun(suite, agent)
        self._before = _before(out / REPORT) if resume else None
        self._kept = 0
        if self._before is not None and not self._before.same_run(self._report):
            before = self._before
            raise ReportError(
                f"{out} holds a run of suite {before.suite.name} by {before.agent.name}, of another agent, "
                "with other settings or other versions. Use another folder, or start again without resuming."
            )
        packed = _packed(out / TRAJECTORIES)
        if resume and packed.exists():
            raise ReportError(
                f"{packed} is compressed; unpack it (gunzip) to go on with its episodes, or remove it."
            )
        try:
            out.mkdir(parents=True, exist_ok=True)
            packed.unlink(missing_ok=True)  # of the run that is started again
            if self._before is None:
                _write(out / REPORT, self._report)
        except OSError as error:
            raise ReportError(f"{out} cannot be written: {error.strerror}. Use another folder.") from None
        self._file = RecordFile(out / TRAJECTORIES, versions_of(suite.tasks), resume=resume)
        try:
            self._refuse_others()
        except ReportError:
            self.close()
            raise

    @property
    def samples(self) -> Mapping[Key, Sample]:
        """The episodes that the folder held when it was opened."""
        return self._file.samples

    @property
    def missing(self) -> list[Key]:
        """The episodes that it did not hold then, in the order of the suite."""
        return [key for key in self._suite.keys(self._agent.name) if key not in self.samples]

    def keep(self, record: Mapping[str, Any], key: Key | None = None) -> None:
        """Write a record; when this returns it is in the file, and a model's record on disk.

        Args:
            record: Record of an episode of the run.
            key: The episode that it must be of, if known.

        Raises:
            ReportError: If the record does not belong to the run; it is not written then.
        """
        _check_record(self._suite, self._agent, key or Key.of(record), record)
        self._file.append(record)
        self._kept += 1
        if self._agent.kind == "model":
            self._file.sync()  # it cost money

    def finish(self, prices: Prices | None = None) -> Report:
        """Write the report of a complete run.

        Args:
            prices: Prices of tokens; without them the report has no costs in money.

        Raises:
            ReportError: If episodes are missing.
        """
        self.close()
        files, records = _in_order(self._out / TRAJECTORIES, self._suite, self._agent)
        before = self._before
        date = before.date if before is not None and before.date and not self._kept else today()
        report = finished(self._report, records, files, date=date, prices=prices)
        _write(self._out / REPORT, report)
        return report

    def close(self) -> None:
        """Close the file of records."""
        self._file.close()

    def __enter__(self) -> SuiteFolder:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _refuse_others(self) -> None:
        for foreign in self.samples.keys() - set(self._suite.keys(self._agent.name)):
            raise ReportError(
                f"{self._out / TRAJECTORIES} holds an episode that is not of this run: {foreign.policy} on "
                f"{foreign.task}, {foreign.split}, seed {foreign.seed}, attempt {foreign.attempt}. Use "
                "another folder, or start again without resuming."
            )


def _check_agent(suite: Suite, agent: Agent) -> None:
    if mismatch := misdescribed(agent):
        raise ReportError(mismatch)
    if agent.kind != "model":
        return
    wanted = (suite.prompt, suite.prompt_version)
    if agent.prompt is None or (agent.prompt.name, agent.prompt.version) != wanted:
        raise ReportError(
            f"Suite {suite.name} is played with the prompt {suite.prompt}, version {suite.prompt_version}; "
            "with another one the numbers could not be compared."
        )


def _before(path: Path) -> Report | None:
    """The report of the run that the folder holds, if it holds one."""
    return read_report(path) if path.exists() else None


def _packed(path: Path) -> Path:
    """The same file of records compressed, which may be there."""
    return path.with_name(f"{path.name}.gz")


def holds_episodes(out: Path) -> bool:
    """Whether a folder holds records of a suite."""
    path = out / TRAJECTORIES
    return _packed(path).exists() or (path.exists() and path.stat().st_size > 0)


def _write(path: Path, report: Report) -> None:
    replace_file(path, report.to_bytes())


def _check_record(suite: Suite, agent: Agent, key: Key, record: Mapping[str, Any]) -> None:
    """Refuse a record that does not belong to the run."""
    if Key.of(record) != key:
        raise ReportError(f"{key.place}: the player returned the record of another episode.")
    budget = get_task(key.task).level(key.variant).max_steps
    if record["max_steps"] != budget:
        raise ReportError(
            f"{key.place}: {key.policy} played under a budget of {record['max_steps']} steps. A suite is "
            f"played under the task's own, which is {budget}."
        )
    if agent.kind == "program" and record["outcome"] is None:
        raise ReportError(f"{key.place}: the episode is not over; a program plays each to its end.")
    if agent.kind != "model":
        if "model" in record:
            raise ReportError(
                f"{key.place}: the record says how a model played, and a {agent.kind} uses none."
            )
        return
    usage_of(record)  # raises if the record lacks what the cost needs
    try:
        asked = Sample.of(record).predictions is not None
    except (KeyError, TypeError, ValueError) as error:
        raise ReportError(f"{key.place}: the predictions in the record cannot be read: {error}.") from None
    if record["calls"] and asked != suite.predict:
        has = "has" if asked else "lacks"
        raise ReportError(
            f"{key.place}: the record {has} predictions ({UNDO_CHANCE} beside each call), and suite "
            f"{suite.name} is played {'with' if suite.predict else 'without'} them."
        )


def _in_order(path: Path, suite: Suite, agent: Agent) -> tuple[Files, list[dict[str, Any]]]:
    """Sort the lines of a complete file in the order of the suite; return its hash and its records."""
    lines = {Key.of(record): record for record in map(json.loads, path.read_bytes().splitlines())}
    wanted = list(suite.keys(agent.name))
    if lacking := sum(key not in lines for key in wanted):
        raise ReportError(f"{path} lacks {lacking} of {len(wanted)} episodes; play them before the report.")
    records = [lines[key] for key in wanted]
    content = b"".join(map(line_of, records))
    replace_file(path, content)
    return Files(file=path.name, sha256=hashlib.sha256(content).hexdigest(), episodes=len(records)), records


# Playing -------------------------------------------------------------------------------------------------


def _records(
    player: Player, keys: Iterable[Key], concurrency: int
) -> Generator[tuple[Key, Mapping[str, Any]]]:
    """Yield the records as they come, from `concurrency` threads. A player's exception is raised here.

    The threads are daemons: an interrupt must not wait for pending answers.
    """
    if concurrency <= 1:
        yield from ((key, player(key)) for key in keys)
        return
    waiting: SimpleQueue[Key] = SimpleQueue()
    came: SimpleQueue[tuple[Key, Mapping[str, Any] | BaseException]] = SimpleQueue()
    for key in keys:
        waiting.put(key)
    total, stopped = waiting.qsize(), threading.Event()

    def work() -> None:
        while not stopped.is_set():
            try:
                key = waiting.get_nowait()
            except Empty:
                return
            try:
                came.put((key, player(key)))
            except BaseException as error:
                came.put((key, error))
                return

    for _ in range(min(concurrency, total)):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in range(total):
            key, record = came.get()
            if isinstance(record, BaseException):
                raise record
            yield key, record
    finally:
        stopped.set()
