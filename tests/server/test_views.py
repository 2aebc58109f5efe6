"""Views at every door: `changes` merges to `full`, whoever answers, however often it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from safeact_env import get_task, play, task_names
from safeact_env.call import Call
from safeact_env.client import merge
from safeact_env.core.episode import Episode
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.sessions.views import SessionViews

Answer = dict[str, Any]
Door = Callable[[TestClient, dict[str, Any], list[dict[str, Any]]], list[Answer]]
ACCEPT = {"Accept": "application/json, text/event-stream"}
CHOICES = "Input should be 'full' or 'changes'"
LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "Look."}


def calls_of(task: str, policy: str = "expert", variant: Variant = DEFAULT, seed: int = 7) -> list[Answer]:
    turns = play(get_task(task), "test", seed, policy, variant=variant).turns
    return [turn.call.to_json() for turn in turns]


def start(task: str, view: str | None = "changes", variant: Variant = DEFAULT, seed: int = 7) -> Answer:
    named = {"task_name": task, "split": "test", "seed": seed, **variant.to_json()}
    return named if view is None else {**named, "view": view}


def tool_call(call: dict[str, Any], **more: Any) -> dict[str, Any]:
    arguments = {**call["parameters"], "reasoning": call["reasoning"]}
    params = {"name": call["action_name"], "arguments": arguments, **more}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


# The doors: each answers with observations ------------------------------------------------------------------


def http(client: TestClient, wanted: dict[str, Any], calls: list[dict[str, Any]]) -> list[Answer]:
    answers = [client.post("/reset", json=wanted).json()]
    name = {"episode_id": answers[0]["episode_id"]}
    answers += [client.post("/step", json={"action": call, **name}).json() for call in calls]
    return [answer["observation"] for answer in answers]


def http_slowly(client: TestClient, wanted: dict[str, Any], calls: list[dict[str, Any]]) -> list[Answer]:
    """Past the fast path: the three fields stand beside the id."""
    answers = [client.post("/reset", json=wanted).json()]
    name = {"episode_id": answers[0]["episode_id"]}
    answers += [client.post("/step", json={**call, **name}).json() for call in calls]
    return [answer["observation"] for answer in answers]


def ws(client: TestClient, wanted: dict[str, Any], calls: list[dict[str, Any]]) -> list[Answer]:
    frames = [{"type": "reset", "data": wanted}, *({"type": "step", "data": call} for call in calls)]
    with client.websocket_connect("/ws") as socket:
        return [asked(socket, frame)["observation"] for frame in frames]


def asked(socket: Any, frame: dict[str, Any]) -> Any:
    socket.send_json(frame)
    return socket.receive_json()["data"]


def ws_mcp(client: TestClient, wanted: dict[str, Any], calls: list[dict[str, Any]]) -> list[Answer]:
    with client.websocket_connect("/ws") as socket:
        shown = [asked(socket, {"type": "reset", "data": wanted})["observation"]]
        for call in calls:
            answer = asked(socket, {"type": "mcp", "data": tool_call(call)})
            shown.append(answer["result"]["structuredContent"])
    return shown


def mcp(client: TestClient, wanted: dict[str, Any], calls: list[dict[str, Any]]) -> list[Answer]:
    answer = client.post("/reset", json=wanted).json()
    shown, named = [answer["observation"]], {"X-Episode-Id": answer["episode_id"]}
    for call in calls:
        result = client.post("/mcp", json=tool_call(call), headers=named).json()["result"]
        shown.append(result["structuredContent"])
    return shown


DOORS: list[Door] = [http, http_slowly, ws, ws_mcp, mcp]


def wire(observation: dict[str, Any]) -> str:
    """The bytes of an observation, the order of fields included; reward and done are not always in it."""
    return json.dumps({name: part for name, part in observation.items() if name not in ("reward", "done")})


def expected(task: str, calls: list[dict[str, Any]], variant: Variant = DEFAULT) -> Iterator[str]:
    """What the engine shows."""
    episode: Episode[Any] = Episode(get_task(task), "test", 7, variant=variant)
    yield wire(episode.observation())
    for call in calls:
        turns = len(episode.turns)
        episode.step(Call(**call))
        assert len(episode.turns) == turns + 1
        yield wire(episode.observation())


def merged(shown: list[Answer]) -> list[str]:
    whole, found = None, []
    for observation in shown:
        whole = merge(whole, observation)
        found.append(wire(whole))
    return found


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("task", task_names())
def test_what_every_door_sends_merges_byte_for_byte(client: TestClient, task: str, door: Door) -> None:
    calls = calls_of(task)
    shown = door(client, start(task), calls)
    assert all(one["task_description"] == "" and one["available_actions"] == [] for one in shown[1:])
    assert merged(shown) == list(expected(task, calls))
    assert shown[-1]["metadata"]["score"] == 1.0


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("variant", [Variant(1, "goal"), Variant(5, "planted")], ids=str)
def test_every_door_merges_variants(client: TestClient, variant: Variant, door: Door) -> None:
    for policy in ("expert", "naive"):
        calls = calls_of("hard", policy, variant)
        assert merged(door(client, start("hard", variant=variant), calls)) == list(
            expected("hard", calls, variant)
        )


@pytest.mark.parametrize("view", [None, "full"])
@pytest.mark.parametrize("door", DOORS)
def test_the_default_of_the_wire_is_the_whole_observation(
    client: TestClient, door: Door, view: str | None
) -> None:
    calls = calls_of("easy")
    assert [wire(one) for one in door(client, start("easy", view), calls)] == list(expected("easy", calls))


# Which view -------------------------------------------------------------------------------------------------


def begun(client: TestClient, **more: Any) -> str:
    name: str = client.post("/reset", json={**start("easy"), **more}).json()["episode_id"]
    return name


def begun_for_an_agent(client: TestClient) -> tuple[str, dict[str, str]]:
    """The id of an episode, and the headers that its agent sends."""
    answer = client.post("/reset", json=start("easy")).json()
    return answer["episode_id"], {**ACCEPT, "Authorization": f"Bearer {answer['agent_key']}"}


def step(client: TestClient, name: str, **more: Any) -> Any:
    answer = client.post("/step", json={"action": LOOK, "episode_id": name, **more})
    assert answer.status_code == 200, answer.text
    return answer


def is_whole(answer: Any) -> bool:
    return bool(answer.json()["observation"]["available_actions"])


def test_a_step_may_name_the_view_of_its_answer(client: TestClient) -> None:
    name = begun(client)
    assert not is_whole(step(client, name))
    assert is_whole(step(client, name, view="full"))
    assert not is_whole(step(client, name)), "the session's view stays"
    name = begun(client, view="full")
    assert not is_whole(step(client, name, view="changes"))
    assert is_whole(step(client, name, view=None))


def test_what_is_read_of_an_episode_is_whole(client: TestClient) -> None:
    name = begun(client)
    step(client, name)
    episode: Episode[Any] = Episode(get_task("easy"), "test", 7)
    episode.step(Call(**LOOK))
    assert wire(client.get(f"/episodes/{name}/observation").json()["observation"]) == wire(
        episode.observation()
    )
    assert not is_whole(step(client, name)), "reading changes nothing"


@pytest.mark.parametrize("view", ["all", "", "FULL", 1, True, [], {}, ["full"]])
def test_an_unknown_view_is_refused_with_the_choices_and_changes_nothing(
    client: TestClient, view: Any
) -> None:
    refused = client.post("/reset", json={**start("easy"), "view": view, "episode_id": "a"})
    assert refused.status_code == 422
    assert CHOICES in refused.text
    assert client.get("/state", params={"episode_id": "a"}).status_code == 404
    name = begun(client)
    for body in ({"action": LOOK}, LOOK):
        refused = client.post("/step", json={**body, "episode_id": name, "view": view})
        assert refused.status_code == 422
        assert CHOICES in refused.text
    call = client.post("/mcp", json=tool_call(LOOK, view=view), headers={"X-Episode-Id": name}).json()
    assert call["error"]["code"] == -32602
    assert CHOICES in call["error"]["message"]
    with client.websocket_connect("/ws") as socket:
        asked(socket, {"type": "reset", "data": start("easy")})
        for frame in (
            {"type": "reset", "data": {**start("easy"), "view": view}},
            {"type": "step", "data": {**LOOK, "view": view}},
        ):
            assert CHOICES in asked(socket, frame)["message"]
        assert asked(socket, {"type": "state"})["step_count"] == 0
    assert client.get("/state", params={"episode_id": name}).json()["step_count"] == 0


def test_an_unknown_view_of_the_endpoint_of_an_episode_is_refused(client: TestClient) -> None:
    name, headers = begun_for_an_agent(client)
    answer = client.post(f"/episodes/{name}/mcp?view=all", json=tool_call(LOOK), headers=headers)
    assert answer.status_code == 422
    assert CHOICES in answer.json()["error"]["message"]


def test_a_reset_decides_for_its_own_session(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        for view, whole in (("changes", False), (None, True), ("changes", False)):
            asked(socket, {"type": "reset", "data": start("easy", view)})
            answer = asked(socket, {"type": "step", "data": LOOK})
            assert bool(answer["observation"]["available_actions"]) == whole
        answer = asked(socket, {"type": "step", "data": {**LOOK, "view": "full"}})
        assert answer["observation"]["available_actions"]
    begun(client, episode_id="again")
    client.delete("/episodes/again")
    begun(client, episode_id="again", view="full")
    assert is_whole(step(client, "again"))


def test_the_view_is_no_part_of_the_episode(client: TestClient) -> None:
    """A repeated reset may name another view; the state and the report name none."""
    first = client.post("/reset", json={**start("easy", "full"), "episode_id": "a"})
    again = client.post("/reset", json={**start("easy", "changes"), "episode_id": "a"})
    assert first.content == again.content
    assert not is_whole(step(client, "a"))
    assert "view" not in client.get("/state", params={"episode_id": "a"}).json()
    client.post("/grader", json={"episode_id": "a", "finish": True})
    assert "view" not in client.get("/episodes/a/report").json()


def test_the_document_has_the_view_with_its_values(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    reset, one_step = (schemas[name]["properties"]["view"] for name in ("ResetRequest", "StepRequest"))
    assert (reset["enum"], reset["default"]) == (["full", "changes"], "full")
    assert one_step["anyOf"][0]["enum"] == ["full", "changes"]


# Over MCP ---------------------------------------------------------------------------------------------------


def test_over_mcp_a_change_is_said_once(client: TestClient) -> None:
    """To a program as structured content; at an episode's endpoint to a model, as text."""
    name, headers = begun_for_an_agent(client)
    structured = client.post("/mcp", json=tool_call(LOOK), headers={"X-Episode-Id": name}).json()["result"]
    assert (structured["content"], "isError" in structured) == ([], False)
    read = {"action_name": "read_handbook", "parameters": {}, "reasoning": "Read."}
    address = f"/episodes/{name}/mcp"
    said = client.post(f"{address}?view=changes", json=tool_call(read), headers=headers).json()["result"]
    assert "structuredContent" not in said
    first, about, new = said["content"][0]["text"].replace("\n\n", "\n").split("\n")
    whole = client.get(f"/episodes/{name}/observation").json()["observation"]
    assert first == whole["last_action_result"]
    assert about == f"{whole['steps_remaining']} steps left. New in the state:"
    assert json.loads(new)["handbook"] == whole["current_state"]["handbook"]
    again = client.post(f"{address}?view=changes", json=tool_call(read), headers=headers).json()["result"]
    assert again["content"][0]["text"].endswith(f"\n\n{whole['steps_remaining'] - 1} steps left.")
    full = client.post(address, json=tool_call(LOOK), headers=headers).json()["result"]
    assert full["structuredContent"]["available_actions"], "the trainer's view is the trainer's"


