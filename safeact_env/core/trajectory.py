"""Trajectories: (package version, task, split, seed, variant, calls), which is the episode.

Owns their JSON form and the replay. Must not know where they are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import SPLITS, Split, Task, check_seed
from safeact_env.core.variant import DEFAULT, Variant

__all__ = ["Trajectory", "TrajectoryError", "replay"]

F = TypeVar("F")


class TrajectoryError(ValueError):
    """A trajectory that cannot be read or replayed, with a sentence that says why."""


def _of_type(field: str, value: object, kind: type[F]) -> F:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{field} must be of type {kind.__name__}")
    return value


@dataclass(frozen=True, slots=True)
class Trajectory:
    """An episode by what determines it.

    Attributes:
        version: Version of the package it was recorded with.
        task: Name of the task.
        task_version: Version of the task.
        split: `train` or `test`.
        seed: From 0 to 2^63 - 1.
        calls: What the agent asked, in order.
        variant: Level and framing.
    """

    version: str
    task: str
    task_version: int
    split: Split
    seed: int
    calls: tuple[Call, ...]
    variant: Variant = DEFAULT

    @classmethod
    def of(cls, episode: Episode[Any], version: str) -> Trajectory:
        """The trajectory of an episode, as far as it has gone."""
        task = episode.task
        calls = tuple(turn.call for turn in episode.turns)
        return cls(
            version, task.name, task.version, episode.split, episode.seed, calls, variant=episode.variant
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "version": self.version,
            "task": self.task,
            "task_version": self.task_version,
            "split": self.split,
            "seed": self.seed,
            **self.variant.to_json(),
            "calls": [call.to_json() for call in self.calls],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trajectory:
        """Read the JSON form; without `level` and `framing` they are the default's.

        Raises:
            TrajectoryError: If a field is missing or not what it must be.
        """
        try:
            if data["split"] not in SPLITS:
                raise ValueError(f"split must be one of {', '.join(SPLITS)}")
            calls = tuple(
                Call.parse(call.get("action_name"), call.get("parameters"), call.get("reasoning"))
                for call in data["calls"]
            )
            return cls(
                _of_type("version", data["version"], str),
                _of_type("task", data["task"], str),
                _of_type("task_version", data["task_version"], int),
                data["split"],
                check_seed(data["seed"]),
                calls,
                Variant.of(data),
            )
        except KeyError as error:
            raise TrajectoryError(f"the trajectory has no field {error.args[0]!r}") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise TrajectoryError(f"the trajectory cannot be read: {error}") from None


def replay(
    task: Task[F], split: Split, seed: int, calls: Iterable[Call], variant: Variant = DEFAULT
) -> Episode[F]:
    """Play calls on a fresh episode.

    Raises:
        TrajectoryError: If calls are left over after the episode is done.
    """
    episode = Episode(task, split, seed, variant=variant)
    for number, call in enumerate(calls, start=1):
        if episode.done:
            raise TrajectoryError(f"the episode is over before call {number}")
        episode.step(call)
    return episode
