"""The actions of an episode as MCP tools: in `/ws` frames, at `/mcp`, as steps of OpenEnv's MCP clients."""

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient
from openenv.core.env_server.mcp_types import CallToolAction
from openenv.core.mcp_client import MCPToolClient

from safeact_env import get_task, task_names
from safeact_env.core.episode import Episode
from safeact_env.server.mcp.tools import tools_of
from tests.checks import LABELS
from tests.server.mcp.rpc import PLANTED, SEED, Rpc, arguments, break_steps, expert, message, shown

EVERY_TASK = pytest.mark.parametrize("task", task_names())


def play_by(rpc: Rpc, task: str) -> None:
    tools = {tool["name"]: tool for tool in rpc("tools/list")["result"]["tools"]}
    for call, observation in zip(expert(task), shown(task), strict=True):
        jsonschema.validate(arguments(call), tools[call.action_name]["inputSchema"])
        answer = rpc("tools/call", name=call.action_name, arguments=arguments(call))
        assert (answer["jsonrpc"], answer["id"], answer["result"]["isError"]) == ("2.0", 7, False)
        assert answer["result"]["structuredContent"] == observation
        text = answer["result"]["content"][0]["text"]
        assert text.startswith(observation["last_action_result"])
        # Many clients show a model the text and nothing else.
        assert json.loads(text.splitlines()[-1]) == observation["current_state"]
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
    assert '"x-' not in json.dumps(tools), "extensions are for this project's own clients"


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


# OpenEnv's MCP client -------------------------------------------------------------------------------------


def test_the_mcp_client_of_openenv(live_url: str) -> None:
    with MCPToolClient(base_url=live_url).sync() as env:
        assert env.list_tools(use_cache=False) == []
        env.reset(task_name="easy", seed=SEED)
        tools = env.list_tools(use_cache=False)
        assert [tool.name for tool in tools] == [row["name"] for row in shown("easy")[0]["available_actions"]]
        assert all("reasoning" in tool.input_schema["required"] for tool in tools)
        for call, observation in zip(expert("easy"), shown("easy"), strict=True):
            result = env.call_tool(call.action_name, **arguments(call))
            assert result["structuredContent"] == observation
        assert env.state().step_count == len(expert("easy"))


@EVERY_TASK
def test_its_action_for_a_tool_call_is_a_step(live_url: str, task: str) -> None:
    """`call_tool(name, **arguments)` has no room for an argument `name`, which some actions take."""
    with MCPToolClient(base_url=live_url).sync() as env:
        env.reset(task_name=task, seed=SEED)
        for call, observation in zip(expert(task), shown(task), strict=True):
            result = env.step(CallToolAction(tool_name=call.action_name, arguments=arguments(call)))
            assert (result.reward, result.done) == (observation["reward"], observation["done"])
            assert result.observation.tool_name == call.action_name
            assert result.observation.result["structuredContent"] == observation
        assert result.observation.metadata["score"] == 1.0


def test_some_action_takes_a_name() -> None:
    assert any("name" in call.parameters for task in task_names() for call in expert(task))


def test_tools_as_steps_in_frames(client: TestClient) -> None:
    with client.websocket_connect("/ws") as ws:

        def step(**data: Any) -> dict[str, Any]:
            ws.send_json({"type": "step", "data": data})
            found: dict[str, Any] = ws.receive_json()["data"]
            return found

        assert step(type="list_tools")["observation"] == {"tools": []}
        ws.send_json({"type": "reset", "data": {"task_name": "easy", "seed": SEED}})
        ws.receive_json()
        tools = step(type="list_tools")
        assert tools["observation"]["tools"] == tools_of(Episode(get_task("easy"), "train", SEED))
        assert (tools["reward"], tools["done"]) == (None, False)
        for bad in (
            {},
            {"tool_name": 3, "arguments": {"reasoning": "r"}},
            {"tool_name": "finish", "arguments": None},
            {"tool_name": "finish", "arguments": [PLANTED]},
            {"tool_name": "finish", "arguments": {"summary": "s"}},
            {"tool_name": "finish", "arguments": {"reasoning": "r"}, "extra": PLANTED},
        ):
            answer = step(type="call_tool", **bad)
            assert answer["code"] == "VALIDATION_ERROR"
            assert PLANTED not in json.dumps(answer)
        look = {"tool_name": "list_directory", "arguments": {"reasoning": "r"}, "metadata": {}}
        after = step(type="call_tool", **look)
        assert (after["reward"], after["done"]) == (0.0, False)
        assert after["observation"]["tool_name"] == "list_directory"
        assert not after["observation"]["result"]["isError"]
        ws.send_json({"type": "state"})
        assert ws.receive_json()["data"]["step_count"] == 1


# What is not well-formed ----------------------------------------------------------------------------------

