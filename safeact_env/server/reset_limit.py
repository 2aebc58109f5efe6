"""How often one client may start an episode.

Owns the count. Must not know a transport.
"""

import time
from collections.abc import Callable

from safeact_env.sessions.errors import SessionError

__all__ = ["ResetLimit"]

MINUTE = 60.0


class ResetLimit:
    """A token bucket per client: it holds a minute's resets, and fills up in a minute.

    Args:
        per_minute: Most resets of one client per minute.
        clock: Monotonic seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        # By last use, so that a bucket that must be full again is found at the front and dropped.
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, client: str) -> None:
        """Count a reset.

        Raises:
            SessionError: `too_many_resets`; then it does not count.
        """
        now = self._clock()
        left, then = self._left.pop(client, (float(self.per_minute), now))
        left = min(left + (now - then) * self.per_minute / MINUTE, float(self.per_minute))
        self._left[client] = (left - 1 if left >= 1 else left, now)
        while now - self._left[first := next(iter(self._left))][1] >= MINUTE:
            del self._left[first]
        if left < 1:
            raise SessionError(
                "too_many_resets",
                f"one client may start {self.per_minute} episodes per minute; send the same request again in "
                "a moment",
            )
