"""Several processes on one store: whoever answers, every step is taken once and in one order."""

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeact_env.call import MAX_INT, Call
from safeact_env.core.episode import Episode
from safeact_env.core.trajectory import replay
from safeact_env.core.variant import Variant
from safeact_env.sessions.errors import SessionError, StoreUnavailable
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.session import Session, decode_step, encode_step
from safeact_env.sessions.stores.base import Limits, Start, new_head
from safeact_env.sessions.stores.memory import MemoryStore
from safeact_env.tasks import UnknownTask, get_task
from tests.sessions.conftest import HandClock, Place, code

LOOK = Call("list_directory", {}, "look")
READ = Call("read_runbook", {"action_name": "finish"}, "read")
FINISH = Call("finish", {"summary": "done"}, "end")
SESSION = "safeact_env.sessions.session"


@pytest.fixture
def replicas(shared_place: Place) -> tuple[SessionService, SessionService]:
    make = shared_place.maker()
    return SessionService(make_store=make), SessionService(make_store=make)


def shown(session: Session) -> str:
    return json.dumps(session.episode.observation())


def taken(service: SessionService, name: str) -> list[Call]:
    return [turn.call for turn in service.get(name).episode.turns]


def test_steps_may_go_through_any_replica(replicas: tuple[SessionService, SessionService]) -> None:
    alone = SessionService()
    alone.open("easy", "train", 5, episode_id="a")
    replicas[0].open("easy", "train", 5, episode_id="a")
    rng = random.Random(3)
    for number in range(20):
        call = rng.choice([LOOK, READ])
        expected = shown(alone.step("a", call, f"r{number}"))
        assert shown(rng.choice(replicas).step("a", call, f"r{number}")) == expected
    for one in replicas:
        assert one.grade("a", finish=True).grade() == alone.grade("a", finish=True).grade()
        assert one.report("a") == alone.report("a")


def test_a_replica_plays_the_variant_on(replicas: tuple[SessionService, SessionService]) -> None:
    one, two = replicas
    variant = Variant(5, "planted")
    first = one.open("easy", "train", 5, variant=variant, episode_id="a")
    alone: Episode[Any] = Episode(get_task("easy"), "train", 5, variant=variant)
    assert two.get("a").start == first.start
    alone.step(LOOK)
    assert shown(two.step("a", LOOK)) == json.dumps(alone.observation())


@pytest.mark.parametrize("other", [Variant(2), Variant(1, "goal")], ids=str)
def test_a_retry_of_a_reset_in_another_variant_is_another_episode(
    replicas: tuple[SessionService, SessionService], other: Variant
) -> None:
    one, two = replicas
    first = shown(one.open("easy", "train", 5, variant=Variant(1), episode_id="a"))
    assert shown(two.open("easy", "train", 5, variant=Variant(1), episode_id="a")) == first
    with pytest.raises(SessionError, match="there already is an episode"):
        two.open("easy", "train", 5, variant=other, episode_id="a")
    assert shown(one.get("a")) == first


def test_a_retry_through_another_replica_returns_the_recorded_answer(
    replicas: tuple[SessionService, SessionService],
) -> None:
    one, two = replicas
    one.open("easy", "train", 5, episode_id="a")
    for number, call in enumerate((LOOK, FINISH)):
        first = shown(one.step("a", call, f"r{number}"))
        assert shown(two.step("a", call, f"r{number}")) == first
        assert shown(one.step("a", call, f"r{number}")) == first
        assert code(two.step, "a", READ, f"r{number}") == "request_id_reused"
    assert taken(one, "a") == taken(two, "a") == [LOOK, FINISH]
    assert code(two.step, "a", FINISH, "another") == "episode_done"


def test_a_late_duplicate_of_an_earlier_step_is_refused(
    replicas: tuple[SessionService, SessionService],
) -> None:
    one, two = replicas
    one.open("easy", "train", 5, episode_id="a")
    one.step("a", LOOK, "r1")
    two.step("a", READ, "r2")
    for service in replicas:
        assert code(service.step, "a", LOOK, "r1") == "request_id_reused"
    assert taken(two, "a") == [LOOK, READ]


def test_a_copy_that_fell_behind_is_not_believed(replicas: tuple[SessionService, SessionService]) -> None:
    one, two = replicas
    one.open("easy", "train", 5, episode_id="a")
    two.step("a", LOOK)
    assert len(one.get("a").episode.turns) == 1
    two.step("a", FINISH)
    assert code(one.step, "a", LOOK) == "episode_done"
    assert one.grade("a").outcome == "finished"


def test_an_id_that_is_used_again_is_another_episode(replicas: tuple[SessionService, SessionService]) -> None:
    one, two = replicas
    one.open("easy", "train", 5, episode_id="a")
    one.step("a", LOOK)
    two.delete("a")
    two.open("easy", "train", 6, episode_id="a")
    two.step("a", READ)
    assert one.step("a", LOOK).episode.seed == 6
    assert taken(two, "a") == [READ, LOOK]
    two.delete("a")
    assert code(one.step, "a", LOOK) == "unknown_episode"
    assert code(one.get, "a") == "unknown_episode"


