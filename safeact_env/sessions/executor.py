"""Runs work on a store: directly if the store never blocks, else in a few threads beside the event loop.

Owns the lock of each episode, and how long work may wait. Must not know what the work is.
"""

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

EPISODE: ContextVar[str | None] = ContextVar("episode", default=None)
"""Id of the episode that the present request is about, once it is known; for log lines."""

THREADS = 8
MAX_WAIT_SECONDS = 5.0
"""Work that waits longer is refused: its client has gone, or will try again."""
TICK_SECONDS = 15.0
LEASE_SECONDS = 30.0

T = TypeVar("T")
log = logging.getLogger(__name__)


class Executor:
    """Runs work of a service. Work on one episode runs in order of arrival, one at a time.

    Args:
        service: The service.
    """

    def __init__(self, service: SessionService) -> None:
        self._service = service
        self._blocking = service.store.blocking
        self._pool = ThreadPoolExecutor(THREADS, "store") if self._blocking else None
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._peeking: asyncio.Task[Any] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._failing = False

    async def run(self, episode_id: str | None, work: Callable[[], T]) -> T:
        """Run work on an episode, or on none. The work runs to its end even if the caller is cancelled.

        The work must not return a session: as soon as it ends, the next work may change that session.

        Raises:
            SessionError: As the work does; also `store_unavailable` if the work waited too long.
        """
        if episode_id is not None and EPISODE.get() is None:
            EPISODE.set(episode_id)
        if not self._blocking:
            return work()
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(episode_id, work)))

    async def peek(self, work: Callable[[], T], seconds: float) -> T | None:
        """The result of work that only reads; `None` if it fails or takes longer than these seconds."""
        if not self._blocking:
            return work()
        if self._peeking is None or self._peeking.done():
            self._peeking = asyncio.ensure_future(self._in_turn(None, work))
            self._peeking.add_done_callback(lambda done: done.cancelled() or done.exception())
        done, _ = await asyncio.wait({self._peeking}, timeout=seconds)
        failed = not done or self._peeking.cancelled() or self._peeking.exception() is not None
        return None if failed else self._peeking.result()

    @asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[bool]:
        """Hold a lease among all processes that share the store. Yields whether it was free."""
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
            with contextlib.suppress(StoreUnavailable):  # the lease expires by itself
                await self.run(None, lambda: store.give_back(name, holder))

    async def start(self) -> None:
        """Begin to tick: let time pass in the store, and delete expired episodes."""
        self._ticking = asyncio.ensure_future(self._every(TICK_SECONDS, self._service.tick))

    async def stop(self) -> None:
        """Wait for the running work, and close the store."""
        if self._ticking is not None:
            self._ticking.cancel()
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
        def in_time() -> T:
            if time.monotonic() - asked > MAX_WAIT_SECONDS:
                raise StoreUnavailable("too much work is waiting for the store")
            return work()

        try:
            result = await asyncio.get_running_loop().run_in_executor(self._pool, in_time)
        except StoreUnavailable as error:
            self._service.observer.store_failed()
            if not self._failing:
                log.error("The store of episodes fails. %s", error.reason)
            self._failing = True
            raise
        except SessionError:
            self._note_answer()
            raise
        self._note_answer()
        return result

    def _note_answer(self) -> None:
        if self._failing:
            log.warning("The store of episodes answers again.")
        self._failing = False
