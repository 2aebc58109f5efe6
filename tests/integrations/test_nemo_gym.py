"""NeMo Gym's own agent and servers play: rows name scenarios, and the rewards of an episode are summed."""

import asyncio
import json
from contextlib import ExitStack
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from fastapi.testclient import TestClient
from nemo_gym import server_utils
from nemo_gym.config_types import BaseServerConfig, ModelServerRef, ResourcesServerRef
from nemo_gym.server_utils import ServerClient
from omegaconf import OmegaConf
from resources_servers.openenv.app import OpenEnvResourcesServer, OpenEnvResourcesServerConfig
from responses_api_agents.gymnasium_agent.app import (
    GymnasiumAgent,
    GymnasiumAgentConfig,
    GymnasiumAgentRunRequest,
)

from safeact_env.integrations import nemo_gym
from safeact_env.tasks import get_task
from tests.integrations.rollouts import VARIED, answers, played, serving, told
from tests.llm.stub import Reply, Stub

TASKS = ["easy", "medium", "hard", "medical", "cloud_infra"]
PLACE = {"host": "127.0.0.1", "port": 0, "entrypoint": "app.py"}


def response(text):
    """A response of a model, as NeMo Gym's model servers give it."""
    said = {"annotations": [], "text": text, "type": "output_text"}
    message = {"id": "m", "content": [said], "role": "assistant", "status": "completed", "type": "message"}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "r",
        "created_at": 0.0,
        "model": "stub",
        "object": "response",
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, **details},
    }


def rollouts(rows, said, config=None, max_steps=60):
    """Let NeMo Gym's agent play rows, one after the other; its results, and what the model was sent."""
    waiting = iter(said)
    stub = Stub(lambda _asked: Reply(response(next(waiting))))
    settings = nemo_gym.SafeActServerConfig(name="safeact", **PLACE, **(config or {}))
    server = nemo_gym.SafeActServer(config=settings, server_client=MagicMock(spec=ServerClient))
    with ExitStack() as stack:
        stack.enter_context(stub.running())
        port = stack.enter_context(serving(server.setup_webserver()))
        model_port = int(stub.url.rpartition(":")[2])
        places = {
            "safeact": {"resources_servers": {"safeact": {**PLACE, "port": port}}},
            "policy_model": {"responses_api_models": {"stub": {**PLACE, "port": model_port}}},
        }
        client = ServerClient(
            head_server_config=BaseServerConfig(host="127.0.0.1", port=1),
            global_config_dict=OmegaConf.create(places),
        )
        agent_config = GymnasiumAgentConfig(
            name="agent",
            **PLACE,
            resources_server=ResourcesServerRef(type="resources_servers", name="safeact"),
            model_server=ModelServerRef(type="responses_api_models", name="policy_model"),
            max_steps=max_steps,
        )
        agent = GymnasiumAgent(config=agent_config, server_client=client)

        async def play():
            session = server_utils.set_global_aiohttp_client(server_utils.GlobalAIOHTTPAsyncClientConfig())
            try:
                requests = [GymnasiumAgentRunRequest.model_validate(row) for row in rows]
                return [await agent.run(SimpleNamespace(cookies={}), one) for one in requests]
            finally:
                await session.close()
                server_utils._GLOBAL_AIOHTTP_CLIENT = None

        results = asyncio.run(play())
    assert server.session_state == {} or max_steps < 60
    return results, [asked.body for asked in stub.asked]


@pytest.mark.parametrize("url", [False, True], ids=["here", "server"])
def test_the_agent_plays_the_experts_calls_on_every_task(url, request):
    config = {"base_url": request.getfixturevalue("live_url")} if url else {}
    episodes = [played(task, 4) for task in TASKS]
    said = [text for episode in episodes for text in answers(episode)]
    results, asked = rollouts(nemo_gym.rows(TASKS, [4]), said, config)
    assert [result.reward for result in results] == pytest.approx([1.0] * 5)
    assert all(result.terminated and not result.truncated for result in results)
    assert [result.info["grade"] for result in results] == [1.0] * 5
    assert [result.info["steps"] for result in results] == [len(episode.turns) for episode in episodes]
    assert told(m["content"] for body in asked for m in body["input"] if m["role"] != "assistant") == []


def test_a_mistake_ends_the_rollout_and_its_rewards_are_summed():
    episode = played("hard", 2, "naive")
    (result,), _ = rollouts(nemo_gym.rows(["hard"], [2]), answers(episode))
    assert result.reward == pytest.approx(sum(turn.reward for turn in episode.turns))
    assert (result.info["mistake"], result.terminated, result.truncated) == (1.0, True, False)


