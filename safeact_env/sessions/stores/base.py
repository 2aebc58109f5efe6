"""The log of an episode, and the interface of its stores.

Owns the log, its encoding, the limits, and what a store promises. Must not know episodes: a store keeps calls
as bytes and never replays them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.sessions.errors import SessionError

__all__ = [
    "Clock",
    "Full",
    "Limits",
    "Log",
    "NoSuchEpisode",
    "OwnFull",
    "Start",
    "Store",
    "StoreMaker",
    "Wanted",
    "new_head",
]

Clock = Callable[[], float]
"""Returns seconds, of which only differences count."""


class NoSuchEpisode(Exception):
    """The store has no episode with this id, or no longer."""


class Full(Exception):
    """No room is left for another episode of anybody."""


class OwnFull(Full):
    """The client has as many unfinished episodes as one client may have."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept, and for how long.

    Nobody's episode makes way for another client's: beyond the limits a client's own oldest finished one
    does, and who has none starts no further one.

    Attributes:
        max_live: Most unfinished episodes at a time.
        max_finished: Most finished ones kept.
        idle_seconds: Seconds after which an unused, unfinished episode is deleted.
        keep_finished_seconds: Seconds for which a finished one is kept.
        max_live_each: Most unfinished ones of one client.
        max_finished_each: Most finished ones of one client.
    """

    max_live: int = 10_000
    max_finished: int = 10_000
    idle_seconds: float = 3_600
    keep_finished_seconds: float = 3_600
    max_live_each: int = 10_000
    max_finished_each: int = 10_000

    def keepable(self, own: int, finished: int) -> int:
        """How many finished episodes a client keeps, of its own and all that there are. At least one."""
        crowded = own - 1 if finished > self.max_finished else own
        return max(1, min(crowded, self.max_finished_each))


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parameters of a reset. A retry has equal ones."""

    task: str
    split: Split
    seed: int | None
    index: int | None = None
    variant: Variant = DEFAULT


@dataclass(frozen=True, slots=True)
class Start:
    """What determines an episode before its first step.

    Attributes:
        id: Its id.
        version: Version of the package that started it.
        task: Name of the task.
        task_version: Version of the task.
        split: `train` or `test`.
        seed: The seed, drawn or requested.
        wanted: The parameters of the reset, the variant among them.
        client: Who started it, for limits and for requests without an id; "" for this process.
        secret: Opens the episode to its agent. Kept with the log, so that any replica knows it.
        name: The id by which its client knows it, where that is another one.
    """

    id: str
    version: str
    task: str
    task_version: int
    split: Split
    seed: int
    wanted: Wanted
    client: str = ""
    secret: str = ""
    name: str = ""

    @property
    def variant(self) -> Variant:
        """Level and framing."""
        return self.wanted.variant

    def encode(self) -> bytes:
        """The start as JSON, without the id."""
        wanted = self.wanted
        fields = [
            self.version,
            self.task,
            self.task_version,
            self.split,
            self.seed,
            [wanted.task, wanted.split, wanted.seed, wanted.index],
            self.variant.to_json(),
            self.client,
            self.secret,
            self.name,
        ]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, episode_id: str, data: bytes) -> Start:
        """Read what `encode` wrote.

        Raises:
            SessionError: `version_changed`, if the data cannot be read.
        """
        try:
            version, task, task_version, split, seed, wanted, variant, *who = json.loads(data)
            name, part, number, index = wanted
            asked = Wanted(name, part, number, index, Variant(**variant))
            return cls(episode_id, version, task, task_version, split, seed, asked, *who)
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
        head: Random, and new with every entry: two logs with the same head are the same.
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

    Every method except `close` raises `StoreUnavailable` if the store does not answer or cannot write. Once a
    method has returned, its change is kept.
    """

    @property
    def blocking(self) -> bool:
        """Whether a method may wait for a disk or a network, so that an event loop must not call it."""

    def create(self, start: Start, head: str) -> Log | None:
        """Begin a log. At most one of several callers with the same id, in any process, succeeds.

        Returns:
            `None`, or the existing log with this id, unchanged.

        Raises:
            Full: If there is no log with this id, and no room for another: too many are unfinished, or so
                many are finished that a client without a finished one cannot have one.
            OwnFull: If this client has too many unfinished ones.
        """

    def load(self, episode_id: str) -> Log | None:
        """The log with this id, if there is one. This counts as a use of an unfinished episode."""

    def append(self, episode_id: str, expected: str, entry: bytes, head: str, *, last: bool) -> Log | None:
        """Add an entry if the log's head is the expected one. This counts as a use.

        Args:
            episode_id: The id of the log.
            expected: The head of the log that the entry was made for.
            entry: The entry.
            head: The new head.
            last: Whether the entry ends the episode.

        Returns:
            `None`, or the unchanged log, if it has another head or has ended.

        Raises:
            NoSuchEpisode: If there is none.
        """

    def delete(self, episode_id: str) -> bool:
        """Delete an episode. Returns whether there was one."""

    def live(self) -> int:
        """Number of unfinished episodes."""

    def sole(self) -> str | None:
        """The id of the only unfinished episode, if no other was started after it."""

    def tick(self) -> None:
        """Let time pass, and delete expired episodes. Called every few seconds."""

    def take(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease, which expires after these seconds. Returns whether the holder has it."""

    def give_back(self, name: str, holder: str) -> None:
        """Give a lease back, if the holder has it."""

    def close(self) -> None:
        """Close files and connections."""


StoreMaker = Callable[[Limits, Clock], Store]
"""Makes a store with these limits and this clock."""
