"""More than the server can do: refused at once, with a time to try again, instead of answered too late.

Owns when it is too much. Must not know what is asked.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.server.http.errors import error_response
from safeact_env.server.middleware.access import is_open

__all__ = ["Lateness", "OverloadMiddleware"]

LOOK_SECONDS = 0.1
TOO_MUCH = "the server has more to do than it can; send the same request again in a moment"


class Lateness:
    """How late the event loop is: work that waits for it is not seen as requests yet."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Seconds by which it was late at least, at the last two looks: a single pause is no overload."""
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look from now on."""
        self._looking = asyncio.ensure_future(self._look())

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        loop, before = asyncio.get_running_loop(), 0.0
        while True:
            begin = loop.time()
            await asyncio.sleep(LOOK_SECONDS)
            now = loop.time() - begin - LOOK_SECONDS
            self.seconds, before = min(before, now), now


class OverloadMiddleware:
    """ASGI middleware that refuses requests while the server is behind.

    It is, while so many requests are under way that one more would wait for long, or while the event loop
    itself is late. Probes and the page's files are always answered.

    Args:
        app: The app.
        most: Most requests under way.
        seconds: Longest lateness.
        lateness: That of the event loop.
    """

    def __init__(self, app: ASGIApp, most: int, seconds: float, lateness: Lateness) -> None:
        self.app = app
        self.most = most
        self.seconds = seconds
        self.lateness = lateness
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 503."""
        if scope["type"] != "http" or is_open(scope):
            await self.app(scope, receive, send)
            return
        if self.under_way >= self.most or self.lateness.seconds > self.seconds:
            await error_response("overloaded", TOO_MUCH)(scope, receive, send)
            return

        async def receiving() -> Message:
            # Whoever sends slowly keeps nothing busy, and must not keep others out.
            self.under_way -= 1
            try:
                return await receive()
            finally:
                self.under_way += 1

        self.under_way += 1
        try:
            await self.app(scope, receiving, send)
        finally:
            self.under_way -= 1
