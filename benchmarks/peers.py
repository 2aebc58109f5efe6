"""Serves a peer that this project is measured against: `python -m benchmarks.peers PEER PORT ANSWERS`.

Owns the peers, each written as its framework suggests. All read this project's answers from a file, send as
many bytes, and run on uvicorn with the same options.
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import BaseModel

from safeact_env.core.observation import View


def bare(answers: list[bytes]) -> Any:
    """A Starlette app that reads a request and sends ready bytes, over HTTP and WebSocket."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    bodies, texts = itertools.cycle(answers), itertools.cycle([answer.decode() for answer in answers])

    async def post(request: Request) -> Response:
        await request.body()
        return Response(next(bodies), media_type="application/json")

    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.receive_text()
                await socket.send_text(next(texts))
        except WebSocketDisconnect:
            return

    return Starlette(routes=[Route("/step", post, methods=["POST"]), WebSocketRoute("/ws", ws)])


class Action(BaseModel):
    """An action, as a plain FastAPI app would have it."""

    action_name: str
    parameters: dict[str, Any]
    reasoning: str


class Step(BaseModel):
    """The body of a step, as a plain FastAPI app would have it."""

    action: Action
    episode_id: str | None = None


def fastapi(answers: list[bytes]) -> Any:
    """A FastAPI app: a pydantic model in, a dict out."""
    from fastapi import FastAPI

    app = FastAPI()
    parsed = itertools.cycle([json.loads(answer) for answer in answers])

    @app.post("/step")
    async def step(request: Step) -> dict[str, Any]:
        found: dict[str, Any] = next(parsed)
        return found

    return app


def openenv(answers: list[bytes]) -> Any:
    """An OpenEnv echo environment with synchronous `reset` and `step`, as in its base class."""
    from openenv.core.env_server.http_server import create_fastapi_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import Action, Observation, State

    class EchoAction(Action):
        action_name: str
        parameters: dict[str, Any]
        reasoning: str

    class EchoObservation(Observation):
        text: str

    texts = itertools.cycle(["x" * len(answer) for answer in answers])

    class Echo(Environment):  # type: ignore[type-arg]
        SUPPORTS_CONCURRENT_SESSIONS = True

        def reset(self, seed: Any = None, episode_id: Any = None, **kwargs: Any) -> Observation:
            return EchoObservation(text=next(texts))

        def step(self, action: Any, timeout_s: Any = None, **kwargs: Any) -> Observation:
            return EchoObservation(text=next(texts), reward=0.0)

        @property
        def state(self) -> State:
            return State()

    return create_fastapi_app(Echo, EchoAction, EchoObservation, max_concurrent_envs=1_024)


PEERS = {"bare Starlette": bare, "FastAPI, dict": fastapi, "OpenEnv echo": openenv}
"""The peers by name."""
VIEW_OF: dict[str, View] = {"bare Starlette": "changes", "FastAPI, dict": "full", "OpenEnv echo": "full"}
"""The view whose answers a peer's are as long as."""


def main(peer: str, port: str, file: str) -> None:
    """Serve a peer until terminated."""
    answers = [line.encode() for line in json.loads(Path(file).read_text(encoding="utf-8"))]
    uvicorn.run(
        PEERS[peer](answers),
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        ws_per_message_deflate=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
