"""Logs in Redis, for several machines.

Owns the keys. Must not know episodes. Every operation is one atomic script. A full or read-only Redis refuses
the first write of a script and thereby the whole script. Only the notes of time and use are exempt (`pcall`):
without them a log can still be read. The durability of an append is a setting of Redis: with `appendfsync
always` it is on the disk before it is acknowledged. Redis must not evict keys (`noeviction`). Keys do not
expire by Redis' own clock, which follows the wall clock.

All keys share one hash tag, so that a cluster keeps them together:

    {safeact}:log:ID       hash: start, head, serial, client
    {safeact}:entries:ID   list of entries
    {safeact}:live         sorted set of unfinished ids by last use; {safeact}:ended of finished ones by end
    {safeact}:live:CLIENT  set of a client's unfinished ids; {safeact}:ended:CLIENT likewise as sorted set
    {safeact}:time         the store's time, in microseconds; {safeact}:serial counts episodes
    {safeact}:lease:NAME   hash: holder, until
"""

import time
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from safeact_env.sessions.errors import StoreUnavailable
from safeact_env.sessions.stores.base import Clock, Full, Limits, Log, NoSuchEpisode, OwnFull, Start
from safeact_env.sessions.stores.uptime import SECOND, Uptime

TIMEOUT_SECONDS = 2.0
"""Longest wait for a connection, and for an answer."""
CHECKED_AFTER_SECONDS = 15
"""A connection that was idle for longer is tested before it is used."""

COMMON = """
local P = '{safeact}:'
local proposed, idle, keep = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local id = ARGV[4]
local now = math.max(tonumber(redis.call('GET', P .. 'time') or '0') + 1, proposed)
redis.pcall('SET', P .. 'time', string.format('%.0f', now))

local function forget(one)
  local client = redis.call('HGET', P .. 'log:' .. one, 'client')
  if client then
    redis.call('SREM', P .. 'live:' .. client, one)
    redis.call('ZREM', P .. 'ended:' .. client, one)
  end
  redis.call('DEL', P .. 'log:' .. one, P .. 'entries:' .. one)
  redis.call('ZREM', P .. 'live', one)
  redis.call('ZREM', P .. 'ended', one)
end

local function purge(most)
  for set, span in pairs({live = idle, ended = keep}) do
    for _, one in ipairs(redis.call('ZRANGEBYSCORE', P .. set, '-inf', now - span, 'LIMIT', 0, most)) do
      forget(one)
    end
  end
end

local function kept()
  for set, span in pairs({live = idle, ended = keep}) do
    local used = redis.call('ZSCORE', P .. set, id)
    if used and tonumber(used) > now - span and redis.call('EXISTS', P .. 'log:' .. id) == 1 then
      return set
    end
  end
end

local function live()
  return redis.call('ZCOUNT', P .. 'live', '(' .. string.format('%.0f', now - idle), '+inf')
end

local function answer(word)
  return {now, word}
end

local function log()
  local fields = redis.call('HMGET', P .. 'log:' .. id, 'start', 'head')
  return {now, 'log', fields[1], fields[2], redis.call('LRANGE', P .. 'entries:' .. id, 0, -1)}
end
"""

SCRIPTS = {
    "create": """
local start, head, client = ARGV[5], ARGV[6], ARGV[7]
local most, most_each, most_ended = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
purge(100)
if kept() then return log() end
local crowded = redis.call('ZCARD', P .. 'ended') >= most_ended
if live() >= most or crowded and redis.call('ZCARD', P .. 'ended:' .. client) == 0 then
  return answer('full')
end
if redis.call('SCARD', P .. 'live:' .. client) >= most_each then return answer('own') end
if redis.call('EXISTS', P .. 'log:' .. id) == 1 then forget(id) end
local serial = redis.call('INCR', P .. 'serial')
redis.call('HSET', P .. 'log:' .. id, 'start', start, 'head', head, 'serial', serial, 'client', client)
redis.call('ZADD', P .. 'live', now, id)
redis.call('SADD', P .. 'live:' .. client, id)
return answer('done')
""",
    "load": """
local set = kept()
if not set then return answer('none') end
if set == 'live' then redis.pcall('ZADD', P .. 'live', now, id) end
return log()
""",
    "append": """
local expected, entry, head, last = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local most, most_each = tonumber(ARGV[9]), tonumber(ARGV[10])
local set = kept()
if not set then return answer('none') end
if set == 'ended' or redis.call('HGET', P .. 'log:' .. id, 'head') ~= expected then return log() end
redis.call('RPUSH', P .. 'entries:' .. id, entry)
redis.call('HSET', P .. 'log:' .. id, 'head', head)
if last == '1' then
  redis.call('ZREM', P .. 'live', id)
  redis.call('ZADD', P .. 'ended', now, id)
  local client = redis.call('HGET', P .. 'log:' .. id, 'client')
  local own = P .. 'ended:' .. client
  redis.call('SREM', P .. 'live:' .. client, id)
  redis.call('ZADD', own, now, id)
  -- As Limits.keepable.
  local keep_own = redis.call('ZCARD', own)
  if redis.call('ZCARD', P .. 'ended') > most then keep_own = keep_own - 1 end
  keep_own = math.max(1, math.min(keep_own, most_each))
  for _, one in ipairs(redis.call('ZRANGE', own, 0, -(keep_own + 1))) do forget(one) end
else
  redis.call('ZADD', P .. 'live', now, id)
end
return answer('done')
""",
    "delete": """
local set = kept()
forget(id)
return answer(set and 'done' or 'none')
""",
    "live": """
return {now, live()}
""",
    "sole": """
if live() ~= 1 then return answer('') end
local only = redis.call('ZREVRANGE', P .. 'live', 0, 0)[1]
if redis.call('HGET', P .. 'log:' .. only, 'serial') ~= redis.call('GET', P .. 'serial') then
  return answer('')
end
return answer(only)
""",
    "tick": """
purge(500)
return answer('done')
""",
    "take": """
local key, holder, span = P .. 'lease:' .. id, ARGV[5], tonumber(ARGV[6])
local other, until_ = unpack(redis.call('HMGET', key, 'holder', 'until'))
if other and other ~= holder and tonumber(until_) > now then return answer('none') end
redis.call('HSET', key, 'holder', holder, 'until', string.format('%.0f', now + span))
return answer('done')
""",
    "give_back": """
local key = P .. 'lease:' .. id
if redis.call('HGET', key, 'holder') == ARGV[5] then redis.call('DEL', key) end
return answer('done')
""",
}


