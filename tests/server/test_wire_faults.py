"""Kinds of faults that users of other servers reported, each tried at every door."""

import json

import pytest
from fastapi.testclient import TestClient

from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from tests.server.mcp.rpc import message

ACTION = {"action_name": "list_directory", "parameters": {}, "reasoning": "r"}


@pytest.mark.parametrize(
    "wanted", ["mcp-protocol-version", "mcp-session-id", "last-event-id", "authorization"]
)
def test_a_preflight_admits_the_headers_of_mcp_clients(wanted: str) -> None:
    client = TestClient(create_app(Settings(cors_origins="https://lab.example")))
    asked = {"Origin": "https://lab.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/episodes/own/mcp", headers={**asked, "Access-Control-Request-Headers": wanted})
    assert answer.status_code == 200
    assert wanted in answer.headers["Access-Control-Allow-Headers"].lower()
    refused = client.options("/mcp", headers={**asked, "Access-Control-Request-Headers": "x-unheard-of"})
    assert refused.status_code == 400


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html"])
def test_any_accept_gets_json(client: TestClient, accept: str | None) -> None:
    if accept is None:
        del client.headers["accept"]
    else:
        client.headers["accept"] = accept
    answers = [
        client.post("/reset", json={"seed": 1}),
        client.post("/step", json={"action": ACTION}),
        client.get("/state"),
        client.post("/mcp", json=message("tools/list")),
        client.get("/no/such/path"),
    ]
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/json"}
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404]


TWICE = [
    '{"action": {"action_name": "list_directory", "parameters": {}, "reasoning": "a", "reasoning": "b"}}',
    '{"action": {"action_name": "x", "parameters": {"path": "/a", "path": "/b"}, "reasoning": "a"}}',
    '{"action": %s, "action": %s}' % (json.dumps(ACTION), json.dumps(ACTION)),  # noqa: UP031
    '{"action": {"action_name": "x", "parameters": {"a": [{"b": 1, "\\u0062": 2}]}, "reasoning": "a"}}',
]


@pytest.mark.parametrize("body", TWICE)
def test_a_key_that_stands_twice_is_refused_at_every_door(client: TestClient, body: str) -> None:
    name = client.post("/reset", json={"seed": 1}).json()["episode_id"]
    headers = {"Content-Type": "application/json"}
    for path in ("/step", "/reset", "/grader"):
        answer = client.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["detail"]["code"]) == (400, "malformed_json")
        assert "twice" in answer.json()["detail"]["message"]
    called = json.dumps(message("tools/call", name="x", arguments=None)).replace("null", body)
    assert "twice" in client.post("/mcp", content=called, headers=headers).json()["error"]["message"]
    for path, frame in (("/ws", f'{{"type": "step", "data": {body}}}'), ("/mcp", called)):
        with client.websocket_connect(path) as socket:
            socket.send_text(frame)
            assert "twice" in socket.receive_text()
    assert client.get("/state", params={"episode_id": name}).json()["step_count"] == 0


def test_a_key_may_stand_in_two_objects(client: TestClient) -> None:
    client.post("/reset", json={"seed": 1})
    body = {"action": {**ACTION, "parameters": {"parameters": {"parameters": 1.5e300}}}}
    assert client.post("/step", json=body).status_code == 200
