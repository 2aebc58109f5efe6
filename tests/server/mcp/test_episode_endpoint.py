"""An episode's own MCP endpoint: ordinary clients, what they are told, and what goes wrong."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from safeact_env import get_task, play, task_names
from safeact_env.core.episode import Episode
from safeact_env.core.variant import Variant
from safeact_env.network import options_for
from safeact_env.server.mcp import episode_endpoint
from safeact_env.server.mcp.episode_endpoint import EpisodeMcpEndpoint
from safeact_env.server.mcp.tools import tools_of
from tests.play import unscored
from tests.server.mcp.rpc import PLANTED, SEED, arguments, break_steps, expert, message, shown

ACCEPT = {"Accept": "application/json, text/event-stream"}
LOOK = {"name": "list_directory", "arguments": {"reasoning": "r"}}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def begun(client: TestClient) -> tuple[str, dict[str, str]]:
    """An episode, and the headers of its agent."""
    started = client.post("/reset", json={"seed": 1}).json()
    return started["episode_id"], {**ACCEPT, **bearer(started["agent_key"])}


def tools_of_start(task: str) -> list[dict[str, Any]]:
    return tools_of(Episode(get_task(task), "train", SEED))


@pytest.mark.parametrize("task", task_names())
async def test_an_ordinary_client_plays_an_episode(live_url: str, task: str) -> None:
    from fastmcp import Client

    async with httpx.AsyncClient(base_url=live_url, **options_for(live_url)) as trainer:
        started = (await trainer.post("/reset", json={"task_name": task, "seed": SEED})).json()
        episode, start = started["episode_id"], started["observation"]
        async with Client(f"{live_url}/episodes/own/mcp", auth=started["agent_key"]) as agent:
            told = agent.initialize_result.instructions
            assert start["task_description"] in told
            assert json.loads(told.splitlines()[-1]) == start["current_state"]
            tools = await agent.list_tools()
            assert [tool.name for tool in tools] == [tool["name"] for tool in tools_of_start(task)]
            assert all(tool.annotations is None for tool in tools)
            (resource,) = await agent.list_resources()
            assert await agent.list_prompts() == []
            for call, observation in zip(expert(task), shown(task), strict=True):
                result = await agent.call_tool(call.action_name, arguments(call))
                # Rewards and the grade are the trainer's: such clients show a model what they get.
                assert result.structured_content == {
                    name: value for name, value in observation.items() if name not in ("reward", "metadata")
                }
                assert "score" not in unscored(repr(result))
                text = result.content[0].text
                assert text.startswith(observation["last_action_result"])
                assert json.loads(text.splitlines()[-1]) == observation["current_state"]
                (content,) = await agent.read_resource(resource.uri)
                assert json.loads(content.text) == result.structured_content
            over = await agent.call_tool("finish", {"summary": "s", "reasoning": "r"}, raise_on_error=False)
            assert over.is_error
        assert (await trainer.post("/grader", json={"episode_id": episode})).json()["score"] == 1.0


@pytest.mark.parametrize("variant", [Variant(1, "goal"), Variant(4, "planted")], ids=str)
async def test_the_tools_are_those_of_the_episodes_variant(live_url: str, variant: Variant) -> None:
    from fastmcp import Client

    made: Episode[Any] = play(get_task("easy"), "train", SEED, "expert", variant=variant)
    start: Episode[Any] = Episode(get_task("easy"), "train", SEED, variant=variant)
    async with httpx.AsyncClient(base_url=live_url, **options_for(live_url)) as trainer:
        wanted = {"task_name": "easy", "seed": SEED, **variant.to_json()}
        started = (await trainer.post("/reset", json=wanted)).json()
        episode = started["episode_id"]
        async with Client(f"{live_url}/episodes/{episode}/mcp", auth=started["agent_key"]) as agent:
            assert start.observation()["task_description"] in agent.initialize_result.instructions
            names = [tool.name for tool in await agent.list_tools()]
            assert names == list(start.actions)
            assert ("purge_snapshots" in names) == (variant.level == 4)
            for turn in made.turns:
                await agent.call_tool(turn.call.action_name, arguments(turn.call))
        graded = (await trainer.post("/grader", json={"episode_id": episode})).json()
        assert (graded["score"], graded["steps"]) == (1.0, len(made.turns))


async def test_the_client_of_the_sdk_plays_as_well(live_url: str) -> None:
    async with httpx.AsyncClient(base_url=live_url, **options_for(live_url)) as trainer:
        started = (await trainer.post("/reset", json={"task_name": "hard", "seed": SEED})).json()
        episode = started["episode_id"]
        async with (
            httpx.AsyncClient(headers=bearer(started["agent_key"])) as http,
            streamable_http_client(f"{live_url}/episodes/{episode}/mcp", http_client=http) as streams,
            ClientSession(streams[0], streams[1]) as agent,
        ):
            await agent.initialize()
            for call in expert("hard"):
                result = await agent.call_tool(call.action_name, arguments(call))
                assert not result.isError
        assert (await trainer.post("/grader", json={"episode_id": episode})).json()["score"] == 1.0


def test_the_endpoint_of_no_episode_and_other_methods(live_url: str) -> None:
    answer = httpx.post(f"{live_url}/episodes/nobody/mcp", json=message("initialize"))
    assert (answer.status_code, answer.json()["detail"]["code"]) == (401, "unauthorized")
    started = httpx.post(f"{live_url}/reset", json={}).json()
    episode, headers = started["episode_id"], bearer(started["agent_key"])
    for method in ("GET", "DELETE"):
        answer = httpx.request(method, f"{live_url}/episodes/{episode}/mcp", headers=headers)
        assert answer.status_code == 405
    assert httpx.get(f"{live_url}/state", params={"episode_id": episode}).json()["step_count"] == 0


@pytest.mark.parametrize("path", ["/episodes/own/mcp", "/mcp"])
@pytest.mark.parametrize(
    "accepted",
    [None, "", "*/*", "application/*", "APPLICATION/JSON", "text/event-stream", "text/html, */*;q=0.1"],
)
def test_json_is_answered_whatever_a_client_accepts(
    client: TestClient, path: str, accepted: str | None
) -> None:
    episode, headers = begun(client)
    del client.headers["Accept"], headers["Accept"]
    if accepted is not None:
        headers["Accept"] = accepted
    if path == "/mcp":
        headers = {**headers, "X-Episode-Id": episode, "Authorization": ""}
    answer = client.post(path, json=message("tools/list"), headers=headers)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["result"]["tools"]


@pytest.mark.parametrize(
    "sent", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
def test_json_is_read_under_any_name_of_it(client: TestClient, sent: str) -> None:
    _episode, headers = begun(client)
    answer = client.post(
        "/episodes/own/mcp", content=json.dumps(message("ping")), headers={**headers, "Content-Type": sent}
    )
    assert answer.json()["result"] == {}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, -32700),
        ([], -32600),
        ({PLANTED: 1}, -32600),
        ({"jsonrpc": "2.0", "method": "tools/list", "id": None}, -32600),
        ({"jsonrpc": "2.0", "method": "tools/list", "id": PLANTED * 1_000}, -32600),
        ({"jsonrpc": "2.0", "method": "tools/list", "id": 7, "params": PLANTED}, -32602),
        (message(PLANTED), -32601),
        (message("tasks/list"), -32601),
        (message("tools/call", name=[PLANTED], arguments={}), -32602),
        (message("tools/call", name="finish", arguments=PLANTED), -32602),
        (message("resources/read", uri=f"safeact://{PLANTED}"), -32602),
        (message("prompts/get", name=PLANTED), -32602),
        (message("initialize", protocolVersion=3), -32602),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_malformed_request_is_a_json_rpc_error(client: TestClient, body: Any, code: int) -> None:
    episode, accepted = begun(client)
    answer = client.post(
        f"/episodes/{episode}/mcp",
        content=b"" if body is None else json.dumps(body).encode(),
        headers={**accepted, "Content-Type": "application/json"},
    )
    assert answer.status_code in (200, 400)
    assert answer.json()["error"]["code"] == code
    assert PLANTED not in answer.text
    assert len(answer.text) < 500
    assert client.get("/state", params={"episode_id": episode}).json()["step_count"] == 0


def test_a_fault_in_a_tool_tells_the_log_and_not_the_client(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    episode, accepted = begun(client)
    break_steps(monkeypatch)
    answer = client.post(f"/episodes/{episode}/mcp", json=message("tools/call", **LOOK), headers=accepted)
    assert answer.status_code == 200
    assert answer.json()["result"]["isError"]
    assert "fault of the server" in answer.text
    assert PLANTED not in answer.text
    assert f"ValueError: {PLANTED}" in caplog.text
    assert client.get("/state", params={"episode_id": episode}).status_code == 404


def test_a_fault_in_a_list_tells_the_log_and_not_the_client(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_episode: object) -> Any:
        raise ValueError(PLANTED)

    monkeypatch.setattr(episode_endpoint, "tools_of", broken)
    monkeypatch.setattr(episode_endpoint, "observation_json", broken)
    episode, accepted = begun(client)
    for asked in (message("tools/list"), message("resources/read", uri="safeact://observation")):
        answer = client.post(f"/episodes/{episode}/mcp", json=asked, headers=accepted)
        assert (answer.status_code, answer.json()["error"]["code"]) == (200, -32603)
        assert PLANTED not in answer.text
    assert f"ValueError: {PLANTED}" in caplog.text


# Starting and stopping ------------------------------------------------------------------------------------


def test_a_start_that_fails_is_said_and_tried_again(
    own_client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    episode, accepted = begun(own_client)
    real = EpisodeMcpEndpoint._make

    async def unmade(self: EpisodeMcpEndpoint) -> Any:
        raise OSError(PLANTED)

    async def lifeless(self: EpisodeMcpEndpoint) -> Any:
        app = await real(self)

        @asynccontextmanager
        async def lifespan(_app: Any) -> Any:
            raise OSError(PLANTED)
            yield

        app.router.lifespan_context = lifespan
        return app

    def ask() -> httpx.Response:
        asked = message("tools/list")
        found: httpx.Response = own_client.post(f"/episodes/{episode}/mcp", json=asked, headers=accepted)
        return found

    for broken in (unmade, lifeless):
        monkeypatch.setattr(EpisodeMcpEndpoint, "_make", broken)
        for _again in range(2):
            answer = ask()
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, -32603)
            assert PLANTED not in answer.text
    assert f"OSError: {PLANTED}" in caplog.text
    monkeypatch.setattr(EpisodeMcpEndpoint, "_make", real)
    assert ask().json()["result"]["tools"]


async def test_one_that_broke_down_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    started = []
    fall = asyncio.Event()

    class App:
        class router:
            @staticmethod
            @asynccontextmanager
            async def lifespan_context(_app: Any) -> Any:
                async with asyncio.TaskGroup() as group:
                    group.create_task(falling())
                    yield

    async def falling() -> None:
        await fall.wait()
        raise OSError(PLANTED)

    async def make() -> Any:
        started.append(App())
        return started[-1]

    running = episode_endpoint._RunningApp(make)
    assert await running.app() is await running.app() is started[0]
    assert running.alive
    fall.set()
    await asyncio.wait({running._task}, timeout=20)
    assert not running.alive
    assert PLANTED in caplog.text
    await running.stop()
    fall.clear()
    again = episode_endpoint._RunningApp(make)
    await again.app()
    await again.stop()
    assert not again.alive


def test_it_starts_again_on_another_event_loop() -> None:
    """As when an app that served in one loop serves in the next, with the first one's tasks left behind."""

    class App:
        class router:
            @staticmethod
            @asynccontextmanager
            async def lifespan_context(_app: Any) -> Any:
                yield

    async def make() -> Any:
        return App()

    async def start() -> episode_endpoint._RunningApp:
        running = episode_endpoint._RunningApp(make)
        await running.app()
        assert running.alive
        return running

    async def lives(running: episode_endpoint._RunningApp) -> bool:
        return running.alive

    loop = asyncio.new_event_loop()
    try:
        running = loop.run_until_complete(start())
        assert not asyncio.run(lives(running))
    finally:
        loop.run_until_complete(running.stop())
        loop.close()
