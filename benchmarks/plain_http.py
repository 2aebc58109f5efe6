"""A lean keep-alive HTTP client for programs that load a server. Must not know what is asked."""

import asyncio
import json
from typing import Any, NamedTuple, Self


class Answer(NamedTuple):
    """An answer: its status, its headers with lower-case names, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Connection:
    """A connection to a loopback port, for one request at a time, opened on first use.

    Args:
        port: The port.
        timeout_s: Longest wait for an answer, in seconds.
    """

    def __init__(self, port: int, timeout_s: float = 30.0) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Send a request and wait for its answer.

        Raises:
            TimeoutError: If no answer arrives in time.
            OSError: If the connection breaks.
        """
        sent = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sent)}\r\n"
        kind = "Content-Type: application/json\r\n" if sent else ""
        try:
            return await asyncio.wait_for(
                self._exchange(f"{head}{kind}\r\n".encode() + sent), self._timeout_s
            )
        except BaseException:
            # A late answer would be taken for that of the next request.
            self.close()
            raise

    async def _exchange(self, request: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the connection ended before the answer did") from error
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(head[0].split()[1]), headers, body)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def __aenter__(self) -> Self:
        """The connection itself."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close the connection."""
        self.close()
