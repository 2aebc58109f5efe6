"""The WebSocket `/ws`: OpenEnv's frames, one episode per connection.

Owns the sessions and how many there may be. Must not know rules. OpenEnv's own handler parses every frame and
builds every observation more than once; this one sends the bytes that the episode keeps.
"""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from safeact_env.server.environment import SafeActEnvironment
from safeact_env.server.frames import FrameError, action_in, checked
from safeact_env.server.leases import Leases
from safeact_env.server.rpc import RpcError, failure, request_in, served
from safeact_env.server.views import answer_json

__all__ = ["Sockets"]

TRY_LATER = 1013
"""WebSocket close code: the server is busy."""

FAULT = "a fault of the server; the episode was dropped, reset to start over"

log = logging.getLogger(__name__)


class Sockets:
    """ASGI middleware that serves `/ws`.

    Sessions that `POST /mcp` has made (`/ws?session_id=...`) are OpenEnv's and stay with it.

    Args:
        app: The app, which serves everything else.
        max_sessions: Most sessions at a time.
        limit: Longest frame, in characters.
        leases: The sessions that `POST /mcp` has made.
    """

    def __init__(self, app: ASGIApp, max_sessions: int, limit: int, leases: Leases) -> None:
        self.app = app
        self.leases = leases
        self.max_sessions = max_sessions
        self.limit = limit
        self.live = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a session, or pass on what is none."""
        if scope["type"] != "websocket" or scope["path"] != "/ws":
            await self.app(scope, receive, send)
            return
        if (session := _session_in(scope)) is not None:
            with self.leases.attached(session):
                await self.app(scope, receive, send)
            return
        await receive()  # The handshake.
        await send({"type": "websocket.accept"})
        if self.live >= self.max_sessions:
            await self._turn_away(send)
            return
        self.live += 1
        try:
            await self._serve(receive, send)
        except OSError:
            log.debug("a client went away while its answer was under way")
        finally:
            self.live -= 1

    async def _turn_away(self, send: Send) -> None:
        message = f"all {self.max_sessions} sessions of this server are in use; close one, or try later"
        await send({"type": "websocket.send", "text": FrameError("CAPACITY_REACHED", message).frame()})
        await send({"type": "websocket.close", "code": TRY_LATER})

    async def _serve(self, receive: Receive, send: Send) -> None:
        environment = SafeActEnvironment()
        while True:
            frame = await receive()
            if frame["type"] == "websocket.disconnect":
                return
            try:
                message = checked(frame, self.limit)
                answer = self._answer(environment, message["type"], message.get("data", {}))
            except FrameError as error:
                answer = error.frame()
            except Exception:
                # No later step may build on an episode that a fault of ours left in an unknown state.
                log.exception("a fault in a session")
                environment = SafeActEnvironment()
                answer = FrameError("EXECUTION_ERROR", FAULT).frame()
            if answer is None:
                await send({"type": "websocket.close", "code": 1000})
                return
            await send({"type": "websocket.send", "text": answer})

    def _answer(self, environment: SafeActEnvironment, kind: str, data: dict[str, Any]) -> str | None:
        """The answer to a frame; `None` to one that asks to close.

        Raises:
            FrameError: If it cannot be served now.
        """
        if kind == "close":
            return None
        if kind == "state":
            return f'{{"type":"state","data":{environment.state.model_dump_json()}}}'
        if kind == "mcp":
            return json.dumps({"type": "mcp", "data": _rpc(environment, data)})
        try:
            episode = environment.play(action_in(data)) if kind == "step" else environment.start(data)
        except (ValueError, RuntimeError) as error:
            raise FrameError("EXECUTION_ERROR", str(error)) from None
        return f'{{"type":"observation","data":{answer_json(episode).decode()}}}'


def _rpc(environment: SafeActEnvironment, message: dict[str, Any]) -> dict[str, Any]:
    try:
        return served(request_in(message), environment.episode, environment.play)
    except RpcError as error:
        return failure(error)


def _session_in(scope: Scope) -> str | None:
    """The session of OpenEnv's that a client wants to attach to."""
    named = parse_qs(scope["query_string"].decode("latin-1")).get("session_id")
    return named[0] if named else None
