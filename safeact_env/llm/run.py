"""A run: episodes of an agent, several at a time, each written to disk as it ends, so that it can be resumed.

Owns which episodes are played and what becomes of their records. Must not know how a model is asked, nor how
anything is shown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from safeact_env.call import Call
from safeact_env.core.task import Split
from safeact_env.evaluation.record import (
    Key,
    Said,
    Sample,
    policy_seed,
    record_of,
    went_without_temperature,
)
from safeact_env.evaluation.run import Selection
from safeact_env.evaluation.store import RecordFile, StoreError, occupied, replace_file, versions_of
from safeact_env.llm.backends import Backend
from safeact_env.llm.errors import Failed, Limit, LimitReached, Refused, RunLimitReached
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import get_task
from safeact_env.unique_json import RepeatedKey, unique_json

__all__ = [
    "EPISODES",
    "Agent",
    "Folder",
    "Keeper",
    "Outcome",
    "Playing",
    "PolicyAgent",
    "Watcher",
    "play_episode",
    "play_selection",
]

EPISODES, SETTINGS = "episodes.jsonl", "settings.json"
"""Names of a run's files."""
MOST_FAILED = 3
"""After so many failed episodes in a row a run is stopped: something is wrong with the endpoint."""

Play = Callable[[Key], Awaitable[Mapping[str, Any]]]
"""Plays one episode and returns its record."""


class Agent(Protocol):
    """Plays one episode."""

    @property
    def predictions(self) -> Sequence[Said] | None:
        """The prediction of every call so far; `None` if none are asked for."""

    async def act(self, observation: Mapping[str, Any]) -> Call:
        """The next call."""

    def ended(self, observation: Mapping[str, Any]) -> None:
        """Receive the last observation."""

    def part(self, stop: Limit | None) -> dict[str, Any] | None:
        """Return the part `model` of the record; `None` if the agent is not a model."""


class Keeper(Protocol):
    """Keeps the records of a run."""

    @property
    def samples(self) -> Mapping[Key, Sample]:
        """The episodes it held when it was opened."""

    def keep(self, record: Mapping[str, Any]) -> None:
        """Keep a record; it is on disk when this returns."""


class PolicyAgent:
    """A reference policy as an agent. It predicts nothing.

    Args:
        key: The episode to play.
    """

    predictions = None

    def __init__(self, key: Key) -> None:
        seed = policy_seed(key.seed, key.attempt)
        self._policy = make_policy(key.policy, get_task(key.task), seed)

    async def act(self, observation: Mapping[str, Any]) -> Call:
        """The next call."""
        return self._policy.act(observation)

    def ended(self, observation: Mapping[str, Any]) -> None:
        """Nothing to do."""

    def part(self, stop: Limit | None) -> None:
        """Return nothing: a policy is not a model."""


class Watcher:
    """Is told what happens. This base class does nothing."""

    def begun(self, key: Key) -> None:
        """An episode begins."""

    def stepped(self, key: Key, step: int, call: Call, observation: Mapping[str, Any]) -> None:
        """A step was taken; steps count from 1."""

    def ended(self, key: Key, record: Mapping[str, Any] | None) -> None:
        """An episode has ended; without a record it was not played to the end."""


@dataclass(frozen=True, slots=True)
class Playing:
    """How one episode is played.

    Attributes:
        agent: Makes the agent of an episode.
        backend: Makes the backend that runs it.
        watcher: Is told what happens.
    """

    agent: Callable[[Key], Agent]
    backend: Callable[[], Backend]
    watcher: Watcher = field(default_factory=Watcher)

    async def __call__(self, key: Key) -> dict[str, Any]:
        """Play an episode; return its record."""
        self.watcher.begun(key)
        record: dict[str, Any] | None = None
        try:
            record = await play_episode(key, self.agent(key), self.backend(), self.watcher)
            return record
        finally:
            self.watcher.ended(key, record)


async def play_episode(key: Key, agent: Agent, backend: Backend, watcher: Watcher) -> dict[str, Any]:
    """Play one episode to its end, or until its model reaches a limit; return its record.

    Raises:
        Exception: Whatever the agent or the backend raises. The episode then has no record.
    """
    split: Split = "test" if key.split == "test" else "train"
    stop: Limit | None = None
    step = 0
    try:
        observation = await backend.begin(key.task, split, key.seed, key.variant)
        while not observation["done"]:
            try:
                call = await agent.act(observation)
            except RunLimitReached:
                raise
            except LimitReached as reached:
                stop = reached.limit
                break
            observation = await backend.step(call)
            step += 1
            watcher.stepped(key, step, call, observation)
        if stop is None:
            agent.ended(observation)
        return record_of(backend.episode, key.policy, key.attempt, agent.part(stop), agent.predictions)
    finally:
        await backend.close()


# A selection of episodes -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Outcome:
    """The result of a run.

    Attributes:
        samples: The episodes that were played to the end, now or before.
        errors: Why other episodes were not, by episode.
        refused: How many of these the endpoint refused to answer; asked again, it would refuse them again.
        stopped: Why the run was stopped early, if it was.
    """

    samples: dict[Key, Sample] = field(default_factory=dict)
    errors: dict[Key, str] = field(default_factory=dict)
    refused: int = 0
    stopped: str | None = None


