"""JSON-RPC 2.0 as OpenEnv speaks it at `/mcp` and in `mcp` frames.

Owns the form of requests and answers. Must not know what is behind a method. No error repeats what the client
sent, but for a short id, which has to come back.
"""

from __future__ import annotations

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

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR, SERVER_ERROR = (
    -32700,
    -32600,
    -32601,
    -32602,
    -32603,
    -32000,
)
"""Codes of JSON-RPC 2.0, section 5.1."""

MAX_ID = 255
"""Longest id, in characters."""

FORM = 'send an object such as {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}'

log = logging.getLogger(__name__)

Id = str | int | None


class RpcError(Exception):
    """A request that is answered with an error.

    Args:
        code: JSON-RPC's number.
        message: What to send instead.
        number: The id of the request, where it is known.
    """

    def __init__(self, code: int, message: str, number: Id = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.number = number


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: Its method.
        params: Its parameters.
        id: What its answer repeats.
        notification: Whether it has no id. Nothing answers it, and nothing is done for it.
    """

    method: str
    params: dict[str, Any]
    id: Id
    notification: bool = False


def request_in(message: Any) -> Request:
    """The request of a message.

    Raises:
        RpcError: If it is none.
    """
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, FORM)
    number = _id_in(message)
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, FORM, number)
    if "id" not in message:
        return Request(method, {}, None, notification=True)
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params must be an object", number)
    return Request(method, params, number)


def _id_in(message: dict[str, Any]) -> Id:
    number = message.get("id")
    if isinstance(number, bool) or not isinstance(number, str | int | None):
        raise RpcError(INVALID_REQUEST, "id must be a string or an integer")
    if isinstance(number, str) and len(number) > MAX_ID:
        raise RpcError(INVALID_REQUEST, f"id must be at most {MAX_ID} characters long")
    if isinstance(number, int) and abs(number) > MAX_INT:
        raise RpcError(INVALID_REQUEST, "id must fit into 64 bits")
    return number


def failure(error: RpcError, number: Id = None) -> dict[str, Any]:
    """The answer to a request that failed."""
    return {"jsonrpc": "2.0", "id": number, "error": {"code": error.code, "message": error.message}}


async def answer_to(
    message: Any,
    work: Callable[[Request], Awaitable[dict[str, Any]]],
    passing: type[Exception] | tuple[type[Exception], ...] = (),
) -> dict[str, Any] | None:
    """The answer to a message; `None` to a notification.

    Args:
        message: What was sent, as JSON.
        work: Gives the result of a request, or raises `RpcError`. What else it raises is a fault of ours: the
            log gets it, and the client a sentence.
        passing: Exceptions of the work that are the caller's to answer.
    """
    try:
        request = request_in(message)
    except RpcError as error:
        return failure(error, error.number)
    if request.notification:
        return None
    try:
        return {"jsonrpc": "2.0", "id": request.id, "result": await work(request)}
    except RpcError as error:
        return failure(error, request.id)
    except passing:
        raise
    except Exception:
        log.exception("a fault in a JSON-RPC request")
        return failure(RpcError(INTERNAL_ERROR, FAULT), request.id)
