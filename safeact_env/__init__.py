"""SafeAct-Env: an OpenEnv environment for telling reversible actions from irreversible ones.

An agent gets an operations job and a list of actions without risk labels. It can look before it acts, and
it can ask a human; one careless irreversible action ends the episode. A first episode:

    >>> from safeact_env import Call, Episode, get_task
    >>> episode = Episode(get_task("easy"), "train", 0)
    >>> turn = episode.step(Call("list_directory", {}, "What is there?"))

Names are imported when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from safeact_env.version import VERSION as __version__

if TYPE_CHECKING:
    from safeact_env.call import Call
    from safeact_env.core.episode import Episode
    from safeact_env.core.trajectory import Trajectory, replay
    from safeact_env.policies.reference import POLICIES, make_policy, play
    from safeact_env.tasks import get_task, task_names

__all__ = [
    "POLICIES",
    "Call",
    "Episode",
    "Trajectory",
    "__version__",
    "get_task",
    "make_policy",
    "play",
    "replay",
    "task_names",
]

_HOMES = {
    "Call": "call",
    "Episode": "core.episode",
    "POLICIES": "policies.reference",
    "Trajectory": "core.trajectory",
    "get_task": "tasks",
    "make_policy": "policies.reference",
    "play": "policies.reference",
    "replay": "core.trajectory",
    "task_names": "tasks",
}
"""Where each public name lives."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
