"""Serves on a broken store, which the chaos check must catch.

Each store breaks one promise of `Store` as a careless implementation would.
"""

import sys
import threading
import time
from functools import partial

import uvicorn

from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.stores.base import Clock, Limits, Log
from safeact_env.sessions.stores.sqlite import SQLiteStore
from safeact_env.sessions.stores.uptime import SECOND, Look, Uptime


class Forgetful(SQLiteStore):
    """Acknowledges an append before it writes it."""

    def append(self, episode_id: str, expected: str, entry: bytes, head: str, *, last: bool) -> Log | None:
        """Write it a moment later."""

        def write() -> None:
            time.sleep(0.3)
            super(Forgetful, self).append(episode_id, expected, entry, head, last=last)

        threading.Thread(target=write, daemon=True).start()
        return None


class Blind(SQLiteStore):
    """Ignores the log that an entry was made for."""

    def append(self, episode_id: str, expected: str, entry: bytes, head: str, *, last: bool) -> Log | None:
        """Append to the log as it is."""
        log = self.load(episode_id)
        found = expected if log is None else log.head
        return super().append(episode_id, found, entry, head, last=last)


class Leaky(SQLiteStore):
    """Keeps the slot of an episode that is over."""

    def append(self, episode_id: str, expected: str, entry: bytes, head: str, *, last: bool) -> Log | None:
        """Append without ending the episode."""
        return super().append(episode_id, expected, entry, head, last=False)


class _Wall(Uptime):
    """Follows the clock, jumps included."""

    def look(self) -> Look:
        return super().look()._replace(proposed=int(self._clock() * SECOND))


class Believing(SQLiteStore):
    """Trusts a clock that may jump."""

    def __init__(self, path: str, limits: Limits, clock: Clock) -> None:
        super().__init__(path, limits, clock)
        self._uptime = _Wall(clock)


BROKEN_STORES: dict[str, type[SQLiteStore]] = {
    one.__name__.lower(): one for one in (Forgetful, Blind, Leaky, Believing)
}


def main(arguments: list[str]) -> None:
    """Serve on a port, with a broken store in a file."""
    name, path, port = arguments
    service = SessionService(make_store=partial(BROKEN_STORES[name], path))
    uvicorn.run(create_app(Settings(), service), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1:])
