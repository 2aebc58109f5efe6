"""uvicorn's HTTP protocol with bounds: on a head's bytes, on how long it takes, on connections, on waiting.

Owns what is refused before there is a request, and whose turn it is. Must not know the app. httptools keeps
every header that comes, and uvicorn every request that is sent before others are answered, so that one
connection could fill the memory of a server before anything asks for a token, or have all of its time. And
every connection, also one on which nothing is sent or read, takes one of the files that a process may open.
"""

import asyncio
import json
import sys
from ipaddress import ip_address
from typing import Any, cast

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from safeact_env.server.asking import client_at
from safeact_env.server.http.errors import RETRY_AFTER, STATUS, error_body, error_response

__all__ = ["BoundedHttpProtocol"]

PART = 4_096
"""Bytes that are parsed at a time: what comes at once may be several times the bound, or many requests."""
HEAD_TOO_LARGE = "the headers are over the limit of {limit} bytes; send fewer or shorter ones"
HEAD_TOO_LATE = "the request did not arrive within {seconds:g} s; send it at once"
TOO_MANY = "this client has {most} connections, as many as one client may have; use those, or close some"
NO_HANDSHAKE = (
    "this WebSocket handshake has too many headers, or a line that is too long; send fewer or shorter"
)
NO_REQUEST = "this is no well-formed HTTP/1.1 request; look at its first line, its headers and its length"
UPGRADE_TOO_EARLY = "earlier requests on this connection have no answer yet; open a WebSocket on a new one"


