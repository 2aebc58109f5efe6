"""The end of a server: on SIGTERM it takes no new episodes, lets the running ones end, then stops.

Owns when a server is about to stop, and what it refuses from then on. Must not know episodes.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from safeact_env.server.http.errors import error_response
from safeact_env.server.middleware.access import deny, path_of
from safeact_env.server.websocket.runtime import Runtime

__all__ = ["STOPPING", "Drain", "DrainMiddleware"]

STOPPING = "this server is about to stop and takes no new episodes; try again, another one will answer"
LOOK_SECONDS = 0.05

BEGINNINGS = frozenset({"/reset", "/watch", "/baseline", "/web/reset"})
"""What starts an episode, beside the WebSocket."""

Handler = Callable[[int, FrameType | None], Any]
log = logging.getLogger(__name__)


class Drain:
    """Whether this process is about to stop.

    Args:
        seconds: Longest wait for running episodes.
        runtime: The sessions of this process.
    """

    def __init__(self, seconds: float, runtime: Runtime) -> None:
        self.seconds = seconds
        self.runtime = runtime
        self.on = False
        self.others: Callable[[], int] = int
        """Number of running episodes, beside those of sessions, that would be lost."""
        self._then: Handler | None = None
        self._waiting: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """Number of running episodes that would be lost."""
        return self.runtime.running + self.others()

    async def install(self) -> None:
        """Take SIGTERM from now on. The handler that there was gets it when all episodes have ended.

        Works with whatever runs the app. Does nothing beside the main thread, where Python handles signals.
        """
        if threading.current_thread() is not threading.main_thread() or self.seconds == 0:
            return
        before = signal.getsignal(signal.SIGTERM)
        if not callable(before):
            return
        self._then = before
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, lambda *told: loop.call_soon_threadsafe(self.begin, *told))

    async def uninstall(self) -> None:
        """Give SIGTERM back."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._then is not None:
            signal.signal(signal.SIGTERM, self._then)
            self._then = None

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Begin to drain; asked a second time, stop at once."""
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
            await asyncio.sleep(LOOK_SECONDS)
        if left := self.running:
            log.warning("Stopping with %d running episodes.", left)
        self._stop(number, frame)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._then is not None:
            with suppress(KeyboardInterrupt):
                self._then(number, frame)


class DrainMiddleware:
    """ASGI middleware that refuses new episodes and new WebSockets while the server drains.

    Args:
        app: The app.
        drain: Whether it does.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 503."""
        if self._drain.on and self._begins(scope):
            await deny(error_response("draining", STOPPING), scope, receive, send)
        else:
            await self.app(scope, receive, send)

    @staticmethod
    def _begins(scope: Scope) -> bool:
        if scope["type"] == "websocket":
            return True
        return scope["type"] == "http" and scope["method"] == "POST" and path_of(scope) in BEGINNINGS
