"""The tasks: found, not registered. A folder in here, or an entry point, that has a `TASK`.

Owns discovery. Must not know what is in a task.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any

from safeact_env.core.task import Task

__all__ = ["ENTRY_POINTS", "OFFICIAL", "UnknownTask", "get_task", "task_names"]

OFFICIAL = ("easy", "medium", "hard", "medical", "cloud_infra")
"""The five tasks of the benchmark, in the order of the Task API."""

ENTRY_POINTS = "safeact_env.tasks"
"""Entry-point group through which other packages add tasks: name = "package.name:TASK"."""

LOG = logging.getLogger(__name__)


class UnknownTask(KeyError):
    """There is no task of this name, or it cannot be used. The message lists the valid ones, or says why."""

    def __str__(self) -> str:
        """The message without the quotes a `KeyError` adds."""
        return str(self.args[0])


@cache
def task_names() -> tuple[str, ...]:
    """Every task that can be used: the official five in their order, then the others by name."""
    others = {name for name, found in _added().items() if isinstance(found, Task)}
    found = _own() | others
    return (*(name for name in OFFICIAL if name in found), *sorted(found - set(OFFICIAL)))


@cache
def get_task(name: str) -> Task[Any]:
    """The task of this name, imported on first use.

    Raises:
        UnknownTask: If there is none, or if the package that adds it is broken.
    """
    if name in _own():
        task: Task[Any] = import_module(f"{__name__}.{name}").TASK
        return task
    found = _added().get(name)
    if isinstance(found, Task):
        return found
    raise UnknownTask(found or f"unknown task; the tasks are {', '.join(task_names())}")


@cache
def _own() -> frozenset[str]:
    """The tasks of this package."""
    return frozenset(module.name for module in iter_modules(__path__) if module.ispkg)


@cache
def _added() -> dict[str, Task[Any] | str]:
    """The tasks of other packages by name, or why one of them cannot be used.

    A broken package is logged and left out, so that the others stay playable.
    """
    found: dict[str, Task[Any] | str] = {}
    for point in entry_points(group=ENTRY_POINTS):
        taken = "one of this name is part of safeact-env" if point.name in _own() else ""
        taken = taken or ("another package adds one of this name" if point.name in found else "")
        loaded = _failure(point, taken) if taken else _loaded(point)
        if isinstance(loaded, str):
            LOG.warning("%s", loaded)
        if not taken:
            found[point.name] = loaded
    return found


def _loaded(point: EntryPoint) -> Task[Any] | str:
    try:
        task = point.load()
    except Exception as error:  # whatever another package's import raises
        return _failure(point, f"{type(error).__name__}: {error}")
    if not isinstance(task, Task):
        return _failure(point, "it is not a Task")
    if task.name != point.name or not task.name.isidentifier():
        return _failure(point, f"its entry point must have the task's own name, {task.name!r}")
    return task


def _failure(point: EntryPoint, why: str) -> str:
    package = f" of package {point.dist.name}" if point.dist else ""
    return f"the task {point.name!r}{package} ({point.value}) cannot be used: {why}"
