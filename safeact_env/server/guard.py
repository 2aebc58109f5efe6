"""What comes in is small, strict JSON, at every door, before anything acts on it.

Owns sizes, JSON strictness and the form of WebSocket frames. Must not know episodes.

Strict means: no NaN, no infinity, no number that becomes one, no lone surrogate, bounded nesting.
"""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.models import SafeActAction
from safeact_env.server.errors import error_response, readable

__all__ = ["Guard", "frame_error", "strict_json"]

BODY_TOO_LARGE = "the body is over the limit of {limit} bytes; send less"
MALFORMED = (
    "the body is not valid JSON (numbers must be finite, strings valid Unicode, nesting moderate); send an "
    "object such as {}"
)
NOT_JSON = "send the body as JSON, with the header Content-Type: application/json"
MAX_NESTING = 32
FRAME_TYPES = ("reset", "step", "state", "close", "mcp")


def strict_json(data: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: If it is not strict JSON.
    """
    try:
        value = from_json(data, allow_inf_nan=False)
    except RecursionError:
        raise ValueError("nested too deep") from None
    _check(value, 0)
    return value


def _check(value: Any, depth: int) -> None:
    if depth > MAX_NESTING:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    elif isinstance(value, str) and not value.isascii():
        value.encode()


def frame_error(frame: Message, limit: int) -> dict[str, Any] | None:
    """The error that answers a WebSocket frame of a client, or `None` if the frame is well-formed."""
    text = frame.get("text")
    if text is None:
        return _frame_error("INVALID_JSON", "send text frames that hold JSON, not binary ones")
    if len(text) > limit:
        return _frame_error("INVALID_JSON", f"the frame is over the limit of {limit} bytes; send less")
    try:
        message = strict_json(text)
    except ValueError:
        return _frame_error("INVALID_JSON", MALFORMED.replace("body", "frame"))
    if not isinstance(message, dict):
        return _frame_error("VALIDATION_ERROR", 'a frame is an object such as {"type": "reset", "data": {}}')
    if message.get("type") not in FRAME_TYPES:
        return _frame_error("UNKNOWN_TYPE", f"type must be one of {', '.join(FRAME_TYPES)}")
    if not isinstance(message.get("data", {}), dict):
        return _frame_error("VALIDATION_ERROR", "data must be an object")
    if message["type"] == "step":
        try:
            SafeActAction.model_validate(message.get("data", {}))
        except ValidationError as error:
            return _frame_error("VALIDATION_ERROR", f"not a well-formed action: {readable(error)}")
    return None


def _frame_error(code: str, message: str) -> dict[str, Any]:
    return {"type": "error", "data": {"message": message, "code": code}}


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
        if scope["type"] == "websocket" and scope["path"] == "/ws":
            await self.app(scope, self._checked_frames(receive, send), send)
        elif scope["type"] == "http" and scope["method"] in ("POST", "PUT", "PATCH", "DELETE"):
            await self._http(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _checked_frames(self, receive: Receive, send: Send) -> Receive:
        async def checked() -> Message:
            while True:
                frame = await receive()
                if frame["type"] != "websocket.receive":
                    return frame
                error = frame_error(frame, self.limit)
                if error is None:
                    return frame
                await send({"type": "websocket.send", "text": json.dumps(error)})

        return checked

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