class _Flow(FlowControl):
    """uvicorn's flow control. While it is held, nothing is read, whatever uvicorn wants."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.transport = transport
        self.is_held = False

    def pause_reading(self) -> None:
        """Read no more."""
        if self.is_held:
            self.read_paused = True
        else:
            super().pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self.is_held:
            self.read_paused = False
        else:
            super().resume_reading()

    def hold(self, held: bool) -> None:
        """Begin or end to hold."""
        if held != self.is_held and not self.read_paused:
            (self.transport.pause_reading if held else self.transport.resume_reading)()
        self.is_held = held


class BoundedHttpProtocol(HttpToolsProtocol):
    """A connection.

    Args:
        config: Uvicorn's configuration. `h11_max_incomplete_event_size` is the most bytes of a head: request
            line, headers, and what frames the body; at most `PART` more are read. `request_seconds` are the
            seconds within which a head has to arrive, and for which a client may leave an answer unread.
            `client_connections` are the most of one client, `proxies` networks whose connections are many
            clients', and `clients` counts the others.
        given: What else uvicorn gives its protocols.
    """

    flow: _Flow

    def __init__(self, config: Any, *given: Any, **options: Any) -> None:
        super().__init__(config, *given, **options)
        self._config = config
        self._limit: int = config.h11_max_incomplete_event_size
        self._seconds: float = config.request_seconds
        self._client: str | None = None
        """Whose connection it is, while it counts."""
        self._is_of_proxy = False
        self._unparsed = b""
        """What waits for its turn."""
        self._turn: asyncio.Handle | None = None
        self._is_ending = False
        """Whether the connection ends with the answers to earlier requests; nothing more is parsed."""
        self._last_words: tuple[str, str] | None = None
        """Code and message of the refusal after them."""
        self._part = b""
        self._head = 0
        """Bytes of the present message that are no body, or up to `PART` too many."""
        self._is_in_head = False
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn declares it
        self.flow = _Flow(self.transport)
        if self._has_room():
            self._deadline = self.loop.call_later(self._seconds, self._too_late)
        else:
            self._refuse("too_many_connections", TOO_MANY.format(most=self._config.client_connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._leave()
        self._stop_waiting()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Become a WebSocket. Those are counted as sessions."""
        if self._answering:
            # Both would write, and nobody would wait for the client to read.
            self._refuse("malformed_request", UPGRADE_TOO_EARLY)
            return
        self._leave()
        # This handles the exception that says where the head ends. Uvicorn drops the rest.
        end = sys.exception()
        if isinstance(end, HttpParserUpgrade):
            self._unparsed = self._part[end.args[0] :] + self._unparsed
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if not getattr(protocol, "handshake_initiated", True) and not self.transport.is_closing():
            # It has the whole head. The library has bounds of its own for it, and neither answers nor closes.
            self._refuse("malformed_request", NO_HANDSHAKE)

    def send_400_response(self, _msg: str) -> None:
        """Refuse what is no request."""
        self._refuse("malformed_request", NO_REQUEST)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        # While the connection is closing, all that is left has to be read in time.
        if self._unread is not None and not self.transport.is_closing():
            self._unread.cancel()
            self._unread = None

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that rests."""
        super().timeout_keep_alive_handler()
        self._wait_for_reader()

    def on_response_complete(self) -> None:
        """The next request has its turn."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_reader()
        elif self._last_words is not None and not self._answering:
            self._refuse(*self._last_words)
        elif self._unparsed:
            self._take_turn()

    def _wait_for_reader(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self._seconds, self.transport.abort)

    def _has_room(self) -> bool:
        """Count the connection, if its client may have another one."""
        host, clients = self.client[0] if self.client else "", self._config.clients
        self._is_of_proxy = bool(host) and any(ip_address(host) in some for some in self._config.proxies)
        if not host or self._is_of_proxy:
            return True
        client = client_at(host)
        if clients[client] >= self._config.client_connections:
            return False
        clients[client] += 1
        self._client = client
        return True

    def _leave(self) -> None:
        if self._client is not None:
            self._config.clients[self._client] -= 1
            if not self._config.clients[self._client]:
                del self._config.clients[self._client]
            self._client = None

    def data_received(self, data: bytes) -> None:
        """Parse what came, in its turn."""
        self._unparsed += data
        self._parse()

    def _parse(self) -> None:
        """Parse a part, unless requests wait. Then it is the turn of other connections."""
        self._turn = None
        if self._is_over():
            return
        if not self.pipeline:
            self._part, self._unparsed = self._unparsed[:PART], self._unparsed[PART:]
            self._head += len(self._part)
            super().data_received(self._part)
            if self._head > self._limit:
                self._refuse("headers_too_large", HEAD_TOO_LARGE.format(limit=self._limit))
            if self._is_over():
                return
        protocol = self.transport.get_protocol()
        if protocol is not self and isinstance(protocol, asyncio.Protocol):
            # It has become a WebSocket.
            self.flow.hold(False)
            if self._unparsed:
                protocol.data_received(self._unparsed)
        elif self._unparsed:
            self.flow.hold(True)
            self._take_turn()
        else:
            self.flow.hold(False)
            if self._deadline is None:
                self._deadline = self._deadline_of_rest()

    def _is_over(self) -> bool:
        return self._is_ending or self.transport.is_closing()

    def _take_turn(self) -> None:
        if self._turn is None and not self.pipeline:
            self._turn = self.loop.call_soon(self._parse)

    def _deadline_of_rest(self) -> asyncio.TimerHandle | None:
        """The deadline of what has arrived in part; `None` if nothing has, or something else bounds it."""
        if self._head and not self._answering:
            return self.loop.call_later(self._seconds, self._too_late)
        return None

    def on_message_begin(self) -> None:
        """A head begins somewhere in this part."""
        self._head = len(self._part)
        self._is_in_head = True
        # The answer to an earlier request in this part has begun a rest.
        self._unset_keepalive_if_required()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has arrived. What follows a body is none: it must not say who asks for what."""
        if self._is_in_head:
            is_cookie = b"\\" in value and name.lower() == b"cookie"
            super().on_header(name, plain_cookies(value) if is_cookie else value)

    def on_headers_complete(self) -> None:
        """A head has arrived."""
        self._end_head()
        super().on_headers_complete()

    def _end_head(self) -> None:
        self._is_in_head = False
        self._stop_waiting()

    def on_body(self, body: bytes) -> None:
        """Some of a body has arrived."""
        self._head = max(self._head - len(body), 0)
        self._take_body(body)

    def _take_body(self, body: bytes) -> None:
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
        """Say why, and close the connection. Earlier requests that have arrived get their answers first."""
        if not self._answering:
            body = json.dumps(error_body(code, message)).encode()
            after = b"retry-after: %s\r\n" % RETRY_AFTER[code].encode() if code in RETRY_AFTER else b""
            self.transport.write(
                b"%scontent-type: application/json\r\n%scontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (STATUS_LINE[STATUS[code]], after, len(body), body)
            )
        elif self.pipeline or not self.cycle.more_body:
            self._is_ending = True
            self.flow.hold(True)
            if self.cycle.more_body:
                # It is the last one that is broken, and it has not begun.
                refusal = error_response(code, message)
                refusal.headers["Connection"] = "close"
                self.pipeline[0] = (self.cycle, cast(Any, refusal))
            else:
                self._last_words = code, message
            return
        self.transport.close()
        self._wait_for_reader()


def plain_cookies(header: bytes) -> bytes:
    """The cookies in a header without those that hold a backslash.

    No id does, and Python 3.11 before 3.11.10 takes time squared to read them.
    """
    return b";".join(one for one in header.split(b";") if b"\\" not in one)
