"""The server's transports, for the audit of determinism: the same calls over HTTP and over WebSocket.

Owns how an answer on the wire becomes an observation again. Must not know the rules.
"""

from collections.abc import Sequence
from typing import Any

from fastapi.testclient import TestClient

from safeact_env.audit.determinism import Transport, canonical
from safeact_env.call import Call
from safeact_env.core.task import Split
from safeact_env.core.variant import Variant
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings


def _observation(answer: dict[str, Any]) -> bytes:
    """The observation of an answer in OpenEnv's form, as bytes: reward and done stand beside it there."""
    whole = {**answer["observation"], "reward": answer["reward"], "done": answer["done"]}
    whole.setdefault("metadata", answer.get("metadata", {}))
    return canonical(whole)


def transports() -> dict[str, Transport]:
    """Return the transports by name, over one server in this process."""
    # Not used as a context manager: an app that was shut down accepts no further sessions.
    client = TestClient(create_app(Settings()))

    def http(task: str, split: Split, seed: int, variant: Variant, calls: Sequence[Call]) -> list[bytes]:
        wanted = {"task_name": task, "split": split, "seed": seed, **variant.to_json()}
        answers = [client.post("/reset", json=wanted).json()]
        named = {"episode_id": answers[0]["episode_id"]}
        for call in calls:
            answers.append(client.post("/step", json={"action": call.to_json(), **named}).json())
        client.delete(f"/episodes/{named['episode_id']}")
        return [_observation(answer) for answer in answers]

    def websocket(task: str, split: Split, seed: int, variant: Variant, calls: Sequence[Call]) -> list[bytes]:
        wanted = {"task_name": task, "split": split, "seed": seed, **variant.to_json()}
        frames: list[dict[str, Any]] = [
            {"type": "reset", "data": wanted},
            *({"type": "step", "data": call.to_json()} for call in calls),
        ]
        shown = []
        with client.websocket_connect("/ws") as socket:
            for frame in frames:
                socket.send_json(frame)
                shown.append(_observation(socket.receive_json()["data"]))
        return shown

    return {"HTTP": http, "WebSocket": websocket}
