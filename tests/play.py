"""What tests play with: an episode of a task, one call at a time."""

import re
from collections.abc import Callable
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.record import Turn
from safeact_env.core.task import Split
from safeact_env.tasks import get_task


def episode(task: str, seed: int = 0, split: Split = "train") -> Episode[Any]:
    return Episode(get_task(task), split, seed)


def where(task: str, holds: Callable[[Any], bool], split: Split = "train") -> Episode[Any]:
    """The episode of the first seed whose facts fulfil a condition."""
    for seed in range(500):
        found = episode(task, seed, split)
        if holds(found.state.facts):
            return found
    raise AssertionError(f"no scenario of {task} among 500 fulfils the condition")


def do(played: Episode[Any], name: str, /, **params: Any) -> Turn:
    """One step; the reasoning is a constant."""
    return played.step(Call.parse(name, params, "a test"))


def ask(played: Episode[Any], considered: str, **target: Any) -> Turn:
    """A question in the form of the task; `target` names the parameters of the escalation."""
    name = played.task.escalation.name
    return do(played, name, reason="a test", action_being_considered=considered, **target)


def working(played: Episode[Any]) -> str:
    """The look-alike that works."""
    return played.state.upkeep.working


def trap(played: Episode[Any]) -> str:
    """One of the traps."""
    return next(name for name in played.state.upkeep.runbooks if name != working(played))


def unscored(text: str) -> str:
    """A text without the scores and risks that are the ward's own, so that those of the grade stand out."""
    return re.sub(
        r"(NEWS2|Early Warning|signs) score|bleeding risk|risk of \w+", "", text, flags=re.IGNORECASE
    )
