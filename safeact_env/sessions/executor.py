"""Work on a store beside an event loop: at once if the store never waits, else in a few threads.

Owns order and patience. Must not know what the work is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from safeact_env.sessions.errors import SessionError, StoreUnavailable
from safeact_env.sessions.service import SessionService

__all__ = ["EPISODE", "Executor"]

EPISODE: ContextVar[str | None] = ContextVar("episode", default=None)
"""Id of the episode that the present request is about, once that is known; for whoever writes logs."""

THREADS = 8
PATIENCE_SECONDS = 5.0
"""Work that could not begin for so long is refused: whoever asked has gone, or will ask again."""
TICK_SECONDS = 15.0
LEASE_SECONDS = 30.0

T = TypeVar("T")
log = logging.getLogger(__name__)


class Executor:
    """Runs work of a service. Work on one episode is done in order of arrival, one at a time.

    Args:
        service: The service.
    """

    def __init__(self, service: SessionService) -> None:
        self._service = service
        self._blocking = service.store.blocking
        self._pool = ThreadPoolExecutor(THREADS, "store") if self._blocking else None
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._look: asyncio.Task[Any] | None = None
        self._keeping_house: asyncio.Task[None] | None = None
        self._failing = False

    async def run(self, episode_id: str | None, work: Callable[[], T]) -> T:
        """Do work on an episode, or on none. It is done to its end, also if the caller is cancelled.

        What is made of a session belongs into the work: after it, the next one may change the session.

        Raises:
            SessionError: As the work does; `store_unavailable` also if the work could not begin for long.
        """
        if episode_id is not None:
            EPISODE.set(episode_id)
        if not self._blocking:
            return work()
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(episode_id, work)))

    async def peek(self, work: Callable[[], T], seconds: float) -> T | None:
        """The result of work that only looks, or `None` if it fails or takes longer than so many seconds."""
        if not self._blocking:
            return work()
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(self._in_turn(None, work))
            self._look.add_done_callback(lambda look: look.cancelled() or look.exception())
        done, _ = await asyncio.wait({self._look}, timeout=seconds)
        failed = not done or self._look.cancelled() or self._look.exception() is not None
        return None if failed else self._look.result()

    @asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[bool]:
        """A lease among all processes that share the store; whether it was to be had."""
        store, holder = self._service.store, secrets.token_hex(8)
        taken = await self.run(None, lambda: store.take(name, holder, LEASE_SECONDS))
        if not taken:
            yield False
            return
        renewing = asyncio.ensure_future(
            self._every(LEASE_SECONDS / 3, lambda: store.take(name, holder, LEASE_SECONDS))
        )
        try:
            yield True
        finally:
            renewing.cancel()
            with contextlib.suppress(StoreUnavailable):  # it lapses then
                await self.run(None, lambda: store.give_back(name, holder))

    async def start(self) -> None:
        """Keep house from now on: let time pass in the store, and forget what has expired."""
        self._keeping_house = asyncio.ensure_future(self._every(TICK_SECONDS, self._service.tick))

    async def stop(self) -> None:
        """Wait for what is under way, and close the store."""
        if self._keeping_house is not None:
            self._keeping_house.cancel()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._service.close()

    async def _every(self, seconds: float, work: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(seconds)
            with contextlib.suppress(StoreUnavailable):
                await self.run(None, work)

    async def _in_turn(self, episode_id: str | None, work: Callable[[], T]) -> T:
        asked = time.monotonic()
        if episode_id is None:
            return await self._in_thread(work, asked)
        lock = self._locks.setdefault(episode_id, asyncio.Lock())
        async with lock:
            return await self._in_thread(work, asked)

    async def _in_thread(self, work: Callable[[], T], asked: float) -> T:
        def patient() -> T:
            if time.monotonic() - asked > PATIENCE_SECONDS:
                raise StoreUnavailable("too much work is waiting for the store")
            return work()

        try:
            result = await asyncio.get_running_loop().run_in_executor(self._pool, patient)
        except StoreUnavailable as error:
            self._service.observer.store_failed()
            if not self._failing:
                log.error("The store of episodes fails. %s", error.reason)
            self._failing = True
            raise
        except SessionError:
            self._answers()
            raise
        self._answers()
        return result

    def _answers(self) -> None:
        if self._failing:
            log.warning("The store of episodes answers again.")
        self._failing = False
