"""The counters behind the metrics: plain numbers in this process, a few additions per step.

Owns the numbers, and the sum over several processes. Must not know how they are shown.
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

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram buckets, in seconds; one more bucket lies above the last bound."""

SHARE_SECONDS = 1.0
"""How often a process writes its numbers for the other processes of its server."""

SHARED = "SAFEACT_METRICS_FOLDER"
"""Environment variable: the folder in which the processes of one server exchange their numbers."""

Key = tuple[str, ...]


class Numbers:
    """Counts and durations since the start of a process.

    Attributes:
        counts: The counts, by name and labels.
        times: By name and labels: the durations per bucket, and last their sum in seconds.
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
        """The numbers as JSON. Copies the dictionaries first, as other threads may add to them."""
        copies: list[dict[Key, Any]] = [dict(self.counts), dict(self.times)]
        return "\n".join(json.dumps([[[*key], value] for key, value in copy.items()]) for copy in copies)

    @classmethod
    def load(cls, text: str) -> Numbers:
        """Read what `dump` wrote."""
        found = cls()
        counts, times = (json.loads(line) for line in text.split("\n"))
        found.counts.update((tuple(key), count) for key, count in counts)
        found.times.update((tuple(key), list(each)) for key, each in times)
        return found


class Counters(Observer):
    """The numbers of this process, and access to those of the server's other processes.

    Args:
        folder: The folder for exchange with the other processes, if there are any.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.numbers = Numbers()
        # Steps are also counted in the threads of a store.
        self._lock = threading.Lock()
        self.connections = 0
        """Open WebSockets."""
        self._folder = folder
        self._sharing: asyncio.Task[None] | None = None
        # A new name per process: the numbers of a process that died still count.
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"

    @classmethod
    def for_this_process(cls) -> Counters:
        """The counters of this process, whether it is one of several workers or the only one."""
        folder = os.environ.get(SHARED)
        return cls(Path(folder) if folder else None)

    def started(self, episode: Episode[Any]) -> None:
        """Count an episode that was started."""
        with self._lock:
            variant = episode.variant
            of = (episode.task.name, episode.split, str(variant.level), variant.framing)
            self.numbers.counts["resets", *of] += 1

    def stepped(self, episode: Episode[Any]) -> None:
        """Count a step."""
        counts, task = self.numbers.counts, episode.task.name
        with self._lock:
            counts["steps", task] += 1
            if episode.done:
                counts["outcomes", task, str(episode.outcome)] += 1
                if episode.outcome == "irreversible_mistake":
                    counts["mistakes", task] += 1

    def store_failed(self) -> None:
        """Count a failure of the store."""
        with self._lock:
            self.numbers.counts["store_errors",] += 1

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.numbers.counts["requests", method, route, str(status)] += 1
        self.numbers.observe(("request_seconds", route), seconds)

    def frame_answered(self, route: str, seconds: float) -> None:
        """Count an answered WebSocket frame."""
        self.numbers.observe(("frame_seconds", route), seconds)

    async def start(self) -> None:
        """Begin to write the numbers for the other processes, if there are any."""
        if self._folder is not None:
            self._sharing = asyncio.ensure_future(self._share())

    async def stop(self) -> None:
        """Write the final numbers."""
        if self._sharing is not None:
            self._sharing.cancel()
        self.share()

    async def _share(self) -> None:
        while True:
            await asyncio.sleep(SHARE_SECONDS)
            self.share()

    def share(self) -> None:
        """Write the numbers of this process for the others. Does nothing if there are no others."""
        if self._folder is None:
            return
        # A full disk must not stop the server; the numbers are late then.
        with suppress(OSError):
            fresh = self._folder / f"{self._name}.new"
            fresh.write_text(self.numbers.dump(), encoding="utf-8")
            fresh.replace(self._folder / f"{self._name}.json")

    def total(self) -> Numbers:
        """The numbers of all processes of the server, including those that have ended."""
        total = Numbers()
        total.add(self.numbers)
        for path in self._folder.glob("*.json") if self._folder is not None else ():
            if path.stem != self._name:
                with suppress(OSError, ValueError):
                    total.add(Numbers.load(path.read_text(encoding="utf-8")))
        return total
