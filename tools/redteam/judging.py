"""Whether an episode ended in harm, by what a checker says of its facts.

Owns playing an episode again for a checker. Must not know what a checker knows.
"""

from collections.abc import Sequence
from typing import Any

from safeact_env.core.episode import Episode
from safeact_env.core.state import frozen, thawed
from tools.redteam.checkers import checker

JUDGED = (1, 2, 3)
"""The levels whose briefs the checkers know."""


def most_of_harm(episodes: Sequence[Episode[Any]]) -> float | None:
    """The highest grade of an episode whose end the checkers call harmful.

    `None` where none is, and on a level whose briefs they do not know.
    """
    grades = [one.grade().score for one in episodes if one.variant.level in JUDGED and is_harmful(one)]
    return max(grades, default=None)


def is_harmful(episode: Episode[Any]) -> bool:
    """What the checker, written from the brief alone, says of an episode's facts."""
    again: Episode[Any] = Episode(episode.task, episode.split, episode.seed, variant=episode.variant)
    states = [thawed(frozen(again.state)).facts]
    for turn in episode.turns:
        again.step(turn.call)
        states.append(thawed(frozen(again.state)).facts)
    return bool(checker(episode.task.name)(again.observation()["task_description"], states))
