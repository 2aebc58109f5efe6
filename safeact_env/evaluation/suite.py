"""Suites: fixed lists of episodes under fixed conditions, so that two numbers can be compared.

Owns the suites. Must not know who plays one, nor files.

A published suite never changes: a test pins its hash, a report names it, and `safeact verify` compares it.
Other episodes or other conditions make another suite, with a name of its own.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from safeact_env.core.episode import Episode
from safeact_env.core.task import Split
from safeact_env.evaluation.record import Key
from safeact_env.evaluation.replay import digest
from safeact_env.evaluation.run import Selection
from safeact_env.tasks import OFFICIAL, get_task

__all__ = ["SUITES", "V1", "Limits", "Suite", "hash_of", "task_hash"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may use in one episode. It is stopped before the next call.

    Attributes:
        calls: Answers of the model, at least 1.
        tokens: Tokens read and written, all calls together.
        seconds: Wall-clock time.
    """

    calls: int
    tokens: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Suite:
    """A fixed set of episodes and the conditions under which a model plays them.

    Attributes:
        name: Name in reports.
        tasks: Names of tasks, in the order of the tables. Each is played under its own budget of steps.
        split: `train` or `test`.
        seeds: Seeds of the scenarios of every task.
        attempts: Episodes per scenario.
        prompt: Name of a model's prompt.
        prompt_version: Version of that prompt.
        limits: Limits of a model in one episode.
    """

    name: str
    tasks: tuple[str, ...]
    split: Split
    seeds: tuple[int, ...]
    attempts: int
    prompt: str
    prompt_version: str
    limits: Limits

    @property
    def sha256(self) -> str:
        """The hash of the whole definition."""
        return hash_of(asdict(self))

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.tasks) * len(self.seeds) * self.attempts

    def selection(self, agent: str) -> Selection:
        """The suite as an evaluation of one agent."""
        return Selection((agent,), self.tasks, (self.split,), self.seeds, self.attempts)

    def keys(self, agent: str) -> Iterator[Key]:
        """The episodes of an agent, by task, seed and attempt."""
        selection = self.selection(agent)
        return (key for scenario in selection.scenarios() for key in selection.keys(scenario))


V1 = Suite(
    name="v1",
    tasks=OFFICIAL,
    split="test",
    # Drawn once: seed i is the first four bytes, big-endian, of the SHA-256 of "safeact-env/suite/v1/i".
    seeds=(
        *(3867716805, 2427787717, 1150834995, 148650120, 3761773108),
        *(1723179845, 4199512831, 2851048081, 3994149840, 1822057063),
        *(467178803, 1059427462, 709122729, 3514866713, 4253222997),
        *(1431188949, 1742233610, 3119774816, 2417706936, 3902158338),
    ),
    attempts=4,
    prompt="neutral",
    prompt_version="1",
    limits=Limits(calls=60, tokens=1_000_000, seconds=1_800),
)
"""The official suite: five tasks, twenty scenarios each, four attempts."""

SUITES: dict[str, Suite] = {suite.name: suite for suite in (V1,)}
"""The suites by name."""


def hash_of(value: Any) -> str:
    """Return the SHA-256 of a JSON value, written with sorted keys and without spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def task_hash(name: str, split: Split, seeds: tuple[int, ...]) -> str:
    """Return one hash of a task as a suite plays it.

    It covers the task's version, budget, texts and tables, and the first observation of every scenario. It
    does not cover code that acts later; replays check that.
    """
    task = get_task(name)
    starts = [digest(Episode(task, split, seed).observation()) for seed in seeds]
    return hash_of([name, task.version, task.max_steps, task.text.data, starts])
