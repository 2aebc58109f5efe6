"""Twins of the official tasks: what can be swapped behind an agent's back. One module per task.

Owns how the twins of a task are found. Must not know how they are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from safeact_env.audit.twins._lookalikes import lookalike_twin
from safeact_env.core.task import Split, Start, Task
from safeact_env.core.twin import Twin

__all__ = ["Redraw", "redraw_of", "twins_of"]

Redraw = Callable[[Start[Any]], tuple[dict[str, Any], str]]
"""The visible tables (less the upkeep) and the brief, made again from the facts of a start not yet played."""


def twins_of(task: Task[Any], split: Split) -> tuple[Twin[Any], ...]:
    """The twins of a task: its own, from here or from `TWINS` beside its scenario, and its look-alikes'."""
    return (*getattr(_module(task), "TWINS", ()), lookalike_twin(task.text.pools[split]))


def redraw_of(task: Task[Any]) -> Redraw | None:
    """How the visible part of a start is made from facts: `redraw` beside the twins, if it is there."""
    found: Redraw | None = getattr(_module(task), "redraw", None)
    return found


def _module(task: Task[Any]) -> ModuleType:
    own = f"{__name__}.{task.name}"
    return import_module(own if find_spec(own) else task.scenario.__module__)