BODIES: list[tuple[Any, int]] = [
    ([], -32600),
    ("tools/list", -32600),
    ({}, -32600),
    ({PLANTED: 1}, -32600),
    ({"jsonrpc": "1.0", "method": "tools/list"}, -32600),
    ({"jsonrpc": "2.0", "method": 3}, -32600),
    ({"jsonrpc": "2.0", "method": "tools/list", "id": [1]}, -32600),
    ({"jsonrpc": "2.0", "method": "tools/list", "id": True}, -32600),
    ({"jsonrpc": "2.0", "method": "tools/list", "id": 1.5}, -32600),
    ({"jsonrpc": "2.0", "method": "tools/list", "id": 2**63}, -32600),
    ({"jsonrpc": "2.0", "method": "tools/list", "id": PLANTED * 30}, -32600),
    ({"jsonrpc": "2.0", "method": "tools/list", "id": 7, "params": []}, -32602),
    (message("tools/call"), -32602),
    (message("tools/call", name=3), -32602),
    (message("tools/call", name="finish", arguments=[PLANTED]), -32602),
    (message("tools/call", name="finish", arguments=None), -32602),
    (message("reset"), -32601),
    (message(PLANTED), -32601),
    (message("openenv/session/close"), -32602),
    (message("openenv/session/close", session_id={PLANTED: 1}), -32602),
    (message("openenv/session/close", session_id=PLANTED), -32602),
]
IN_A_SESSION: list[tuple[Any, int]] = [
    (message("tools/list", session_id=PLANTED * 1_000), -32602),
    (message("tools/list", session_id=[1]), -32602),
    (message("tools/list", session_id={}), -32602),
    (message("tools/list", session_id=None), -32602),
    (message(PLANTED, session_id=PLANTED), -32602),
]
"""At `POST /mcp`. A connection has its session, whatever a message names."""


def well_refused(answer: Any, code: int, body: Any) -> None:
    assert answer["error"]["code"] == code
    assert len(json.dumps(answer)) < 500
    assert PLANTED not in json.dumps(answer)
    known = isinstance(body, dict) and body.get("id") == 7
    assert answer["id"] == (7 if known else None), "who sent it has to find its answer"


@pytest.mark.parametrize(("body", "code"), BODIES + IN_A_SESSION, ids=lambda value: str(value)[:60])
def test_a_malformed_request_is_a_json_rpc_error(client: TestClient, body: Any, code: int) -> None:
    episode = client.post("/reset", json={"seed": 1}).json()["episode_id"]
    response = client.post("/mcp", json=body)
    assert response.status_code == 200
    well_refused(response.json(), code, body)
    assert client.get("/state", params={"episode_id": episode}).json()["step_count"] == 0


def test_a_request_in_a_session_is_judged_as_strictly(client: TestClient) -> None:
    session = client.post("/mcp", json=message("openenv/session/create")).json()["result"]["session_id"]
    calls = [
        ({}, -32602),
        ({"name": 3}, -32602),
        ({"name": "finish", "arguments": [PLANTED]}, -32602),
        ({"name": "finish", "arguments": None}, -32602),
    ]
    with client.websocket_connect(f"/ws?session_id={session}") as ws:
        ws.send_json({"type": "reset", "data": {"seed": 1}})
        ws.receive_json()
        for params, code in calls:
            body = message("tools/call", session_id=session, **params)
            well_refused(client.post("/mcp", json=body).json(), code, body)
        unknown = message(PLANTED, session_id=session)
        well_refused(client.post("/mcp", json=unknown).json(), -32601, unknown)
        ws.send_json({"type": "state"})
        assert ws.receive_json()["data"]["step_count"] == 0


@pytest.mark.parametrize(("body", "code"), BODIES, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("address", ["/mcp", "/ws", "/ws?session_id="])
def test_so_is_one_on_a_socket_which_stays_usable(
    client: TestClient, address: str, body: Any, code: int
) -> None:
    if address.endswith("="):
        address += client.post("/mcp", json=message("openenv/session/create")).json()["result"]["session_id"]
    with client.websocket_connect(address) as ws:

        def rpc(body: Any) -> Any:
            ws.send_json({"type": "mcp", "data": body} if "ws" in address else body)
            answer = ws.receive_json()
            return answer["data"] if "ws" in address else answer

        if "ws" in address and not isinstance(body, dict):
            assert rpc(body)["code"] == "VALIDATION_ERROR"
        else:
            well_refused(rpc(body), code, body)
        assert rpc(message("tools/list"))["result"] == {"tools": []}


@pytest.mark.parametrize("body", ["{", '{"jsonrpc":"2.0","id":NaN}', '"' + "x" * 70_000 + '"'], ids=len)
@pytest.mark.parametrize("path", ["/mcp", "/episodes/{}/mcp"])
def test_a_body_that_is_not_let_in_is_a_json_rpc_error_as_well(
    client: TestClient, path: str, body: str
) -> None:
    episode = client.post("/reset", json={"seed": 1}).json()["episode_id"]
    headers = {"Content-Type": "application/json"}
    answer = client.post(path.format(episode), content=body.encode(), headers=headers)
    assert answer.status_code in (400, 413)
    well_refused(answer.json(), -32700, None)


@pytest.mark.parametrize("headers", [{"X-Episode-Id": "a b"}, {"Cookie": f"safeact_episode={'x' * 300}"}])
def test_an_episode_that_cannot_be_is_a_json_rpc_error(client: TestClient, headers: dict[str, str]) -> None:
    well_refused(client.post("/mcp", json=message("tools/list"), headers=headers).json(), -32602, {"id": 7})


LOOK = {"name": "list_directory", "arguments": {"reasoning": "r"}}
NOTES = [
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "method": "tools/list"},
    {"jsonrpc": "2.0", "method": "tools/list", "params": 3},
    {"jsonrpc": "2.0", "method": "openenv/session/create"},
    {
        "jsonrpc": "2.0",
        "method": "tools/call",
        "params": {"name": "list_directory", "arguments": {"reasoning": "r"}},
    },
]


