"""What every store promises, on all three of them; and broken stores, which these checks catch."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest

from safeact_env.sessions.errors import StoreUnavailable
from safeact_env.sessions.stores import store_maker
from safeact_env.sessions.stores.base import (
    Full,
    Limits,
    NoSuchEpisode,
    OwnFull,
    Start,
    Store,
    Wanted,
    new_head,
)
from safeact_env.sessions.stores.memory import MemoryStore
from safeact_env.sessions.stores.sqlite import SQLiteStore
from safeact_env.sessions.stores.uptime import LONGEST_SECONDS, SECOND, Uptime
from tests.sessions.conftest import KINDS, HandClock, Place

LIMITS = Limits(
    max_live=3,
    max_finished=3,
    idle_seconds=100,
    keep_finished_seconds=50,
    max_live_each=2,
    max_finished_each=2,
)


def start(name: str = "a", seed: int = 7, client: str | None = None) -> Start:
    """An episode, by default of a client of its own."""
    who = (name if client is None else client, f"secret of {name}", f"name of {name}")
    return Start(name, "1.0.0", "easy", 1, "train", seed, Wanted("easy", "train", None), *who)


def begun(store: Store, name: str = "a", client: str | None = None) -> str:
    head = new_head()
    try:
        assert store.create(start(name, client=client), head) is None
    except Full:
        pytest.fail(f"there was no room for {name}")
    return head


def add(store: Store, name: str, expected: str, entry: bytes = b"step", *, last: bool = False) -> str:
    head = new_head()
    assert store.append(name, expected, entry, head, last=last) is None
    return head


def finished(store: Store, name: str, client: str | None = None) -> None:
    add(store, name, begun(store, name, client), last=True)


def entries(store: Store, name: str = "a") -> list[bytes]:
    log = store.load(name)
    assert log is not None
    return list(log.entries)


def pass_time(clock: HandClock, seconds: float, *stores: Store) -> None:
    """Time as it passes for a server: in small steps, with the stores being ticked."""
    until = clock.now + seconds
    while clock.now < until:
        clock.now = min(clock.now + LONGEST_SECONDS / 4, until)
        for store in stores:
            store.tick()


# The checks: two views of one place, as two processes have them -------------------------------------------


def keeps_what_it_acknowledged(one: Store, two: Store, _clock: HandClock) -> None:
    head = begun(one)
    written = [
        b"[]",
        '["日本語 \U0001f9f7",{"a":1.5},"\\u0000",null]'.encode(),
        b"x" * 70_000,
        *(b"step %d" % n for n in range(40)),
    ]
    for number, entry in enumerate(written):
        head = add((one, two)[number % 2], "a", head, entry)
    for store in (one, two):
        log = store.load("a")
        assert log is not None
        assert (log.start, log.head, list(log.entries)) == (start(), head, written)


def begins_an_id_once(one: Store, two: Store, _clock: HandClock) -> None:
    head = begun(one)
    add(two, "a", head, b"first")
    there = two.create(start(seed=8), new_head())
    assert there is not None
    assert (there.start, there.entries) == (start(), (b"first",))
    assert entries(one) == [b"first"]


def appends_to_the_expected_head_only(one: Store, two: Store, _clock: HandClock) -> None:
    head = begun(one)
    newer = add(one, "a", head, b"first")
    there = two.append("a", head, b"second", new_head(), last=False)
    assert there is not None
    assert (there.head, there.entries) == (newer, (b"first",))
    assert entries(one) == [b"first"]


def appends_nothing_after_the_end(one: Store, two: Store, _clock: HandClock) -> None:
    head = add(one, "a", begun(one), b"end", last=True)
    there = two.append("a", head, b"more", new_head(), last=True)
    assert there is not None
    assert entries(one) == entries(two) == list(there.entries) == [b"end"]


def knows_what_is_not_there(one: Store, two: Store, _clock: HandClock) -> None:
    assert one.load("a") is None
    assert not two.delete("a")
    with pytest.raises(NoSuchEpisode):
        one.append("a", new_head(), b"step", new_head(), last=False)


def forgets_what_is_deleted(one: Store, two: Store, _clock: HandClock) -> None:
    head = add(one, "a", begun(one), b"old")
    assert two.delete("a")
    assert one.load("a") is None
    newer = begun(two)
    there = one.append("a", head, b"stray", new_head(), last=False)
    assert there is not None
    assert (there.head, there.entries) == (newer, ())
    assert entries(two) == []


def bounds_unfinished_ones(one: Store, two: Store, _clock: HandClock) -> None:
    heads = {name: begun(store, name) for name, store in zip("abc", (one, two, one), strict=True)}
    assert one.live() == two.live() == 3
    for store in (one, two):
        with pytest.raises(Full):
            store.create(start("d"), new_head())
    there = two.create(start("a"), new_head())
    assert there is not None, "one that is there is no further one"
    add(one, "a", heads["a"], last=True)
    two.delete("b")
    assert one.live() == two.live() == 1
    begun(one, "d")
    begun(two, "e")
    assert one.live() == 3


def bounds_each_clients_unfinished_ones(one: Store, two: Store, clock: HandClock) -> None:
    heads = {name: begun(store, name, "flood") for name, store in zip("ab", (one, two), strict=True)}
    for store in (one, two):
        with pytest.raises(OwnFull):
            store.create(start("c", client="flood"), new_head())
    begun(one, "d", "other")
    assert one.delete("d")
    for end in ("a finished one", "a deleted one", "an expired one"):
        if end == "a finished one":
            add(two, "a", heads["a"], last=True)
        elif end == "a deleted one":
            one.delete("b")
        else:
            pass_time(clock, 101, one, two)
        begun(one, end, "flood")
    assert two.live() == 1


def bounds_each_clients_finished_ones(one: Store, two: Store, _clock: HandClock) -> None:
    finished(one, "mine", "other")
    for name, store in zip("zyx", (one, two, one), strict=True):
        finished(store, name, "flood")
    assert one.load("z") is None, "its own oldest"
    assert None not in (one.load("mine"), two.load("y"), two.load("x"))


def takes_nobodys_room_for_another(one: Store, two: Store, clock: HandClock) -> None:
    for name in "zyx":
        finished(one, name)
    for store in (one, two):
        with pytest.raises(Full):
            store.create(start("w"), new_head())
    finished(two, "again", "z")
    assert one.load("z") is None, "its own makes way"
    assert None not in (one.load("y"), two.load("x"), one.load("again"))
    pass_time(clock, 51, one, two)
    begun(two, "w")


def forgets_idle_ones_and_keeps_used_ones(one: Store, two: Store, clock: HandClock) -> None:
    heads = {name: begun(one, name) for name in "abc"}
    pass_time(clock, 60, one, two)
    add(two, "a", heads["a"])
    assert two.load("b") is not None
    pass_time(clock, 45, one, two)
    assert one.load("c") is None
    assert one.live() == two.live() == 2
    pass_time(clock, 101, one, two)
    assert one.live() == 0
    with pytest.raises(NoSuchEpisode):
        two.append("a", heads["a"], b"step", new_head(), last=False)
    begun(one, "a")


def forgets_finished_ones_by_their_end(one: Store, two: Store, clock: HandClock) -> None:
    finished(one, "a")
    for seconds in (20, 20, 9):
        pass_time(clock, seconds, one, two)
        assert one.load("a") is not None
    pass_time(clock, 2, one, two)
    assert two.load("a") is None


def names_the_sole_one(one: Store, two: Store, _clock: HandClock) -> None:
    assert one.sole() is None
    heads = {"a": begun(one, "a")}
    assert one.sole() == two.sole() == "a"
    heads["b"] = begun(two, "b")
    assert one.sole() is None
    add(one, "b", heads["b"], last=True)
    assert one.sole() is two.sole() is None, "a is the only one, but not the newest"
    two.delete("a")
    assert one.sole() is None


def leases_to_one_at_a_time(one: Store, two: Store, clock: HandClock) -> None:
    assert one.take("baseline", "first", 30)
    assert not two.take("baseline", "second", 30)
    assert two.take("other", "second", 30)
    pass_time(clock, 20, one, two)
    assert one.take("baseline", "first", 30), "a renewal"
    pass_time(clock, 20, one, two)
    assert not two.take("baseline", "second", 30)
    two.give_back("baseline", "second")
    assert not two.take("baseline", "second", 30), "it was not the second's to give back"
    one.give_back("baseline", "first")
    assert two.take("baseline", "second", 30)
    pass_time(clock, 31, one, two)
    assert one.take("baseline", "first", 30), "a holder that died holds it no longer"


def _race(barrier: threading.Barrier, expected: str, entry: bytes, store: Store, head: str) -> bool:
    barrier.wait()
    return store.append("a", expected, entry, head, last=False) is None


def lets_one_of_many_win(one: Store, two: Store, _clock: HandClock) -> None:
    head = begun(one)
    stores = [one, two] * 4
    for round_ in range(10):
        new = [new_head() for _ in stores]
        barrier = threading.Barrier(len(stores) if one.blocking else 1)

        together = partial(_race, barrier, head, b"round %d" % round_)
        # A store that does not block is for one thread.
        with ThreadPoolExecutor(barrier.parties) as threads:
            won = list(threads.map(together, stores, new))
        assert sum(won) == 1
        head = new[won.index(True)]
    assert len(entries(one)) == 10


CHECKS: dict[str, Callable[[Store, Store, HandClock], None]] = {
    check.__name__: check
    for check in (
        *(keeps_what_it_acknowledged, begins_an_id_once, appends_to_the_expected_head_only),
        *(appends_nothing_after_the_end, knows_what_is_not_there, forgets_what_is_deleted),
        *(bounds_unfinished_ones, bounds_each_clients_unfinished_ones, bounds_each_clients_finished_ones),
        *(takes_nobodys_room_for_another, forgets_idle_ones_and_keeps_used_ones),
        *(forgets_finished_ones_by_their_end, names_the_sole_one, leases_to_one_at_a_time),
        lets_one_of_many_win,
    )
}


@pytest.mark.parametrize("check", CHECKS)
def test_every_store(check: str, place: Place, clock: HandClock) -> None:
    make = place.maker()
    CHECKS[check](make(LIMITS, clock), make(LIMITS, clock), clock)


# Broken stores --------------------------------------------------------------------------------------------


def forgetful(store: type[Any]) -> type[Any]:
    """Acknowledges an append that it never writes."""

    class Forgetful(store):  # type: ignore[misc]
        def append(self, *args: Any, **kwargs: Any) -> None:
            return None

    return Forgetful


def blind(store: type[Any]) -> type[Any]:
    """Appends to whatever is there, whatever was expected."""

    class Blind(store):  # type: ignore[misc]
        def append(self, name: str, expected: str, entry: bytes, head: str, *, last: bool) -> Any:
            log = self.load(name)
            return super().append(name, log.head if log else expected, entry, head, last=last)

    return Blind


def hasty(store: type[Any]) -> type[Any]:
    """Looks whether an id is free, and takes it later."""

    class Hasty(store):  # type: ignore[misc]
        def create(self, start: Start, head: str) -> Any:
            self.delete(start.id)
            return super().create(start, head)

    return Hasty


def boundless(store: type[Any]) -> type[Any]:
    class Boundless(store):  # type: ignore[misc]
        def __init__(self, *args: Any) -> None:
            *rest, limits, clock = args
            each = {"max_live_each": 99, "max_finished_each": 99}
            super().__init__(*rest, replace(limits, max_live=99, max_finished=99, **each), clock)

    return Boundless


def clientless(store: type[Any]) -> type[Any]:
    """Gives the room of all to whoever comes last."""

    class Clientless(store):  # type: ignore[misc]
        def create(self, start: Start, head: str) -> Any:
            return super().create(replace(start, client=""), head)

    return Clientless


def eternal(store: type[Any]) -> type[Any]:
    class Eternal(store):  # type: ignore[misc]
        def __init__(self, *args: Any) -> None:
            *rest, limits, clock = args
            super().__init__(*rest, replace(limits, idle_seconds=1e6, keep_finished_seconds=1e6), clock)

    return Eternal


def guessing(store: type[Any]) -> type[Any]:
    class Guessing(store):  # type: ignore[misc]
        def sole(self) -> str | None:
            return "a" if self.load("a") else None

    return Guessing


def generous(store: type[Any]) -> type[Any]:
    class Generous(store):  # type: ignore[misc]
        def take(self, *_args: Any) -> bool:
            return True

    return Generous


def undeleted(store: type[Any]) -> type[Any]:
    class Undeleted(store):  # type: ignore[misc]
        def delete(self, name: str) -> bool:
            return self.load(name) is not None

    return Undeleted


TWINS = {
    forgetful: {
        "keeps_what_it_acknowledged",
        "appends_to_the_expected_head_only",
        "knows_what_is_not_there",
        "lets_one_of_many_win",
    },
    blind: {"appends_to_the_expected_head_only", "forgets_what_is_deleted", "lets_one_of_many_win"},
    hasty: {"begins_an_id_once", "bounds_unfinished_ones"},
    boundless: {
        "bounds_unfinished_ones",
        "bounds_each_clients_unfinished_ones",
        "bounds_each_clients_finished_ones",
        "takes_nobodys_room_for_another",
    },
    clientless: {
        "bounds_each_clients_unfinished_ones",
        "bounds_each_clients_finished_ones",
        "takes_nobodys_room_for_another",
    },
    eternal: {"forgets_idle_ones_and_keeps_used_ones", "forgets_finished_ones_by_their_end"},
    guessing: {"names_the_sole_one"},
    generous: {"leases_to_one_at_a_time"},
    undeleted: {"forgets_what_is_deleted"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("twin", "caught_by"), TWINS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_broken_store_is_caught(
    kind: str, twin: Any, caught_by: set[str], place_of: Callable[[str], Place], clock: HandClock
) -> None:
    missed = set()
    for check in caught_by:
        make = place_of(kind).maker(twin)
        try:
            CHECKS[check](make(LIMITS, clock), make(LIMITS, clock), clock)
        except (AssertionError, pytest.fail.Exception):
            continue
        missed.add(check)
    assert not missed


# Time -----------------------------------------------------------------------------------------------------


JUMPS = (7_200.0, -7_200.0, 1e9, -2e9, 3e8)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_jump_of_a_clock_neither_kills_nor_preserves(
    shared_place: Place, clock: HandClock, jump: float
) -> None:
    limits, sound = replace(LIMITS, idle_seconds=200), HandClock()
    make = shared_place.maker()
    one, two = make(limits, clock), make(limits, sound)
    begun(one, "used")
    begun(one, "idle")
    for _ in range(21):
        clock.now += 10
        sound.now += 10
        one.load("used")
        two.tick()
        if sound.now == 100:
            clock.now += jump
            one.tick()
            assert one.live() == two.live() == 2, "in use, or idle for less than its time"
    assert two.load("used") is not None
    assert two.load("idle") is None


def test_a_store_by_the_wall_clock_would_kill(clock: HandClock) -> None:
    """The broken twin: a store that believes a clock."""
    store = MemoryStore(LIMITS, clock)
    begun(store)
    clock.now += 7_200
    assert store.live() == 0


def test_no_time_passes_while_no_process_runs(shared_place: Place) -> None:
    make = shared_place.maker()
    first = HandClock()
    one = make(LIMITS, first)
    begun(one)
    pass_time(first, 60, one)
    one.close()
    after = HandClock()
    after.now = 1e6
    two = make(LIMITS, after)
    assert two.live() == 1
    pass_time(after, 90, two)
    assert two.load("a") is None


def test_an_outage_of_the_store_uses_up_nobodys_time(
    shared_place: Place, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    import redis

    store = shared_place.maker()(LIMITS, clock)
    begun(store)

    def down(*_args: Any, **_kwargs: Any) -> Any:
        raise sqlite3.OperationalError if shared_place.kind == "sqlite" else redis.ConnectionError

    with monkeypatch.context() as patch:
        if shared_place.kind == "sqlite":
            patch.setattr(store, "_db", Mock(execute=down, in_transaction=False))
        else:
            patch.setattr(store, "_scripts", dict.fromkeys(store._scripts, down))  # type: ignore[attr-defined]
        for _ in range(100):
            clock.now += 15
            with pytest.raises(StoreUnavailable):
                store.tick()
    assert store.live() == 1
    pass_time(clock, 101, store)
    assert store.live() == 0


def test_answers_that_overtake_each_other_do_not_make_time_pass_twice() -> None:
    clock = HandClock()
    uptime = Uptime(clock)
    for _ in range(100):
        first = uptime.look()
        clock.now += 0.25
        second = uptime.look()
        uptime.answered(second, second.proposed)
        uptime.answered(first, first.proposed)
        clock.now += 0.25
    assert uptime.look().proposed == pytest.approx(50 * SECOND, abs=10)


def test_two_processes_do_not_make_time_pass_twice(shared_place: Place, clock: HandClock) -> None:
    make = shared_place.maker()
    one, two = make(LIMITS, clock), make(LIMITS, clock)
    begun(one)
    pass_time(clock, 90, one, two)
    assert one.live() == 1
    pass_time(clock, 15, one, two)
    assert two.live() == 0


# SQLite ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 40, None])
def test_sqlite_refuses_what_is_not_its_file(tmp_path: Any, content: bytes | None) -> None:
    path = tmp_path / "other.db"
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE mine (a)")
        other.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable) as caught:
        SQLiteStore(str(path), LIMITS)
    assert str(path) in caught.value.reason
    assert str(path) not in caught.value.message
    assert path.read_bytes() == before


def test_sqlite_refuses_another_layout(tmp_path: Any) -> None:
    store = SQLiteStore(str(tmp_path / "a.db"), LIMITS)
    assert store._db is not None
    store._db.execute("PRAGMA user_version = 9")
    store.close()
    with pytest.raises(StoreUnavailable, match="store of episodes") as caught:
        SQLiteStore(str(tmp_path / "a.db"), LIMITS)
    assert "layout 9" in caught.value.reason


def test_sqlite_says_what_to_do_about_a_missing_directory(tmp_path: Any) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        SQLiteStore(str(tmp_path / "nowhere" / "a.db"), LIMITS)
    assert "its directory must exist" in caught.value.reason


def test_sqlite_acknowledges_nothing_that_does_not_fit(tmp_path: Any, clock: HandClock) -> None:
    path = str(tmp_path / "a.db")
    store, other = SQLiteStore(path, LIMITS, clock), SQLiteStore(path, LIMITS, clock)
    assert store._db is not None
    head = begun(store)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 4}")
    acknowledged: list[bytes] = []

    def fill() -> None:
        nonlocal head
        for number in range(1_000):
            entry = b"%04d" % number * 200
            head = add(store, "a", head, entry)
            acknowledged.append(entry)

    with pytest.raises(StoreUnavailable, match="the same request again"):
        fill()
    assert acknowledged
    assert entries(store) == entries(other) == acknowledged, "what is there can still be read"
    store._db.execute("PRAGMA max_page_count = 100000")
    add(store, "a", head, b"room again")
    assert entries(other) == [*acknowledged, b"room again"]
    store.close()
    other.close()


def test_sqlite_refuses_when_it_is_closed(tmp_path: Any) -> None:
    store = SQLiteStore(str(tmp_path / "a.db"), LIMITS)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.live()


def test_sqlite_gives_up_on_a_file_that_stays_locked(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeact_env.sessions.stores.sqlite.MAX_WAIT_SECONDS", 0.1)
    path = str(tmp_path / "a.db")
    one, two = SQLiteStore(path, LIMITS), SQLiteStore(path, LIMITS)
    with one._writing():
        with pytest.raises(StoreUnavailable) as caught:
            two.tick()
        assert "locked" in caught.value.reason
        with ThreadPoolExecutor(1) as thread, pytest.raises(StoreUnavailable) as caught:
            thread.submit(one.tick).result()
        assert "busy" in caught.value.reason
    two.tick()
    one.close()
    two.close()


APPENDER = """
import sys
from safeact_env.sessions.stores.base import Limits, new_head
from safeact_env.sessions.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1], Limits())
for number in range(100_000):
    log = store.load("a")
    if store.append("a", log.head, b"%d" % number, new_head(), last=False) is None:
        print(number, flush=True)
