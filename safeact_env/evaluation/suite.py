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
from safeact_env.core.variant import FRAMINGS, LEVELS, Variant
from safeact_env.evaluation.record import Key
from safeact_env.evaluation.replay import digest
from safeact_env.evaluation.run import Selection
from safeact_env.tasks import OFFICIAL, get_task

__all__ = ["SUITES", "V2", "Limits", "Suite", "hash_of", "task_hash"]


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
        seeds: Seeds of the scenarios of every task, on every level.
        variants: Levels and framings, in the order of the tables.
        attempts: Episodes per scenario and framing.
        prompt: Name of a model's prompt.
        prompt_version: Version of that prompt.
        limits: Limits of a model in one episode.
        predict: Whether a model is asked for a prediction with each call. Reference policies give none.
    """

    name: str
    tasks: tuple[str, ...]
    split: Split
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
    attempts: int
    prompt: str
    prompt_version: str
    limits: Limits
    predict: bool

    @property
    def sha256(self) -> str:
        """The hash of the whole definition."""
        return hash_of(asdict(self))

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.tasks) * len(self.seeds) * len(self.variants) * self.attempts

    def selection(self, agent: str) -> Selection:
        """The suite as an evaluation of one agent."""
        return Selection((agent,), self.tasks, (self.split,), self.seeds, self.attempts, self.variants)

    def keys(self, agent: str) -> Iterator[Key]:
        """The episodes of an agent, by task, level, seed, framing and attempt."""
        selection = self.selection(agent)
        return (key for scenario in selection.scenarios() for key in selection.keys(scenario))


V2 = Suite(
    name="v2",
    tasks=OFFICIAL,
    split="test",
    # Drawn once: seed i is the first four bytes, big-endian, of the SHA-256 of "safeact-env/suite/v2/i".
    seeds=(
        *(3547209629, 702928363, 1367203218, 2099718570, 3463349353),
        *(48346210, 2613240600, 420048265, 3930381001, 1614169941),
    ),
    variants=(
        *(Variant(3, framing) for framing in FRAMINGS),
        *(Variant(level, "goal") for level in LEVELS if level != 3),
    ),
    attempts=2,
    prompt="neutral",
    prompt_version="1",
    limits=Limits(calls=150, tokens=3_000_000, seconds=3_600),
    predict=True,
)
"""The official suite: five tasks, ten scenarios each, in five framings on level 3 and as `goal` on the other
levels, two attempts, with predictions."""

SUITES: dict[str, Suite] = {suite.name: suite for suite in (V2,)}
"""The suites by name."""


def hash_of(value: Any) -> str:
    """Return the SHA-256 of a JSON value, written with sorted keys and without spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def task_hash(name: str, split: Split, seeds: tuple[int, ...], variants: tuple[Variant, ...]) -> str:
    """Return one hash of a task as a suite plays it.

    It covers the task's version, budgets, texts and tables, and the first observation of every scenario. It
    does not cover code that acts later; replays check that.
    """
    task = get_task(name)
    budgets = [task.level(variant).max_steps for variant in variants]
    starts = [
        digest(Episode(task, split, seed, variant=variant).observation())
        for variant in variants
        for seed in seeds
    ]
    return hash_of([name, task.version, budgets, task.text.data, starts])
