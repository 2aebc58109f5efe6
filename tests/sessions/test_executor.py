"""Work on a store that may wait: in order per episode, and beside everything else."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from safeact_env.sessions import executor as module
from safeact_env.sessions.errors import SessionError, StoreUnavailable
from safeact_env.sessions.executor import THREADS, Executor
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.stores.memory import MemoryStore


class Slow(MemoryStore):
    """Claims to block, so that its work goes to threads."""

    blocking = True


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    made = Executor(SessionService(make_store=Slow))
    yield made
    await made.stop()


async def test_memory_needs_no_thread() -> None:
    made = Executor(SessionService())
    here = threading.get_ident()
    assert await made.run("a", threading.get_ident) == here
    assert await made.peek(threading.get_ident, 1) == here
    await made.stop()


async def test_work_on_one_episode_is_done_in_order_and_never_at_once(executor: Executor) -> None:
    done, inside = [], 0

    def work(number: int) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        time.sleep(0.002)
        done.append(number)
        inside -= 1

    def bound(number: int) -> Callable[[], None]:
        return lambda: work(number)

    await asyncio.gather(*(executor.run("a", bound(number)) for number in range(20)))
    assert done == list(range(20))


async def test_work_on_others_goes_on_beside_slow_work(executor: Executor) -> None:
    release = threading.Event()
    # Many requests for one slow episode take one thread, not all of them.
    slow = [asyncio.ensure_future(executor.run("slow", lambda: release.wait(10))) for _ in range(3 * THREADS)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(executor.run("quick", lambda: "done"), 5) == "done"
    assert await asyncio.wait_for(executor.run(None, lambda: "done"), 5) == "done"
    release.set()
    assert all(await asyncio.gather(*slow))


async def test_a_caller_who_leaves_does_not_let_the_next_in_too_early(executor: Executor) -> None:
    began, release, done = threading.Event(), threading.Event(), []

    def first() -> None:
        began.set()
        release.wait(10)
        done.append("first")

    leaving = asyncio.ensure_future(executor.run("a", first))
    await asyncio.to_thread(began.wait, 10)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    second = asyncio.ensure_future(executor.run("a", lambda: done.append("second")))
    await asyncio.sleep(0.05)
    assert done == []
    release.set()
    await second
    assert done == ["first", "second"]


async def test_work_that_cannot_begin_for_long_is_refused_undone(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, begun, done = threading.Event(), threading.Semaphore(0), []

    def hang() -> None:
        begun.release()
        release.wait(10)

    hung = [asyncio.ensure_future(executor.run(None, hang)) for _ in range(THREADS)]
    for _ in hung:
        await asyncio.to_thread(begun.acquire)
    monkeypatch.setattr(module, "MAX_WAIT_SECONDS", 0.05)
    late = asyncio.ensure_future(executor.run(None, lambda: done.append("late")))
    await asyncio.sleep(0.2)
    release.set()
    with pytest.raises(StoreUnavailable) as caught:
        await late
    assert "waiting" in caught.value.reason
    await asyncio.gather(*hung)
    assert done == []


async def test_a_peek_waits_for_so_long_and_no_longer(executor: Executor) -> None:
    release = threading.Event()

    def look() -> str:
        assert release.wait(10)
        return "seen"

    asked = time.monotonic()
    assert [await executor.peek(look, 0.05) for _ in range(3)] == [None] * 3
    assert time.monotonic() - asked < 5
    release.set()
    assert await executor.peek(look, 5) == "seen"


async def test_a_peek_of_a_store_that_fails_is_none(executor: Executor) -> None:
    def fail() -> None:
        raise StoreUnavailable("down")

    assert await executor.peek(fail, 5) is None


async def test_failure_and_recovery_are_logged_once(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise StoreUnavailable("down: host 10.0.0.1")

    def refuse() -> None:
        raise SessionError("unknown_episode", "there is none")

    with caplog.at_level(logging.INFO):
        for work in (fail, fail, refuse, refuse, fail):
            with pytest.raises(SessionError):
                await executor.run(None, work)
        await executor.run(None, lambda: None)
    said = [record.getMessage() for record in caplog.records if record.name == module.__name__]
    assert [("fails" in line, "again" in line) for line in said] == [(True, False), (False, True)] * 2
    assert "10.0.0.1" in said[0]


@pytest.mark.parametrize("make", [MemoryStore, Slow])
async def test_a_lease_is_had_by_one_renewed_and_given_back(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE_SECONDS", 0.2)
    service = SessionService(make_store=make)
    one, two = Executor(service), Executor(service)
    async with one.lease("baseline") as first:
        assert first
        await asyncio.sleep(0.5)
        async with two.lease("baseline") as second:
            assert not second
    async with two.lease("baseline") as second:
        assert second
    await one.stop()
    await two.stop()


async def test_a_lease_that_cannot_be_given_back_lapses(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(Slow, "give_back", fail)
    async with executor.lease("baseline") as taken:
        assert taken


async def test_house_is_kept_also_over_a_store_that_fails(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    ticks = []

    def tick(_store: Slow) -> None:
        ticks.append(1)
        raise StoreUnavailable("down")

    monkeypatch.setattr(Slow, "tick", tick)
    await executor.start()
    for _ in range(500):
        if len(ticks) >= 3:
            break
        await asyncio.sleep(0.01)
    assert len(ticks) >= 3


class Unordered(Executor):
    """The broken twin: nothing keeps two works on one episode apart."""

    async def _in_turn(self, _episode_id: str | None, work: Callable[[], Any]) -> Any:
        return await self._in_thread(work, time.monotonic())


async def test_an_executor_without_order_is_caught() -> None:
    made = Unordered(SessionService(make_store=Slow))
    together = threading.Barrier(2)

    def meet() -> None:
        together.wait(10)

    await asyncio.gather(made.run("a", meet), made.run("a", meet))
    await made.stop()
