"""The one place that imports OpenEnv, without what it would drag in.

`openenv.core` imports gradio where it is installed (seconds and tens of megabytes) and does without where
it is not. Only OpenEnv's page at /web needs it, so it is hidden while the package is imported, unless that
page is asked for. And it imports fastmcp (most of a second and 25 megabytes) for environments that wrap an
MCP server, as this one does not: the classes that it takes from there are stand-ins, which import the real
ones when they are called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = [
    "Action",
    "EnvClient",
    "Observation",
    "State",
    "StepResult",
    "lightly",
    "web_interface_wanted",
]

LATE = ("fastmcp", "fastmcp.client", "fastmcp.client.client", "mcp", "mcp.types")
"""Modules that `openenv.core` imports classes from, and this package does not use."""


def web_interface_wanted() -> bool:
    """Whether OpenEnv's page at /web is asked for, by the variable that OpenEnv reads."""
    return os.environ.get("ENABLE_WEB_INTERFACE", "").lower() in ("1", "true", "yes")


class _Late(ModuleType):
    """A module whose classes are imported when an instance is made."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        module = self.__name__

        def real(_cls: type, *arguments: Any, **options: Any) -> Any:
            return getattr(import_module(module), name)(*arguments, **options)

        return type(name, (), {"__new__": real, "__module__": module})


@contextmanager
def lightly() -> Iterator[None]:
    """Inside the block `import gradio` fails, as if it were not installed, and fastmcp is imported late.

    What is imported already stays as it is; and if the page at /web is asked for, everything does.
    """
    if web_interface_wanted():
        yield
        return
    hidden: dict[str, ModuleType | None] = {}
    if "gradio" not in sys.modules:
        hidden["gradio"] = None  # None makes the import system raise
    if not sys.modules.keys() & {"fastmcp", "mcp"}:
        hidden |= {name: _Late(name) for name in LATE}
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def __getattr__(name: str) -> Any:
    """OpenEnv's client brings HTTP libraries that a server has no use for."""
    if name != "EnvClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with lightly():
        return import_module("openenv.core.env_client").EnvClient


if TYPE_CHECKING:
    from openenv.core.env_client import EnvClient

with lightly():
    from openenv.core.client_types import StepResult
    from openenv.core.env_server.types import Action, Observation, State
