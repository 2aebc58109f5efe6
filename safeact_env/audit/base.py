"""What an audit is: a subject, a scope, breaches that anyone can reproduce.

Owns the form of audits and their results. Must not know any invariant or concrete task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from random import Random
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.scenario import Start
from safeact_env.core.task import Split, Task
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.policies.reference import play
from safeact_env.tasks import UnknownTask, get_task

__all__ = ["Audit", "Breach", "Known", "Result", "Scope", "Subject", "resolve"]

Known = dict[tuple[object, ...], Any]
"""What audits of other framings have found already, by all that it depends on."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A task under audit, and its name for other processes.

    Attributes:
        ref: Name of a task, or `package.module:ATTRIBUTE`.
        task: The task.
    """

    ref: str
    task: Task[Any]


def resolve(ref: str) -> Subject:
    """The subject of a reference.

    Raises:
        UnknownTask: If there is no such task, module or attribute.
    """
    if ":" not in ref:
        return Subject(ref, get_task(ref))
    module, _, attribute = ref.partition(":")
    try:
        return Subject(ref, getattr(import_module(module), attribute))
    except (ModuleNotFoundError, AttributeError) as error:
        raise UnknownTask(f"cannot find {ref}: {error}") from None


@dataclass(frozen=True, slots=True)
class Scope:
    """How much of a task an audit checks.

    Attributes:
        subject: The task.
        split: Its split.
        seeds: Number of seeds from 0 on; expensive audits use fewer.
        tick: Called after each unit of work with the share done, in [0, 1].
        variant: Its level and framing.
        known: What is known from other framings; each audit notes there what it would find again.
    """

    subject: Subject
    split: Split
    seeds: int
    tick: Callable[[float], None] = lambda _share: None
    variant: Variant = DEFAULT
    known: Known = field(default_factory=dict, repr=False, compare=False)

    @property
    def task(self) -> Task[Any]:
        """The task."""
        return self.subject.task

    @property
    def is_default_framing(self) -> bool:
        """Whether it is the default framing.

        In others an audit may search less: what policies do pays the same there, as the audit of framings
        shows.
        """
        return self.variant.framing == DEFAULT.framing

    @property
    def budget(self) -> int:
        """The steps that an episode may take."""
        return self.task.level(self.variant).max_steps

    def start(self, seed: int) -> Start[Any]:
        """The start of a seed."""
        return self.task.start(self.split, seed, self.variant)

    def episode(
        self, seed: int, *, start: Start[Any] | None = None, max_steps: int | None = None
    ) -> Episode[Any]:
        """A fresh episode of a seed."""
        return Episode(self.task, self.split, seed, variant=self.variant, start=start, max_steps=max_steps)

    def play(self, seed: int, policy: str) -> Episode[Any]:
        """An episode that a reference policy has played to its end."""
        return play(self.task, self.split, seed, policy, variant=self.variant)

    def rng(self, *about: object) -> Random:
        """A random generator for the audit's own draws, the same in every run."""
        return Random(f"audit/{self.task.name}/{self.split}/{'/'.join(map(str, about))}")


@dataclass(frozen=True, slots=True)
class Breach:
    """A case in which an invariant does not hold.

    Attributes:
        message: What is wrong, in a sentence.
        seed: The scenario; `None` if the breach is about many.
        calls: The calls that reproduce it, from the start of the episode.
    """

    message: str
    seed: int | None = None
    calls: tuple[Call, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"message": self.message, "seed": self.seed, "calls": [c.to_json() for c in self.calls]}


@dataclass(slots=True)
class Result:
    """What an audit found on a subject and split.

    Attributes:
        checked: Number of units checked.
        unit: Name of a unit, in the plural.
        breaches: The breaches, at most `MOST_BREACHES`.
        figures: Further figures worth printing, by name.
    """

    unit: str
    checked: int = 0
    breaches: list[Breach] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    MOST_BREACHES = 5

    def breach(self, message: str, seed: int | None = None, calls: Sequence[Call] = ()) -> None:
        """Note a breach, unless enough are noted."""
        if len(self.breaches) < self.MOST_BREACHES:
            self.breaches.append(Breach(message, seed, tuple(calls)))

    @property
    def full(self) -> bool:
        """Whether enough breaches are noted to stop looking."""
        return len(self.breaches) >= self.MOST_BREACHES


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit.

    Attributes:
        name: Identifier, as on the command line.
        promise: The invariant, in a sentence.
        run: Checks a scope.
        learns: Whether it trains learners, and so needs scikit-learn.
    """

    name: str
    promise: str
    run: Callable[[Scope], Result]
    learns: bool = False
