"""The frames that a client may send: small, strict JSON, on `/ws` in OpenEnv's form.

Owns what a well-formed frame is, and the error frame for any other. Must not know episodes.
"""

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from safeact_env.call import Call, EnvelopeError
from safeact_env.core.observation import View
from safeact_env.models import SafeActAction
from safeact_env.server.http.errors import readable
from safeact_env.server.mcp.tools import call_in
from safeact_env.server.responses import view_in
from safeact_env.server.strict_json import MALFORMED, check_json, check_keys

TYPES = ("reset", "step", "state", "close", "mcp")
STEP_FIELDS = {"action_name", "parameters", "reasoning"}
CALL_TOOL = "call_tool"
"""The `type` of a step that is a tool call."""
TOOL_FIELDS = {"type", "tool_name", "arguments"}
A_TOOL_CALL = "a tool call has tool_name, a string, and arguments, an object that includes reasoning"


class FrameError(Exception):
    """A frame that is answered with an error. Nothing changed.

    Args:
        code: OpenEnv's code, such as `VALIDATION_ERROR`.
        message: What to send instead.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def frame(self) -> str:
        """The error as a frame."""
        return json.dumps({"type": "error", "data": {"message": self.message, "code": self.code}})


def json_in(text: str | None, limit: int) -> Any:
    """The JSON of a frame.

    Args:
        text: The text of the frame; `None` if it is binary.
        limit: Longest text, in characters.

    Raises:
        FrameError: If it is too long, or not strict JSON.
    """
    if text is None:
        raise FrameError("INVALID_JSON", "send text frames that hold JSON, not binary ones")
    if len(text) > limit:
        raise FrameError("INVALID_JSON", f"the frame is over the limit of {limit} bytes; send less")
    try:
        message = from_json(text, allow_inf_nan=False)
        check_keys(text, message)
        # The content of a step is checked thoroughly when it becomes a call.
        if not _is_plain_step(message):
            check_json(message)
    except (ValueError, RecursionError):
        raise FrameError("INVALID_JSON", MALFORMED.replace("body", "frame")) from None
    return message


def checked(text: str | None, limit: int) -> dict[str, Any]:
    """The message of a frame with this text. Its `type` is known, and its `data`, if any, is an object.

    Raises:
        FrameError: If it is not well-formed.
    """
    message = json_in(text, limit)
    if not isinstance(message, dict):
        raise FrameError("VALIDATION_ERROR", 'a frame is an object such as {"type": "reset", "data": {}}')
    if message.get("type") not in TYPES:
        raise FrameError("UNKNOWN_TYPE", f"type must be one of {', '.join(TYPES)}")
    if not isinstance(message.get("data", {}), dict):
        raise FrameError("VALIDATION_ERROR", "data must be an object")
    if message.keys() - {"type", "data"}:
        raise FrameError("VALIDATION_ERROR", "a frame has no fields but type and data")
    return message


def _is_plain_step(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.keys() == {"type", "data"}
        and message["type"] == "step"
        and isinstance(message["data"], dict)
        and message["data"].keys() == STEP_FIELDS
    )


def take_view(data: dict[str, Any], session: View) -> View:
    """Take the view out of the data of a step: its own, else the session's.

    Raises:
        FrameError: If there is no such view.
    """
    try:
        return view_in(data.pop("view", None), session)
    except ValueError as error:
        raise FrameError("VALIDATION_ERROR", str(error)) from None


def action_in(data: dict[str, Any]) -> Call:
    """The call in the data of a step: an action, or a tool call as OpenEnv's MCP clients send it.

    Raises:
        FrameError: If it is not a well-formed action.
    """
    try:
        if data.keys() == STEP_FIELDS:
            return Call.parse(**data)
        if data.get("type") == CALL_TOOL:
            return _called(data)
        # OpenEnv's actions may carry `metadata` as well.
        return SafeActAction.model_validate(data).call()
    except EnvelopeError as error:
        raise FrameError("VALIDATION_ERROR", f"not a well-formed action: {error}") from None
    except ValidationError as error:
        raise FrameError("VALIDATION_ERROR", f"not a well-formed action: {readable(error)}") from None


def _called(data: dict[str, Any]) -> Call:
    """The call in OpenEnv's `CallToolAction`."""
    arguments = data.get("arguments", {})
    if not data.keys() - {"metadata"} <= TOOL_FIELDS or not isinstance(arguments, dict):
        raise FrameError("VALIDATION_ERROR", A_TOOL_CALL)
    return call_in(data.get("tool_name"), arguments)
