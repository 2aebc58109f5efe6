"""The WebSockets `/ws` and `/mcp`: OpenEnv's frames, and JSON-RPC; one session per connection.

Owns the connections. Must not know rules. OpenEnv's own handlers parse every frame and build every
observation more than once, and their errors repeat what a client sent. These handlers send the bytes that the
episode keeps.
"""

import contextvars
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from pydantic_core import to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.core.episode import Episode
from safeact_env.core.observation import View
from safeact_env.server.asking import ASKER
from safeact_env.server.direct import DIRECT, direct_of
from safeact_env.server.http.errors import FAULT, error_response
from safeact_env.server.mcp.jsonrpc import PARSE_ERROR, SERVER_ERROR, Request, RpcError, answer_to, failure
from safeact_env.server.mcp.routes import result_in_slot
from safeact_env.server.mcp.tools import result_after, text_result, tools_of
from safeact_env.server.middleware.access import deny
from safeact_env.server.responses import answer_json
from safeact_env.server.websocket.environment import NoReset, NoStep, SafeActEnvironment
from safeact_env.server.websocket.frames import CALL_TOOL, FrameError, action_in, checked, json_in, take_view
from safeact_env.server.websocket.session_slots import (
    OWN_TAKEN,
    Full,
    NoSuchSession,
    SessionSlot,
    SessionSlots,
)

TRY_LATER = 1013
"""WebSocket close code: the server is busy."""
REFUSED = 1008
"""WebSocket close code: the request is refused."""

ONE_SESSION = "name one session_id, as openenv/session/create returned it"
LIST_TOOLS = {"type": "list_tools"}
"""The step with which OpenEnv's MCP clients before 0.10 ask for the tools."""

log = logging.getLogger(__name__)

Answer = Callable[[SessionSlot, Message], Awaitable[str | None]]
"""Answers a frame in a session; `None` is no answer."""


class _Close(Exception):
    """The client asks to close."""


