"""The annotated record of an episode, for trainers: what each call was, and what it earned.

Owns the report's form. It tells hidden things, so a transport gives it out only after the end.
"""

from __future__ import annotations

from typing import Any

from safeact_env.core.episode import Episode
from safeact_env.core.score import POINTS

__all__ = ["report"]


def report(episode: Episode[Any]) -> dict[str, Any]:
    """The trajectory of an episode, annotated by playing it again.

    Returns:
        `task`, `split`, `seed`, `grade` fields, and `steps`: per step the call, the result, the reward, the
        risk class in the state it was made in, and the share earned of every component after it.
    """
    again: Episode[Any] = Episode(episode.task, episode.split, episode.seed, max_steps=episode.max_steps)
    steps = []
    for turn in episode.turns:
        again.step(turn.call)
        earned = {name: share.points() / POINTS for name, share in again.shares().items()}
        steps.append(
            {
                **turn.call.to_json(),
                "result": turn.result,
                "reward": turn.reward,
                "risk": turn.risk,
                "progress": again.progress,
                "components": earned,
            }
        )
    return {
        "task": episode.task.name,
        "split": episode.split,
        "seed": episode.seed,
        **episode.grade().to_json(),
        "steps": steps,
    }