class RedisStore:
    """Logs in Redis. Connections are opened when they are needed, and reopened if they break.

    Args:
        url: A URL such as `redis://host:6379/0`.
        limits: How much is kept.
        clock: Seconds. It may jump.
    """

    blocking = True

    def __init__(self, url: str, limits: Limits, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._uptime = Uptime(clock)
        try:
            self._redis = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                health_check_interval=CHECKED_AFTER_SECONDS,
                # One retry, as a connection may have died while it was idle. It is safe: every append has its
                # own head, so the second attempt sees that the first one succeeded.
                retry=Retry(NoBackoff(), 1),
                protocol=2,
            )
        except ValueError as error:
            raise StoreUnavailable(f"not a URL of Redis: {error}") from error
        self._scripts: dict[str, Any] = {
            name: self._redis.register_script(COMMON + body) for name, body in SCRIPTS.items()
        }

    def create(self, start: Start, head: str) -> Log | None:
        """Start a log."""
        limits = self._limits
        most = (limits.max_live, limits.max_live_each, limits.max_finished)
        answer = self._run("create", start.id, start.encode(), head, start.client, *most)
        if answer[0] == b"own":
            raise OwnFull
        if answer[0] == b"full":
            raise Full
        return _other(answer, start.id, head)

    def load(self, episode_id: str) -> Log | None:
        """The log with this id."""
        answer = self._run("load", episode_id)
        return None if answer[0] == b"none" else _log(answer, episode_id)

    def append(self, episode_id: str, expected: str, entry: bytes, head: str, *, last: bool) -> Log | None:
        """Add an entry if the log's head is the expected one."""
        most = (self._limits.max_finished, self._limits.max_finished_each)
        answer = self._run("append", episode_id, expected, entry, head, int(last), *most)
        if answer[0] == b"none":
            raise NoSuchEpisode
        return _other(answer, episode_id, head)

    def delete(self, episode_id: str) -> bool:
        """Delete an episode."""
        return bool(self._run("delete", episode_id)[0] == b"done")

    def live(self) -> int:
        """Number of unfinished episodes."""
        return int(self._run("live")[0])

    def sole(self) -> str | None:
        """The id of the only unfinished episode, if no other was started after it."""
        return self._run("sole")[0].decode() or None

    def tick(self) -> None:
        """Let time pass, and delete expired episodes."""
        self._run("tick")

    def take(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease."""
        return bool(self._run("take", name, holder, int(seconds * SECOND))[0] == b"done")

    def give_back(self, name: str, holder: str) -> None:
        """Give a lease back."""
        self._run("give_back", name, holder)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _run(self, script: str, key: str = "", *arguments: str | bytes | int) -> list[Any]:
        limits = self._limits
        spans = (int(limits.idle_seconds * SECOND), int(limits.keep_finished_seconds * SECOND))
        look = self._uptime.look()
        try:
            answer: list[Any] = self._scripts[script](args=[look.proposed, *spans, key, *arguments])
        except (redis.RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis: {type(error).__name__}: {error}") from error
        self._uptime.answered(look, answer[0])
        return answer[1:]


def _log(answer: list[Any], episode_id: str) -> Log:
    _word, start, head, entries = answer
    return Log(Start.decode(episode_id, start), head.decode(), tuple(entries))


def _other(answer: list[Any], episode_id: str, head: str) -> Log | None:
    """The log that is in the way, unless it is the result of our own earlier attempt."""
    if answer[0] == b"done":
        return None
    log = _log(answer, episode_id)
    return None if log.head == head else log
