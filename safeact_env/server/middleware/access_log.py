"""The id, duration, log line, headers and internal errors of every request.

Owns what all answers have in common. Must not know routes.
"""

import contextvars
import itertools
import logging
import os
import re
import time
from contextvars import ContextVar
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.server.direct import DIRECT, DirectAnswer, DirectFrame, answer_of, direct_of, lines_of
from safeact_env.server.http.errors import FAULT, error_response
from safeact_env.server.middleware.access import path_of
from safeact_env.server.operations.counters import Counters
from safeact_env.server.websocket.runtime import RUNTIME, Runtime

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""Id of the request that is being answered, for log lines."""

HEADERS = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=()",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
"""Headers of every answer that does not set its own."""
NO_STORE = (b"cache-control", b"no-store")
"""Header of JSON answers, which hold episodes."""

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
PATHS = re.compile("/(baseline|demo|docs|grader|mcp|metrics|reset|state|step|watch|ws)?")
"""Paths that are counted by name even if no route has seen the request."""
GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger(__name__)
access_log = logging.getLogger("safeact_env.access")


class AccessLogMiddleware:
    """The outermost ASGI middleware.

    Args:
        app: The app.
        counters: Counts requests and frames.
        runtime: The sessions of this process.
        lines: Whether to log each request; otherwise uvicorn does.
        shared: Whether pages of other sites may read the answers.
    """

    def __init__(
        self, app: ASGIApp, counters: Counters, runtime: Runtime, lines: bool = False, shared: bool = False
    ) -> None:
        self.app = app
        self._directly = direct_of(app)
        self._counters = counters
        self._runtime = runtime
        self._lines = lines
        self._process = os.urandom(8).hex()
        self._numbers = itertools.count()
        self._headers = {**HEADERS}
        if shared:
            self._headers[b"cross-origin-resource-policy"] = b"cross-origin"
        self._lines_of_all = lines_of([*self._headers.items(), NO_STORE])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; log, count and complete its answer."""
        if scope["type"] == "lifespan":
            if self._directly is not None and "state" in scope:
                scope["state"][DIRECT] = self.directly
            await self.app(scope, receive, send)
            return
        # Every request has its own context.
        request_id = self._begin(scope)
        if scope["type"] == "http":
            await self._http(scope, receive, send, request_id)
        else:
            await self._websocket(scope, receive, send)

    def directly(self, scope: Scope, body: bytes) -> DirectAnswer | None:
        """The same for a request that takes the short way."""
        return contextvars.copy_context().run(self._answered, scope, body)

    def _answered(self, scope: Scope, body: bytes) -> DirectAnswer | None:
        begin, request_id = time.perf_counter(), self._begin(scope)
        try:
            found = None if self._directly is None else self._directly(scope, body)
        except Exception:
            log.exception("internal error in %s %s", scope["method"], route_of(scope))
            found = answer_of(error_response("internal_error", FAULT))
        if found is None:
            return None
        status, headers, answer = found
        self._note(scope, status, time.perf_counter() - begin)
        # It is JSON, and sets none of these itself.
        return status, b"%bx-request-id: %b\r\n%b" % (headers, request_id, self._lines_of_all), answer

    def _begin(self, scope: Scope) -> bytes:
        """Note which request this context is about; return its id."""
        request_id = _given(scope) or f"{self._process}{next(self._numbers):016x}"
        RUNTIME.set(self._runtime)
        REQUEST.set(request_id)
        return request_id.encode()

    async def _http(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        begin, status = time.perf_counter(), 0

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._completed(message.get("headers", ()), request_id)
            await send(message)

        try:
            await self.app(scope, receive, answering)
        except Exception:
            # Here and not in the framework, so that the line has the request's id and the answer its headers.
            log.exception("internal error in %s %s", scope["method"], route_of(scope))
            if status:
                raise
            await error_response("internal_error", FAULT)(scope, receive, answering)
        finally:
            self._note(scope, status, time.perf_counter() - begin)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin, path = 0.0, route_of(scope)

        async def receiving() -> Message:
            nonlocal begin
            message = await receive()
            begin = time.perf_counter()
            return message

        async def sending(message: Message) -> None:
            nonlocal begin
            await send(message)
            if begin and message["type"] == "websocket.send":
                self._counters.frame_answered(path, time.perf_counter() - begin)
                begin = 0.0

        if (offer := scope.get("extensions", {}).get(DIRECT)) is not None:
            scope["extensions"][DIRECT] = lambda answer: offer(self._counted(path, answer))
        self._counters.connections += 1
        try:
            await self.app(scope, receiving, sending)
        finally:
            self._counters.connections -= 1

    def _counted(self, path: str, answer: DirectFrame) -> DirectFrame:
        """The same answers, counted."""
        counted = self._counters.frame_answered

        def answered(text: str) -> bytes | None:
            begin = time.perf_counter()
            found = answer(text)
            if found is not None:
                counted(path, time.perf_counter() - begin)
            return found

        return answered

    def _completed(self, given: Any, request_id: bytes) -> list[tuple[bytes, bytes]]:
        there = dict(given)
        headers: list[tuple[bytes, bytes]] = [*given, (b"x-request-id", request_id)]
        if there.keys().isdisjoint(self._headers):
            headers += self._headers.items()
        else:
            headers += [pair for pair in self._headers.items() if pair[0] not in there]
        if b"json" in there.get(b"content-type", b"") and b"cache-control" not in there:
            headers.append(NO_STORE)
        return headers

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = scope["method"], route_of(scope)
        # A client can send any method, and every label that is counted takes memory.
        self._counters.answered(method if method in METHODS else "other", route, status, seconds)
        if self._lines:
            fields = {
                "method": method,
                "path": scope["path"],
                "status": status,
                "ms": round(seconds * 1_000, 3),
                "client": (scope.get("client") or ("",))[0],
            }
            access_log.info("%s %s %d", method, route, status, extra={"fields": fields})


def _given(scope: Scope) -> str | None:
    """The request id that a client or a proxy sent."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and GIVEN_ID.fullmatch(value):
            return str(value.decode())
    return None


def route_of(scope: Scope) -> str:
    """The path of the route that answered, with the names of its parameters."""
    path: str | None = getattr(scope.get("route"), "path", None)
    if path is None:
        # No route has seen the request. Every label that is counted takes memory, so unknown paths share one.
        path = path_of(scope)
        path = path if PATHS.fullmatch(path) else "other"
    return path