"""


def test_sqlite_keeps_what_it_acknowledged_when_its_process_is_killed(tmp_path: Any) -> None:
    path = str(tmp_path / "a.db")
    store = SQLiteStore(path, LIMITS)
    begun(store)
    with subprocess.Popen([sys.executable, "-c", APPENDER, path], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(50)]
        child.kill()
        acknowledged += [int(line) for line in child.stdout if line.endswith("\n")]
    kept = [int(entry) for entry in entries(store)]
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) <= len(acknowledged) + 1, "at most the one that was under way"
    store.close()


# Redis ----------------------------------------------------------------------------------------------------


def test_redis_that_is_not_there_is_unavailable() -> None:
    store = store_maker("redis://127.0.0.1:1/0")(LIMITS, time.monotonic)
    with pytest.raises(StoreUnavailable) as caught:
        store.live()
    assert "Redis" in caught.value.reason
    assert "127.0.0.1" not in caught.value.message
    store.close()


def test_redis_that_is_full_writes_nothing_and_can_be_read(
    place_of: Callable[[str], Place], clock: HandClock
) -> None:
    store = place_of("redis").maker()(LIMITS, clock)
    server = store._redis  # type: ignore[attr-defined]
    head = add(store, "a", begun(store), b"first")
    server.config_set("maxmemory", 1)
    try:
        for attempt in (
            lambda: store.append("a", head, b"second", new_head(), last=False),
            lambda: store.append("a", head, b"end", new_head(), last=True),
            lambda: store.create(start("b"), new_head()),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                attempt()
            assert "OutOfMemory" in caught.value.reason
        assert entries(store) == [b"first"]
        assert store.live() == 1
    finally:
        server.config_set("maxmemory", 0)
    assert store.load("b") is None
    add(store, "a", head, b"second")
    assert entries(store) == [b"first", b"second"]


def test_redis_learns_from_a_second_attempt_that_the_first_succeeded(
    place_of: Callable[[str], Place], clock: HandClock
) -> None:
    store = place_of("redis").maker()(LIMITS, clock)
    head, newer = new_head(), new_head()
    for _attempt in range(2):
        assert store.create(start(), head) is None
    for _attempt in range(2):
        assert store.append("a", head, b"step", newer, last=False) is None
    assert entries(store) == [b"step"]


# URLs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "Memory", "sqlite://", "sqlite:///", "postgres://host/db", "file.db"])
def test_an_unknown_url_is_refused_with_the_known_ones(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:////var/lib"):
        store_maker(url)


def test_redis_without_its_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeact_env.sessions.stores.find_spec", lambda _name: None)
    with pytest.raises(ValueError, match="pip install"):
        store_maker("redis://host")
    assert store_maker("memory") is MemoryStore


def test_a_url_that_redis_cannot_read_is_refused() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        store_maker("redis://host:port")(LIMITS, time.monotonic)
    assert "URL" in caught.value.reason


def test_processes_that_open_a_new_file_at_once_all_open_it(tmp_path):
    for number in range(30):
        path, together = str(tmp_path / f"{number}.db"), threading.Barrier(4)

        def opened(path=path, together=together):
            together.wait()
            return SQLiteStore(path, LIMITS)

        with ThreadPoolExecutor(4) as pool:
            for store in [one.result() for one in [pool.submit(opened) for _ in range(4)]]:
                store.close()
