"""Stores of episode logs: in memory, in an SQLite file, in Redis.

Owns the choice of a store by its URL. Must not know episodes.
"""

from functools import partial
from importlib.util import find_spec

from safeact_env.sessions.stores.base import StoreMaker
from safeact_env.sessions.stores.memory import MemoryStore

MEMORY = "memory"
SQLITE = "sqlite:///"
REDIS = ("redis://", "rediss://", "unix://")


def store_maker(url: str) -> StoreMaker:
    """A function that makes the store of a URL. Nothing is opened yet.

    Args:
        url: `memory`; `sqlite:///FILE`, with four slashes for an absolute path; or a Redis URL.

    Raises:
        ValueError: If the URL is none of these, or the client of Redis is not installed.
    """
    if url == MEMORY:
        return MemoryStore
    if url.startswith(SQLITE) and url != SQLITE:
        from safeact_env.sessions.stores.sqlite import SQLiteStore

        return partial(SQLiteStore, url.removeprefix(SQLITE))
    if url.startswith(REDIS):
        if find_spec("redis") is None:
            raise ValueError("Redis needs its client: pip install 'openenv-safeact-env[redis]'")
        from safeact_env.sessions.stores.redis import RedisStore

        return partial(RedisStore, url)
    raise ValueError(
        "must be memory, sqlite:///FILE (sqlite:////var/lib/... for an absolute path), or a URL such as "
        "redis://host:6379/0"
    )
