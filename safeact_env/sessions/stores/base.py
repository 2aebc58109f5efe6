"""What is kept of an episode, and what a store promises.

Owns the log of an episode, its encoding, the limits, and the interface of stores. Must not know episodes: a
store keeps calls as bytes and never replays them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from safeact_env.core.task import Split
from safeact_env.sessions.errors import SessionError

__all__ = [
    "Clock",
    "Full",
    "Limits",
    "Log",
    "NoSuchEpisode",
    "Start",
    "Store",
    "StoreMaker",
    "Wanted",
    "new_head",
]

Clock = Callable[[], float]
"""Seconds; only differences count."""


class NoSuchEpisode(Exception):
    """The store has no episode of this id, or no longer."""


class Full(Exception):
    """There are as many unfinished episodes as the limits allow."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept, and for how long.

    Attributes:
        max_live: Most unfinished episodes at a time.
        max_finished: Most finished ones kept; beyond it the oldest are forgotten.
        idle_seconds: An unfinished episode unused for so long is forgotten.
        keep_finished_seconds: A finished one is kept so long after its end.
    """

    max_live: int = 10_000
    max_finished: int = 10_000
    idle_seconds: float = 3_600
    keep_finished_seconds: float = 3_600


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reset asked for; a retry of it is told by equality."""

    task: str
    split: Split
    seed: int | None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """What determines an episode before its first step.

    Attributes:
        id: Its id.
        version: Version of the package that started it.
        task: Name of the task.
        task_version: Version of the task.
        split: `train` or `test`.
        seed: The seed, drawn or asked for.
        wanted: What the reset asked for.
    """

    id: str
    version: str
    task: str
    task_version: int
    split: Split
    seed: int
    wanted: Wanted

    def encode(self) -> bytes:
        """As JSON, without the id."""
        wanted = self.wanted
        fields = [
            self.version,
            self.task,
            self.task_version,
            self.split,
            self.seed,
            [wanted.task, wanted.split, wanted.seed, wanted.index],
        ]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, episode_id: str, data: bytes) -> Start:
        """Read what `encode` wrote.

        Raises:
            SessionError: `version_changed`, if it is nothing of the kind.
        """
        try:
            version, task, task_version, split, seed, wanted = json.loads(data)
            return cls(episode_id, version, task, task_version, split, seed, Wanted(*wanted))
        except (TypeError, ValueError):
            raise SessionError(
                "version_changed",
                "the record of the episode was written by another version, and this one cannot read it. "
                "POST /reset starts another",
            ) from None


@dataclass(frozen=True, slots=True)
class Log:
    """An episode as a store has it.

    Attributes:
        start: What determines it before its first step.
        head: Drawn with the start and with every entry: two logs with the same head are the same.
        entries: One per step, in order, as the service encoded them.
    """

    start: Start
    head: str
    entries: tuple[bytes, ...]


def new_head() -> str:
    """A head that no other log has."""
    return os.urandom(8).hex()


class Store(Protocol):
    """Logs of episodes, for one process or for many.

    Everything but `close` raises `StoreUnavailable` when the store does not answer or cannot write. What a
    method has returned from is kept.
    """

    @property
    def blocking(self) -> bool:
        """Whether a call may wait for a disk or a network, so that an event loop must not make it."""

    def create(self, start: Start, head: str) -> Log | None:
        """Begin a log. At most one of several callers with the same id, in any process, succeeds.

        Returns:
            `None`, or the log that is there already; it is left as it was.

        Raises:
            Full: If there is none, and no room for another.
        """

    def load(self, episode_id: str) -> Log | None:
        """The log of an id, if there is one. An unfinished episode counts as used."""

    def append(self, episode_id: str, expected: str, entry: bytes, head: str, *, last: bool) -> Log | None:
        """Add an entry if the log's head is the expected one. It counts as used.

        Args:
            episode_id: Its id.
            expected: The head of the log that the entry was made for.
            entry: The entry.
            head: The new head.
            last: Whether the episode is over with it.

        Returns:
            `None`, or the log as it is, if its head is another or it has ended; it is left as it was.

        Raises:
            NoSuchEpisode: If there is none.
        """

    def delete(self, episode_id: str) -> bool:
        """Forget an episode; whether there was one."""

    def live(self) -> int:
        """Number of unfinished episodes."""

    def sole(self) -> str | None:
        """The id of the only unfinished episode, if no other was begun after it."""

    def tick(self) -> None:
        """Note that time passes, and forget what has expired. Called every few seconds."""

    def take(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease; it lapses after so many seconds. Whether the holder has it now."""

    def give_back(self, name: str, holder: str) -> None:
        """Give a lease back, if the holder has it."""

    def close(self) -> None:
        """Close files and connections."""


StoreMaker = Callable[[Limits, Clock], Store]
"""Makes a store with these limits, on this clock."""
