"""Logs in the memory of this process: the default. It never blocks, and nothing outlives the process.

Owns the order of expiry. Must not know episodes.
"""

import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from safeact_env.sessions.stores.base import Clock, Full, Limits, Log, NoSuchEpisode, OwnFull, Start


@dataclass(slots=True)
class _Kept:
    start: Start
    head: str
    used: float
    entries: list[bytes] = field(default_factory=list)

    def log(self) -> Log:
        return Log(self.start, self.head, tuple(self.entries))


class MemoryStore:
    """Logs in memory.

    Args:
        limits: How much is kept.
        clock: Monotonic seconds.
    """

    blocking = False

    def __init__(self, limits: Limits, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        # Live logs by last use, finished ones by end, so that expiry looks only at the first ones.
        self._live: OrderedDict[str, _Kept] = OrderedDict()
        self._finished: OrderedDict[str, _Kept] = OrderedDict()
        self._own_live: Counter[str] = Counter()
        self._own_finished: dict[str, OrderedDict[str, None]] = {}
        self._newest: str | None = None
        self._leases: dict[str, tuple[str, float]] = {}

    def create(self, start: Start, head: str) -> Log | None:
        """Start a log."""
        self.tick()
        there = self._find(start.id)
        if there is not None:
            return there.log()
        limits, client = self._limits, start.client
        crowded = len(self._finished) >= limits.max_finished and client not in self._own_finished
        if crowded or len(self._live) >= limits.max_live:
            raise Full
        if self._own_live[client] >= limits.max_live_each:
            raise OwnFull
        self._live[start.id] = _Kept(start, head, self._clock())
        self._own_live[client] += 1
        self._newest = start.id
        return None

    def load(self, episode_id: str) -> Log | None:
        """The log with this id."""
        self.tick()
        kept = self._find(episode_id)
        if kept is None:
            return None
        if episode_id in self._live:
            self._touch(kept)
        return kept.log()

    def append(self, episode_id: str, expected: str, entry: bytes, head: str, *, last: bool) -> Log | None:
        """Add an entry if the log's head is the expected one."""
        self.tick()
        kept = self._live.get(episode_id)
        if kept is None or kept.head != expected:
            kept = self._find(episode_id)
            if kept is None:
                raise NoSuchEpisode
            return kept.log()
        kept.entries.append(entry)
        kept.head = head
        self._touch(kept)
        if last:
            self._drop(episode_id)
            self._finished[episode_id] = kept
            own = self._own_finished.setdefault(kept.start.client, OrderedDict())
            own[episode_id] = None
            while len(own) > self._limits.keepable(len(own), len(self._finished)):
                self._drop(next(iter(own)))
        return None

    def delete(self, episode_id: str) -> bool:
        """Delete an episode."""
        self.tick()
        return self._drop(episode_id)

    def live(self) -> int:
        """Number of unfinished episodes."""
        self.tick()
        return len(self._live)

    def sole(self) -> str | None:
        """The id of the only unfinished episode, if no other was started after it."""
        self.tick()
        return self._newest if self._newest in self._live and len(self._live) == 1 else None

    def tick(self) -> None:
        """Delete what has expired."""
        now = self._clock()
        for logs, seconds in (
            (self._live, self._limits.idle_seconds),
            (self._finished, self._limits.keep_finished_seconds),
        ):
            while logs:
                first = next(iter(logs.values()))
                if now - first.used < seconds:
                    break
                self._drop(first.start.id)

    def take(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease."""
        now = self._clock()
        other, until = self._leases.get(name, (holder, now))
        if other != holder and now < until:
            return False
        self._leases[name] = (holder, now + seconds)
        return True

    def give_back(self, name: str, holder: str) -> None:
        """Give a lease back."""
        if self._leases.get(name, ("", 0.0))[0] == holder:
            del self._leases[name]

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _drop(self, episode_id: str) -> bool:
        """Forget an episode. Returns whether there was one."""
        if kept := self._live.pop(episode_id, None):
            self._own_live[kept.start.client] -= 1
            if not self._own_live[kept.start.client]:
                del self._own_live[kept.start.client]
        elif kept := self._finished.pop(episode_id, None):
            own = self._own_finished[kept.start.client]
            del own[episode_id]
            if not own:
                del self._own_finished[kept.start.client]
        return kept is not None

    def _find(self, episode_id: str) -> _Kept | None:
        return self._live.get(episode_id) or self._finished.get(episode_id)

    def _touch(self, kept: _Kept) -> None:
        kept.used = self._clock()
        self._live.move_to_end(kept.start.id)
