"""uvicorn's HTTP protocol with a short way: a step is answered where it arrives.

Owns which requests go this way. Must not know the app: that offers its answers through the state of the
lifespan. As an ASGI request a step takes a task of its own, which costs as much as the step.
"""

import asyncio
import logging
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.utils import get_client_addr

from safeact_env.server.bounded_http import BoundedHttpProtocol
from safeact_env.server.direct import DIRECT, DirectRequest, lines_of

__all__ = ["DirectHttpProtocol"]

STEP = b"/step"
"""The target of the requests that may go the short way."""
HELD_SECONDS = 0.05
"""How long one waits for its body before it goes the usual way: many clients send the head first."""
HELD_BYTES = 16_384
"""Longest body that is waited for here."""


class DirectHttpProtocol(BoundedHttpProtocol):
    """A connection.

    Args:
        config: As of `BoundedHttpProtocol`.
        given: What else uvicorn gives its protocols.
    """

    def __init__(self, config: Any, *given: Any, **options: Any) -> None:
        super().__init__(config, *given, **options)
        self._directly: DirectRequest | None = None if self.root_path else self.app_state.get(DIRECT)
        self._waiting: bytes | None = None
        """What has arrived of the body of a request that may go the short way."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        if self._is_of_proxy:
            # Only in front of the app does uvicorn put the client in the place of the proxy.
            self._directly = None

    def shutdown(self) -> None:
        """End after the present request, also one that has arrived in part."""
        self._go_on()
        super().shutdown()

    def _deadline_of_rest(self) -> asyncio.TimerHandle | None:
        if self._waiting is not None:
            return self.loop.call_later(HELD_SECONDS, self._go_on)
        return super()._deadline_of_rest()

    def on_headers_complete(self) -> None:
        """A head has arrived."""
        if self.url == STEP and self._directly is not None and not self._answering and self._is_plain:
            self._end_head()
            self._waiting = b""
        else:
            super().on_headers_complete()

    def _take_body(self, body: bytes) -> None:
        if self._waiting is None:
            super()._take_body(body)
            return
        self._waiting += body
        if len(self._waiting) > HELD_BYTES:
            self._go_on()

    def on_message_complete(self) -> None:
        """A request has arrived."""
        if self._waiting is not None:
            self._stop_waiting()
            if self._is_answered(self._waiting):
                self._waiting = None
                self._head = 0
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
        body, self._waiting = self._waiting, None
        if body is not None and not self.transport.is_closing():
            super().on_headers_complete()
            super()._take_body(body)

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
