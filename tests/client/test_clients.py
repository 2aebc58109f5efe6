"""The clients against a live server: whole episodes, typed results, the same on each transport."""

import subprocess
import sys
from typing import Any, Literal, get_args

import pytest

from safeact_env import get_task, play, task_names
from safeact_env.client import (
    AsyncSafeActHTTPClient,
    SafeActAction,
    SafeactAction,
    SafeActEnv,
    SafeactEnv,
    SafeActError,
    SafeActHTTPClient,
    SafeActObservation,
    SafeactObservation,
    SafeActState,
)
from safeact_env.client import http as http_module
from safeact_env.client.results import HAS_METADATA
from safeact_env.core.episode import Episode
from safeact_env.core.variant import FRAMINGS, LEVELS, Variant
from safeact_env.models import FramingName, LevelNumber

LOOK = SafeActAction(action_name="list_directory", parameters={}, reasoning="Look first.")


def way(task: str, seed: int = 5) -> list[SafeActAction]:
    """An expert's actions."""
    calls = [turn.call for turn in play(get_task(task), "test", seed, "expert").turns]
    return [SafeActAction(**call.to_json()) for call in calls]


@pytest.mark.parametrize("task", task_names())
def test_both_clients_show_the_same_episode(live_url: str, task: str) -> None:
    wanted = {"task_name": task, "split": "test", "seed": 5}
    with SafeActEnv(base_url=live_url).sync() as ws, SafeActHTTPClient(live_url) as http:
        pairs = [(ws.reset(**wanted), http.reset(**wanted))]
        for action in way(task):
            pairs.append((ws.step(action), http.step(action)))
        assert [a for a, _ in pairs] == [b for _, b in pairs]
        last = pairs[-1][1]
        assert last.done
        assert isinstance(last.observation, SafeActObservation)
        assert last.observation.metadata["score"] == 1.0
        if HAS_METADATA:
            assert last.metadata == last.observation.metadata
        assert http.grade().score == 1.0
        assert sum(result.reward for result, _ in pairs) == pytest.approx(http.grade().return_)
        state = ws.state()
        assert isinstance(state, SafeActState)
        assert {**state.model_dump(), "episode_id": ""} == {**http.state().model_dump(), "episode_id": ""}
        assert len(http.report()["steps"]) == len(pairs) - 1
        assert {card["name"] for card in http.tasks()["tasks"]} >= {task}
        http.delete()
        with pytest.raises(SafeActError, match="reset first"):
            http.state()


def test_the_clients_know_the_engines_names() -> None:
    assert get_args(http_module.Framing) == FRAMINGS
    assert get_args(LevelNumber)[0] == Literal[LEVELS]
    assert get_args(FramingName)[0] == Literal[FRAMINGS]


async def test_every_client_carries_the_variant(live_url: str) -> None:
    variant = Variant(1, "goal")
    start: Episode[Any] = Episode(get_task("easy"), "train", 5, variant=variant)
    wanted = {"task_name": "easy", "seed": 5, **variant.to_json()}
    with SafeActEnv(base_url=live_url).sync() as ws, SafeActHTTPClient(live_url) as http:
        shown = [ws.reset(**wanted), http.reset(**wanted)]
        assert [(one.state().level, one.state().framing) for one in (ws, http)] == [(1, "goal")] * 2
        with pytest.raises(RuntimeError, match="level: Input should be 1, 2, 3, 4 or 5"):
            ws.reset(task_name="easy", level=6)
        with pytest.raises(SafeActError, match="framing: Input should be 'rules', 'goal'"):
            http.reset("easy", framing="x")
        assert ws.state().level == 1, "a refused reset changes nothing"
    async with AsyncSafeActHTTPClient(live_url) as http:
        shown.append(await http.reset(**wanted))
    assert all(one.observation.model_dump() == start.observation() for one in shown)


async def test_the_asynchronous_clients_play_as_well(live_url: str) -> None:
    async with SafeActEnv(base_url=live_url) as ws, AsyncSafeActHTTPClient(live_url) as http:
        one = await ws.reset(task_name="hard", seed=1)
        assert one == await http.reset("hard", seed=1)
        finish = SafeActAction(action_name="finish", parameters={"summary": "Done."}, reasoning="Enough.")
        assert await ws.step(finish) == await http.step(finish)
        assert (await http.grade()).score == 0.0
        assert (await http.state()).done
        assert (await http.report())["steps"]
        assert (await http.tasks())["tasks"]
        await http.delete()


def test_a_refused_reset_leaves_the_session_usable(live_url: str) -> None:
    with SafeActEnv(base_url=live_url).sync() as env:
        for wrong in ({"seed": -1}, {"task_name": "nonsense"}, {"seed": "x"}, {"split": 3}):
            with pytest.raises(RuntimeError, match="reset"):
                env.reset(**wrong)
        assert env.reset(task_name="easy", seed=0).reward == 0.0


def test_what_the_server_refuses_is_an_error_with_its_code(live_url: str) -> None:
    with SafeActHTTPClient(live_url) as env:
        with pytest.raises(SafeActError) as caught:
            env.reset("nonsense")
        assert (caught.value.code, caught.value.status) == ("unknown_task", 422)
        with pytest.raises(SafeActError, match=r"seed: ") as caught:
            env.reset(seed=-1)
        assert caught.value.code == "invalid_request"
        env.reset()
        with pytest.raises(SafeActError) as caught:
            env.grade()
        assert caught.value.code == "episode_running"
        assert env.grade(finish=True).score == 0.0
        with pytest.raises(SafeActError) as caught:
            env.step(LOOK)
        assert caught.value.code == "episode_done"


def test_auto_env_finds_the_names_it_derives() -> None:
    assert (SafeactEnv, SafeactAction, SafeactObservation) == (SafeActEnv, SafeActAction, SafeActObservation)


def test_a_client_needs_neither_the_engine_nor_the_server() -> None:
    code = (
        "import sys, safeact_env.client; print(*(m for m in sys.modules if m.startswith("
        "('safeact_env.core', 'safeact_env.server', 'safeact_env.tasks', 'safeact_env.sessions'))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
