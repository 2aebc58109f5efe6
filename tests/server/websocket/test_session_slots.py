"""The sessions of OpenEnv's clients: how many, whose, and until when."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.server.websocket.session_slots import Full, NoSuchSession, SessionSlots
from tests.server.mcp.rpc import message

RESET = {"type": "reset", "data": {"task_name": "easy", "seed": 4}}


def until(true: Callable[[], bool]) -> bool:
    """Whether it comes true within 20 s."""
    end = time.monotonic() + 20
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def create(client: TestClient) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/mcp", json=message("openenv/session/create")).json()
    return answer


def session_of(client: TestClient) -> str:
    found: str = create(client)["result"]["session_id"]
    return found


def close(client: TestClient, session: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.post(
        "/mcp", json=message("openenv/session/close", session_id=session)
    ).json()
    return answer


def tools(client: TestClient, session: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/mcp", json=message("tools/list", session_id=session)).json()
    return answer


def room(client: TestClient, most: int) -> int:
    """How many of so many sessions are free."""
    found = []
    while len(found) < most and "result" in (answer := create(client)):
        found.append(answer["result"]["session_id"])
    for session in found:
        close(client, session)
    return len(found)


@pytest.fixture
def small() -> Iterator[TestClient]:
    """A server with three sessions."""
    with TestClient(create_app(Settings(max_sessions=3))) as client:
        yield client


# Leases -------------------------------------------------------------------------------------------------


async def gone(slots: SessionSlots) -> bool:
    """Whether all sessions end within 20 s."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 20
    while len(slots) and loop.time() < end:
        await asyncio.sleep(0.02)
    return len(slots) == 0


async def test_a_session_without_a_connection_ends() -> None:
    slots = SessionSlots(5, seconds=0.05, max_waiting=2)
    first = slots.lease()
    slots.lease()
    with pytest.raises(Full, match="2 sessions of this client already wait"):
        slots.lease()
    assert await gone(slots)
    with pytest.raises(NoSuchSession):
        slots.find(first.id)
    assert slots.lease()
    assert await gone(slots)


