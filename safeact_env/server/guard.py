"""What comes in is small, strict JSON, at every door, before anything acts on it.

Owns sizes, and that bodies and frames are checked. Must not know episodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.server.errors import error_response
from safeact_env.server.frames import FrameError, action_in, checked, json_in
from safeact_env.server.rpc import PARSE_ERROR, RpcError, failure, request_in
from safeact_env.server.strict import MALFORMED, strict_json

__all__ = ["Guard"]

BODY_TOO_LARGE = "the body is over the limit of {limit} bytes; send less"
NOT_JSON = "send the body as JSON, with the header Content-Type: application/json"


def _play_refusal(frame: Message, limit: int) -> str | None:
    try:
        message = checked(frame, limit)
        if message["type"] == "step":
            action_in(message.get("data", {}))
    except FrameError as error:
        return error.frame()
    return None


def _rpc_refusal(frame: Message, limit: int) -> str | None:
    try:
        request_in(json_in(frame, limit))
    except FrameError as error:
        return json.dumps(failure(RpcError(PARSE_ERROR, error.message)))
    except RpcError as error:
        return json.dumps(failure(error))
    return None


Refusal = Callable[[Message, int], str | None]
"""What answers a frame that is not let in, given the longest text; `None` for one that is."""

FRAMES: dict[str, Refusal] = {"/ws": _play_refusal, "/mcp": _rpc_refusal}
"""The WebSockets of OpenEnv's whose frames are checked."""


class Guard:
    """ASGI middleware in front of every route.

    Args:
        app: The app.
        limit: Largest body or frame, in bytes.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request's body, or the frames of a WebSocket, and pass on what is well-formed."""
        if scope["type"] == "websocket" and scope["path"] in FRAMES:
            await self.app(scope, self._checked_frames(FRAMES[scope["path"]], receive, send), send)
        elif scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH", "DELETE"):
            await self._http(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _checked_frames(self, refusal: Refusal, receive: Receive, send: Send) -> Receive:
        async def next_frame() -> Message:
            while True:
                frame = await receive()
                if frame["type"] != "websocket.receive":
                    return frame
                answer = refusal(frame, self.limit)
                if answer is None:
                    return frame
                await send({"type": "websocket.send", "text": answer})

        return next_frame

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        too_large = error_response("body_too_large", BODY_TOO_LARGE.format(limit=self.limit))
        if not length.isdigit() or len(length) > 18 or int(length) > self.limit:
            await too_large(scope, receive, send)
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
                await too_large(scope, receive, send)
                return
        if body:
            if b"json" not in headers.get(b"content-type", b"").lower():
                await error_response("content_type", NOT_JSON)(scope, receive, send)
                return
            try:
                strict_json(body)
            except ValueError:
                await error_response("malformed_json", MALFORMED)(scope, receive, send)
                return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)
