"""`POST /mcp`: tools of an HTTP episode as JSON-RPC; sessions are OpenEnv's.

Owns which requests are ours, and that sessions are leased. Must not know rules.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NoReturn

from fastapi import APIRouter, Body, Request, Response

from safeact_env.server.episodes import CookieId, HeaderId
from safeact_env.server.leases import Leases
from safeact_env.server.rpc import PARSE_ERROR, SERVER_ERROR, RpcError, failure, request_in, served
from safeact_env.server.rpc import Request as RpcRequest
from safeact_env.sessions.errors import SessionError, StoreUnavailable
from safeact_env.sessions.lanes import Lanes
from safeact_env.sessions.service import SessionService

__all__ = ["closing", "mcp_routes"]

CREATE, CLOSE = "openenv/session/create", "openenv/session/close"
EXAMPLE = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
EMPTY = f"the body is empty; send an object such as {json.dumps(EXAMPLE)}"
FULL = (
    "{most} sessions wait for their WebSocket already; attach or close one, or try again in {seconds:.0f} s"
)

Endpoint = Callable[[Request], Awaitable[Any]]


def closing(openenv: Endpoint) -> Callable[[str], Awaitable[object]]:
    """What closes a session of OpenEnv's: its own method for that, as a client would call it."""

    async def close(session: str) -> object:
        message = {"jsonrpc": "2.0", "id": 1, "method": CLOSE, "params": {"session_id": session}}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(message).encode(), "more_body": False}

        return await openenv(Request({"type": "http", "method": "POST", "headers": []}, receive))

    return close


def mcp_routes(service: SessionService, lanes: Lanes, openenv: Endpoint, leases: Leases) -> APIRouter:
    """The route.

    Args:
        service: The session service.
        lanes: Where its work is done.
        openenv: OpenEnv's own endpoint.
        leases: Its sessions that wait for a WebSocket.
    """
    router = APIRouter(tags=["MCP"])

    async def meant(*candidates: str | None) -> str | None:
        named = next((one for one in candidates if one is not None), None)
        if named is not None:
            return named
        try:
            return await lanes.run(None, service.sole)
        except StoreUnavailable:
            raise
        except SessionError:
            return None

    def play(name: str, request: RpcRequest) -> dict[str, Any]:
        session = service.get(name)
        return served(request, session.episode, lambda call: service.step(name, call).episode)

    @router.post("/mcp")
    async def mcp(
        http: Request,
        message: Annotated[Any, Body(examples=[EXAMPLE])] = None,
        header: HeaderId = None,
        cookie: CookieId = None,
    ) -> Any:
        """List and call the actions of an episode as MCP tools, by JSON-RPC: `tools/list` and `tools/call`.

        The episode is the one named by the header `X-Episode-Id`, else by the cookie of `/reset`, else the
        only unfinished one. With `session_id` in the parameters it is that of an OpenEnv session.
        """
        if message is None:
            return failure(RpcError(PARSE_ERROR, EMPTY))
        try:
            request = request_in(message)
            if request.method.startswith("notifications/"):
                return Response(status_code=202)
            if request.method in (CREATE, CLOSE) or "session_id" in request.params:
                return await leased(http, request)
            name = await meant(header, cookie)
            if name is None:
                return served(request, None, _nothing)
            return await lanes.run(name, lambda: play(name, request))
        except RpcError as error:
            return failure(error)
        except StoreUnavailable:
            # As HTTP says it, with Retry-After: JSON-RPC has no word for it.
            raise
        except SessionError as error:
            return failure(RpcError(SERVER_ERROR, error.message), request.id)

    async def leased(http: Request, request: RpcRequest) -> Any:
        if request.method == CREATE and leases.full:
            message = FULL.format(most=leases.most, seconds=leases.seconds)
            return failure(RpcError(SERVER_ERROR, message), request.id)
        answer = await openenv(http)
        if request.method == CREATE and "result" in answer:
            leases.made(answer["result"]["session_id"])
        elif request.method == CLOSE and "result" in answer:
            leases.closed(answer["result"]["session_id"])
        return answer

    return router


def _nothing(_call: Any) -> NoReturn:
    raise AssertionError("without an episode nothing is played")
