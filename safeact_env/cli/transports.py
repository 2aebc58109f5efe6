"""The server's transports, for the audit of determinism: the same calls over HTTP and over WebSocket.

Owns how an answer on the wire, in either view, becomes an observation again. Must not know the rules.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from fastapi.testclient import TestClient

from safeact_env.audit.determinism import Transport, canonical
from safeact_env.call import Call
from safeact_env.client import merge
from safeact_env.core.observation import VIEWS, View
from safeact_env.core.task import Split
from safeact_env.core.variant import Variant
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings


def _observations(answers: Iterable[dict[str, Any]]) -> list[bytes]:
    """The observations of answers in OpenEnv's form, as bytes: reward and done stand beside them there."""
    found, whole = [], None
    for answer in answers:
        whole = merge(whole, answer["observation"])
        found.append(canonical({**whole, "reward": answer["reward"], "done": answer["done"]}))
    return found


def transports() -> dict[str, Transport]:
    """Return the transports by name, over one server in this process, each in both views."""
    # Not used as a context manager: an app that was shut down accepts no further sessions.
    client = TestClient(create_app(Settings()))

    def http(
        view: View, task: str, split: Split, seed: int, variant: Variant, calls: Sequence[Call]
    ) -> list[bytes]:
        wanted = {"task_name": task, "split": split, "seed": seed, **variant.to_json(), "view": view}
        answers = [client.post("/reset", json=wanted).json()]
        named = {"episode_id": answers[0]["episode_id"]}
        for call in calls:
            answers.append(client.post("/step", json={"action": call.to_json(), **named}).json())
        client.delete(f"/episodes/{named['episode_id']}")
        return _observations(answers)

    def websocket(
        view: View, task: str, split: Split, seed: int, variant: Variant, calls: Sequence[Call]
    ) -> list[bytes]:
        wanted = {"task_name": task, "split": split, "seed": seed, **variant.to_json(), "view": view}
        frames: list[dict[str, Any]] = [
            {"type": "reset", "data": wanted},
            *({"type": "step", "data": call.to_json()} for call in calls),
        ]
        answers = []
        with client.websocket_connect("/ws") as socket:
            for frame in frames:
                socket.send_json(frame)
                answers.append(socket.receive_json()["data"])
        return _observations(answers)

    doors: dict[str, Callable[..., list[bytes]]] = {"HTTP": http, "WebSocket": websocket}
    return {f"{name}, {view}": partial(door, view) for name, door in doors.items() for view in VIEWS}
