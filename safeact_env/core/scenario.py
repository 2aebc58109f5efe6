"""Scenarios: what a task draws for an episode, and the start that the engine makes of it.

Owns their form. Must not know how a scenario is drawn or played.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from safeact_env.core.action import Action
from safeact_env.core.state import Plant, State

__all__ = ["Scenario", "Start"]

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Scenario(Generic[F]):
    """What a task draws.

    Brief, names and handbook must be made from what is visible and published only.

    Attributes:
        facts: What is true.
        tables: `current_state` at the start: visible values, and `None` for each hidden one.
        brief: The job in plain words, with every rule, count and threshold that scoring divides by: the
            framing `rules`.
        handbook: The same rules, counts and thresholds as paragraphs of the site's handbook; besides, whose
            approval counts and how it is asked for.
        names: What the wordings of the other framings may name, by placeholder: a host, a ward.
        published: The tables of `current_state` that only the brief and the handbook may tell: outside
            `rules` they hold no values until the handbook was read.
        notes: An idle free-text note for each record that an inspection shows, by the name of the record.
        plant: Where a note can be planted; every start of a task with the framing `planted` has one.
    """

    facts: F
    tables: dict[str, Any]
    brief: str
    handbook: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    published: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    plant: Plant | None = None


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