def test_a_tool_call_as_a_step_is_told_as_text(client: TestClient) -> None:
    step_frame = {
        "type": "step",
        "data": {"type": "call_tool", "tool_name": "list_directory", "arguments": {"reasoning": "Look."}},
    }
    with client.websocket_connect("/ws") as socket:
        asked(socket, {"type": "reset", "data": start("easy")})
        data = asked(socket, step_frame)
    assert (data["done"], data["metadata"]) == (False, {})
    assert "structuredContent" not in data["observation"]["result"]
    assert "steps left. New in the state:\n" in data["observation"]["result"]["content"][0]["text"]


def test_a_refused_tool_call_is_refused_in_either_view(client: TestClient) -> None:
    name = begun(client)
    body = tool_call({**LOOK, "reasoning": ""})
    result = client.post("/mcp", json=body, headers={"X-Episode-Id": name}).json()["result"]
    assert result["isError"]


# Retries and failover ---------------------------------------------------------------------------------------


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[tuple[TestClient, TestClient]]:
    """Two servers on one store."""
    settings = Settings(store=f"sqlite:///{tmp_path}/episodes.db")
    with ExitStack() as stack:
        yield tuple(stack.enter_context(TestClient(create_app(settings))) for _ in range(2))  # type: ignore[misc]


