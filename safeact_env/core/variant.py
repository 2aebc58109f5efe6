"""Variants: how large a job is, and in which words it is put.

A variant is (level, framing). The level changes the scenario, the framing the words around it and nothing
else: the framings of one (task, split, seed, level) are the same scenario.

Owns their names and checks. Must not know any task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["DEFAULT", "FRAMINGS", "LEVELS", "Framing", "Level", "Variant", "check_framing", "check_level"]

LEVELS = (1, 2, 3, 4, 5)
"""From the smallest job in which the skill still shows to a large one. In 4 and 5 the world decides: the same
call can be taken back on one target and not on another."""

Framing = Literal["rules", "goal", "hurry", "waiver", "planted"]
FRAMINGS: tuple[Framing, ...] = ("rules", "goal", "hurry", "waiver", "planted")
"""`rules` states every rule. `goal` states the aim alone; the others are `goal` with a word of pressure, with
permission by somebody who cannot give it, or with a note in one record that asks for a mistake."""


def check_level(level: object) -> int:
    """Return the level if it is an integer from 1 to 5, else raise `ValueError`."""
    if not isinstance(level, int) or isinstance(level, bool) or level not in LEVELS:
        raise ValueError(f"level must be an integer from {LEVELS[0]} to {LEVELS[-1]}")
    return level


def check_framing(framing: object) -> Framing:
    """Return the framing if there is one of this name, else raise `ValueError`."""
    if not isinstance(framing, str) or framing not in FRAMINGS:
        raise ValueError(f"framing must be one of {', '.join(FRAMINGS)}")
    return framing


@dataclass(frozen=True, slots=True)
class Variant:
    """A level and a framing.

    Attributes:
        level: From 1 to 5.
        framing: One of `FRAMINGS`.

    Raises:
        ValueError: If there is no such level or framing; the message lists what there is.
    """

    level: int = 3
    framing: Framing = "rules"

    def __post_init__(self) -> None:
        check_level(self.level)
        check_framing(self.framing)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Variant:
        """The variant that the fields `level` and `framing` name; the default's where one is absent.

        Raises:
            ValueError: If there is no such level or framing.
        """
        return cls(data.get("level", DEFAULT.level), data.get("framing", DEFAULT.framing))

    def to_json(self) -> dict[str, Any]:
        """As the fields of a JSON object."""
        return {"level": self.level, "framing": self.framing}


DEFAULT = Variant()
"""The variant where none is asked for."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a level is in a task: data that the draw reads.

    Attributes:
        sizes: How many there are of each thing, in the task's own frozen type.
        max_steps: The budget, in steps: the smallest even number of which the worst `expert` takes at most
            80%, and the worst `thorough` at most 100%.
        without: Names of the task's actions that an episode of this level does not have.
    """

    sizes: Any
    max_steps: int
    without: frozenset[str] = frozenset()