def test_a_drawn_seed_is_the_same_everywhere(replicas: tuple[SessionService, SessionService]) -> None:
    one, two = replicas
    seed = one.open("easy", "train", episode_id="a").episode.seed
    assert two.get("a").episode.seed == seed
    assert two.open("easy", "train", episode_id="a").episode.seed == seed
    assert code(two.open, "easy", "test", episode_id="a") == "episode_exists"


def test_one_of_many_resets_with_an_id_begins_it(replicas: tuple[SessionService, SessionService]) -> None:
    for number in range(5):
        name, barrier = f"e{number}", threading.Barrier(8)

        def reset(
            service: SessionService, name: str = name, barrier: threading.Barrier = barrier
        ) -> tuple[int, str]:
            barrier.wait()
            session = service.open("easy", "train", episode_id=name)
            return session.episode.seed, shown(session)

        with ThreadPoolExecutor(8) as threads:
            started = set(threads.map(reset, replicas * 4))
        assert len(started) == 1
    assert replicas[0].live == 5


def race(services: list[SessionService], name: str, calls: int) -> list[str]:
    """Each service takes steps without a request_id, all at once; what came of every call."""
    barrier = threading.Barrier(len(services))

    def player(service: SessionService) -> list[str]:
        barrier.wait()
        outcomes = []
        for _ in range(calls):
            try:
                service.step(name, READ)
                outcomes.append("taken")
            except SessionError as error:
                outcomes.append(error.code)
        return outcomes

    with ThreadPoolExecutor(len(services)) as threads:
        return [outcome for outcomes in threads.map(player, services) for outcome in outcomes]


def test_racing_steps_are_all_taken_in_some_order(shared_place: Place) -> None:
    make = shared_place.maker()
    services = [SessionService(make_store=make) for _ in range(4)]
    services[0].open("easy", "train", 5, episode_id="a")
    assert race(services, "a", 6) == ["taken"] * 24
    log = services[0].store.load("a")
    assert log is not None
    expected = replay(get_task("easy"), "train", 5, [READ] * 24).observation()
    for service in services:
        assert service.get("a").episode.observation() == expected


def test_only_the_losers_of_the_race_for_the_last_step_are_refused(shared_place: Place) -> None:
    make = shared_place.maker()
    services = [SessionService(make_store=make) for _ in range(4)]
    budget = services[0].open("easy", "train", 5, episode_id="a").episode.max_steps
    outcomes = race(services, "a", 10)
    assert outcomes.count("taken") == budget
    assert outcomes.count("episode_done") == 40 - budget
    assert services[0].live == 0


def test_two_finishes_at_once_end_it_once(replicas: tuple[SessionService, SessionService]) -> None:
    for number in range(5):
        name, barrier = f"e{number}", threading.Barrier(2)
        replicas[0].open("easy", "train", 5, episode_id=name)

        def end(service: SessionService, name: str = name, barrier: threading.Barrier = barrier) -> Any:
            barrier.wait()
            return service.grade(name, finish=True).grade()

        with ThreadPoolExecutor(2) as threads:
            first, second = threads.map(end, replicas)
        assert first == second
        assert len(taken(replicas[0], name)) == 1


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NUMBERS = st.integers(-MAX_INT, MAX_INT) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS, lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(
    st.dictionaries(TEXTS, VALUES, max_size=4), st.none() | st.text(st.characters(exclude_categories=["Cs"]))
)
def test_an_entry_gives_the_call_back_to_the_last_bit(
    parameters: dict[str, Any], request_id: str | None
) -> None:
    call = Call("look", parameters, "x" + "".join(parameters))
    again, same_id = decode_step(encode_step(call, request_id))
    assert (again, same_id) == (call, request_id)
    assert json.dumps(again.to_json()) == json.dumps(call.to_json()), "order, and 1 is not 1.0"


# Versions ------------------------------------------------------------------------------------------------


