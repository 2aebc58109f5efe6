"""OpenEnv's MCP: the tools of a session or of an HTTP episode over JSON-RPC, and the methods for sessions.

Owns `POST /mcp`, and the session methods for all transports. Must not know rules.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Cookie, Header, Response
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter, ValidationError

from safeact_env.models import EpisodeId
from safeact_env.server.asking import own_id
from safeact_env.server.http.episodes import COOKIE, sole
from safeact_env.server.mcp.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    SERVER_ERROR,
    Request,
    RpcError,
    answer_to,
    failure,
)
from safeact_env.server.mcp.tools import result_of
from safeact_env.server.websocket.session_slots import Full, NoSuchSession, SessionSlot, SessionSlots
from safeact_env.sessions.errors import SessionError, StoreUnavailable
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import SessionService

CREATE, CLOSE = "openenv/session/create", "openenv/session/close"
EXAMPLE = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
EMPTY = f"the body is empty; send an object such as {json.dumps(EXAMPLE)}"
NOT_A_SESSION = "session_id must be a string, as openenv/session/create returned it"
NOT_AN_EPISODE = "X-Episode-Id, or the cookie, is not an episode id; send it as POST /reset returned it"
OWN_SESSION = "this session ends with its WebSocket; close that"

EPISODE_ID: TypeAdapter[str] = TypeAdapter(EpisodeId)


def result_in_slot(request: Request, slot: SessionSlot, slots: SessionSlots) -> dict[str, Any]:
    """The result of a request that came over the connection of this session.

    Raises:
        RpcError: As `tools.result_of` does; also if the request closes this session, or an unknown one.
    """
    if request.method == CREATE:
        return {"session_id": slot.id}
    if request.method == CLOSE:
        if request.params.get("session_id") == slot.id:
            raise RpcError(INVALID_REQUEST, OWN_SESSION)
        return _closed(request, slots)
    environment = slot.environment
    return result_of(request, environment.episode, environment.play, environment.view)


def _result_in_session(request: Request, slots: SessionSlots) -> dict[str, Any]:
    """The result of a request that names or creates an OpenEnv session; raises `RpcError`."""
    if request.method == CREATE:
        try:
            return {"session_id": slots.lease().id}
        except Full as error:
            raise RpcError(SERVER_ERROR, str(error)) from None
    if request.method == CLOSE:
        return _closed(request, slots)
    try:
        environment = slots.find(_session_id(request)).environment
    except NoSuchSession as error:
        raise RpcError(INVALID_PARAMS, str(error)) from None
    return result_of(request, environment.episode, environment.play, environment.view)


def _closed(request: Request, slots: SessionSlots) -> dict[str, Any]:
    session_id = _session_id(request)
    try:
        ended = slots.close(session_id)
    except NoSuchSession as error:
        raise RpcError(INVALID_PARAMS, str(error)) from None
    found = {"session_id": session_id, "closed": ended}
    return found if ended else {**found, "closing": True}


def _session_id(request: Request) -> str:
    found = request.params.get("session_id")
    if not isinstance(found, str):
        raise RpcError(INVALID_PARAMS, NOT_A_SESSION)
    return found


def mcp_routes(service: SessionService, executor: Executor, slots: SessionSlots) -> APIRouter:
    """The route.

    Args:
        service: The session service.
        executor: Runs the service's work.
        slots: The sessions of OpenEnv's clients.
    """
    router = APIRouter(tags=["MCP"])
    router.post("/mcp")(_Handlers(service, executor, slots).mcp)
    return router


class _Handlers:
    def __init__(self, service: SessionService, executor: Executor, slots: SessionSlots) -> None:
        self._service = service
        self._run = executor.run
        self._slots = slots

    async def mcp(
        self,
        message: Annotated[Any, Body(examples=[EXAMPLE])] = None,
        header: Annotated[str | None, Header(alias="X-Episode-Id")] = None,
        cookie: Annotated[str | None, Cookie(alias=COOKIE)] = None,
    ) -> Response:
        """List and call the actions of an episode as MCP tools, by JSON-RPC: `tools/list` and `tools/call`.

        The header `X-Episode-Id` names the episode; without it the cookie of `/reset` does. If neither is
        given, the server uses its only unfinished episode. With `session_id` in the parameters, the request
        is about the episode of that OpenEnv session. `tools/call` answers in the view of the reset, unless
        `view` beside `name` and `arguments` says otherwise.
        """
        if message is None:
            return JSONResponse(failure(RpcError(PARSE_ERROR, EMPTY)))

        async def work(request: Request) -> dict[str, Any]:
            if request.method in (CREATE, CLOSE) or "session_id" in request.params:
                return _result_in_session(request, self._slots)
            return await self._result_of_episode(request, cookie if header is None else header)

        # JSON-RPC has no code for a store that does not answer: HTTP's answer has a Retry-After.
        answer = await answer_to(message, work, passing=StoreUnavailable)
        return Response(status_code=202) if answer is None else JSONResponse(answer)

    async def _result_of_episode(self, request: Request, named: str | None) -> dict[str, Any]:
        name = await self._episode_id(named)
        if name is None:
            return result_of(request, None, _no_step)

        def work() -> dict[str, Any]:
            episode = self._service.get(name).episode
            view = self._service.views.of(name)
            return result_of(request, episode, lambda call: self._service.step(name, call).episode, view)

        try:
            return await self._run(name, work)
        except StoreUnavailable:
            raise
        except SessionError as error:
            raise RpcError(SERVER_ERROR, error.message) from None

    async def _episode_id(self, named: str | None) -> str | None:
        """The id of the episode that a request means; `None` if there is none or the choice is ambiguous."""
        if named is None:
            try:
                return await sole(self._service, self._run)
            except StoreUnavailable:
                raise
            except SessionError:
                return None
        try:
            return own_id(EPISODE_ID.validate_python(named))
        except ValidationError:
            raise RpcError(INVALID_PARAMS, NOT_AN_EPISODE) from None


def _no_step(_call: Any) -> Any:
    raise AssertionError("without an episode there is no step to take")
