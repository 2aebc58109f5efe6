"""The one place that imports OpenEnv, without the web interface it would drag in.

`openenv.core` imports gradio where it is installed (seconds and tens of megabytes) and does without where
it is not. Only OpenEnv's page at /web needs it, so it is hidden while the package is imported, unless that
page is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "Action",
    "EnvClient",
    "Observation",
    "State",
    "StepResult",
    "web_interface_wanted",
    "without_gradio",
]


def web_interface_wanted() -> bool:
    """Whether OpenEnv's page at /web is asked for, by the variable that OpenEnv reads."""
    return os.environ.get("ENABLE_WEB_INTERFACE", "").lower() in ("1", "true", "yes")


@contextmanager
def without_gradio() -> Iterator[None]:
    """Make `import gradio` fail inside the block, as if it were not installed."""
    if web_interface_wanted() or "gradio" in sys.modules:
        yield
        return
    sys.modules["gradio"] = None  # type: ignore[assignment]  # None makes the import system raise
    try:
        yield
    finally:
        del sys.modules["gradio"]


with without_gradio():
    from openenv.core.client_types import StepResult
    from openenv.core.env_client import EnvClient
    from openenv.core.env_server.types import Action, Observation, State
