"""JSON-RPC 2.0 as OpenEnv speaks it at `/mcp` and in `mcp` frames.

Owns the form of requests and answers. Must not know any method. Errors repeat nothing that the client sent,
except a short id, which the answer must contain.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from safeact_env.call import MAX_INT
from safeact_env.server.http.errors import FAULT

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "SERVER_ERROR",
    "Request",
    "RpcError",
    "answer_to",
    "failure",
    "request_in",
]

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, SERVER_ERROR = -32603, -32000
"""Codes of JSON-RPC 2.0, section 5.1."""

MAX_ID = 255
"""Longest id, in characters."""

FORM = 'send an object such as {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}'

log = logging.getLogger(__name__)

Id = str | int | None


class RpcError(Exception):
    """A request that is answered with an error.

    Args:
        code: JSON-RPC's error code.
        message: What to send instead.
        request_id: The id of the request, if it is known.
    """

    def __init__(self, code: int, message: str, request_id: Id = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: The method.
        params: Its parameters.
        id: The id, which the answer repeats.
        notification: Whether it has no id. The server ignores notifications and does not answer them.
    """

    method: str
    params: dict[str, Any]
    id: Id
    notification: bool = False


def request_in(message: Any) -> Request:
    """The request in a message.

    Raises:
        RpcError: If the message is not a request.
    """
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, FORM)
    request_id = _id_in(message)
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, FORM, request_id)
    if "id" not in message:
        return Request(method, {}, None, notification=True)
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params must be an object", request_id)
    return Request(method, params, request_id)


def _id_in(message: dict[str, Any]) -> Id:
    request_id = message.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, str | int | None):
        raise RpcError(INVALID_REQUEST, "id must be a string or an integer")
    if isinstance(request_id, str) and len(request_id) > MAX_ID:
        raise RpcError(INVALID_REQUEST, f"id must be at most {MAX_ID} characters long")
    if isinstance(request_id, int) and abs(request_id) > MAX_INT:
        raise RpcError(INVALID_REQUEST, "id must fit into 64 bits")
    return request_id


def failure(error: RpcError, request_id: Id = None) -> dict[str, Any]:
    """The answer to a request that failed."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": error.code, "message": error.message}}


async def answer_to(
    message: Any,
    work: Callable[[Request], Awaitable[dict[str, Any]]],
    passing: type[Exception] | tuple[type[Exception], ...] = (),
) -> dict[str, Any] | None:
    """The answer to a message; `None` to a notification.

    Args:
        message: The parsed JSON of the message.
        work: Returns the result of a request, or raises `RpcError`. Any other exception is a bug of this
            server: it is logged, and the client gets a sentence.
        passing: Exceptions of `work` that the caller answers itself.
    """
    try:
        request = request_in(message)
    except RpcError as error:
        return failure(error, error.request_id)
    if request.notification:
        return None
    try:
        return {"jsonrpc": "2.0", "id": request.id, "result": await work(request)}
    except RpcError as error:
        return failure(error, request.id)
    except passing:
        raise
    except Exception:
        log.exception("internal error in a JSON-RPC request")
        return failure(RpcError(INTERNAL_ERROR, FAULT), request.id)
