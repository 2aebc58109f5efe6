"""The tasks: found, not registered. A module in this folder, or an entry point, that has a `TASK`.

Owns discovery. Must not know what is in a task.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from pkgutil import iter_modules
from typing import Any

from safeact_env.core.task import Task

__all__ = ["ENTRY_POINTS", "OFFICIAL", "UnknownTask", "get_task", "load_data", "task_names"]

OFFICIAL = ("easy", "medium", "hard", "medical", "cloud_infra")
"""The five tasks of the benchmark, in the order of the Task API."""

ENTRY_POINTS = "safeact_env.tasks"
"""Entry-point group through which other packages add tasks: name = "package.module:TASK"."""


class UnknownTask(KeyError):
    """There is no task of this name. The message lists the valid ones."""

    def __str__(self) -> str:
        """The message without the quotes a `KeyError` adds."""
        return str(self.args[0])


@cache
def task_names() -> tuple[str, ...]:
    """Every task found: the official five in their order, then the others by name."""
    found = {module.name for module in iter_modules(__path__) if not module.name.startswith("_")}
    found |= {point.name for point in entry_points(group=ENTRY_POINTS)}
    return (*(name for name in OFFICIAL if name in found), *sorted(found - set(OFFICIAL)))


@cache
def get_task(name: str) -> Task[Any]:
    """The task of this name, imported on first use.

    Raises:
        UnknownTask: If there is none.
    """
    if name not in task_names():
        raise UnknownTask(f"unknown task; the tasks are {', '.join(task_names())}")
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            task: Task[Any] = point.load()
            return task
    task = import_module(f"{__name__}.{name}").TASK
    return task


def load_data(name: str) -> dict[str, Any]:
    """The data file of a task in this package."""
    return tomllib.loads((files(__name__) / "data" / f"{name}.toml").read_text(encoding="utf-8"))
