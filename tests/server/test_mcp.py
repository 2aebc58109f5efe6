"""The actions of an episode as MCP tools: in `/ws` frames, at `/mcp`, and at the episode's own endpoint."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient
from fastmcp import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from openenv.core.mcp_client import MCPToolClient

from safeact_env import get_task, play, task_names
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.server.app import HTTPEnvServer, create_app
from safeact_env.server.leases import Leases
from safeact_env.server.settings import Settings
from safeact_env.server.tools import tools_of
from tests.checks import LABELS

EVERY_TASK = pytest.mark.parametrize("task", task_names())
ATTACHES = pytest.mark.skipif(
    "query_params" not in inspect.getsource(HTTPEnvServer.register_routes),
    reason="this OpenEnv attaches no WebSocket to a session that POST /mcp has made",
)
SEED = 4
Rpc = Callable[..., dict[str, Any]]


def expert(task: str) -> list[Call]:
    return [turn.call for turn in play(get_task(task), "train", SEED, "expert").turns]


def arguments(call: Call) -> dict[str, Any]:
    return {**call.parameters, "reasoning": call.reasoning}


def shown(task: str) -> list[dict[str, Any]]:
    """What the engine shows after each of the expert's calls."""
    episode: Episode[Any] = Episode(get_task(task), "train", SEED)
    found = []
    for call in expert(task):
        episode.step(call)
        found.append(episode.observation())
    return found


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def play_by(rpc: Rpc, task: str) -> None:
    tools = {tool["name"]: tool for tool in rpc("tools/list")["result"]["tools"]}
    for call, observation in zip(expert(task), shown(task), strict=True):
        jsonschema.validate(arguments(call), tools[call.action_name]["inputSchema"])
        answer = rpc("tools/call", name=call.action_name, arguments=arguments(call))
        assert (answer["jsonrpc"], answer["id"], answer["result"]["isError"]) == ("2.0", 7, False)
        assert answer["result"]["structuredContent"] == observation
        assert answer["result"]["content"][0]["text"].startswith(observation["last_action_result"])
    over = rpc("tools/call", name="finish", arguments={"summary": "s", "reasoning": "r"})["result"]
    assert over["isError"]
    assert "over" in over["content"][0]["text"]


# The tools ----------------------------------------------------------------------------------------------


@EVERY_TASK
def test_the_tools_are_the_actions_and_nothing_else(task: str) -> None:
    episode: Episode[Any] = Episode(get_task(task), "test", SEED)
    tools = tools_of(episode)
    offered = episode.observation()["available_actions"]
    assert [(tool["name"], tool["description"]) for tool in tools] == [
        (row["name"], row["description"]) for row in offered
    ]
    for tool, row in zip(tools, offered, strict=True):
        assert tool.keys() == {"name", "description", "inputSchema"}, "an annotation could tell risk"
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
        assert tool["inputSchema"]["properties"].keys() == {*row["parameters"], "reasoning"}
    assert not {"reset", "state", "step", "grader", "grade"} & {tool["name"] for tool in tools}
    assert not LABELS.search(json.dumps([tool["inputSchema"] for tool in tools]))


# In frames and at /mcp ----------------------------------------------------------------------------------


@EVERY_TASK
def test_an_episode_in_mcp_frames(client: TestClient, task: str) -> None:
    with client.websocket_connect("/ws") as ws:

        def rpc(method: str, **params: Any) -> dict[str, Any]:
            ws.send_json({"type": "mcp", "data": message(method, **params)})
            answer = ws.receive_json()
            assert answer["type"] == "mcp"
            found: dict[str, Any] = answer["data"]
            return found

        assert rpc("tools/list")["result"] == {"tools": []}
        assert "reset" in rpc("tools/call", name="finish", arguments={})["error"]["message"]
        ws.send_json({"type": "reset", "data": {"task_name": task, "seed": SEED}})
        ws.receive_json()
        play_by(rpc, task)
        ws.send_json({"type": "state"})
        assert ws.receive_json()["data"]["done"]


@EVERY_TASK
@pytest.mark.parametrize("by", ["cookie", "header"])
def test_an_http_episode_at_mcp(client: TestClient, task: str, by: str) -> None:
    assert client.post("/mcp", json=message("tools/list")).json()["result"] == {"tools": []}
    other = client.post("/reset", json={"task_name": "easy"}).json()["episode_id"]
    mine = client.post("/reset", json={"task_name": task, "seed": SEED}).json()["episode_id"]
    headers = {"X-Episode-Id": mine} if by == "header" else {}
    if by == "header":
        client.cookies.clear()

    def rpc(method: str, **params: Any) -> dict[str, Any]:
        answer = client.post("/mcp", json=message(method, **params), headers=headers)
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found

    play_by(rpc, task)
    assert client.post("/grader", json={"episode_id": mine}).json()["score"] == 1.0
    assert client.get("/state", params={"episode_id": other}).json()["step_count"] == 0


