"""Replaying recorded episodes, and comparing the replay with the record.

Owns the comparison. Must not know files or how a difference is shown.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from safeact_env.core.episode import Episode
from safeact_env.core.task import Task
from safeact_env.core.trajectory import Trajectory, TrajectoryError
from safeact_env.evaluation.record import risks_of
from safeact_env.tasks import UnknownTask, get_task
from safeact_env.version import VERSION

__all__ = ["detailed_trajectory", "differences", "digest", "replayed"]

MOST_STEPS = 3
MOST_DIFFERENCES = 10


def digest(observation: Mapping[str, Any]) -> str:
    """SHA-256 of an observation's JSON with sorted keys."""
    return hashlib.sha256(json.dumps(observation, sort_keys=True).encode()).hexdigest()


def detailed_trajectory(episode: Episode[Any], task: Task[Any] | None = None) -> dict[str, Any]:
    """Replay an episode; return its trajectory with the result of every step.

    Args:
        episode: The episode so far.
        task: Replay on this task instead, to see the effect of a change to the task.

    Returns:
        The trajectory's JSON; `max_steps`; `start`, the digest of the first observation; `turns`, per step
        `result`, `reward` and the digest of the `observation`; `score`, `components`, `outcome`, `steps`,
        `return` and `penalties`.
    """
    again: Episode[Any] = Episode(
        task or episode.task,
        episode.split,
        episode.seed,
        variant=episode.variant,
        max_steps=episode.max_steps,
    )
    start, turns = digest(again.observation()), []
    for turn in episode.turns:
        if again.done:
            break
        taken = again.step(turn.call)
        turns.append(
            {"result": taken.result, "reward": taken.reward, "observation": digest(again.observation())}
        )
    return {
        **Trajectory.of(again, VERSION).to_json(),
        "max_steps": again.max_steps,
        "start": start,
        "turns": turns,
        **again.grade().to_json(),
    }


def replayed(record: Mapping[str, Any], likely: Callable[[], Episode[Any]] | None = None) -> Episode[Any]:
    """Replay a recorded trajectory, under the record's budget of steps.

    Calls after the end are left out; `differences` reports them.

    Args:
        record: The record.
        likely: Plays what the record probably holds; called once the record is known to be readable. An
            episode of the same trajectory and budget is the replay, and is not played a second time.

    Raises:
        TrajectoryError: If the record cannot be read, has another version, or its task is not installed or
            has no such variant.
    """
    trajectory = Trajectory.from_json(record)
    task = _task_of(trajectory)
    variant = trajectory.variant
    try:
        budget = record.get("max_steps", task.level(variant).max_steps)
    except ValueError as error:
        raise TrajectoryError(f"the trajectory cannot be read: {error}") from None
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
        raise TrajectoryError("the trajectory cannot be read: max_steps must be an integer of at least 1")
    if likely is not None:
        played = likely()
        # As JSON: to Python, `1` and `true` are equal.
        now, then = (json.dumps(one.to_json()) for one in (Trajectory.of(played, VERSION), trajectory))
        if now == then and played.max_steps == budget:
            return played
    episode: Episode[Any] = Episode(
        task, trajectory.split, trajectory.seed, variant=variant, max_steps=budget
    )
    for call in trajectory.calls:
        if episode.done:
            break
        episode.step(call)
    return episode


def _task_of(trajectory: Trajectory) -> Task[Any]:
    """Return the task, if package and task have the versions of the trajectory, and the task its variant."""
    if trajectory.version != VERSION:
        raise TrajectoryError(
            f"recorded with safeact-env {trajectory.version}, and this is {VERSION}; replay it with "
            f"safeact-env {trajectory.version}, as another version may play the same calls otherwise"
        )
    try:
        task = get_task(trajectory.task)
    except UnknownTask as error:
        raise TrajectoryError(f"recorded on the task {trajectory.task!r}: {error}") from None
    if trajectory.task_version != task.version:
        raise TrajectoryError(
            f"recorded on version {trajectory.task_version} of the task {task.name}, and this is version "
            f"{task.version}; the same calls would be another episode"
        )
    try:
        task.level(trajectory.variant)
    except ValueError as error:
        raise TrajectoryError(f"recorded on a variant that is not installed: {error}") from None
    return task


def differences(record: Mapping[str, Any], episode: Episode[Any]) -> list[str]:
    """Return the differences between a record and its replay, a sentence each; at most ten.

    A record comes from `detailed_trajectory` or from an evaluation. Fields that it lacks are not compared.
    """
    found = []
    if len(record["calls"]) != len(episode.turns):
        found.append(f"the episode is over after {len(episode.turns)} of {len(record['calls'])} calls")
    now: dict[str, Any] = {
        "rewards": [turn.reward for turn in episode.turns],
        "risks": risks_of(episode),
    }
    if "turns" in record:
        again = detailed_trajectory(episode)
        now |= {name: again[name] for name in ("start", "turns")}
    now |= episode.grade().to_json()
    for name, value in now.items():
        if name in record and record[name] != value:
            found += _where(name, record[name], value)
    return found[:MOST_DIFFERENCES]


def _where(name: str, said: Any, value: Any) -> list[str]:
    """Return where a field of the record differs from the replay; by step if it has a value for each."""
    if name == "start":
        return ["the first observation is another one"]
    if not (isinstance(said, list) and isinstance(value, list)):
        return [f"{name}: recorded {_shown(said)}, replayed {_shown(value)}"]
    if len(said) != len(value):
        return [f"{name}: recorded for {len(said)} steps, replayed for {len(value)}"]
    return [
        f"step {step}, {what}"
        for step, (old, new) in enumerate(zip(said, value, strict=True), 1)
        if old != new
        for what in _parts(name, old, new)
    ][:MOST_STEPS]


def _parts(name: str, said: Any, value: Any) -> list[str]:
    if name in ("rewards", "risks"):
        return [f"{name.removesuffix('s')}: recorded {_shown(said)}, replayed {_shown(value)}"]
    if not isinstance(said, dict):
        return ["recorded in no form known here"]
    return [
        f"{part}: another one"
        if part == "observation"
        else f"{part}: recorded {_shown(said.get(part))}, replayed {_shown(value[part])}"
        for part in value
        if said.get(part) != value[part]
    ]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
