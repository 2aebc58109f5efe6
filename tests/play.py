"""What tests play with: an episode of a task, one call at a time."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.record import Turn
from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task
from tests.checks import check_books, check_observation


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


class Ended(NamedTuple):
    """How a reference policy's episode ended."""

    score: float
    outcome: str | None
    harm: int
    total: float
    steps: int
    over_escalations: int


@cache
def ended(task: str, split: Split, seed: int, policy: str, variant: Variant = DEFAULT) -> Ended:
    """Play an episode, once however many tests ask, and check its books and its last observation."""
    played = play(get_task(task), split, seed, policy, variant=variant)
    check_books(played)
    check_observation(played.observation())
    grade = played.grade()
    return Ended(grade.score, grade.outcome, grade.harm, grade.total, grade.steps, grade.over_escalations)


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
