"""What the tests of MCP share: messages, and the expert's calls with what the engine shows after each."""

from collections.abc import Callable
from typing import Any

import pytest

from safeact_env import get_task, play
from safeact_env.call import Call
from safeact_env.core.episode import Episode

SEED = 4
PLANTED = "planted-secret"
Rpc = Callable[..., dict[str, Any]]


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def expert(task: str) -> list[Call]:
    return [turn.call for turn in play(get_task(task), "train", SEED, "expert").turns]


def arguments(call: Call) -> dict[str, Any]:
    return {**call.parameters, "reasoning": call.reasoning}


def shown(task: str) -> list[dict[str, Any]]:
    """What the engine shows after each of the expert's calls."""
    episode: Episode[Any] = Episode(get_task(task), "train", SEED)
    found = []
    for call in expert(task):
        episode.step(call)
        found.append(episode.observation())
    return found


def break_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step fail half-way, with a text that is nobody's business."""
    real = Episode.step

    def step(self: Episode[Any], call: Call) -> Any:
        real(self, call)
        raise ValueError(PLANTED)

    monkeypatch.setattr(Episode, "step", step)