@pytest.mark.parametrize("task", ["easy", "medical"])
def test_servers_take_over_from_each_other(replicas: tuple[TestClient, TestClient], task: str) -> None:
    """Every step goes to either server, and is repeated at the other: the same bytes, and they merge."""
    calls, shown = calls_of(task), []
    shown.append(replicas[0].post("/reset", json={**start(task), "episode_id": "a"}).json()["observation"])
    for number, call in enumerate(calls):
        body = {"action": call, "episode_id": "a", "request_id": f"r{number}", "view": "changes"}
        one, other = replicas if number % 3 else reversed(replicas)
        answers = [server.post("/step", json=body).content for server in (one, other, one)]
        assert len(set(answers)) == 1
        shown.append(json.loads(answers[0])["observation"])
    assert merged(shown) == list(expected(task, calls))


def test_a_server_that_does_not_know_the_session_answers_in_full(
    replicas: tuple[TestClient, TestClient],
) -> None:
    one, other = replicas
    name = begun(one)
    assert not is_whole(step(one, name))
    assert is_whole(step(other, name))
    assert not is_whole(step(other, name, view="changes")), "until it is asked again"


@pytest.mark.parametrize("view", ["full", "changes"])
def test_a_repeated_step_has_the_same_bytes_in_the_same_view(client: TestClient, view: str) -> None:
    name = begun(client, view=view)
    for number in range(3):
        once = step(client, name, request_id=f"r{number}").content
        other = {"full": "changes", "changes": "full"}[view]
        asked_otherwise = step(client, name, request_id=f"r{number}", view=other).content
        assert step(client, name, request_id=f"r{number}").content == once != asked_otherwise


def test_the_sessions_used_last_are_remembered() -> None:
    views = SessionViews(2)
    for name in "ab":
        views.choose(name, "changes")
    assert views.of("a") == "changes"
    views.choose("c", "changes")
    assert [views.of(name) for name in "abc"] == ["changes", "full", "changes"]
    views.choose("a", "full")
    assert views.of("a") == "full"
    assert views.of("c", "full") == "full"
    assert views.of("c") == "changes"
