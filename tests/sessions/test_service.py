import pytest

from safeact_env.call import Call
from safeact_env.sessions.service import SessionError, SessionService
from tests.sessions.conftest import code

LOOK = Call("list_directory", {}, "look")
FINISH = Call("finish", {"summary": "done"}, "end")


@pytest.fixture
def service(clock, place):
    return SessionService(
        max_live=3,
        max_finished=2,
        idle_seconds=100,
        keep_finished_seconds=50,
        clock=clock,
        make_store=place.maker(),
    )


def test_a_fresh_seed_is_drawn_and_reported(service):
    seeds = {service.open("easy", "train").episode.seed for _ in range(3)}
    assert len(seeds) == 3
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_reset_retry_returns_the_same_start_until_a_step(service):
    first = service.open("easy", "train", None, episode_id="a")
    assert service.open("easy", "train", None, episode_id="a") is first
    assert code(service.open, "easy", "train", 5, episode_id="a") == "episode_exists"
    service.step("a", LOOK)
    assert code(service.open, "easy", "train", None, episode_id="a") == "episode_exists"
    assert service.get("a") is first
    assert len(first.episode.turns) == 1


def test_index_names_task_and_seed(service):
    episode = service.open("easy", "test", index=0).episode
    assert (episode.task.name, episode.split, episode.seed) == ("easy", "test", 0)
    assert code(service.open, "easy", "test", index=1_000) == "index_out_of_range"


def test_unknown_task_lists_the_valid_ones(service):
    with pytest.raises(SessionError, match="easy"):
        service.open("nope", "train", 0)
    assert service.live == 0


def test_capacity_counts_unfinished_episodes_only(service):
    for name in "abc":
        service.open("easy", "train", 0, episode_id=name)
    assert code(service.open, "easy", "train", 0) == "at_capacity"
    service.step("a", FINISH)
    assert service.open("easy", "train", 0).episode.turns == []
    assert service.get("a").episode.done


def test_the_oldest_finished_episodes_are_forgotten_first(service):
    for name in "abc":
        service.open("easy", "train", 0, episode_id=name)
        service.step(name, FINISH)
    assert code(service.get, "a") == "unknown_episode"
    assert service.get("b").episode.done


def test_idle_episodes_expire_and_use_keeps_them(service, clock):
    service.open("easy", "train", 0, episode_id="a")
    service.open("easy", "train", 0, episode_id="b")
    clock.now = 60
    service.step("a", LOOK)
    clock.now = 101
    assert code(service.get, "b") == "unknown_episode"
    assert len(service.get("a").episode.turns) == 1


def test_a_finished_episode_expires_by_its_end_however_often_it_is_asked_for(service, clock):
    service.open("easy", "train", 0, episode_id="a")
    service.step("a", FINISH)
    for now in (20, 40, 49):
        clock.now = now
        assert service.grade("a").outcome == "finished"
    clock.now = 51
    assert code(service.grade, "a") == "unknown_episode"


def test_a_repeated_request_id_acts_once_also_on_the_last_step(service):
    service.open("easy", "train", 0, episode_id="a")
    for _ in range(3):
        assert len(service.step("a", LOOK, "r1").episode.turns) == 1
    assert code(service.step, "a", FINISH, "r1") == "request_id_reused"
    service.step("a", FINISH, "r2")
    assert len(service.step("a", FINISH, "r2").episode.turns) == 2
    assert code(service.step, "a", FINISH, "r3") == "episode_done"


def test_only_the_last_request_id_is_remembered(service):
    service.open("easy", "train", 0, episode_id="a")
    service.step("a", LOOK, "r1")
    service.step("a", LOOK)
    assert len(service.step("a", LOOK, "r1").episode.turns) == 3


def test_sole_is_the_newest_and_only_unfinished_one(service):
    assert code(service.sole) == "ambiguous_episode"
    service.open("easy", "train", 0, episode_id="a")
    assert service.sole() == "a"
    service.open("easy", "train", 0, episode_id="b")
    assert code(service.sole) == "ambiguous_episode"
    service.step("b", FINISH)
    assert code(service.sole) == "ambiguous_episode"  # a is the only one, but not the newest
    service.delete("a")
    assert code(service.sole) == "ambiguous_episode"


def test_grading_a_running_episode_needs_finish(service):
    service.open("easy", "train", 0, episode_id="a")
    assert code(service.grade, "a") == "episode_running"
    assert code(service.report, "a") == "episode_running"
    assert service.grade("a", finish=True).outcome == "finished"
    assert service.grade("a", finish=True).outcome == "finished"
    assert len(service.report("a")["steps"]) == 1


def test_a_fault_drops_the_episode_and_is_not_swallowed(service, monkeypatch):
    session = service.open("easy", "train", 0, episode_id="a")
    broken = dict(session.episode.actions)

    def fault(_s, _p):
        raise ZeroDivisionError

    object.__setattr__(broken["list_directory"], "effect", fault)
    try:
        with pytest.raises(ZeroDivisionError):
            service.step("a", LOOK)
    finally:
        from safeact_env.tasks.easy.actions import list_directory

        object.__setattr__(broken["list_directory"], "effect", list_directory)
    assert code(service.get, "a") == "unknown_episode"


def test_replay_refuses_leftover_calls_and_unknown_tasks(service):
    assert service.replay("easy", "train", 0, [FINISH]).outcome == "finished"
    assert code(service.replay, "easy", "train", 0, [FINISH, LOOK]) == "not_replayable"
    assert code(service.replay, "nope", "train", 0, []) == "unknown_task"
    assert service.replay("easy", "train", 0, []).outcome is None
