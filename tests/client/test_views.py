"""The clients ask for changes and give whole observations, whatever happens to the episode in between."""

from __future__ import annotations

import json
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from safeact_env import get_task, play, task_names
from safeact_env.client import (
    AsyncSafeActHTTPClient,
    SafeActAction,
    SafeActEnv,
    SafeActError,
    SafeActHTTPClient,
)
from safeact_env.client.results import step_result
from safeact_env.core.episode import Episode
from safeact_env.integrations.text import TextEpisode
from safeact_env.integrations.trl import environment
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from tests.conftest import running

LOOK = SafeActAction(action_name="list_directory", parameters={}, reasoning="Look first.")


class Wire:
    """A transport over some servers that notes what goes through it.

    Args:
        servers: Who answers; one of them by chance each time.
    """

    def __init__(self, *servers: TestClient) -> None:
        self.servers = servers
        self.sent: list[dict[str, Any]] = []
        self.came: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self._rng = random.Random(5)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        server = self._rng.choice(self.servers)
        body = request.read()
        answer = server.request(request.method, str(request.url), content=body, headers=request.headers)
        self.paths.append(request.url.path)
        self.sent.append(json.loads(body or "{}"))
        self.came.append(answer.json())
        return httpx.Response(answer.status_code, content=answer.content)

    def client(self) -> SafeActHTTPClient:
        return SafeActHTTPClient("http://testserver", transport=httpx.MockTransport(self))


def way(task: str, policy: str = "expert") -> list[SafeActAction]:
    turns = play(get_task(task), "test", 5, policy).turns
    return [SafeActAction(**turn.call.to_json()) for turn in turns]


def expected(task: str, actions: list[SafeActAction]) -> list[dict[str, Any]]:
    """What the engine shows."""
    episode: Episode[Any] = Episode(get_task(task), "test", 5)
    shown = [episode.observation()]
    for action in actions:
        episode.step(action.call())
        shown.append(episode.observation())
    return shown


def whole(result: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = result.observation.model_dump(exclude={"reward", "done"})
    return {**dumped, "reward": result.reward, "done": result.done}


@pytest.mark.parametrize("policy", ["expert", "naive"])
@pytest.mark.parametrize("task", task_names())
def test_changes_go_over_the_wire_and_results_are_whole(client: TestClient, task: str, policy: str) -> None:
    wire, actions = Wire(client), way(task, policy)
    with wire.client() as env:
        shown = [whole(env.reset(task, 5, "test"))] + [whole(env.step(action)) for action in actions]
    assert shown == expected(task, actions)
    assert all(body["view"] == "changes" for body in wire.sent)
    assert not any(answer["observation"]["available_actions"] for answer in wire.came[1:])


def test_a_client_may_ask_for_all(client: TestClient) -> None:
    wire = Wire(client)
    with wire.client() as env:
        env.reset("easy", 5, "test", view="full")
        env.step(LOOK)
        assert wire.came[1]["observation"]["available_actions"]
        with pytest.raises(SafeActError, match="'full' or 'changes'"):
            env.reset("easy", view="all")  # type: ignore[arg-type]
        env.step(LOOK)
        assert wire.sent[-1]["view"] == "full", "a refused reset changes nothing"


async def test_the_asynchronous_client_merges_too(live_url: str) -> None:
    actions = way("hard")
    async with AsyncSafeActHTTPClient(live_url) as env:
        shown = [whole(await env.reset("hard", 5, "test"))]
        shown += [whole(await env.step(action)) for action in actions]
    assert shown == expected("hard", actions)


def test_a_caller_may_change_what_it_gets(client: TestClient) -> None:
    with Wire(client).client() as env:
        result = env.reset("easy", 5, "test")
        for action, after in zip(way("easy"), expected("easy", way("easy"))[1:], strict=True):
            result.observation.current_state["files"].clear()
            result.observation.available_actions.clear()
            result = env.step(action)
            assert whole(result) == after


# Servers that take over -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["easy", "medium"])
def test_two_servers_with_one_store_play_one_episode(tmp_path: Path, task: str) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path}/episodes.db")
    with ExitStack() as stack:
        servers = [stack.enter_context(TestClient(create_app(settings))) for _ in range(2)]
        wire, actions = Wire(*servers), way(task)
        env = stack.enter_context(wire.client())
        shown = [whole(env.reset(task, 5, "test"))] + [whole(env.step(action)) for action in actions]
    assert shown == expected(task, actions)
    assert not any(answer["observation"]["available_actions"] for answer in wire.came[1:])
    assert set(wire.paths) == {"/reset", "/step"}, "nothing had to be read again"


def test_an_episode_that_another_client_began_is_read_first(client: TestClient) -> None:
    actions = way("easy")
    with Wire(client).client() as first:
        first.reset("easy", 5, "test", episode_id="shared")
        first.step(actions[0])
    wire = Wire(client)
    with wire.client() as second:
        second.episode_id = "shared"
        shown = [whole(second.step(action)) for action in actions[1:4]]
    assert shown == expected("easy", actions)[2:5]
    assert wire.paths == ["/step", "/episodes/shared/observation", "/step", "/step"]


