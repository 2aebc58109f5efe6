"""Load shedding: more work than the server can do is refused at once, with a time to try again.

Owns when the server is overloaded. Must not know routes.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.server.direct import DirectAnswer, direct_of
from safeact_env.server.http.errors import error_response
from safeact_env.server.middleware.access import is_open

PROBE_SECONDS = 0.1
OVERLOADED = "the server is overloaded; send the same request again in a moment"


class Lateness:
    """How late the event loop runs: it does not yet count the requests that wait for it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """The smaller of the last two delays, in seconds: a single pause is no overload."""
        self._probing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to measure."""
        self._probing = asyncio.ensure_future(self._probe())

    async def stop(self) -> None:
        """Stop measuring."""
        if self._probing is not None:
            self._probing.cancel()

    async def _probe(self) -> None:
        loop, before = asyncio.get_running_loop(), 0.0
        while True:
            begin = loop.time()
            await asyncio.sleep(PROBE_SECONDS)
            now = loop.time() - begin - PROBE_SECONDS
            self.seconds, before = min(before, now), now


class OverloadMiddleware:
    """ASGI middleware that refuses requests while the server is overloaded.

    It is overloaded while too many requests are in progress, or while the event loop runs late. Probes and
    the page's files are always answered.

    Args:
        app: The app.
        max_requests: Most requests in progress.
        max_late_seconds: Largest delay of the event loop, in seconds.
        lateness: Measures that delay.
    """

    def __init__(self, app: ASGIApp, max_requests: int, max_late_seconds: float, lateness: Lateness) -> None:
        self.app = app
        self.directly = self._answered if direct_of(app) else None
        self.max_requests = max_requests
        self.max_late_seconds = max_late_seconds
        self.lateness = lateness
        self.in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 503."""
        if scope["type"] != "http" or is_open(scope):
            await self.app(scope, receive, send)
            return
        if self._is_overloaded:
            await error_response("overloaded", OVERLOADED)(scope, receive, send)
            return

        async def receiving() -> Message:
            # A client that sends slowly keeps nothing busy, and must not keep others out.
            self.in_progress -= 1
            try:
                return await receive()
            finally:
                self.in_progress += 1

        async def sending(message: Message) -> None:
            # Nor does one that reads its answer slowly.
            self.in_progress -= 1
            try:
                await send(message)
            finally:
                self.in_progress += 1

        self.in_progress += 1
        try:
            await self.app(scope, receiving, sending)
        finally:
            self.in_progress -= 1

    @property
    def _is_overloaded(self) -> bool:
        return self.in_progress >= self.max_requests or self.lateness.seconds > self.max_late_seconds

    def _answered(self, scope: Scope, body: bytes) -> DirectAnswer | None:
        directly = direct_of(self.app)
        return None if directly is None or self._is_overloaded else directly(scope, body)
