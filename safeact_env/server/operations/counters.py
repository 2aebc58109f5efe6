"""What the server counts: plain numbers in this process, a few additions per step.

Owns the numbers and how those of several processes are summed. Must not know how they are shown.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import uuid
from bisect import bisect_left
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from safeact_env.core.episode import Episode
from safeact_env.sessions.observer import Observer

__all__ = ["BOUNDS", "SHARED", "Counters", "Numbers"]

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of durations, in seconds; above the last there is one more class."""

SHARE_SECONDS = 1.0
"""How often a process leaves its numbers for the others of its server."""

SHARED = "SAFEACT_METRICS_FOLDER"
"""Variable with the folder in which the processes of one server leave their numbers for each other."""

Key = tuple[str, ...]


class Numbers:
    """Counts and durations since the start of a process.

    Attributes:
        counts: By name and labels.
        times: By name and labels, how many durations fell into each class, and last their sum in seconds.
    """

    def __init__(self) -> None:
        self.counts: defaultdict[Key, int] = defaultdict(int)
        self.times: defaultdict[Key, list[float]] = defaultdict(lambda: [0] * (len(BOUNDS) + 2))

    def observe(self, key: Key, seconds: float) -> None:
        """Count a duration."""
        found = self.times[key]
        found[bisect_left(BOUNDS, seconds)] += 1
        found[-1] += seconds

    def add(self, other: Numbers) -> None:
        """Add the numbers of another process."""
        for key, count in other.counts.items():
            self.counts[key] += count
        for key, found in other.times.items():
            self.times[key] = [one + more for one, more in zip(self.times[key], found, strict=True)]

    def dump(self) -> str:
        """As JSON. The dictionaries are copied first, as other threads may add to them."""
        counts, times = dict(self.counts), dict(self.times)
        return (
            json.dumps([[[*k], v] for k, v in counts.items()])
            + "\n"
            + json.dumps([[[*k], v] for k, v in times.items()])
        )

    @classmethod
    def load(cls, text: str) -> Numbers:
        """Read what `dump` wrote."""
        found = cls()
        counts, times = (json.loads(line) for line in text.split("\n"))
        found.counts.update((tuple(key), count) for key, count in counts)
        found.times.update((tuple(key), list(each)) for key, each in times)
        return found


class Counters(Observer):
    """The numbers of this process, and where the other processes of the server leave theirs.

    Args:
        folder: That place, if there are others.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.numbers = Numbers()
        # Steps are counted in the threads of a store, too.
        self._lock = threading.Lock()
        self.connections = 0
        """Open WebSockets."""
        self._folder = folder
        self._sharing: asyncio.Task[None] | None = None
        # A process that takes the place of one that died adds to the numbers of that one.
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"

    @classmethod
    def for_this_process(cls) -> Counters:
        """The counters of a process that `serve` has started, or of a single one."""
        folder = os.environ.get(SHARED)
        return cls(Path(folder) if folder else None)

    # Episodes ----------------------------------------------------------------------------------------------

    def started(self, episode: Episode[Any]) -> None:
        """An episode was started."""
        with self._lock:
            self.numbers.counts["resets", episode.task.name, episode.split] += 1

    def stepped(self, episode: Episode[Any]) -> None:
        """An episode took a step."""
        counts, task = self.numbers.counts, episode.task.name
        with self._lock:
            counts["steps", task] += 1
            if episode.done:
                counts["outcomes", task, str(episode.outcome)] += 1
                if episode.outcome == "irreversible_mistake":
                    counts["mistakes", task] += 1

    def store_failed(self) -> None:
        """The store failed."""
        with self._lock:
            self.numbers.counts["store_errors",] += 1

    # Requests ----------------------------------------------------------------------------------------------

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.numbers.counts["requests", method, route, str(status)] += 1
        self.numbers.observe(("request_seconds", route), seconds)

    def frame_answered(self, route: str, seconds: float) -> None:
        """A frame of a WebSocket was answered."""
        self.numbers.observe(("frame_seconds", route), seconds)

    # Processes ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Leave the numbers for the other processes from now on, if there are any."""
        if self._folder is not None:
            self._sharing = asyncio.ensure_future(self._share())

    async def stop(self) -> None:
        """Leave the last ones."""
        if self._sharing is not None:
            self._sharing.cancel()
        self.share()

    async def _share(self) -> None:
        while True:
            await asyncio.sleep(SHARE_SECONDS)
            self.share()

    def share(self) -> None:
        """Leave the numbers of this process for the others. Does nothing if there are none."""
        if self._folder is None:
            return
        # A full disk must not stop a server from serving; the numbers are late then.
        with suppress(OSError):
            fresh = self._folder / f"{self._name}.new"
            fresh.write_text(self.numbers.dump(), encoding="utf-8")
            fresh.replace(self._folder / f"{self._name}.json")

    def total(self) -> Numbers:
        """The numbers of all processes of the server, those that have ended included."""
        total = Numbers()
        total.add(self.numbers)
        for path in self._folder.glob("*.json") if self._folder is not None else ():
            if path.stem != self._name:
                with suppress(OSError, ValueError):
                    total.add(Numbers.load(path.read_text(encoding="utf-8")))
        return total
