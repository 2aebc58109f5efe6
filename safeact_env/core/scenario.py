"""Scenarios: what a task draws for an episode, and the start that the engine makes of it.

Owns their form. Must not know how a scenario is drawn or played.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from safeact_env.core.action import Action
from safeact_env.core.state import State

__all__ = ["Scenario", "Start"]

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Scenario(Generic[F]):
    """What a task draws.

    Attributes:
        facts: What is true.
        tables: `current_state` at the start: visible values, and `None` for each hidden one.
        brief: The job in plain words, with every count and threshold that scoring divides by. It must be
            made from what is visible and published only.
    """

    facts: F
    tables: dict[str, Any]
    brief: str


@dataclass(slots=True)
class Start(Generic[F]):
    """A scenario made ready to play.

    Attributes:
        state: The state before the first step.
        actions: The episode's actions by name, sorted.
        available: `available_actions`, as an observation lists them.
        description: The task description.
    """

    state: State[F]
    actions: dict[str, Action[F]]
    available: list[dict[str, Any]]
    description: str
