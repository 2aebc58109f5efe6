"""The stores under test. Redis is a real one, on a free port."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from safeact_env.sessions.errors import SessionError
from safeact_env.sessions.stores.base import Clock, Limits, Store, StoreMaker
from safeact_env.sessions.stores.memory import MemoryStore
from safeact_env.sessions.stores.sqlite import SQLiteStore
from tools.servers.local_servers import Redis

KINDS = ("memory", "sqlite", "redis")
SHARED = ("sqlite", "redis")


def code(call: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    """The error code with which a call is refused."""
    with pytest.raises(SessionError) as caught:
        call(*args, **kwargs)
    assert caught.value.message
    return caught.value.code


class HandClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Place:
    """Where logs lie. Every call of `store` is another process's view of the same logs."""

    def __init__(self, kind: str, make: Callable[..., Store]) -> None:
        self.kind = kind
        self._make = make
        self._made: list[Store] = []

    def maker(self, twin: Callable[[type[Any]], type[Any]] | None = None) -> StoreMaker:
        """What makes a store here; `twin` makes a broken one of its class."""

        def make(limits: Limits, clock: Clock) -> Store:
            if self.kind == "memory" and self._made:
                return self._made[0]
            made = self._make
            if twin is not None:
                made = partial(twin(made.func), *made.args) if isinstance(made, partial) else twin(made)
            self._made.append(made(limits, clock))
            return self._made[-1]

        return make

    def close(self) -> None:
        for store in self._made:
            store.close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    if not Redis.installed():
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    """Makes an empty place for a kind of store."""
    places = []

    def place(kind: str) -> Place:
        make: Callable[..., Store] = MemoryStore
        if kind == "sqlite":
            make = partial(SQLiteStore, str(tmp_path / f"{len(places)}.db"))
        elif kind == "redis":
            from safeact_env.sessions.stores.redis import RedisStore

            server: Redis = request.getfixturevalue("redis_server")
            emptied = RedisStore(server.store, Limits())
            emptied._redis.flushdb()
            emptied.close()
            make = partial(RedisStore, server.store)
        places.append(Place(kind, make))
        return places[-1]

    yield place
    for one in places:
        one.close()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, place_of: Callable[[str], Place]) -> Place:
    return place_of(request.param)


@pytest.fixture(params=SHARED)
def shared_place(request: pytest.FixtureRequest, place_of: Callable[[str], Place]) -> Place:
    return place_of(request.param)
