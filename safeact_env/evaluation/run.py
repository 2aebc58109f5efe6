"""Playing an evaluation: which episodes, in how many processes, and which are played already.

Owns the order and the processes. Must not know files' contents or how records are counted.
"""

from __future__ import annotations

import multiprocessing
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import product
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from safeact_env.call import MAX_INT
from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation.record import Key, Sample, play_attempt, record_of
from safeact_env.evaluation.store import RecordFile, versions_of

__all__ = ["MAX_SEEDS", "Mapper", "Selection", "evaluate", "parse_seeds", "worker_pool"]

MAX_SEEDS = 100_000
"""Most seeds of one evaluation."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Mapper(Protocol):
    """Maps a function over jobs elsewhere; yields the results in the order of the jobs."""

    def __call__(self, play: Callable[[Item], Result], jobs: Iterable[Item], /) -> Iterator[Result]:
        """The results."""


Progress = Callable[[int, int], None]
"""Called with the number of episodes played, and of all."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which episodes an evaluation consists of.

    Attributes:
        policies: Names of policies, in the order of the tables.
        tasks: Names of tasks, likewise.
        splits: `train`, `test` or both.
        seeds: From 0 to 2^63 - 1.
        attempts: Episodes per policy, scenario and framing, at least 1. A policy without draws of its own
            plays the same episode each time.
        variants: Levels and framings, in the order of the tables.
    """

    policies: tuple[str, ...]
    tasks: tuple[str, ...]
    splits: tuple[Split, ...]
    seeds: tuple[int, ...]
    attempts: int = 1
    variants: tuple[Variant, ...] = (DEFAULT,)

    def scenarios(self) -> Iterator[Scenario]:
        """Every scenario, in order."""
        levels = dict.fromkeys(variant.level for variant in self.variants)
        for task, split, level, seed in product(self.tasks, self.splits, levels, self.seeds):
            yield Scenario(task, split, seed, level)

    def keys(self, scenario: Scenario) -> list[Key]:
        """The episodes of one scenario, in order."""
        task, split, seed, level = scenario
        framings = [variant.framing for variant in self.variants if variant.level == level]
        return [
            Key(policy, task, split, seed, attempt, Variant(level, framing))
            for policy, framing, attempt in product(self.policies, framings, range(1, self.attempts + 1))
        ]


class Scenario(NamedTuple):
    """One scenario, in whatever words. Intervals are clustered by scenario."""

    task: str
    split: Split
    seed: int
    level: int = DEFAULT.level


class Job(NamedTuple):
    """The episodes to play on one scenario, together, so that the expert is played once for all of them."""

    scenario: Scenario
    keys: list[Key]


Play = Callable[[list[Job]], Iterator[list[dict[str, Any]]]]
Players = Callable[[int], AbstractContextManager[Play]]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read a list of seeds and ranges such as `0-9,12`.

    Returns:
        The seeds in ascending order, each once.

    Raises:
        ValueError: With a sentence that says what was wrong.
    """
    seeds: set[int] = set()
    for part in text.replace(" ", "").split(","):
        found = re.fullmatch(r"(\d{1,30})(?:-(\d{1,30}))?", part, re.ASCII)
        if found is None:
            raise ValueError(f"cannot read {part!r}; write seeds like 0-9,12")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise ValueError(f"the range {part} is empty; write the smaller seed first")
        if last > MAX_INT:
            raise ValueError(f"a seed is an integer from 0 to {MAX_INT}")
        if len(seeds) + last - first >= MAX_SEEDS:
            raise ValueError(f"these are more than {MAX_SEEDS} seeds; evaluate them in parts")
        seeds.update(range(first, last + 1))
    return tuple(sorted(seeds))


def evaluate(
    selection: Selection,
    *,
    out: Path | None = None,
    resume: bool = True,
    workers: int = 2,
    mapper: Mapper | None = None,
    progress: Progress = lambda _played, _total: None,
) -> list[Sample]:
    """Play the episodes of a selection that are not in the file yet.

    The result, and the file of a run that was not resumed, do not depend on the number of workers.

    Args:
        selection: The episodes to play.
        out: File of records to append to; `None` keeps the samples only.
        resume: Whether episodes in the file count as played; otherwise it starts empty.
        workers: Processes, at least 1.
        mapper: Plays elsewhere, instead of in processes here.
        progress: Called at the start and after each scenario.

    Returns:
        A sample per episode of the selection, by scenario, policy and attempt.

    Raises:
        StoreError: If the file cannot be opened or resumed.
        OSError: If the file can no longer be written.
    """
    if out is None:
        return _evaluate(selection, None, _players(workers, mapper), progress)
    with RecordFile(out, versions_of(selection.tasks), resume=resume) as file:
        return _evaluate(selection, file, _players(workers, mapper), progress)


def _evaluate(
    selection: Selection, file: RecordFile | None, players: Players, progress: Progress
) -> list[Sample]:
    found = dict(file.samples) if file else {}
    wanted = {scenario: selection.keys(scenario) for scenario in selection.scenarios()}
    missing = {scenario: [key for key in keys if key not in found] for scenario, keys in wanted.items()}
    jobs = [Job(scenario, keys) for scenario, keys in missing.items() if keys]
    total = sum(len(keys) for keys in wanted.values())
    played = total - sum(len(job.keys) for job in jobs)
    progress(played, total)
    with players(len(jobs)) as play:
        for records in play(jobs):
            for record in records:
                sample = Sample.of(record)
                found[sample.key] = sample
                if file:
                    file.append(record)
            played += len(records)
            progress(played, total)
    return [found[key] for keys in wanted.values() for key in keys]


def _players(workers: int, mapper: Mapper | None) -> Players:
    """Return a function that opens a player for a number of jobs; records come in the order of the jobs."""
    if mapper is not None:
        return lambda _jobs: _elsewhere(mapper)
    return lambda jobs: _processes(min(workers, jobs))


@contextmanager
def _elsewhere(mapper: Mapper) -> Iterator[Play]:
    yield lambda jobs: mapper(_play, jobs)


@contextmanager
def _processes(workers: int) -> Iterator[Play]:
    if workers <= 1:
        yield lambda jobs: map(_play, jobs)
        return
    with worker_pool(workers) as pool:
        yield lambda jobs: pool.imap(_play, jobs)


def worker_pool(workers: int) -> Pool:
    """Return a pool of processes that leave interrupts to this one."""
    # Spawned, not forked: a fork copies the locks of the threads that draw a progress bar.
    return multiprocessing.get_context("spawn").Pool(workers, _ignore_interrupts)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _play(job: Job) -> list[dict[str, Any]]:
    return [
        record_of(
            play_attempt(key.task, key.split, key.seed, key.policy, key.attempt, key.variant),
            key.policy,
            key.attempt,
        )
        for key in job.keys
    ]
