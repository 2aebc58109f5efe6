"""A closed-loop client for benchmarks: many connections, one thread, each with one request under way.

Owns raw sockets and framing. It parses no JSON and makes no object per message, so that benchmarks measure
the server and not the client.
"""

import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

SECONDS = 60.0
"""Longest time for requests, in seconds, before a benchmark gives up."""
TEXT, PONG = 0x1, 0xA
PING_BYTE = b"\x89"
MASK = b"\x37\xfa\x21\x3d"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: c2FmZWFjdC1lbnYtbG9hZA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

Length = Callable[[bytes], tuple[int, int] | None]
"""Start and end of the payload in the bytes received so far, or `None` while they do not tell."""


def ws_frame(text: bytes, opcode: int = TEXT) -> bytes:
    """A masked frame, as clients send it."""
    size = len(text)
    first = bytes([0x80 | opcode])
    head = first + (bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big"))
    masked = bytes(byte ^ MASK[number % 4] for number, byte in enumerate(text))
    return head + MASK + masked


def http_request(path: str, body: bytes, method: str = "POST") -> bytes:
    """A request on a keep-alive connection."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head.encode(), len(body), body)


def _ws_length(data: bytes) -> tuple[int, int] | None:
    if len(data) < 2:
        return None
    start = {126: 4, 127: 10}.get(data[1], 2)
    if len(data) < start:
        return None
    return start, start + (int.from_bytes(data[2:start], "big") if start > 2 else data[1])


def _http_length(data: bytes) -> tuple[int, int] | None:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    where = data.lower().index(b"content-length: ", 0, end) + 16
    return end + 4, end + 4 + int(data[where : data.index(b"\r\n", where)])


class Connection:
    """A connection with at most one request under way.

    Args:
        port: Loopback port of the server.
        ws: Whether to speak WebSocket.
    """

    __slots__ = ("_data", "_end", "_length", "answer", "socket")

    def __init__(self, port: int, *, ws: bool) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._length: Length = _ws_length if ws else _http_length
        self._data, self._end = b"", 0
        self.answer = b""
        if ws:
            self.socket.sendall(UPGRADE)
            head = b""
            while b"\r\n\r\n" not in head:
                head += self.socket.recv(4096)
            if b" 101 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(f"no WebSocket: {head.decode()}")

    def send(self, request: bytes) -> None:
        """Send a request."""
        self.socket.sendall(request)

    def arrived(self) -> bool:
        """Receive; whether the answer is complete, and in `answer`."""
        data = self.socket.recv(262_144)
        if not data:
            raise RuntimeError(f"the server at {self.socket.getpeername()} closed a connection")
        data = self._data + data if self._data else data
        if self._length is _ws_length and not self._end:
            data = self._without_pings(data)
        self._data = data
        if not self._end and data[:1] != PING_BYTE:
            found = self._length(data)
            if found is None:
                return False
            self._end = found[1]
        if not self._end or len(data) < self._end:
            return False
        self.answer, self._data, self._end = data, b"", 0
        return True

    def _without_pings(self, data: bytes) -> bytes:
        """Answer pings at the start of the data; the rest of it."""
        while data[:1] == PING_BYTE and len(data) >= 2 and len(data) >= 2 + data[1]:
            self.send(ws_frame(data[2 : 2 + data[1]], PONG))
            data = data[2 + data[1] :]
        return data

    @property
    def payload(self) -> bytes:
        """The last answer without its frame or headers."""
        start, end = self._length(self.answer) or (0, 0)
        return self.answer[start:end]


def connect(stack: ExitStack, port: int, number: int, *, ws: bool) -> list[Connection]:
    """Open connections, which the stack closes."""
    made = []
    for _ in range(number):
        connection = Connection(port, ws=ws)
        stack.callback(connection.socket.close)
        made.append(connection)
    return made


def drive(connections: Sequence[Connection], scripts: Sequence[Sequence[bytes]]) -> None:
    """Send each connection's requests, one after another, all connections at once."""
    poll = select.epoll()
    by_number = {}
    for connection, script in zip(connections, scripts, strict=True):
        number = connection.socket.fileno()
        os.set_blocking(number, True)
        poll.register(number, select.EPOLLIN)
        by_number[number] = (connection, iter(script))
    for connection, requests in by_number.values():
        connection.send(next(requests))
    running = len(by_number)
    until = time.monotonic() + SECONDS
    while running:
        # Poll without sleeping: a server pays for waking a client, which can cost more than an answer.
        # Clients on other machines cost it nothing.
        ready = poll.poll(0)
        if not ready and time.monotonic() > until:
            raise RuntimeError("the server does not answer")
        for number, _ in ready:
            connection, requests = by_number[number]
            if connection.arrived():
                request = next(requests, None)
                if request is None:
                    running -= 1
                else:
                    connection.send(request)
    poll.close()
