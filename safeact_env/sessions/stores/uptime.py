"""The time of a store that several processes share: it passes while one of them runs and reaches the store.

Owns the way from a clock to that time. Must not know stores.

Wall clocks jump, and monotonic ones mean nothing on another machine or after a reboot. So no clock is trusted
to tell the time, only how much of it has passed since the store was last reached, up to one minute. Each
process proposes a time, the store keeps the latest proposal, and processes that are behind catch up. So an
outage of all servers or of the store does not age any episode.
"""

import threading
from typing import NamedTuple

from safeact_env.sessions.stores.base import Clock

__all__ = ["LONGEST_SECONDS", "SECOND", "Look", "Uptime"]

LONGEST_SECONDS = 60.0
"""Most time that can pass between two answers of the store: more was a jump or an outage."""
SECOND = 1_000_000
"""The unit is the microsecond."""


class Look(NamedTuple):
    """A look at the clock.

    Attributes:
        proposed: The time, as far as this process can tell, in microseconds.
        clock: The reading of the clock, in seconds.
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
        """Look at the clock. No time passes until `answered` confirms that the store was reached."""
        with self._lock:
            now = self._clock()
            passed = min(max(now - self._last.clock, 0.0), LONGEST_SECONDS)
            return Look(self._last.proposed + int(passed * SECOND), now, self._last.number)

    def answered(self, look: Look, time: int) -> None:
        """Note that the store took the proposal of a look, and what its time is.

        This process adopts the time of the store if it is more than a second behind.
        """
        with self._lock:
            if look.number == self._last.number:
                # Otherwise a later look has already counted, and included the time of this one.
                self._last = look._replace(number=look.number + 1)
            if time > self._last.proposed + SECOND:
                self._last = self._last._replace(proposed=time)