class WebSocketMiddleware:
    """ASGI middleware that serves `/ws` and the WebSocket `/mcp`.

    Args:
        app: The app, which serves everything else.
        slots: The sessions.
        limit: Longest frame, in characters.
    """

    def __init__(self, app: ASGIApp, slots: SessionSlots, limit: int) -> None:
        self.app = app
        self.directly = direct_of(app)
        self.slots = slots
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, or pass any other on to the app."""
        if scope["type"] != "websocket" or scope["path"] not in ("/ws", "/mcp"):
            await self.app(scope, receive, send)
            return
        is_ws = scope["path"] == "/ws"
        # Whoever names a session attaches to one that counts already.
        if b"session_id=" not in scope["query_string"] and not self.slots.has_room_for(ASKER.get().client):
            refusal = error_response("client_at_capacity", OWN_TAKEN.format(most=self.slots.each))
            await deny(refusal, scope, receive, send)
            return
        await receive()  # The handshake.
        try:
            await send({"type": "websocket.accept"})
            try:
                slot = self._slot_for(scope) if is_ws else self.slots.take()
            except (Full, NoSuchSession) as error:
                await _refuse(error, send, is_ws=is_ws)
                return
            with self.slots.held(slot, attached=is_ws):
                if is_ws and (offer := scope.get("extensions", {}).get(DIRECT)) is not None:
                    context = contextvars.copy_context()
                    offer(lambda text: context.run(self._answered, slot, text))
                await _serve(slot, receive, send, self._frame if is_ws else self._message)
        except OSError:
            log.debug("a client disconnected before its answer was sent")

    def _slot_for(self, scope: Scope) -> SessionSlot:
        """The session of a new `/ws`: the one that it names, or a new one."""
        named = parse_qs(scope["query_string"].decode("latin-1")).get("session_id", [])
        if len(named) > 1:
            raise NoSuchSession(ONE_SESSION)
        return self.slots.to_attach(named[0]) if named else self.slots.take()

    async def _frame(self, slot: SessionSlot, frame: Message) -> str | None:
        """The answer to a frame of `/ws`."""
        answered = self._answered(slot, frame.get("text"))
        if answered is not None:
            return answered.decode()
        message = checked(frame.get("text"), self.limit)
        if message["type"] == "close":
            raise _Close
        answer = await self._rpc(slot, message.get("data", {}))
        return None if answer is None else _compact({"type": "mcp", "data": answer})

    def _answered(self, slot: SessionSlot, text: str | None) -> bytes | None:
        """The answer to a frame about the episode, or to a malformed one; `None` to any other."""
        try:
            message = checked(text, self.limit)
            kind, data = message["type"], message.get("data", {})
            if kind in ("mcp", "close"):
                return None
            return _answer_to_frame(slot.environment, kind, data)
        except FrameError as error:
            return error.frame().encode()
        except Exception:
            # Our own bug left the episode in an unknown state: no later step may build on it.
            log.exception("internal error in a session")
            slot.environment = SafeActEnvironment()
            return FrameError("EXECUTION_ERROR", FAULT).frame().encode()

    async def _message(self, slot: SessionSlot, frame: Message) -> str | None:
        """The answer to a message of the WebSocket `/mcp`."""
        try:
            message = json_in(frame.get("text"), self.limit)
        except FrameError as error:
            return json.dumps(failure(RpcError(PARSE_ERROR, error.message)))
        answer = await self._rpc(slot, message)
        return None if answer is None else _compact(answer)

    async def _rpc(self, slot: SessionSlot, message: Any) -> dict[str, Any] | None:
        async def work(request: Request) -> dict[str, Any]:
            return result_in_slot(request, slot, self.slots)

        return await answer_to(message, work)


async def _refuse(error: Full | NoSuchSession, send: Send, *, is_ws: bool) -> None:
    full = isinstance(error, Full)
    if is_ws:
        text = FrameError("CAPACITY_REACHED" if full else "SESSION_ERROR", str(error)).frame()
    else:
        text = json.dumps(failure(RpcError(SERVER_ERROR, str(error))))
    await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": TRY_LATER if full else REFUSED})


async def _serve(slot: SessionSlot, receive: Receive, send: Send, answer_in: Answer) -> None:
    while True:
        frame = await receive()
        if frame["type"] == "websocket.disconnect":
            return
        try:
            answer = await answer_in(slot, frame)
        except _Close:
            await send({"type": "websocket.close", "code": 1000})
            return
        if answer is not None:
            await send({"type": "websocket.send", "text": answer})


def _answer_to_frame(environment: SafeActEnvironment, kind: str, data: dict[str, Any]) -> bytes:
    """The answer to a frame about the episode.

    Raises:
        FrameError: If the frame is refused.
    """
    if kind == "state":
        return b'{"type":"state","data":%b}' % environment.state.model_dump_json().encode()
    if kind == "step" and data == LIST_TOOLS:
        tools = [] if environment.episode is None else tools_of(environment.episode)
        return _observation({"observation": {"tools": tools}, "reward": None, "done": False})
    try:
        if kind == "reset":
            episode, view = environment.start(data), environment.view
        else:
            view = take_view(data, environment.view)
            episode = environment.play(action_in(data))
    except (NoReset, NoStep) as error:
        raise FrameError("EXECUTION_ERROR", str(error)) from None
    if kind == "step" and data.get("type") == CALL_TOOL:
        return _tool_answer(episode, view)
    return answer_json(episode, view=view, before=b'{"type":"observation","data":', after=b"}")


def _tool_answer(episode: Episode[Any], view: View) -> bytes:
    """The answer to a tool call that came as a step: OpenEnv's `CallToolObservation`."""
    observation = episode.observation(view)
    # In the view `changes`, which is said once, it is said as text, as a model is shown the answer.
    result = result_after(episode) if view == "full" else text_result(observation)
    reward, done, metadata = (observation[name] for name in ("reward", "done", "metadata"))
    called = {"tool_name": episode.turns[-1].call.action_name, "result": result, "error": None}
    # Releases of OpenEnv look for the metadata in different places.
    found = {"observation": {**called, "metadata": metadata}, "metadata": metadata}
    return _observation({**found, "reward": reward, "done": done})


def _observation(data: dict[str, Any]) -> bytes:
    return to_json({"type": "observation", "data": data})


def _compact(message: dict[str, Any]) -> str:
    return to_json(message).decode()