@ATTACHES
def test_the_session_client_of_openenv(live_url: str) -> None:
    with MCPToolClient(base_url=live_url).sync() as env:
        assert env.list_tools(use_cache=False) == []
        env.reset(task_name="easy", seed=SEED)
        tools = env.list_tools(use_cache=False)
        assert [tool.name for tool in tools] == [row["name"] for row in shown("easy")[0]["available_actions"]]
        for call in expert("easy"):
            env.call_tool(call.action_name, **arguments(call))
        assert env.state().step_count == len(expert("easy"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], -32600),
        ("tools/list", -32600),
        ({}, -32600),
        ({"jsonrpc": "1.0", "method": "tools/list"}, -32600),
        ({"jsonrpc": "2.0", "method": 3}, -32600),
        ({"jsonrpc": "2.0", "method": "tools/list", "id": [1]}, -32600),
        ({"jsonrpc": "2.0", "method": "tools/list", "id": True}, -32600),
        ({"jsonrpc": "2.0", "method": "tools/list", "params": []}, -32602),
        (message("tools/call"), -32602),
        (message("tools/call", name=3), -32602),
        (message("tools/call", name="finish", arguments=[]), -32602),
        (message("reset"), -32601),
        (message("planted-secret"), -32601),
        (message("tools/list", session_id="planted-secret"), -32602),
    ],
    ids=str,
)
def test_a_malformed_request_is_a_json_rpc_error(client: TestClient, body: Any, code: int) -> None:
    episode = client.post("/reset", json={"seed": 1}).json()["episode_id"]
    with client.websocket_connect("/ws") as ws:
        ws.send_json({"type": "reset", "data": {"seed": 1}})
        ws.receive_json()
        answers = [client.post("/mcp", json=body).json()]
        if isinstance(body, dict) and "session_id" not in body.get("params", {}):
            ws.send_json({"type": "mcp", "data": body})
            answers.append(ws.receive_json()["data"])
        ws.send_json({"type": "state"})
        assert ws.receive_json()["data"]["step_count"] == 0
    for answer in answers:
        assert answer["error"]["code"] == code
        if "session_id" not in str(body):
            assert "planted-secret" not in json.dumps(answer)
    assert client.get("/state", params={"episode_id": episode}).json()["step_count"] == 0


def test_an_empty_body_and_a_notification(client: TestClient) -> None:
    assert client.post("/mcp").json()["error"]["code"] == -32700
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert client.post("/mcp", json=note).status_code == 202


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x00\x01", -32700),
        ("{", -32700),
        ('{"jsonrpc":"2.0","method":"tools/list","id":NaN}', -32700),
        ("x" * 1_000_000, -32700),
        ("[" * 60_000, -32700),
        ("[]", -32600),
        ('{"planted-secret":1}', -32600),
        (json.dumps(message("planted-secret")), -32601),
        (json.dumps(message("tools/call", name="finish", arguments={})), -32603),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_frame_on_the_mcp_socket_leaves_it_usable(client: TestClient, frame: Any, code: int) -> None:
    with client.websocket_connect("/mcp") as ws:
        ws.send_bytes(frame) if isinstance(frame, bytes) else ws.send_text(frame)
        answer = ws.receive_json()
        assert answer["error"]["code"] == code
        assert "Traceback" not in json.dumps(answer)
        ws.send_json(message("tools/list"))
        assert ws.receive_json()["result"] == {"tools": []}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"summary": "s"}, "reasoning"),
        ({"summary": "s", "reasoning": ""}, "reasoning"),
        ({"summary": "s", "reasoning": 3}, "reasoning"),
        ({"summary": "s" * 4_001, "reasoning": "r"}, "parameters"),
    ],
    ids=["none", "empty", "number", "long"],
)
def test_a_call_that_is_not_well_formed_uses_no_step(
    client: TestClient, given: dict[str, Any], says: str
) -> None:
    client.post("/reset", json={"seed": 1})
    result = client.post("/mcp", json=message("tools/call", name="finish", arguments=given)).json()["result"]
    assert result["isError"]
    assert says in result["content"][0]["text"]
    assert client.get("/state").json()["step_count"] == 0


def test_a_tool_that_is_not_offered_costs_a_step_as_at_every_door(client: TestClient) -> None:
    client.post("/reset", json={"seed": 1})
    call = message("tools/call", name="reset", arguments={"reasoning": "r"})
    result = client.post("/mcp", json=call).json()["result"]
    assert result["structuredContent"]["reward"] == -0.2
    assert client.get("/state").json()["step_count"] == 1


# Leases -------------------------------------------------------------------------------------------------


def create(client: TestClient) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/mcp", json=message("openenv/session/create")).json()
    return answer


def has_room(client: TestClient) -> bool:
    """Whether OpenEnv has a session left."""
    with client.websocket_connect("/mcp") as ws:
        ws.send_json(message("tools/list"))
        return "result" in ws.receive_json()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server with two of OpenEnv's sessions, and leases of a tenth of a second."""
    monkeypatch.setattr(Leases.__init__, "__defaults__", (0.1, 2))
    with TestClient(create_app(Settings(max_sessions=2))) as client:
        yield client


