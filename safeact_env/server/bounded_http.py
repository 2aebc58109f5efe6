"""uvicorn's HTTP protocol with bounds: on the bytes of a head, and on the seconds in which it has to arrive.

Owns what is refused before there is a request. Must not know the app. httptools keeps every header that
comes, so that a few connections could fill the memory of a server before anything asks for a token.
"""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from safeact_env.server.http.errors import STATUS, error_body

__all__ = ["BoundedHttpProtocol"]

PART = 16_384
"""Bytes that are parsed at a time: what comes at once may be several times the bound."""
HEAD_TOO_LARGE = "the headers are over the limit of {limit} bytes; send fewer or shorter ones"
HEAD_TOO_LATE = "the request did not arrive within {seconds:g} s; send it at once"


class BoundedHttpProtocol(HttpToolsProtocol):
    """A connection.

    Args:
        config: Uvicorn's configuration. `h11_max_incomplete_event_size` is the most bytes of a head: request
            line, headers, and what frames the body; at most `PART` more are read. `request_seconds` are the
            seconds within which a head has to arrive.
        given: What else uvicorn gives its protocols.
    """

    def __init__(self, config: Any, *given: Any, **options: Any) -> None:
        super().__init__(config, *given, **options)
        self._limit: int = config.h11_max_incomplete_event_size
        self._seconds: float = config.request_seconds
        self._part = 0
        self._head = 0
        """Bytes of the present message that are no body, or up to `PART` too many."""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn declares it
        self._deadline = self.loop.call_later(self._seconds, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, a part at a time."""
        for begin in range(0, len(data), PART):
            if self.transport.is_closing():
                return
            protocol = self.transport.get_protocol()
            if protocol is not self and isinstance(protocol, asyncio.Protocol):
                # It has become a WebSocket.
                protocol.data_received(data[begin:])
                return
            part = data[begin : begin + PART]
            self._part = len(part)
            self._head += self._part
            super().data_received(part)
            if self._head > self._limit:
                self._refuse("headers_too_large", HEAD_TOO_LARGE.format(limit=self._limit))
                return
        if not self._answering and self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self._seconds, self._too_late)

    def on_message_begin(self) -> None:
        """A head begins somewhere in this part."""
        self._head = self._part
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head has arrived."""
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of a body has arrived."""
        self._head = max(self._head - len(body), 0)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has arrived."""
        self._head = 0
        super().on_message_complete()

    @property
    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.transport.get_protocol() is self and not self.transport.is_closing():
            self._refuse("too_slow", HEAD_TOO_LATE.format(seconds=self._seconds))

    def _refuse(self, code: str, message: str) -> None:
        """Close the connection. Say why, unless an earlier request has no answer yet."""
        if not self._answering:
            body = json.dumps(error_body(code, message)).encode()
            self.transport.write(
                b"%scontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (STATUS_LINE[STATUS[code]], len(body), body)
            )
        self.transport.close()