async def test_without_an_end_it_would_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin."""
    monkeypatch.setattr(SessionSlots, "_wait", lambda *_: None)
    slots = SessionSlots(5, seconds=0.05)
    slots.lease()
    await asyncio.sleep(0.5)
    assert len(slots) == 1


async def test_a_connection_keeps_its_session_and_its_end_frees_it() -> None:
    slots = SessionSlots(5, seconds=0.05)
    slot = slots.lease()
    with slots.held(slot, attached=True):
        with slots.held(slot, attached=False):
            await asyncio.sleep(0.3)
        await asyncio.sleep(0.3)
        assert slots.find(slot.id) is slot
    assert await gone(slots)


async def test_a_request_is_a_sign_of_life() -> None:
    slots = SessionSlots(2, seconds=3_600)
    slot = slots.lease()
    first = slots._waiting[slot.id]
    await asyncio.sleep(0.01)
    assert slots.find(slot.id) is slot
    assert first.cancelled()
    assert slots._waiting[slot.id].when() > first.when()
    slots.close(slot.id)


def test_a_session_of_the_server_ends_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionSlots.__init__, "__defaults__", (0.05, 2))
    with TestClient(create_app(Settings(max_sessions=3))) as client:
        session = session_of(client)
        # No request until it must be over: each would be a sign of life.
        time.sleep(1)
        assert "no session" in tools(client, session)["error"]["message"]


def test_a_socket_that_leaves_its_session_may_come_back(small: TestClient) -> None:
    session = session_of(small)
    with small.websocket_connect(f"/ws?session_id={session}") as ws:
        ws.send_json(RESET)
        assert ws.receive_json()["type"] == "observation"
        assert tools(small, session)["result"]["tools"]
        ws.send_json({"type": "mcp", "data": message("openenv/session/create")})
        assert ws.receive_json()["data"]["result"]["session_id"] == session
    with small.websocket_connect(f"/ws?session_id={session}") as ws:
        ws.send_json({"type": "state"})
        assert ws.receive_json()["data"]["task_name"] == "easy"


def test_a_session_that_its_client_closes_is_no_longer_there(small: TestClient) -> None:
    for _ in range(10):
        session = session_of(small)
        assert close(small, session)["result"] == {"session_id": session, "closed": True}
        assert "error" in close(small, session)
    assert room(small, 3) == 3


def test_one_closed_before_its_socket_leaves_nothing_behind(small: TestClient) -> None:
    for _ in range(5):
        session = session_of(small)
        with small.websocket_connect(f"/ws?session_id={session}") as ws:
            ws.send_json(RESET)
            ws.receive_json()
            answer = close(small, session)["result"]
            assert answer == {"session_id": session, "closed": False, "closing": True}
            ws.send_json({"type": "state"})
            assert ws.receive_json()["data"]["task_name"] == "easy", "it was taken from under its socket"
        assert until(lambda: room(small, 3) == 3), "a phantom waits for its time to pass"


# Attaching ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["session_id={0}&session_id={0}", "session_id={0}&session_id=x", "session_id=x"]
)
def test_a_socket_that_cannot_attach_is_told_so(small: TestClient, query: str) -> None:
    session = session_of(small)
    with small.websocket_connect(f"/ws?{query.format(session)}") as ws:
        answer = ws.receive_json()
        assert (answer["type"], answer["data"]["code"]) == ("error", "SESSION_ERROR")
        with pytest.raises(WebSocketDisconnect) as ended:
            ws.receive_json()
    assert ended.value.code == 1008
    close(small, session)
    assert room(small, 3) == 3


def test_a_session_has_one_socket(small: TestClient) -> None:
    session = session_of(small)
    with small.websocket_connect(f"/ws?session_id={session}") as first:
        with small.websocket_connect(f"/ws?session_id={session}") as second:
            assert second.receive_json()["data"]["code"] == "SESSION_ERROR"
        first.send_json(RESET)
        assert first.receive_json()["type"] == "observation"


def test_the_session_of_an_mcp_socket(small: TestClient) -> None:
    with small.websocket_connect("/mcp") as agent:

        def rpc(method: str, **params: Any) -> dict[str, Any]:
            agent.send_json(message(method, **params))
            found: dict[str, Any] = agent.receive_json()
            return found

        session = rpc("openenv/session/create")["result"]["session_id"]
        assert rpc("openenv/session/close", session_id=session)["error"]["code"] == -32600
        with small.websocket_connect(f"/ws?session_id={session}") as trainer:
            trainer.send_json(RESET)
            trainer.receive_json()
            assert rpc("tools/list")["result"]["tools"]
            call = {"name": "list_directory", "arguments": {"reasoning": "r"}}
            assert not rpc("tools/call", **call)["result"]["isError"]
            trainer.send_json({"type": "state"})
            assert trainer.receive_json()["data"]["step_count"] == 1
        other = session_of(small)
        assert rpc("openenv/session/close", session_id=other)["result"]["closed"]
    assert until(lambda: room(small, 3) == 3)


# Capacity -------------------------------------------------------------------------------------------------


def test_sessions_of_every_transport_count_against_the_same_limit(small: TestClient) -> None:
    with small.websocket_connect("/ws") as played, small.websocket_connect("/mcp") as asked:
        session = session_of(small)
        assert "in use" in create(small)["error"]["message"]
        with small.websocket_connect("/ws") as late:
            assert late.receive_json()["data"]["code"] == "CAPACITY_REACHED"
        with small.websocket_connect("/mcp") as late:
            refused = late.receive_json()
            assert (refused["id"], refused["error"]["code"]) == (None, -32000)
            with pytest.raises(WebSocketDisconnect) as ended:
                late.receive_json()
            assert ended.value.code == 1013
        with small.websocket_connect(f"/ws?session_id={session}") as attached:
            for ws in (played, attached):
                ws.send_json(RESET)
                assert ws.receive_json()["type"] == "observation"
            asked.send_json(message("tools/list"))
            assert asked.receive_json()["result"] == {"tools": []}
    close(small, session)
    assert until(lambda: room(small, 3) == 3)


def test_sessions_made_at_once_are_counted_as_well(small: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: create(small), range(24)))
    assert sum("result" in answer for answer in answers) == 3


async def test_no_more_may_wait_than_may() -> None:
    slots = SessionSlots(5, max_waiting=2)
    first = slots.lease()
    with slots.held(first, attached=True):
        second, third = slots.lease(), slots.lease()
        with pytest.raises(Full, match="2 sessions of this client already wait"):
            slots.lease()
    assert len(slots) == 3, "one that is left waits as well"
    with pytest.raises(Full):
        slots.lease()
    with slots.held(slots.take(), attached=True):
        assert len(slots) == 4
    for slot in (first, second, third):
        assert slots.close(slot.id)
    assert len(slots) == 0