def test_steps_in_between_are_noticed_and_the_whole_observation_is_read(client: TestClient) -> None:
    actions = way("easy")
    wire = Wire(client)
    with wire.client() as env, Wire(client).client() as other:
        env.reset("easy", 5, "test", episode_id="shared")
        other.episode_id = "shared"
        other.step(actions[0])
        assert whole(env.step(actions[1])) == expected("easy", actions)[2]
        assert wire.paths[-1] == "/episodes/shared/observation"


def test_an_episode_that_goes_on_in_between_is_an_error_and_no_guess(client: TestClient) -> None:
    """The other client steps both before this one's step and before it can read the observation."""
    actions = way("easy")

    class Busy(Wire):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/observation"):
                other.step(actions[2])
            return super().__call__(request)

    with Busy(client).client() as env, Wire(client).client() as other:
        env.reset("easy", 5, "test", episode_id="shared")
        other.episode_id = "shared"
        other.step(actions[0])
        with pytest.raises(SafeActError, match="read the whole observation") as caught:
            env.step(actions[1])
        assert caught.value.code == "cannot_merge"
        assert whole(env.step(actions[3])) == expected("easy", actions)[4], "and it goes on from there"


def test_a_client_that_guessed_would_be_wrong(client: TestClient) -> None:
    """The broken twin: the changes put on what is at hand, whatever step it is of."""
    actions = way("easy")
    with Wire(client).client() as env, Wire(client).client() as other:
        env.reset("easy", 5, "test", episode_id="shared")
        at_hand = env._latest
        assert at_hand is not None
        other.episode_id = "shared"
        other.step(actions[0])
        answer = client.post(
            "/step",
            json={**{"action": actions[1].call().to_json()}, "episode_id": "shared", "view": "changes"},
        ).json()
        state = {**at_hand[1]["current_state"], **answer["observation"]["current_state"]}
        guessed = {**at_hand[1], "current_state": state}
        right = client.get("/episodes/shared/observation").json()["observation"]
        assert guessed["current_state"] != right["current_state"]
        assert (
            step_result({**answer, "observation": right}).observation.current_state == right["current_state"]
        )


# WebSocket and adapters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["changes", "full"])
@pytest.mark.parametrize("task", task_names())
def test_the_client_of_openenv_merges(live_url: str, task: str, view: str) -> None:
    actions = way(task)
    with SafeActEnv(base_url=live_url).sync() as env:
        shown = [whole(env.reset(task_name=task, seed=5, split="test", view=view))]
        shown += [whole(env.step(action)) for action in actions]
    assert shown == expected(task, actions)


async def test_over_a_websocket_changes_are_asked_for(live_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[dict[str, Any]] = []
    parse = SafeActEnv._parse_result

    def noted(self: SafeActEnv, payload: dict[str, Any]) -> Any:
        came.append(payload["observation"])
        return parse(self, payload)

    monkeypatch.setattr(SafeActEnv, "_parse_result", noted)
    async with SafeActEnv(base_url=live_url) as env:
        await env.reset(task_name="easy", seed=5, split="test")
        await env.step(LOOK)
        assert [bool(one["available_actions"]) for one in came] == [True, False]
        # The session was played from elsewhere: the changes do not fit, and the next step asks for all.
        env._latest = {**came[0], "action_history": [], "steps_remaining": 99}
        with pytest.raises(SafeActError, match="cannot_merge"):
            await env.step(LOOK)
        assert len((await env.step(LOOK)).observation.action_history) == 3
        assert len((await env.step(LOOK)).observation.action_history) == 4
        assert [bool(one["available_actions"]) for one in came] == [True, False, False, True, False]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Response]:
    """The answers that any client of httpx gets."""
    came: list[httpx.Response] = []
    request = httpx.Client.request

    def kept(self: httpx.Client, *args: Any, **options: Any) -> httpx.Response:
        came.append(request(self, *args, **options))
        return came[-1]

    monkeypatch.setattr(httpx.Client, "request", kept)
    return came


def test_adapters_that_play_on_a_server_get_changes_and_see_all(noted: list[httpx.Response]) -> None:
    with running(Settings()) as url:
        episode = TextEpisode("easy", "test", 5, base_url=url)
        episode.start()
        for action in way("easy")[:3]:
            episode.step(action.call())
        assert episode.observation == expected("easy", way("easy"))[3]
        trl = environment("easy", url, "test")()
        trl.reset(seed=5)
        trl._use("list_directory", {"reasoning": "Look."})
        assert trl._shown is not None
        assert trl._shown["available_actions"]
    steps = [one.json()["observation"] for one in noted if one.url.path == "/step"]
    assert len(steps) == 4
    assert not any(one["available_actions"] for one in steps)
