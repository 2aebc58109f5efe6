"""Packages of other people: distributions on the path that are made of text."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safeact_env import tasks


@contextmanager
def installed(folder: Path, entry_points: Mapping[str, str], name: str = "other-tasks") -> Iterator[None]:
    """A distribution whose modules lie in `folder`, with these entry points for tasks."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    points = "".join(f"{key} = {value}\n" for key, value in entry_points.items())
    (info / "entry_points.txt").write_text(f"[{tasks.ENTRY_POINTS}]\n{points}")
    modules = set(sys.modules)
    sys.path.insert(0, str(folder))
    forget()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for module in set(sys.modules) - modules:
            if str(getattr(sys.modules[module], "__file__", None)).startswith(str(folder)):
                del sys.modules[module]
        forget()


def forget() -> None:
    """Let the tasks be found anew."""
    importlib.invalidate_caches()
    for cached in (tasks.task_names, tasks.get_task, tasks._own, tasks._added):
        cached.cache_clear()
