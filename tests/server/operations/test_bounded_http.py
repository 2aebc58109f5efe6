"""What is refused before there is a request: too many headers, and what does not arrive in time."""

import asyncio
import json
import re
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
from websockets.sync.client import connect

from safeact_env.server.bounded_http import plain_cookies
from safeact_env.server.direct_http import DirectHttpProtocol
from tests.server.serving import serving

LIMIT = 32_768
HEAD = b"POST /grader HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
MANY = b"".join(b"X-%07d: %s\r\n" % (number, b"a" * 50) for number in range(20_000))
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(request_seconds=1.5) as port:
        yield port


def opened(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def answer(connection: socket.socket, *parts: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the server closes the connection, or it rests."""
    found = b""
    try:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
    except OSError:
        pass  # It was closed in the middle.
    try:
        while more := connection.recv(65_536):
            found += more
    except OSError:
        pass
    return found


def refused(found: bytes, status: int, code: str) -> None:
    assert found.startswith(b"HTTP/1.1 %d " % status), found[:200]
    detail = json.loads(found.partition(b"\r\n\r\n")[2])["detail"]
    assert detail["code"] == code
    assert len(detail["message"]) > 30


@pytest.mark.parametrize(
    "flood",
    [
        HEAD + MANY,
        HEAD + b"X-Long: " + b"a" * 1_000_000,
        b"GET /" + b"a" * 1_000_000,
        HEAD + b"X" * 1_000_000,
    ],
    ids=["many headers", "a long header", "a long path", "a long name"],
)
def test_headers_beyond_the_limit_are_refused(port: int, flood: bytes) -> None:
    with opened(port) as connection:
        # No more than the server reads, so that the answer is not lost with the connection.
        refused(answer(connection, flood[: LIMIT + 1]), 431, "headers_too_large")
    with opened(port) as connection:
        found = answer(connection, flood)
    assert found == b"" or found.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "flood", [CHUNKED + MANY, CHUNKED[:-3] + b"0;" + b"a" * 1_000_000], ids=["trailers", "a chunk's name"]
)
def test_what_follows_a_body_counts_too(port: int, flood: bytes) -> None:
    with opened(port) as connection:
        sent = time.monotonic()
        answer(connection, flood)
    assert time.monotonic() - sent < 1.4, "the connection was closed at once, not by a deadline"


def grown(port: int, connections: int = 3) -> int:
    """Bytes that this process, which runs the server, takes more while headers of 4 MB each are sent to it.

    Counted as allocated: what the process grows by depends on what earlier tests left free.
    """
    tracemalloc.start()
    most = 0
    held = [opened(port) for _ in range(connections)]
    for connection in held:
        try:
            connection.sendall(HEAD)
            for _ in range(4):
                connection.sendall(MANY[:1_000_000])
        except OSError:
            pass
        time.sleep(0.2)
        most = max(most, tracemalloc.get_traced_memory()[0])
    for connection in held:
        connection.close()
    tracemalloc.stop()
    return most


def test_a_flood_of_headers_takes_no_memory(port: int) -> None:
    assert grown(port) < 4_000_000
    with serving(http="httptools") as unbounded:
        assert grown(unbounded) > 10_000_000, "as with uvicorn's own protocol"


@pytest.mark.parametrize(
    "parts",
    [[], [b"\r\n"], [HEAD], [b"GET"], [HEAD, b"X-A: 1\r\n", b"X-B: 1\r\n", b"X-C: 1\r\n", b"X-D: 1\r\n"]],
    ids=["nothing", "an empty line", "half a head", "a word", "a line now and then"],
)
def test_a_head_has_to_arrive_in_time(port: int, parts: list[bytes]) -> None:
    begin = time.monotonic()
    with opened(port) as connection:
        refused(answer(connection, *parts, pause=0.5), 408, "too_slow")
    assert 1.3 < time.monotonic() - begin < 5


@pytest.mark.parametrize("path", [b"/step", b"/grader", b"/mcp", b"/reset"])
def test_a_body_has_to_arrive_in_time(port: int, path: bytes) -> None:
    begin = time.monotonic()
    head = HEAD.replace(b"/grader", path) + b"Content-Length: 20\r\n\r\n{"
    with opened(port) as connection:
        refused(answer(connection, head, b'"', b"a", pause=0.5), 408, "too_slow")
    assert 1.3 < time.monotonic() - begin < 5


def test_what_is_within_the_limits_is_served(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        padded = {f"X-{number}": "a" * 1_000 for number in range(25)}
        for _again in range(3):
            assert client.get("/tasks", headers=padded).status_code == 200
        body = json.dumps({"history": "a" * 60_000}).encode()
        kind = {"Content-Type": "application/json"}
        assert client.post("/grader", content=body, headers=kind).status_code == 422
        assert client.post("/grader", content=b"x" * 90_000, headers=kind).status_code == 413
        parts = (body[begin : begin + 1_000] for begin in range(0, len(body), 1_000))
        assert client.post("/grader", content=parts, headers=kind).status_code == 422
        time.sleep(2)
        assert client.get("/tasks").status_code == 200, "a connection that rests is not a slow one"


def test_requests_that_come_together_are_all_answered(port: int) -> None:
    one = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Pad: " + b"a" * 2_000 + b"\r\n\r\n"
    last = one.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n")
    with opened(port) as connection:
        assert answer(connection, one * 40 + last).count(b"HTTP/1.1 200 OK") == 41


def closed(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    found = b""
    while more := connection.recv(65_536):
        found += more
    return found


GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


WRONG = {
    "no words": b"NONSENSE\r\n\r\n\r\n",
    "a length": HEAD + b"Content-Length: x\r\n\r\n",
    "a name": HEAD + b"X-\0: 1\r\n\r\n",
    "no headers": b"GET / HTTP/1.1\nX\r\n",
    "a coding": HEAD + b"Transfer-Encoding: identity\r\n\r\n",
    "a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nx\r\n",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_request_is_refused_after_the_answers_to_earlier_ones(port: int, name: str) -> None:
    with opened(port) as connection:
        connection.sendall(GET * 3 + WRONG[name])
        *earlier, last = re.split(rb"(?=HTTP/1\.1 \d)", closed(connection))[1:]
    assert [one[:15] for one in earlier] == [b"HTTP/1.1 200 OK"] * 3
    refused(last, 400, "malformed_request")


@pytest.mark.parametrize("name", [name for name in WRONG if name not in ("a coding", "a chunk")])
def test_what_is_no_request_is_refused(port: int, name: str) -> None:
    with opened(port) as connection:
        connection.sendall(WRONG[name])
        refused(closed(connection), 400, "malformed_request")


def test_requests_that_wait_take_no_memory_however_many(port: int) -> None:
    many = b"GET /health HTTP/1.1\r\n\r\n" * 10_000

    def most(port: int) -> int:
        with opened(port) as connection:
            # What is answered is read, so that the server reads on.
            threading.Thread(target=answer, args=(connection,), daemon=True).start()
            connection.settimeout(2)
            tracemalloc.start()
            with suppress(TimeoutError):
                for _ in range(8):
                    connection.sendall(many)
            time.sleep(1)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            connection.shutdown(socket.SHUT_RDWR)
        return found

    assert most(port) < 4_000_000
    with serving(http="httptools") as unbounded:
        assert most(unbounded) > 6_000_000, "as with uvicorn's own protocol"


def test_one_connection_does_not_have_all_of_the_time(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are answered where they arrive, and a quarter of a megabyte of them arrives at once."""

    def slow(self: DirectHttpProtocol, _body: bytes) -> bool:
        time.sleep(0.002)
        self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.on_response_complete()
        return True

    monkeypatch.setattr(DirectHttpProtocol, "_is_answered", slow)

    def health() -> float:
        begin = time.monotonic()
        httpx.get(f"http://127.0.0.1:{port}/health", timeout=30)
        return time.monotonic() - begin

    step = HEAD.replace(b"/grader", b"/step") + b"Content-Length: 2\r\n\r\n{}"
    with opened(port) as connection:
        threading.Thread(target=answer, args=(connection,), daemon=True).start()
        connection.sendall(step * 1_500)
        time.sleep(0.05)
        assert health() < 1
        connection.shutdown(socket.SHUT_RDWR)


def test_a_websocket_waits_for_earlier_answers(port: int) -> None:
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: c2FmZWFjdC1lbnYtbG9hZA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with opened(port) as connection:
        connection.sendall(GET * 2 + upgrade)
        found = closed(connection)
    assert found.count(b"HTTP/1.1 200 OK") == 2
    assert found.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize("more", [b"a: b\r\n" * 130, b"a: %b\r\n" % (b"b" * 9_000)], ids=["many", "long"])
def test_a_handshake_that_the_library_does_not_take_is_refused_and_closed(port: int, more: bytes) -> None:
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: c2FmZWFjdC1lbnYtbG9hZA==\r\nSec-WebSocket-Version: 13\r\n"
    )
    with opened(port) as connection:
        connection.sendall(upgrade + more + b"\r\n")
        refused(closed(connection), 400, "malformed_request")
    with opened(port) as connection:
        connection.sendall(upgrade + b"a: b\r\n" * 20 + b"\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 101 ")


def test_cookies_are_read_in_no_time_whatever_they_hold(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        name = client.post("/reset", json={"seed": 1}).json()["episode_id"]
        client.cookies.clear()
        quoted = 'a="' + '\\"' * 15_000 + '"'
        started = time.process_time()
        for cookie in (f"{quoted}; safeact_episode={name}", f"safeact_episode={name}; {quoted}"):
            assert client.get("/state", headers={"Cookie": cookie}).json()["episode_id"] == name
        assert time.process_time() - started < 1
    assert plain_cookies(b'a=1; b="\\""; c=3') == b"a=1; c=3"


def test_a_websocket_outlives_the_deadline_and_its_frames_are_no_headers(port: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/ws") as ws:
        for frame in ({"type": "reset", "data": {"seed": 1}}, {"type": "step", "data": {"x": "a" * 60_000}}):
            ws.send(json.dumps(frame))
            assert json.loads(ws.recv())["type"] in ("observation", "error")
        time.sleep(2)
        ws.send(json.dumps({"type": "state"}))
        assert json.loads(ws.recv())["type"] == "state"


def served(port: int, address: str = "127.0.0.1") -> int:
    """Status of a request from an address; 0 if the connection was closed instead."""
    try:
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=5) as client:
            return client.get(f"http://127.0.0.1:{port}/policies").status_code
    except httpx.TransportError:
        return 0


def test_one_client_does_not_take_every_connection() -> None:
    with serving(client_connections=3) as port:
        held = [opened(port) for _ in range(3)]
        with opened(port) as another:
            found = answer(another)
            refused(found, 429, "too_many_connections")
            assert b"\r\nretry-after: " in found
        assert served(port, "127.0.0.2") == 200
        held.pop().close()
        deadline = time.monotonic() + 5
        while served(port) != 200:
            assert time.monotonic() < deadline, "a connection that is closed makes room"
        for connection in held:
            connection.close()


def test_sockets_count_as_sessions_and_a_proxy_is_many_clients() -> None:
    with serving(client_connections=1) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        with connect(url), connect(url):
            assert served(port) == 200
    with serving(client_connections=1, trusted_proxies="127.0.0.1") as port, opened(port), opened(port):
        assert served(port) == 200


@contextmanager
def unread(port: int, connections: int) -> Iterator[list[socket.socket]]:
    """Connections of a client that asks again and again and reads no answer."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(connections)]
        for connection in found:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(b"GET /tasks HTTP/1.1\r\nHost: x\r\n\r\n" * 400)
        yield found


def test_who_does_not_read_keeps_nobody_out() -> None:
    with serving(max_requests=3) as port, unread(port, 4):
        time.sleep(2)
        assert {served(port) for _ in range(9)} == {200}, "they wait, and so they are not in progress"


def test_who_does_not_read_is_disconnected() -> None:
    with serving(request_seconds=1) as port, unread(port, 2) as held:
        time.sleep(4)
        assert all(answer(connection).count(b"HTTP/1.1 200 OK") < 400 for connection in held), "cut short"


def test_the_rest_of_an_answer_has_to_be_read_in_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little of it waits in the process that the connection counts as one that rests, and is closed."""
    made: list[DirectHttpProtocol] = []
    begin = DirectHttpProtocol.connection_made

    def connection_made(self: DirectHttpProtocol, transport: asyncio.Transport) -> None:
        begin(self, transport)
        made.append(self)

    monkeypatch.setattr(DirectHttpProtocol, "connection_made", connection_made)
    with serving(keep_alive=1, request_seconds=1) as port, ExitStack() as stack:
        number, deadline = 60, time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, "a kernel that keeps all of it"
            before, steady = len(made), [-1]
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(b"GET /tasks HTTP/1.1\r\nHost: x\r\n\r\n" * number)
            # On a busy machine it takes a while until nothing more is written.
            while len(steady) < 4 and time.monotonic() < deadline:
                time.sleep(0.04)
                size = made[-1].transport.get_write_buffer_size() if len(made) > before else -1
                steady = [*steady, size] if size == steady[-1] != -1 else [size]
            protocol = made[-1]
            # More than the kernel keeps, and less than what pauses the server.
            if protocol.flow.write_paused:
                number -= 5
            elif protocol.transport.get_write_buffer_size():
                break
            else:
                number += 1
        deadline = time.monotonic() + 12
        while protocol in protocol.connections:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_without_httptools_the_same_bound_holds() -> None:
    with serving(http="h11") as port, opened(port) as connection:
        assert answer(connection, HEAD + MANY[: LIMIT + 4_000]).startswith(b"HTTP/1.1 4")
