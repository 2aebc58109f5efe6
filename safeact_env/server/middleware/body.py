"""Limits on request bodies: small, strict JSON, checked before anything acts on them.

Owns the size limit and the check. Must not know episodes. WebSocket frames are checked where they are read.
"""

import re

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.server.http.errors import STATUS, error_response
from safeact_env.server.mcp.jsonrpc import PARSE_ERROR, RpcError, failure
from safeact_env.server.strict_json import MALFORMED, strict_json

BODY_TOO_LARGE = "the body is over the limit of {limit} bytes; send less"
NOT_JSON = "send the body as JSON, with the header Content-Type: application/json"
JSON_TYPE = re.compile(rb"\s*application/([\w.+-]+\+)?json\s*(;.*)?", re.IGNORECASE | re.DOTALL)
"""The media types that every route reads as JSON."""


def _refusal(scope: Scope, code: str, message: str) -> JSONResponse:
    """The answer to a refused body, as JSON-RPC on the paths that speak it."""
    if scope["path"].endswith("/mcp"):
        return JSONResponse(failure(RpcError(PARSE_ERROR, message)), STATUS[code])
    return error_response(code, message)


class BodyLimitMiddleware:
    """ASGI middleware in front of every route.

    Args:
        app: The app.
        limit: Largest body, in bytes.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the body of a request, and pass on what is well-formed."""
        if scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH", "DELETE"):
            await self._http(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 18 or int(length) > self.limit:
            await self._refuse_size(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.limit:
                await self._refuse_size(scope, receive, send)
                return
        if body:
            if not JSON_TYPE.fullmatch(headers.get(b"content-type", b"")):
                await _refusal(scope, "content_type", NOT_JSON)(scope, receive, send)
                return
            try:
                strict_json(body)
            except ValueError:
                await _refusal(scope, "malformed_json", MALFORMED)(scope, receive, send)
                return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    async def _refuse_size(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = BODY_TOO_LARGE.format(limit=self.limit)
        await _refusal(scope, "body_too_large", message)(scope, receive, send)