def test_a_budget_that_runs_out_is_truncation():
    budget = played("easy", 0).max_steps
    (result,), asked = rollouts(nemo_gym.rows(["easy"], [0]), ["I am thinking."] * budget)
    assert (result.terminated, result.truncated, result.info["unreadable"]) == (False, True, budget)
    assert "could not be read" in asked[-1]["input"][-1]["content"]


@pytest.mark.parametrize("variant", VARIED, ids=str)
def test_a_row_names_its_variant(variant):
    row = nemo_gym.rows(["easy"], [3], levels=[variant.level], framings=[variant.framing])
    (result,), asked = rollouts(row, answers(played("easy", 3, variant=variant)), max_steps=99)
    assert result.reward == pytest.approx(1.0)
    assert get_task("easy").start("train", 3, variant).description in asked[0]["input"][-1]["content"]


def test_the_agents_own_limit_stops_a_rollout():
    episode = played("easy", 1)
    (result,), _ = rollouts(nemo_gym.rows(["easy"], [1]), answers(episode), max_steps=4)
    assert result.truncated
    assert result.reward == pytest.approx(sum(turn.reward for turn in episode.turns[:4]))


def test_rewards_are_shown_only_on_request():
    episode = played("easy", 1)
    _, asked = rollouts(nemo_gym.rows(["easy"], [1]), answers(episode), {"show_rewards": True})
    assert f"REWARD: {episode.turns[0].reward:+.4f}" in asked[1]["input"][-1]["content"]


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"task": "easy"},
        {"task": "nope", "seed": 1},
        {"task": "easy", "seed": -1},
        {"task": "easy", "seed": 1, "level": 9},
    ],
)
def test_a_row_without_a_scenario_is_refused(row):
    settings = nemo_gym.SafeActServerConfig(name="safeact", **PLACE)
    server = nemo_gym.SafeActServer(config=settings, server_client=MagicMock(spec=ServerClient))
    client = TestClient(server.setup_webserver())
    with pytest.raises(ValueError, match=r"scenario|easy, medium|seed|level"):
        client.post("/reset", json={"responses_create_params": {"input": []}, **row})
    with pytest.raises(ValueError, match="reset first"):
        client.post("/step", json={"responses_create_params": {"input": []}, "response": response("x")})


# The resources server that makes OpenEnv environments in its own process -----------------------------------


def openenv_server(**reset):
    config = OpenEnvResourcesServerConfig(
        name="openenv",
        **PLACE,
        env_class="safeact_env.integrations.openenv_class.SilentEnvironment",
        action_class="safeact_env.models.SafeActAction",
        reset_kwargs=reset,
    )
    server = OpenEnvResourcesServer(config=config, server_client=MagicMock(spec=ServerClient))
    return TestClient(server.setup_webserver())


def verified(client):
    body = {"responses_create_params": {"input": []}, "response": response("done")}
    return client.post("/verify", json=body).json()["reward"]


@pytest.mark.parametrize("policy", ["expert", "naive"])
@pytest.mark.parametrize("task", TASKS)
def test_the_openenv_server_sums_the_rewards_and_shows_none(task, policy):
    episode = played(task, 6, policy)
    client = openenv_server(task_name=task, seed=6)
    client.post("/seed_session", json={}).raise_for_status()
    shown = [client.post("/step", json=turn.call.to_json()).json() for turn in episode.turns]
    assert [one["last_action_result"] for one in shown] == [turn.result for turn in episode.turns]
    assert not any("reward" in one for one in shown)
    assert told(json.dumps(one) for one in shown[:-1]) == []
    assert client.post("/step", json=episode.turns[0].call.to_json()).json()["error"] == "Episode has ended."
    assert verified(client) == pytest.approx(sum(turn.reward for turn in episode.turns))


def test_the_openenv_server_draws_a_scenario_if_none_is_named_and_tells_what_is_malformed():
    client = openenv_server(task_name="medium")
    client.post("/seed_session", json={}).raise_for_status()
    wrong = client.post(
        "/step", json={"action_name": "query_table", "parameters": {}, "reasoning": ""}
    ).json()
    assert "reasoning" in wrong["error"]
    unknown = client.post("/step", json={"action_name": "x", "parameters": {}, "reasoning": "y"}).json()
    assert "There is no action" in unknown["last_action_result"]
    assert verified(client) == pytest.approx(-0.2)
