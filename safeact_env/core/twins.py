"""Twins: two starts that differ in one hidden fact, and in nothing that is visible or published.

Owns their form. Must not know who compares them, or how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Generic, TypeVar

from safeact_env.core.scenario import Start

__all__ = ["NOTE", "Entity", "Twin", "another_note", "exchange"]

F = TypeVar("F")

NOTE = "note"
"""Kind of the twin for free-text notes: what reveals it is where a planted note can stand."""

Entity = tuple[str, ...]
"""What a hidden fact is about: the names that a call must all contain to be a call on it."""


@dataclass(frozen=True)
class Twin(Generic[F]):
    """A kind of hidden fact, and how to make two starts that differ in it.

    Attributes:
        kind: Name of the hidden fact.
        revealed_by: The safe actions that may tell it; one that has no target tells it of every entity.
        differ: Changes the second of two equal starts, drawing from the generator, and returns the entities
            that the change is about; none if this scenario has no such twin. It may change the first start
            as well, the same visible values in both, where the two could not differ otherwise. The task
            description has to stay true of both.
    """

    kind: str
    revealed_by: tuple[str, ...]
    differ: Callable[[Start[F], Start[F], Random], tuple[Entity, ...]]


def exchange(one: Any, other: Any, *fields: str) -> None:
    """Let two records exchange the values of these attributes."""
    for name in fields:
        first, second = getattr(one, name), getattr(other, name)
        setattr(one, name, second)
        setattr(other, name, first)


def another_note(_one: Start[Any], two: Start[Any], rng: Random) -> tuple[Entity, ...]:
    """Write another note into the record of one thing: `differ` of a twin for free-text notes."""
    name = rng.choice(list(two.state.words.notes))
    words = two.state.words
    two.state.words = replace(words, notes={**words.notes, name: "Nothing to add."})
    return ((name,),)
