"""Where episodes come from: files of records, or a reference policy that plays them afresh.

Owns reading and playing. Must not know how the episodes are used. Of a record only task, split, seed, level,
framing, budget, calls and predictions are used; everything else comes from the replay.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import Split
from safeact_env.core.trajectory import TrajectoryError
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation.record import Said, play_attempt, said_in
from safeact_env.evaluation.replay import replayed
from safeact_env.evaluation.run import Mapper
from safeact_env.evaluation.store import read_packed
from safeact_env.tasks import get_task
from safeact_env.unique_json import RepeatedKey, unique_json

__all__ = ["Rollout", "SourceError", "policy_rollouts", "recorded_rollouts"]


Job = tuple[str, Split, int, str, int, Variant]
"""Task, split, seed, policy, attempt, variant."""


class SourceError(ValueError):
    """A file of episodes that cannot be used. The message says where and why."""


@dataclass(frozen=True)
class Rollout:
    """An episode, and who played it.

    Attributes:
        episode: The episode, replayed here.
        by: Name of the policy or model; empty if the record does not say.
        predictions: The prediction of every call, as the record has them; `None` if it has none.
    """

    episode: Episode[Any]
    by: str
    predictions: tuple[Said, ...] | None = None


def policy_rollouts(
    tasks: Iterable[str],
    split: Split,
    seeds: Iterable[int],
    policy: str,
    mapper: Mapper | None = None,
    variants: Iterable[Variant] = (DEFAULT,),
) -> Iterator[Rollout]:
    """Play episodes with a reference policy, task by task; with a `mapper`, elsewhere."""
    jobs = [
        (task, split, seed, policy, 1, variant) for task, seed, variant in product(tasks, seeds, variants)
    ]
    if mapper is None:
        yield from (Rollout(play_attempt(*job), policy) for job in jobs)
        return
    for job, calls in zip(jobs, mapper(_calls, jobs), strict=True):
        yield Rollout(_replayed(job, calls), policy)


def _calls(job: Job) -> tuple[int, list[Call]]:
    """Play an episode; return its budget and calls, which determine it."""
    episode = play_attempt(*job)
    return episode.max_steps, [turn.call for turn in episode.turns]


def _replayed(job: Job, played: tuple[int, list[Call]]) -> Episode[Any]:
    task, split, seed, _policy, _attempt, variant = job
    budget, calls = played
    episode: Episode[Any] = Episode(get_task(task), split, seed, variant=variant, max_steps=budget)
    for call in calls:
        episode.step(call)
    return episode


def recorded_rollouts(paths: Iterable[Path]) -> Iterator[Rollout]:
    """Read the episodes of files with a JSON record per line, such as those of `safeact eval --out`.

    Files may be compressed (`.gz`). Episodes with the same calls are returned once.

    Raises:
        SourceError: If a file cannot be read, or a line is not an episode of this version.
    """
    seen: set[tuple[Any, ...]] = set()
    for path in paths:
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            one = _episode(line, f"{path}, line {number}")
            calls = json.dumps([turn.call.to_json() for turn in one.episode.turns], sort_keys=True)
            episode = one.episode
            key = (episode.task.name, episode.split, episode.seed, episode.variant, calls)
            if key not in seen:
                seen.add(key)
                yield one


def _lines(path: Path) -> list[bytes]:
    try:
        return read_packed(path).splitlines()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}.") from None


def _episode(line: bytes, where: str) -> Rollout:
    try:
        record = unique_json(line)
    except RepeatedKey as error:
        raise SourceError(f"{where}: {error}.") from None
    except (ValueError, RecursionError):
        raise SourceError(f"{where} is not JSON; a record of an episode is expected on each line.") from None
    if not isinstance(record, dict):
        raise SourceError(f"{where} is not the record of an episode: it must be a JSON object.")
    try:
        episode, said = replayed(record), said_in(record)
    except TrajectoryError as error:
        raise SourceError(f"{where}: {error}.") from None
    by = record.get("policy")
    predictions = None if said is None else said[: len(episode.turns)]
    return Rollout(episode, by if isinstance(by, str) else "", predictions)
