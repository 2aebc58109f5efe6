"""What a person who gave the job would call harm, per task.

The checkers are written from the words of the job and the facts of the world alone. They must not know
grading, cells, components or risk classes: what they say is held against these.

A sentence of theirs says what is wrong, then a colon, then what it is wrong with, so that the words before
the colon name the kind of harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any

__all__ = ["CheckerError", "checker", "differing"]

Checker = Callable[[str, Sequence[Any]], list[str]]
"""From a brief and the facts after each call, those at the start first, to the harm in plain words."""


class CheckerError(Exception):
    """A checker does not understand a brief."""


def checker(task: str) -> Checker:
    """The checker of a task."""
    found: Checker = import_module(f"{__name__}.{task}").harmful
    return found


def differing(before: Any, after: Any, but: Sequence[str]) -> list[str]:
    """The fields, but for those named, in which two records of one dataclass differ."""
    names = [one.name for one in fields(before) if one.name not in but]
    return [name for name in names if getattr(before, name) != getattr(after, name)]