async def play_selection(
    selection: Selection,
    play: Play,
    *,
    folder: Keeper | None = None,
    concurrency: int = 1,
    progress: Callable[[int, int], None] = lambda _played, _total: None,
    outcome: Outcome | None = None,
) -> Outcome:
    """Play the episodes of a selection that the folder does not hold yet.

    Args:
        selection: Episodes of one agent.
        play: Plays one episode.
        folder: Keeps each record as its episode ends.
        concurrency: Episodes at a time, at least 1.
        progress: Called with the number of episodes played, and of all.
        outcome: Filled as episodes end, and returned; for a caller that may have to stop.

    Raises:
        Unusable: If the endpoint or the server cannot be used. Records made so far are kept.
        OSError: If the folder can no longer be written.
    """
    keys = [key for scenario in selection.scenarios() for key in selection.keys(scenario)]
    outcome = outcome or Outcome()
    if folder is not None:
        outcome.samples = {key: sample for key, sample in folder.samples.items() if key in set(keys)}
    progress(len(outcome.samples), len(keys))
    queue = _Queue([key for key in keys if key not in outcome.samples], play, outcome)

    def keep(record: Mapping[str, Any]) -> None:
        if folder is not None:
            folder.keep(record)
        progress(len(outcome.samples), len(keys))

    workers = [asyncio.create_task(queue.work(keep)) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    outcome.samples = {key: outcome.samples[key] for key in keys if key in outcome.samples}
    return outcome


class _Queue:
    """Episodes to play, for several workers in one thread."""

    def __init__(self, keys: Iterable[Key], play: Play, outcome: Outcome) -> None:
        self._keys = iter(keys)
        self._play = play
        self._outcome = outcome
        self._failed_in_a_row = 0

    async def work(self, keep: Callable[[Mapping[str, Any]], None]) -> None:
        """Play episodes until none is left or the run is stopped; `keep` is called with each record."""
        outcome = self._outcome
        for key in self._keys:
            if outcome.stopped is not None:
                return
            try:
                record = await self._play(key)
            except RunLimitReached as reached:
                outcome.stopped = f"the run's limit on {reached.limit} was reached"
                return
            except Refused as error:
                # The endpoint answers other episodes, so this says nothing about the run.
                outcome.errors[key] = str(error)
                outcome.refused += 1
                continue
            except Failed as error:
                self._note_failure(key, str(error))
                continue
            self._failed_in_a_row = 0
            outcome.samples[key] = Sample.of(record)
            keep(record)

    def _note_failure(self, key: Key, error: str) -> None:
        self._outcome.errors[key] = error
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= MOST_FAILED:
            self._outcome.stopped = f"{MOST_FAILED} episodes in a row failed, the last one so: {error}"


# On disk ---------------------------------------------------------------------------------------------------


class Folder:
    """A run on disk: its settings, and a line per episode. Use it as a context manager.

    Args:
        path: The folder; created if missing.
        settings: The settings of every episode of the run; without secrets.
        tasks: Names of the tasks played.
        resume: Whether the folder may hold episodes of the same settings already.

    Raises:
        StoreError: If the folder cannot be opened, holds episodes and `resume` is off, or holds episodes of
            other settings.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], tasks: tuple[str, ...], *, resume: bool
    ) -> None:
        self.path = path
        self.settings = dict(settings)
        """The settings, with the temperature that was in force: `null` if a request went without."""
        records, before = path / EPISODES, path / SETTINGS
        if not resume and records.exists() and records.stat().st_size:
            raise occupied(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if resume and before.exists():
                self._resume(unique_json(before.read_text(encoding="utf-8")))
            elif resume and records.exists() and records.stat().st_size:
                raise StoreError(
                    f"{path} does not say how its episodes were played. Give --out another folder."
                )
            self._write_settings()
        except OSError as error:
            raise StoreError(f"{path} cannot be used: {error.strerror}. Give --out another folder.") from None
        except ValueError as error:
            if isinstance(error, StoreError):
                raise
            if isinstance(error, RepeatedKey):
                raise StoreError(f"{before}, line {error.line}: {error}.") from None
            raise StoreError(f"{before} cannot be read. Give --out another folder.") from None
        self._file = RecordFile(records, versions_of(tasks), resume=resume)

    @property
    def samples(self) -> Mapping[Key, Sample]:
        """The episodes it held when it was opened."""
        return self._file.samples

    def keep(self, record: Mapping[str, Any]) -> None:
        """Write a record; it is on disk when this returns."""
        self._file.append(record)
        self._file.sync()
        if went_without_temperature(record) and self.settings.get("temperature") is not None:
            self.settings["temperature"] = None
            self._write_settings()

    def _resume(self, before: Any) -> None:
        _compare(self.path, before, self.settings)
        if "temperature" in self.settings:
            self.settings["temperature"] = before["temperature"]

    def _write_settings(self) -> None:
        replace_file(self.path / SETTINGS, (json.dumps(self.settings, indent=2) + "\n").encode())

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


def _compare(path: Path, before: Any, now: Mapping[str, Any]) -> None:
    if not isinstance(before, dict):
        raise StoreError(f"{path / SETTINGS} cannot be read. Give --out another folder.")
    for name, value in now.items():
        was = before.get(name)
        if name == "temperature" and name in before and was is None:
            continue  # the endpoint did not let it be chosen, whatever was asked for
        if was != json.loads(json.dumps(value)):
            raise StoreError(
                f"{path} was played with {name} {json.dumps(was)}, and this run has {json.dumps(value)}. "
                "Resume it with the same settings, or give --out another folder."
            )
