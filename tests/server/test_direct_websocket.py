"""The short way of a WebSocket frame: it is answered as ASGI does it, and in its turn."""

import asyncio
import contextlib
import json
import logging
import re
import socket
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.streams import StreamReader

from safeact_env.core.episode import Episode
from safeact_env.server.direct import DIRECT
from safeact_env.server.main import EXTENDS_WEBSOCKETS
from safeact_env.server.websocket.frames import checked
from tests.server.http.test_steps import LOOK
from tests.server.serving import serving
from tests.server.test_direct import Taken, watched

if not EXTENDS_WEBSOCKETS:
    pytest.skip("this uvicorn's own protocol serves WebSockets", allow_module_level=True)

from safeact_env.server.direct_websocket import DirectWebSocketProtocol

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: c2FmZWFjdC1lbnYtbG9hZA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
RESET_FRAME = {"type": "reset", "data": {"task_name": "easy", "seed": 4, "episode_id": "e"}}
STEP_FRAME = {"type": "step", "data": LOOK}
STATE_FRAME = {"type": "state"}
TOOLS_FRAME = {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    """Which of the frames that might go the short way did so."""
    return watched(monkeypatch, DirectWebSocketProtocol)


def frame(message: Any, opcode: Opcode = Opcode.TEXT, **options: bool) -> bytes:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Frame(opcode, data, **options).serialize(mask=True)


class Socket:
    """A WebSocket that sends what it is told in packets as they are."""

    def __init__(self, port: int, early: bytes = b"") -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = StreamReader()
        self.connection.sendall(UPGRADE + early)
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.connection.recv(1)
        assert b" 101 " in head

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.connection.sendall(packet)
            time.sleep(0.03 if len(packets) < 9 else 0.001)

    def next(self) -> Frame:
        parsing = Frame.parse(self.reader.read_exact, mask=False, max_size=None)
        while True:
            try:
                next(parsing)
            except StopIteration as parsed:
                found: Frame = parsed.value
                return found
            self.reader.feed_data(self.connection.recv(65_536) or pytest.fail("closed"))

    def answers(self, number: int) -> list[Any]:
        return [json.loads(bytes(self.next().data)) for _ in range(number)]


@pytest.fixture
def ws(port: int) -> Iterator[Socket]:
    opened = Socket(port)
    yield opened
    opened.connection.close()


BIG = {"type": "step", "data": {**LOOK, "reasoning": "x" * 100_000}}
LONG = {"type": "step", "data": {**LOOK, "reasoning": "é" * 3_000}}
HEAD_FIRST, LONG_ONE, BIG_ONE = frame(STEP_FRAME), frame(LONG), frame(BIG)
HALF = [json.dumps(STEP_FRAME).encode()[:9], json.dumps(STEP_FRAME).encode()[9:]]
SENT: dict[str, list[bytes]] = {
    "one by one": [frame(one) for one in (RESET_FRAME, STEP_FRAME, STATE_FRAME, STEP_FRAME)],
    "at once": [b"".join(map(frame, (RESET_FRAME, STEP_FRAME, STATE_FRAME, STEP_FRAME)))],
    "waiting ones between": [b"".join(map(frame, (RESET_FRAME, STEP_FRAME, TOOLS_FRAME, STEP_FRAME)))],
    "byte by byte": [bytes([byte]) for byte in frame(RESET_FRAME) + frame(STEP_FRAME)],
    "a head apart": [frame(RESET_FRAME), HEAD_FIRST[:2], HEAD_FIRST[2:6], HEAD_FIRST[6:]],
    "one and a half": [frame(RESET_FRAME) + HEAD_FIRST[:20], HEAD_FIRST[20:], frame(STEP_FRAME)],
    "a long one": [frame(RESET_FRAME), LONG_ONE, frame(STEP_FRAME)],
    "a long one in pieces": [frame(RESET_FRAME), LONG_ONE[:3], LONG_ONE[3:5_000], LONG_ONE[5_000:]],
    "over the limit": [frame(RESET_FRAME), BIG_ONE, frame(STEP_FRAME)],
    "over the limit in pieces": [frame(RESET_FRAME), BIG_ONE[:40_000], BIG_ONE[40_000:] + frame(STEP_FRAME)],
    "odd ones between": [frame(RESET_FRAME), frame([]), frame(b"{"), frame({"type": "x"}), frame(STEP_FRAME)],
    "binary": [frame(RESET_FRAME), frame(b"\xff", Opcode.BINARY), frame(STEP_FRAME)],
    "in fragments": [
        frame(RESET_FRAME),
        frame(HALF[0], fin=False),
        frame(HALF[1], Opcode.CONT),
        frame(STEP_FRAME),
    ],
    "none before a reset": [frame(STEP_FRAME), frame(STATE_FRAME), frame(RESET_FRAME)],
}
COUNT = {name: 3 for name in SENT} | {
    **{"one by one": 4, "at once": 4, "waiting ones between": 4, "byte by byte": 2, "a head apart": 2},
    **{"a long one in pieces": 2, "odd ones between": 5},
}


@pytest.mark.parametrize("name", SENT)
def test_both_ways_answer_frames_alike(
    port: int, ws: Socket, monkeypatch: pytest.MonkeyPatch, taken: Taken, name: str
) -> None:
    ws.send(*SENT[name])
    short = ws.answers(COUNT[name])
    assert taken
    monkeypatch.setattr(DirectWebSocketProtocol, "_is_answered", lambda *_: False)
    usual = Socket(port)
    usual.send(*SENT[name])
    assert short == usual.answers(COUNT[name])
    usual.connection.close()


def test_frames_that_arrive_whole_go_the_short_way(ws: Socket, taken: Taken) -> None:
    ws.send(*SENT["one by one"], *SENT["byte by byte"])
    ws.answers(6)
    assert taken.count(True) == 6


ALWAYS = property(lambda _: True, lambda *_: None)


class Pipe(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing to close."""

    def pause_reading(self) -> None:
        """Nothing to read."""

    def resume_reading(self) -> None:
        """Nothing to read."""


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers texts directly, but those that begin with `slow`."""
    await receive()
    await send({"type": "websocket.accept"})
    _scope["extensions"][DIRECT](lambda text: None if text.startswith("slow") else text.encode())
    while (message := await receive())["type"] == "websocket.receive":
        await asyncio.sleep(0.01)
        await send({"type": "websocket.send", "text": message["text"]})


@pytest.mark.parametrize("broken", [False, True])
async def test_no_frame_overtakes_one_that_the_app_has(broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken:
        monkeypatch.setattr(DirectWebSocketProtocol, "_is_idle", ALWAYS, raising=False)
        monkeypatch.setattr(asyncio.Queue, "empty", lambda _: True)
    config = Config(echo, ws=DirectWebSocketProtocol, ws_per_message_deflate=False, log_level="critical")
    config.load()
    pipe = Pipe()
    protocol = DirectWebSocketProtocol(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(pipe)
    for wait, data in (
        (0.1, UPGRADE),
        (0.0, frame(b"1")),
        (0.0, frame(b"slow 2")),
        (0.005, frame(b"3")),
        (0.1, frame(b"4")),
        (0.0, frame(b"5")),
    ):
        protocol.data_received(data)
        await asyncio.sleep(wait)
    texts = [written[2:].decode() for written in pipe.written[1:]]
    assert (texts == ["1", "slow 2", "3", "4", "5"]) is not broken
    protocol.connection_lost(None)


def test_control_frames_are_answered_between(ws: Socket) -> None:
    ws.send(frame(RESET_FRAME), frame(b"hello", Opcode.PING), frame(STEP_FRAME))
    kinds = [ws.next().opcode for _ in range(3)]
    assert kinds == [Opcode.TEXT, Opcode.PONG, Opcode.TEXT]
    ws.send(frame({"type": "close"}))
    closing = ws.next()
    assert closing.opcode == Opcode.CLOSE
    assert Close.parse(bytes(closing.data)).code == CloseCode.NORMAL_CLOSURE


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (frame(b"\xff\xfe"), CloseCode.INVALID_DATA),
        (Frame(Opcode.TEXT, b"{}").serialize(mask=False), CloseCode.PROTOCOL_ERROR),
        (b"\x81\xff" + (2**40).to_bytes(8, "big") + b"mask", CloseCode.MESSAGE_TOO_BIG),
    ],
    # Masks are drawn, and all processes of a run have to give a test the same name.
    ids=["no text", "unmasked", "too long"],
)
def test_what_breaks_the_protocol_ends_the_connection(ws: Socket, wrong: bytes, code: int) -> None:
    ws.send(frame(RESET_FRAME), wrong)
    ws.answers(1)
    closing = ws.next()
    assert closing.opcode == Opcode.CLOSE
    assert Close.parse(bytes(closing.data)).code == code


EARLY = frame(RESET_FRAME) + frame(STEP_FRAME)


@pytest.mark.parametrize("early", [1, 9, 90, len(EARLY)])
def test_frames_sent_before_the_handshake_is_done_are_answered(port: int, early: int) -> None:
    opened = Socket(port, EARLY[:early])
    opened.send(EARLY[early:])
    assert [one["type"] for one in opened.answers(2)] == ["observation"] * 2
    opened.connection.close()


@pytest.mark.parametrize("first", [b"", b'{"type":'])
def test_no_whole_text_interrupts_a_fragmented_one(ws: Socket, first: bytes) -> None:
    ws.send(frame(RESET_FRAME), frame(first, fin=False), frame(STEP_FRAME))
    ws.answers(1)
    assert Close.parse(bytes(ws.next().data)).code == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("head", [b"\x83\x85", b"\x81\x05"], ids=["no opcode", "no mask"])
def test_a_frame_that_breaks_the_protocol_is_not_waited_for(ws: Socket, head: bytes) -> None:
    ws.send(frame(RESET_FRAME), head)
    ws.answers(1)
    assert Close.parse(bytes(ws.next().data)).code == CloseCode.PROTOCOL_ERROR


def test_what_comes_before_a_broken_frame_is_answered(ws: Socket) -> None:
    tools = frame(TOOLS_FRAME)
    ws.send(frame(RESET_FRAME) + tools + frame(STEP_FRAME) + tools + b"\x83\x80mask")
    assert [one["type"] for one in ws.answers(4)] == ["observation", "mcp", "observation", "mcp"]
    assert Close.parse(bytes(ws.next().data)).code == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("limit", [None, "100000/second"], ids=["the short way", "the usual way"])
def test_pings_of_a_client_that_reads_nothing_are_not_read_either(limit: str | None) -> None:
    pings, sent = frame(b"x" * 125, Opcode.PING) * 500, 0
    with serving(rate_limit=limit) as port:
        opened = Socket(port)
        opened.connection.settimeout(1.5)
        with contextlib.suppress(TimeoutError):
            while sent < 40_000_000:
                sent += opened.connection.send(pings)
        opened.connection.close()
    assert sent < 40_000_000, "what the kernel keeps, and no more"


def test_the_session_of_a_client_that_reads_nothing_ends() -> None:
    def sessions() -> float:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        return float(re.findall(r"safeact_sessions (\S+)", text)[-1])

    with serving(ws_timeout_seconds=1) as port:
        opened = Socket(port)
        opened.connection.settimeout(1.5)
        opened.send(frame(RESET_FRAME))
        with contextlib.suppress(OSError):  # It is no longer read, and in the end closed.
            while True:
                opened.connection.send(frame(STEP_FRAME) * 50)
        deadline = time.monotonic() + 10
        while sessions():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        opened.connection.close()


def test_short_frames_take_no_memory_however_many(port: int) -> None:
    opened, many = Socket(port), frame(b"{") * 30_000
    opened.connection.setblocking(False)
    tracemalloc.start()
    with contextlib.suppress(BlockingIOError):
        opened.connection.send(many)
    time.sleep(1)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    opened.connection.close()
    assert most < 1_500_000


@pytest.mark.parametrize("sent", [STATE_FRAME, TOOLS_FRAME], ids=["the short way", "the usual way"])
def test_one_socket_does_not_have_all_of_the_time(
    port: int, ws: Socket, monkeypatch: pytest.MonkeyPatch, sent: Any
) -> None:
    def slow(*given: Any) -> Any:
        time.sleep(0.002)
        return checked(*given)

    monkeypatch.setattr("safeact_env.server.websocket.routes.checked", slow)
    ws.send(frame(sent) * 2_000)
    begin = time.monotonic()
    assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=30).status_code == 200
    assert time.monotonic() - begin < 1


def test_frames_are_counted(port: int, ws: Socket, taken: Taken) -> None:
    def counted() -> float:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        found = re.search(r'safeact_frame_seconds_count{route="/ws"} (\S+)', text)
        return float(found[1]) if found else 0.0

    before = counted()
    ws.send(frame(RESET_FRAME), frame(STEP_FRAME))
    ws.answers(2)
    assert counted() == before + 2
    assert taken == [True, True]


def test_a_client_that_reads_nothing_is_not_read_either(ws: Socket) -> None:
    ws.connection.settimeout(1.5)
    steps, sent = frame(STEP_FRAME) * 50, 0
    ws.send(frame(RESET_FRAME))
    # Each answer is some fifty times as long as what asks for it.
    with contextlib.suppress(TimeoutError):
        while sent < 50_000_000:
            sent += ws.connection.send(steps)
    assert sent < 50_000_000


def test_a_rate_limit_makes_frames_wait() -> None:
    with serving(rate_limit="5/second") as port:
        limited = Socket(port)
        begin = time.monotonic()
        limited.send(frame(RESET_FRAME) + frame(STEP_FRAME) * 11)
        limited.answers(12)
        assert time.monotonic() - begin > 1
        limited.connection.close()


def test_a_fault_in_a_frame_is_answered_and_drops_the_episode(
    ws: Socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    logging.getLogger("safeact_env").addHandler(caplog.handler)
    ws.send(frame(RESET_FRAME))
    ws.answers(1)
    with monkeypatch.context() as patched:
        patched.setattr(Episode, "step", broken)
        ws.send(frame(STEP_FRAME))
        assert ws.answers(1)[0]["data"]["code"] == "EXECUTION_ERROR"
    ws.send(frame(STEP_FRAME))
    assert "reset" in ws.answers(1)[0]["data"]["message"]
    logging.getLogger("safeact_env").removeHandler(caplog.handler)
    assert "internal error in a session" in caplog.text
