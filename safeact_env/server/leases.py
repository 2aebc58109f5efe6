"""Sessions that `POST /mcp` makes, and their end.

OpenEnv's method `openenv/session/create` reserves a session until it is closed, and a client that only
creates would take them all. Owns how many may wait for a WebSocket, and for how long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

__all__ = ["Leases"]


class Leases:
    """Sessions that are closed when they have been without a WebSocket for too long.

    Args:
        close: Closes a session.
        seconds: How long one may be without a WebSocket.
        most: How many such sessions there may be.
    """

    def __init__(
        self, close: Callable[[str], Awaitable[object]], seconds: float = 60.0, most: int = 64
    ) -> None:
        self.seconds = seconds
        self.most = most
        self._close = close
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Future[object]] = set()

    @property
    def full(self) -> bool:
        """Whether no further session may be made now."""
        return len(self._waiting) >= self.most

    def made(self, session: str) -> None:
        """A session was made; from now on it waits for its WebSocket."""
        timer = asyncio.get_running_loop().call_later(self.seconds, self._expire, session)
        self._waiting[session] = timer

    def closed(self, session: str) -> None:
        """A session was closed by its client."""
        if (timer := self._waiting.pop(session, None)) is not None:
            timer.cancel()

    @contextmanager
    def attached(self, session: str) -> Iterator[None]:
        """While a WebSocket holds the session."""
        ours = session in self._waiting
        self.closed(session)
        try:
            yield
        finally:
            if ours:
                self.made(session)

    def _expire(self, session: str) -> None:
        del self._waiting[session]
        task = asyncio.ensure_future(self._close(session))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
