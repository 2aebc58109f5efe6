"""Bad frames and lost clients on real sockets, at every WebSocket: nothing leaks, the log stays clean."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
from starlette.types import Message
from websockets.asyncio.client import connect as connect_later
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from safeact_env.network import options_for
from safeact_env.server.settings import Settings
from safeact_env.server.websocket.routes import WebSocketMiddleware
from safeact_env.server.websocket.session_slots import SessionSlots
from tests.conftest import running
from tests.server.mcp.rpc import message

SESSIONS = 3
RESET = {"type": "reset", "data": {"task_name": "easy", "seed": 4}}
LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "look"}
STATE, STEP = {"type": "state"}, {"type": "step", "data": LOOK}
MEGABYTE = "x" * 1_000_000


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(Settings(max_sessions=SESSIONS)) as url:
        yield url


@pytest.fixture(params=["/ws", "/ws?session_id=", "/mcp"])
def address(url: str, request: pytest.FixtureRequest) -> str:
    path: str = request.param
    if path.endswith("="):
        answer = httpx.post(f"{url}/mcp", json=message("openenv/session/create"), **options_for(url)).json()
        path += answer["result"]["session_id"]
    return url.replace("http", "ws", 1) + path


@pytest.fixture(autouse=True)
def _clean(url: str, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After the test every session is free, and the log has nothing to tell."""
    with caplog.at_level(logging.INFO):
        yield
        end = time.monotonic() + 30
        while (free := count_free(url)) < SESSIONS:
            assert time.monotonic() < end, f"{SESSIONS - free} sessions leaked"
            time.sleep(0.1)
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def count_free(url: str) -> int:
    with ExitStack() as stack:
        addresses = [url.replace("http", "ws", 1) + "/mcp"] * SESSIONS
        sockets = [stack.enter_context(connect(one)) for one in addresses]
        free = 0
        for socket in sockets:
            with suppress(ConnectionClosed):
                free += "result" in ask(socket, message("tools/list"))
    return free


def release(url: str, address: str) -> None:
    """End the session that an address attaches to; any other has ended with its socket."""
    _, _, session = address.partition("=")
    if session:
        httpx.post(
            f"{url}/mcp", json=message("openenv/session/close", session_id=session), **options_for(url)
        )


def ask(socket: ClientConnection, frame: Any) -> Any:
    socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
    return json.loads(socket.recv(timeout=20))


def usable(socket: ClientConnection, address: str) -> bool:
    if address.endswith("/mcp"):
        return "result" in ask(socket, message("tools/list"))
    return bool(ask(socket, RESET)["type"] == "observation")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(MEGABYTE, id="1 MB"),
        pytest.param(json.dumps({"type": "reset", "data": {"task_name": MEGABYTE}}), id="1 MB of JSON"),
        pytest.param("[" * 60_000, id="deep"),
        pytest.param(b"\x00\xff", id="binary"),
        pytest.param(json.dumps(STATE).encode(), id="binary JSON"),
        pytest.param(MEGABYTE.encode(), id="1 MB, binary"),
        pytest.param("", id="empty"),
        pytest.param("[1]", id="list"),
        pytest.param('"reset"', id="string"),
        pytest.param("null", id="null"),
    ],
)
def test_a_bad_frame_is_answered_and_leaves_the_session_usable(url: str, address: str, frame: Any) -> None:
    with connect(address) as socket:
        answer = ask(socket, frame)
        assert answer["error"] if address.endswith("/mcp") else answer["type"] == "error"
        assert len(json.dumps(answer)) < 500
        assert usable(socket, address)
    release(url, address)


def test_a_frame_beyond_all_bounds_ends_the_connection_and_no_more(url: str, address: str) -> None:
    with connect(address) as socket, pytest.raises(ConnectionClosed):
        ask(socket, "x" * (17 * 2**20))
    release(url, address)


@pytest.mark.parametrize("steps", [0, 1, 200])
async def test_a_client_that_vanishes_leaves_nothing_behind(url: str, address: str, steps: int) -> None:
    """Gone without a word, with answers under way that nobody reads."""
    if address.endswith("/mcp"):
        frames = [message("tools/list")] * steps
    else:
        frames = [RESET, *[STEP] * steps] if steps else []
    for _again in range(1 if "=" in address else SESSIONS):
        socket = await connect_later(address)
        for frame in frames:
            await socket.send(json.dumps(frame))
        socket.transport.abort()
    release(url, address)


@pytest.mark.parametrize("path", ["/ws", "/mcp"])
@pytest.mark.parametrize("sends", [0, 1, 2])
async def test_an_answer_to_a_client_that_has_gone_is_no_error(path: str, sends: int) -> None:
    """As uvicorn says it: the send fails. The first one is the handshake's."""
    slots = SessionSlots(1)
    frame = json.dumps(message("tools/list") if path == "/mcp" else STATE)

    async def receive() -> Message:
        return {"type": "websocket.receive", "text": frame}

    left = [None] * sends

    async def send(_message: Message) -> None:
        if not left:
            raise ConnectionResetError
        left.pop()

    async def no_app(*_: object) -> None:
        raise AssertionError

    scope = {"type": "websocket", "path": path, "query_string": b""}
    await asyncio.wait_for(WebSocketMiddleware(no_app, slots, 1_000)(scope, receive, send), 20)
    assert len(slots) == 0
