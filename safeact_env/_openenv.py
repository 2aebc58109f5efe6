"""Imports OpenEnv without its heavy dependencies.

Owns what is hidden or delayed while OpenEnv is imported. Must not know this environment.

`openenv.core` imports gradio if it is installed, which takes seconds and tens of megabytes. Only OpenEnv's
page at /web needs gradio, so it is hidden during the import unless that page is wanted. `openenv.core` also
imports fastmcp (most of a second and 25 megabytes) for environments that wrap an MCP server, as this one does
not. Stand-ins replace the classes that it takes from there; they import the real ones when they are called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["Action", "EnvClient", "Observation", "State", "StepResult", "lightly", "web_interface_wanted"]

LATE = ("fastmcp", "fastmcp.client", "fastmcp.client.client", "mcp", "mcp.types")
"""Modules from which `openenv.core` imports classes that this package does not use."""


def web_interface_wanted() -> bool:
    """Whether OpenEnv's page at /web is wanted, by the variable that OpenEnv reads."""
    return os.environ.get("ENABLE_WEB_INTERFACE", "").lower() in ("1", "true", "yes")


class _Late(ModuleType):
    """A module whose classes are imported when they are called."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        module = self.__name__

        def real(_cls: type, *arguments: Any, **options: Any) -> Any:
            return getattr(import_module(module), name)(*arguments, **options)

        return type(name, (), {"__new__": real, "__module__": module})


@contextmanager
def lightly() -> Iterator[None]:
    """Hide gradio and delay fastmcp while the block imports OpenEnv.

    Modules that are already imported stay as they are. If the page at /web is wanted, this does nothing.
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
    """Import OpenEnv's client on demand: a server does not need its HTTP libraries."""
    if name != "EnvClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with lightly():
        return import_module("openenv.core.env_client").EnvClient


if TYPE_CHECKING:
    from openenv.core.env_client import EnvClient

with lightly():
    from openenv.core.client_types import StepResult
    from openenv.core.env_server.types import Action, Observation, State
