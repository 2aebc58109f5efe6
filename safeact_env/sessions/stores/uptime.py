"""The time of a store that several processes share: it passes while one of them runs and reaches the store.

Owns how a clock is turned into that time. Must not know stores.

Wall clocks jump, and monotonic ones mean nothing to another machine or after a reboot. So nobody's clock is
believed about what time it is, only about how much of it has passed since the store was last reached, and
about no more than a minute of it. Whoever uses the store proposes a time, the store keeps the latest of all
proposals, and those behind it catch up. An outage, of all servers or of the store, uses up nobody's time.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from safeact_env.sessions.stores.base import Clock

__all__ = ["LONGEST_SECONDS", "SECOND", "Look", "Uptime"]

LONGEST_SECONDS = 60.0
"""Most time that can pass between two answers of the store: what is longer was a jump, or an outage."""
SECOND = 1_000_000
"""The unit is the microsecond."""


class Look(NamedTuple):
    """A look at the clock.

    Attributes:
        proposed: What time it is, as far as this process can tell.
        clock: What the clock said.
        number: How many looks had counted before.
    """

    proposed: int
    clock: float
    number: int


class Uptime:
    """One process's view of the time of a store. Threads may share it.

    Args:
        clock: Seconds. It may jump.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = Look(0, clock(), 0)

    def look(self) -> Look:
        """Look at the clock. Nothing passes by that until it is told that the store has answered."""
        with self._lock:
            now = self._clock()
            passed = min(max(now - self._last.clock, 0.0), LONGEST_SECONDS)
            return Look(self._last.proposed + int(passed * SECOND), now, self._last.number)

    def answered(self, look: Look, time: int) -> None:
        """The store took the proposal of a look and said what time it is.

        Its time is taken over if this process is behind by more than an answer may take.
        """
        with self._lock:
            if look.number == self._last.number:
                # Otherwise a later look has counted already, and this one's time with it.
                self._last = look._replace(number=look.number + 1)
            if time > self._last.proposed + SECOND:
                self._last = self._last._replace(proposed=time)
