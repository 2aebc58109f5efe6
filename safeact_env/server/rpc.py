"""JSON-RPC 2.0 as OpenEnv speaks it at `/mcp` and in `mcp` frames.

Owns the form of requests and answers. Must not know what is behind a method. No error repeats what the client
sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.server.tools import NO_EPISODE, call_tool, tools_of

__all__ = ["PARSE_ERROR", "SERVER_ERROR", "Request", "RpcError", "failure", "request_in", "served"]

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, SERVER_ERROR = (
    -32700,
    -32600,
    -32601,
    -32602,
    -32000,
)
"""Codes of JSON-RPC 2.0, section 5.1."""

FORM = 'send an object such as {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}'
METHODS = "the methods are tools/list and tools/call"

Id = str | int | None
Play = Callable[[Call], Episode[Any]]


class RpcError(Exception):
    """A request that is answered with an error.

    Args:
        code: JSON-RPC's number.
        message: What to send instead.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: Its method.
        params: Its parameters.
        id: What its answer repeats.
    """

    method: str
    params: dict[str, Any]
    id: Id


def request_in(message: Any) -> Request:
    """The request of a message.

    Raises:
        RpcError: If it is none.
    """
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, FORM)
    method, params, number = message.get("method"), message.get("params", {}), message.get("id")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, FORM)
    if not isinstance(number, str | int | None) or isinstance(number, bool):
        raise RpcError(INVALID_REQUEST, "id must be a string or an integer")
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params must be an object")
    return Request(method, params, number)


def failure(error: RpcError, number: Id = None) -> dict[str, Any]:
    """The answer to a request that failed."""
    return {"jsonrpc": "2.0", "id": number, "error": {"code": error.code, "message": error.message}}


def served(request: Request, episode: Episode[Any] | None, play: Play) -> dict[str, Any]:
    """The answer to a request about an episode; without one there are no tools.

    Args:
        request: The request.
        episode: The episode, if one has been started.
        play: Takes a step of it, and returns it.
    """
    try:
        result = _result(request, episode, play)
    except RpcError as error:
        return failure(error, request.id)
    return {"jsonrpc": "2.0", "id": request.id, "result": result}


def _result(request: Request, episode: Episode[Any] | None, play: Play) -> dict[str, Any]:
    if request.method == "tools/list":
        return {"tools": [] if episode is None else tools_of(episode)}
    if request.method != "tools/call":
        raise RpcError(METHOD_NOT_FOUND, METHODS)
    name, arguments = request.params.get("name"), request.params.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "params needs name, a string, and arguments, an object")
    if episode is None:
        raise RpcError(SERVER_ERROR, NO_EPISODE)
    return call_tool(episode, play, name, arguments)
