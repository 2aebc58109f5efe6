"""OpenEnv's WebSocket: frames, errors, sessions."""

import json

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from safeact_env.ids import is_drawn
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from tests.server.mcp.rpc import PLANTED

LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "look"}


@pytest.fixture(params=["fresh", "attached"])
def ws(client, request):
    path = "/ws"
    if request.param == "attached":
        create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
        path += f"?session_id={client.post('/mcp', json=create).json()['result']['session_id']}"
    with client.websocket_connect(path) as socket:
        yield socket


def send(ws, kind, data=None):
    ws.send_json({"type": kind} if data is None else {"type": kind, "data": data})
    return ws.receive_json()


def test_reset_step_state_close(ws):
    start = send(ws, "reset", {"task_name": "easy", "seed": 3, "episode_id": "mine"})
    assert start["type"] == "observation"
    assert (start["data"]["reward"], start["data"]["done"]) == (0.0, False)
    after = send(ws, "step", LOOK)["data"]
    assert after["observation"]["action_history"][0]["action"] == "list_directory"
    state = send(ws, "state")
    assert state["type"] == "state"
    replayable = {"task_name": "easy", "split": "train", "seed": 3, "level": 3, "framing": "rules"}
    counts = {"max_steps": 36, "step_count": 1, "total_reward": 0.0, "done": False}
    assert state["data"] == {"episode_id": "mine", **replayable, **counts}
    ws.send_json({"type": "close"})
    with pytest.raises(WebSocketDisconnect):
        ws.receive_json()


def test_an_episode_without_an_id_is_given_a_short_one_that_nobody_guesses(ws):
    ids = []
    for _ in range(2):
        send(ws, "reset", {"task_name": "easy", "seed": 3})
        ids.append(send(ws, "state")["data"]["episode_id"])
    assert [len(one) for one in ids] == [16, 16]
    assert all(map(is_drawn, ids))
    assert ids[0] != ids[1]


def test_the_state_before_a_reset_is_empty(ws):
    assert send(ws, "state")["data"]["task_name"] is None


def error(frame):
    assert frame["type"] == "error", frame
    assert " " in frame["data"]["message"], "a sentence"
    return frame["data"]["code"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "INVALID_JSON"),
        ('{"type":"step","data":{"x":NaN}}', "INVALID_JSON"),
        ('{"type":"step","data":{"x":1e400}}', "INVALID_JSON"),
        ('{"type":"step","data":{"x":"\\ud800"}}', "INVALID_JSON"),
        ("[" * 60_000, "INVALID_JSON"),
        ("[" * 20_000 + "]" * 20_000, "INVALID_JSON"),
        ('{"type":"reset","data":{"x":"' + "y" * 70_000 + '"}}', "INVALID_JSON"),
        ('{"type":"reset","data":{"x":"' + "y" * 1_000_000 + '"}}', "INVALID_JSON"),
        ("[]", "VALIDATION_ERROR"),
        ('"reset"', "VALIDATION_ERROR"),
        ("null", "VALIDATION_ERROR"),
        ("{}", "UNKNOWN_TYPE"),
        ('{"type":"planted-secret"}', "UNKNOWN_TYPE"),
        ('{"type":["reset"]}', "UNKNOWN_TYPE"),
        ('{"type":{"a":1}}', "UNKNOWN_TYPE"),
        ('{"type":"reset","data":[]}', "VALIDATION_ERROR"),
        ('{"type":"reset","data":null}', "VALIDATION_ERROR"),
        ('{"type":"reset","extra":1}', "VALIDATION_ERROR"),
        ('{"type":"step"}', "VALIDATION_ERROR"),
        ('{"type":"mcp","data":[]}', "VALIDATION_ERROR"),
        ('{"type":"step","data":{"action_name":"a","parameters":{}}}', "VALIDATION_ERROR"),
        ('{"type":"step","data":{"action_name":["a"],"parameters":{},"reasoning":"r"}}', "VALIDATION_ERROR"),
        ('{"type":"step","data":{"action_name":"a","parameters":{},"reasoning":""}}', "VALIDATION_ERROR"),
        ('{"type":"reset","data":{"seed":-1}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"seed":true}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"seed":"1"}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"seed":1.5}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"seed":9223372036854775808}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"index":-1}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"index":1,"seed":1}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"episode_id":"a b"}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"episode_id":3}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"task_name":"planted-secret"}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"task_name":["easy"]}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"split":"all"}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"colour":"red"}}', "EXECUTION_ERROR"),
        ('{"type":"reset","data":{"self":"red"}}', "EXECUTION_ERROR"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_malformed_frame_gets_an_error_and_changes_nothing(ws, frame, code):
    send(ws, "reset", {"seed": 3, "episode_id": "mine"})
    before = send(ws, "state")
    ws.send_text(frame)
    answer = ws.receive_json()
    assert error(answer) == code
    assert "Traceback" not in json.dumps(answer)
    assert PLANTED not in json.dumps(answer)
    assert len(json.dumps(answer)) < 2_000
    assert send(ws, "state") == before
    assert send(ws, "step", LOOK)["type"] == "observation"


def test_a_binary_frame_gets_an_error(ws):
    ws.send_bytes(b'{"type":"state"}')
    assert error(ws.receive_json()) == "INVALID_JSON"
    assert send(ws, "state")["type"] == "state"


def test_a_step_before_a_reset_and_after_the_end(ws):
    assert error(send(ws, "step", LOOK)) == "EXECUTION_ERROR"
    send(ws, "reset", {"seed": 3})
    finish = {"action_name": "finish", "parameters": {"summary": "x"}, "reasoning": "r"}
    assert send(ws, "step", finish)["data"]["done"] is True
    assert error(send(ws, "step", LOOK)) == "EXECUTION_ERROR"
    assert send(ws, "reset", {"seed": 3})["data"]["done"] is False


def test_a_session_over_capacity_is_told_so_and_a_closed_one_frees_its_slot():
    with TestClient(create_app(Settings(max_sessions=1))) as client:
        with client.websocket_connect("/ws") as first:
            send(first, "reset", {"seed": 1})
            with client.websocket_connect("/ws") as second:
                assert error(second.receive_json()) == "CAPACITY_REACHED"
        with client.websocket_connect("/ws") as third:
            assert send(third, "reset", {"seed": 1})["type"] == "observation"