@pytest.mark.parametrize("note", NOTES, ids=str)
def test_a_notification_gets_no_answer_and_does_nothing(client: TestClient, note: dict[str, Any]) -> None:
    started = client.post("/reset", json={"seed": 1}).json()
    episode, accepted = started["episode_id"], {"Accept": "application/json, text/event-stream"}
    key = {"Authorization": f"Bearer {started['agent_key']}"}
    for path, headers in (("/mcp", accepted), (f"/episodes/{episode}/mcp", {**accepted, **key})):
        answer = client.post(path, json=note, headers=headers)
        assert (answer.status_code, answer.content) == (202, b"")
    assert client.get("/state", params={"episode_id": episode}).json()["step_count"] == 0
    with client.websocket_connect("/mcp") as ws:
        ws.send_json(note)
        ws.send_json(message("tools/list"))
        assert ws.receive_json()["id"] == 7
    with client.websocket_connect("/ws") as ws:
        ws.send_json({"type": "reset", "data": {"seed": 1}})
        ws.receive_json()
        ws.send_json({"type": "mcp", "data": note})
        ws.send_json({"type": "state"})
        state = ws.receive_json()
        assert (state["type"], state["data"]["step_count"]) == ("state", 0)


def test_a_fault_tells_the_log_and_not_the_client(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = client.post("/mcp", json=message("openenv/session/create")).json()["result"]["session_id"]
    episode = client.post("/reset", json={"seed": 1}).json()["episode_id"]
    with client.websocket_connect(f"/ws?session_id={session}") as ws:
        reset = {"type": "reset", "data": {"seed": 1}}
        ws.send_json(reset)
        ws.receive_json()
        break_steps(monkeypatch)
        answers = [client.post("/mcp", json=message("tools/call", **LOOK, session_id=session))]
        answers.append(client.post("/mcp", json=message("tools/call", **LOOK)))
        found = [answer.json() for answer in answers]
        ws.send_json(reset)
        ws.receive_json()
        ws.send_json({"type": "mcp", "data": message("tools/call", **LOOK)})
        found.append(ws.receive_json()["data"])
        ws.send_json(reset)
        ws.receive_json()
        ws.send_json(
            {"type": "step", "data": {"type": "call_tool", "tool_name": "x", "arguments": {"reasoning": "r"}}}
        )
        assert ws.receive_json()["data"]["code"] == "EXECUTION_ERROR"
        ws.send_json({"type": "state"})
        assert ws.receive_json()["data"]["task_name"] is None, "a broken episode was kept"
    assert [answer.status_code for answer in answers] == [200, 200]
    for answer in found:
        well_refused(answer, -32603, {"id": 7})
    assert caplog.text.count(f"ValueError: {PLANTED}") == 4
    assert client.get("/state", params={"episode_id": episode}).status_code == 404


def test_an_empty_body(client: TestClient) -> None:
    well_refused(client.post("/mcp").json(), -32700, None)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x00\x01", -32700),
        ("{", -32700),
        ('{"jsonrpc":"2.0","method":"tools/list","id":NaN}', -32700),
        ("x" * 1_000_000, -32700),
        ("[" * 60_000, -32700),
        ('"\\ud800"', -32700),
        ("1e400", -32700),
        ("[]", -32600),
        ("null", -32600),
        (json.dumps(message("tools/call", name="finish", arguments={})), -32000),
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


def test_a_tool_that_is_not_offered_costs_a_step_as_on_every_transport(client: TestClient) -> None:
    client.post("/reset", json={"seed": 1})
    call = message("tools/call", name="reset", arguments={"reasoning": "r"})
    result = client.post("/mcp", json=call).json()["result"]
    assert result["structuredContent"]["reward"] == -0.2
    assert client.get("/state").json()["step_count"] == 1


def test_the_server_starts_without_the_mcp_server_library() -> None:
    code = (
        "import sys; from safeact_env.server.app import create_app; create_app(); heavy = "
        "('fastmcp.server', 'gradio', 'openai', 'openenv.core.harness'); "
        "print(*(m for m in heavy if m in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