def test_a_session_without_a_socket_is_closed(small: TestClient) -> None:
    for _session in range(2):
        assert "result" in create(small)
    assert "try again" in create(small)["error"]["message"]
    assert not has_room(small)
    asyncio.run(asyncio.sleep(0.3))
    assert has_room(small)


def test_without_leases_the_sessions_would_stay(small: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin."""
    monkeypatch.setattr(Leases, "made", lambda *_: None)
    for _session in range(2):
        create(small)
    asyncio.run(asyncio.sleep(0.3))
    assert not has_room(small)


@ATTACHES
def test_a_socket_keeps_its_session_and_its_end_frees_it(small: TestClient) -> None:
    session = create(small)["result"]["session_id"]
    with small.websocket_connect(f"/ws?session_id={session}") as ws:
        asyncio.run(asyncio.sleep(0.3))
        ws.send_json({"type": "reset", "data": {"task_name": "easy", "seed": SEED}})
        assert ws.receive_json()["type"] == "observation"
        listed = small.post("/mcp", json=message("tools/list", session_id=session)).json()
        assert listed["result"]["tools"]
    asyncio.run(asyncio.sleep(0.3))
    gone = small.post("/mcp", json=message("tools/list", session_id=session)).json()
    assert "error" in gone


def test_a_session_that_its_client_closes_is_no_longer_leased(small: TestClient) -> None:
    for _session in range(5):
        session = create(small)["result"]["session_id"]
        closed = small.post("/mcp", json=message("openenv/session/close", session_id=session)).json()
        assert closed["result"]["closed"]


# An episode's own endpoint --------------------------------------------------------------------------------


@EVERY_TASK
async def test_an_ordinary_client_plays_an_episode(live_url: str, task: str) -> None:
    import httpx

    async with httpx.AsyncClient(base_url=live_url) as trainer:
        started = await trainer.post("/reset", json={"task_name": task, "seed": SEED})
        episode = started.json()["episode_id"]
        async with Client(f"{live_url}/episodes/{episode}/mcp") as agent:
            job = started.json()["observation"]["task_description"]
            assert job in agent.initialize_result.instructions
            tools = await agent.list_tools()
            assert [tool.name for tool in tools] == [tool["name"] for tool in tools_of_start(task)]
            assert all(tool.annotations is None for tool in tools)
            (resource,) = await agent.list_resources()
            assert await agent.list_prompts() == []
            for call, observation in zip(expert(task), shown(task), strict=True):
                result = await agent.call_tool(call.action_name, arguments(call))
                assert result.structured_content == observation
                (content,) = await agent.read_resource(resource.uri)
                assert json.loads(content.text).items() <= observation.items()
            over = await agent.call_tool("finish", {"summary": "s", "reasoning": "r"}, raise_on_error=False)
            assert over.is_error
        assert (await trainer.post("/grader", json={"episode_id": episode})).json()["score"] == 1.0


def tools_of_start(task: str) -> list[dict[str, Any]]:
    return tools_of(Episode(get_task(task), "train", SEED))


async def test_the_client_of_the_sdk_plays_as_well(live_url: str) -> None:
    import httpx

    async with httpx.AsyncClient(base_url=live_url) as trainer:
        episode = (await trainer.post("/reset", json={"task_name": "hard", "seed": SEED})).json()[
            "episode_id"
        ]
        async with (
            streamable_http_client(f"{live_url}/episodes/{episode}/mcp") as streams,
            ClientSession(streams[0], streams[1]) as agent,
        ):
            await agent.initialize()
            for call in expert("hard"):
                result = await agent.call_tool(call.action_name, arguments(call))
                assert not result.isError
        assert (await trainer.post("/grader", json={"episode_id": episode})).json()["score"] == 1.0


def test_the_endpoint_of_no_episode_and_other_methods(live_url: str) -> None:
    import httpx

    answer = httpx.post(f"{live_url}/episodes/nobody/mcp", json=message("initialize"))
    assert (answer.status_code, answer.json()["detail"]["code"]) == (404, "unknown_episode")
    episode = httpx.post(f"{live_url}/reset", json={}).json()["episode_id"]
    assert httpx.get(f"{live_url}/episodes/{episode}/mcp").status_code == 405
    assert httpx.delete(f"{live_url}/episodes/{episode}/mcp").status_code == 405
    assert httpx.post(f"{live_url}/episodes/{episode}/mcp", content=b"{").status_code in (400, 422)
    assert httpx.get(f"{live_url}/state", params={"episode_id": episode}).json()["step_count"] == 0


def test_the_server_starts_without_the_mcp_server_library() -> None:
    code = (
        "import sys; from safeact_env.server.app import create_app; create_app(); heavy = "
        "('fastmcp.server', 'gradio', 'openai', 'openenv.core.harness'); "
        "print(*(m for m in heavy if m in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
