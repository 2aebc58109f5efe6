"""uvicorn's HTTP protocol with bounds: on a head's bytes, on how long it takes, on connections, on waiting.

Owns what is refused before there is a request, and which requests go the short way. Must not know the app.
httptools keeps every header that comes, so that a few connections could fill the memory of a server before
anything asks for a token; and every connection, also one on which nothing is sent or read, takes one of the
files that a process may open. As an ASGI request a step takes a task of its own, which costs as much as the
step.
"""

import asyncio
import json
import logging
from ipaddress import ip_address
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import get_client_addr

from safeact_env.server.asking import client_at
from safeact_env.server.direct import DIRECT, DirectRequest, lines_of
from safeact_env.server.http.errors import RETRY_AFTER, STATUS, error_body

__all__ = ["BoundedHttpProtocol"]

STEP = b"/step"
"""The target of the requests that may go the short way."""
HELD_SECONDS = 0.05
"""How long one waits for its body before it goes the usual way: many clients send the head first."""
PART = 16_384
"""Bytes that are parsed at a time: what comes at once may be several times the bound."""
HEAD_TOO_LARGE = "the headers are over the limit of {limit} bytes; send fewer or shorter ones"
HEAD_TOO_LATE = "the request did not arrive within {seconds:g} s; send it at once"
TOO_MANY = "this client has {most} connections, as many as one client may have; use those, or close some"


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

    def __init__(self, config: Any, *given: Any, **options: Any) -> None:
        super().__init__(config, *given, **options)
        self._config = config
        self._limit: int = config.h11_max_incomplete_event_size
        self._seconds: float = config.request_seconds
        self._client: str | None = None
        """Whose connection it is, while it counts."""
        self._part = 0
        self._head = 0
        """Bytes of the present message that are no body, or up to `PART` too many."""
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._directly: DirectRequest | None = None if self.root_path else self.app_state.get(DIRECT)
        self._waiting: bytes | None = None
        """What has arrived of the body of a request that may go the short way."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]  # as uvicorn declares it
        if self._has_room():
            self._deadline = self.loop.call_later(self._seconds, self._too_late)
        else:
            self._refuse("too_many_connections", TOO_MANY.format(most=self._config.client_connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._leave()
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Become a WebSocket. Those are counted as sessions."""
        self._leave()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _has_room(self) -> bool:
        """Count the connection, if its client may have another one."""
        host, clients = self.client[0] if self.client else "", self._config.clients
        if not host or any(ip_address(host) in proxies for proxies in self._config.proxies):
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
            if self._waiting is not None and len(self._waiting) > PART:
                self._go_on()
            if self._head > self._limit:
                self._refuse("headers_too_large", HEAD_TOO_LARGE.format(limit=self._limit))
                return
        if self._deadline is None and not self.transport.is_closing():
            if self._waiting is not None:
                self._deadline = self.loop.call_later(HELD_SECONDS, self._go_on)
            elif self._head and not self._answering:
                self._deadline = self.loop.call_later(self._seconds, self._too_late)

    def on_message_begin(self) -> None:
        """A head begins somewhere in this part."""
        self._head = self._part
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head has arrived."""
        self._stop_waiting()
        if self.url == STEP and self._directly is not None and not self._answering and self._is_plain:
            self._waiting = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of a body has arrived."""
        self._head = max(self._head - len(body), 0)
        if self._waiting is None:
            super().on_body(body)
        else:
            self._waiting += body

    def on_message_complete(self) -> None:
        """A request has arrived."""
        self._head = 0
        if self._waiting is not None:
            self._stop_waiting()
            if self._is_answered(self._waiting):
                self._waiting = None
                return
            self._go_on()
        super().on_message_complete()

    @property
    def _is_plain(self) -> bool:
        parser = self.parser
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
        )

    def _go_on(self) -> None:
        """Let the request go the usual way, with what has arrived of its body."""
        self._stop_waiting()
        body, self._waiting = self._waiting, None
        if body is not None and not self.transport.is_closing():
            super().on_headers_complete()
            super().on_body(body)

    def _is_answered(self, body: bytes) -> bool:
        """Whether the app has answered a request directly."""
        if self._directly is None or self.flow.write_paused or self.transport.is_closing():
            return False
        scope = cast(Scope, self.scope)
        scope.update(method="POST", path="/step", raw_path=STEP, query_string=b"")
        answer = self._directly(scope, body)
        if answer is None:
            return False
        status, headers, content = answer
        if self.access_log and self.access_logger.isEnabledFor(logging.INFO):
            client = get_client_addr(self.scope)
            self.access_logger.info('%s - "%s %s HTTP/%s" %d', client, "POST", "/step", "1.1", status)
        lines = lines_of(self.server_state.default_headers)
        # Added, as formatting takes five times as long for a long body.
        self.transport.write(STATUS_LINE[status] + lines + headers + b"\r\n" + content)
        self.on_response_complete()
        return True

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
            after = b"retry-after: %s\r\n" % RETRY_AFTER[code].encode() if code in RETRY_AFTER else b""
            self.transport.write(
                b"%scontent-type: application/json\r\n%scontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (STATUS_LINE[STATUS[code]], after, len(body), body)
            )
        self.transport.close()