def test_an_episode_of_another_version_is_refused_not_misread(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = SessionService(make_store=place.maker())
    for name in ("package", "task", "gone"):
        old.open("easy", "train", 5, episode_id=name)
        old.step(name, LOOK)
    for name in ("package", "task", "gone"):
        with monkeypatch.context() as patch:
            if name == "package":
                patch.setattr(f"{SESSION}.VERSION", "9.9.9")
            elif name == "task":
                newer = replace(get_task("easy"), version=3)
                patch.setattr(f"{SESSION}.get_task", lambda _name, newer=newer: newer)
            else:
                patch.setattr(f"{SESSION}.get_task", no_task)
            new = SessionService(make_store=place.maker())
            for attempt in (new.get, new.grade, new.report):
                assert code(attempt, name) == "version_changed"
            assert code(new.step, name, LOOK) == "version_changed"
            assert new.live == 3, "it still counts, until it expires or is deleted"
    assert len(old.step("task", LOOK).episode.turns) == 2
    new.delete("task")
    assert code(old.get, "task") == "unknown_episode"


def no_task(name: str) -> Any:
    raise UnknownTask(name)


@pytest.mark.parametrize("entry", [b"{", b"[]", b'["", {}, "x", null]', b"end"])
def test_a_record_that_cannot_be_played_is_refused(place: Place, entry: bytes) -> None:
    service = SessionService(make_store=place.maker())
    service.open("easy", "train", 5, episode_id="a")
    if entry == b"end":
        log = service.step("a", FINISH) and service.store.load("a")
        assert log is not None
        service.delete("a")
        service.store.create(log.start, "h0")
        for number in range(2):
            service.store.append("a", f"h{number}", log.entries[0], f"h{number + 1}", last=False)
    else:
        log = service.store.load("a")
        assert log is not None
        service.store.append("a", log.head, entry, new_head(), last=False)
    assert code(service.get, "a") == "version_changed"
    assert code(service.step, "a", LOOK) == "version_changed"
    service.delete("a")


@pytest.mark.parametrize("start", [b"{", b"[1]", b"7", b'["9.9.9", {"task": "easy"}, 5]'])
def test_a_start_that_cannot_be_read_is_refused(
    shared_place: Place, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = SessionService(make_store=shared_place.maker())
    with monkeypatch.context() as patch:
        patch.setattr(Start, "encode", lambda _start: start)
        service.open("easy", "train", 5, episode_id="a")
    for attempt in (service.get, service.grade, service.report):
        assert code(attempt, "a") == "version_changed"
    service.delete("a")
    assert service.live == 0


# What is at hand -----------------------------------------------------------------------------------------


def test_episodes_that_are_not_at_hand_are_replayed(place: Place) -> None:
    service, roomy = SessionService(make_store=place.maker(), cached=2), SessionService()
    names = [f"e{number}" for number in range(6)]
    for name in names:
        for one in (service, roomy):
            one.open("easy", "train", 5, episode_id=name)
    for _ in range(3):
        for name in names:
            assert shown(service.step(name, READ)) == shown(roomy.step(name, READ))
        assert len(service._cache._sessions) == 2


class Refusing(MemoryStore):
    """Another is always first, although nobody is there."""

    def append(self, episode_id: str, *_args: Any, **_kwargs: Any) -> Any:
        return self.load(episode_id)


def test_a_store_that_only_ever_refuses_is_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeact_env.sessions.service.MAX_LOST_RACES", 10)
    service = SessionService(make_store=Refusing)
    service.open("easy", "train", 5, episode_id="a")
    with pytest.raises(StoreUnavailable) as caught:
        service.step("a", LOOK)
    assert "10 appends" in caught.value.reason


class Flaky(MemoryStore):
    """Loses the answer to every second append, after writing it or before."""

    writes = True
    turn = 0

    def append(self, *args: Any, **kwargs: Any) -> Any:
        self.turn += 1
        if self.turn % 2 == 0:
            return super().append(*args, **kwargs)
        if self.writes:
            super().append(*args, **kwargs)
        raise StoreUnavailable("lost")


@pytest.mark.parametrize("writes", [True, False])
def test_a_lost_answer_leaves_nothing_half_done(writes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flaky, "writes", writes)
    service = SessionService(make_store=Flaky)
    service.open("easy", "train", 5, episode_id="a")
    assert code(service.step, "a", LOOK, "r1") == "store_unavailable"
    assert len(service.get("a").episode.turns) == int(writes)
    assert len(service.step("a", LOOK, "r1").episode.turns) == 1
    assert taken(service, "a") == [LOOK]


def test_an_interrupted_step_leaves_the_log_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from safeact_env.core.episode import Episode

    service = SessionService(make_store=place.maker())
    service.open("easy", "train", 5, episode_id="a")
    service.step("a", LOOK)

    def interrupted(episode: Any, call: Call) -> None:
        episode.turns.append("half a step")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Episode, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            service.step("a", READ)
    assert taken(service, "a") == [LOOK]


def test_a_live_episode_in_memory_is_small(clock: HandClock) -> None:
    """Logs only, ten steps each, with request ids: under 4 KB."""
    import tracemalloc

    service = SessionService(clock=clock, cached=1)
    calls = [Call("read_file_metadata", {"path": "/srv/share/reports/q3.pdf"}, "Who owns it? " * 6)] * 10
    service.open("easy", "train", 0, episode_id="warm")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(200):
            name = service.open("easy", "train", number).id
            for call in calls:
                service.step(name, call, new_head() * 2)
        each = (tracemalloc.get_traced_memory()[0] - before) / 200
    finally:
        tracemalloc.stop()
    assert each < 4_096


def test_limits_are_the_stores(place: Place) -> None:
    service = SessionService(max_live=1, make_store=place.maker())
    service.open("easy", "train", 0)
    assert code(service.open, "easy", "train", 0) == "at_capacity"
    assert Limits() == Limits(10_000, 10_000, 3_600, 3_600)
