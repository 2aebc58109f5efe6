"""Graceful shutdown: on SIGTERM the server takes no new episodes, lets the running ones end, then stops.

Owns when the server is stopping, and what it refuses from then on. Must not know rules.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from safeact_env.server.direct import direct_of
from safeact_env.server.http.errors import error_response
from safeact_env.server.middleware.access import deny, path_of
from safeact_env.server.websocket.runtime import Runtime

STOPPING = "this server is stopping and takes no new episodes; try again, another server will answer"
POLL_SECONDS = 0.05

STARTS = frozenset({"/reset", "/watch", "/baseline", "/web/reset"})
"""Paths that start an episode, besides the WebSockets."""

Handler = Callable[[int, FrameType | None], Any]
log = logging.getLogger(__name__)


class Drain:
    """The shutdown of this process.

    Args:
        seconds: Longest wait for running episodes.
        runtime: The sessions of this process.
    """

    def __init__(self, seconds: float, runtime: Runtime) -> None:
        self.seconds = seconds
        self.runtime = runtime
        self.on = False
        self.others: Callable[[], int] = int
        """Number of running episodes outside sessions that would be lost."""
        self._handler: Handler | None = None
        self._waiting: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """Number of running episodes that would be lost."""
        return self.runtime.running + self.others()

    async def install(self) -> None:
        """Begin to handle SIGTERM. The previous handler gets the signal when all episodes have ended.

        Works with any server that runs the app. Does nothing outside the main thread: only there can Python
        handle signals.
        """
        if threading.current_thread() is not threading.main_thread() or self.seconds == 0:
            return
        before = signal.getsignal(signal.SIGTERM)
        if not callable(before):
            return
        self._handler = before
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, lambda *told: loop.call_soon_threadsafe(self.begin, *told))

    async def uninstall(self) -> None:
        """Restore the previous handler of SIGTERM."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
            self._handler = None

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Begin to drain. A second signal stops the process at once."""
        if self.on:
            self._stop(number, frame)
            return
        self.on = True
        self.runtime.close(STOPPING)
        if count := self.running:
            log.info("Stopping: %d running episodes have up to %g s to end.", count, self.seconds)
        self._waiting = asyncio.ensure_future(self._wait(number, frame))

    async def _wait(self, number: int, frame: FrameType | None) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.seconds
        while self.running and loop.time() < until:
            await asyncio.sleep(POLL_SECONDS)
        if left := self.running:
            log.warning("Stopping with %d running episodes.", left)
        self._stop(number, frame)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._handler is not None:
            with suppress(KeyboardInterrupt):
                self._handler(number, frame)


class DrainMiddleware:
    """ASGI middleware that refuses new episodes and new WebSockets while the server drains.

    Args:
        app: The app.
        drain: The shutdown of this process.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app = app
        self.directly = direct_of(app)  # steps go on while the server drains
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 503."""
        if self._drain.on and _starts(scope):
            await deny(error_response("draining", STOPPING), scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _starts(scope: Scope) -> bool:
    if scope["type"] == "websocket":
        return True
    return scope["type"] == "http" and scope["method"] == "POST" and path_of(scope) in STARTS
