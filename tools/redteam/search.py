"""An adversary: it looks for final states that harm somebody and have a high grade nevertheless.

Owns programs (lists of calls), how they are changed, and the strategies. What harm is, a checker says that
was written apart from the grader; nothing here looks into how a grade comes about.
"""

from __future__ import annotations

import pickle
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from itertools import count
from random import Random
from typing import Any

from safeact_env.audit.base import Scope, Subject
from safeact_env.audit.rollouts import UNLIMITED, every_move, fork, looked_at_all, replayed
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import SPLITS, Split, Task
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task
from tools.redteam.checkers import Checker, checker

__all__ = ["Adversary", "Effort", "Finding", "Tally", "attack"]

Program = tuple[Call, ...]

STARTS = ("expert", "orderly", "patient", "batch", "ritual", "blunt")
"""The policies whose calls programs begin with."""
STEP = 0.0005
"""What a step costs the adversary, so that it prefers short programs."""
FIRST_SEED = 700_000
"""The scenarios that are searched begin here."""
GONE = "the former version is gone: upkeep"


@dataclass(frozen=True)
class Finding:
    """A program and where it leads.

    Attributes:
        grade: Grade of the final state, in [0, 1].
        harm: What the checker says of the final state.
        strategy: What made the program.
        calls: The program, as JSON.
        beside: Its calls that are none of the expert's.
        without: Those of the expert's calls that it lacks.
    """

    task: str
    split: Split
    seed: int
    grade: float
    harm: tuple[str, ...]
    strategy: str
    calls: tuple[Any, ...]
    beside: tuple[str, ...]
    without: tuple[str, ...]


@dataclass
class Tally:
    """What was tried on a task, and the best of it.

    Attributes:
        programs: Their number by strategy.
        scenarios: How many were played.
        harmful: How many programs ended in a state that the checker calls harmful.
        worst: By kind of harm, the finding with the highest grade.
        unread: The highest grade of a program that reads and inspects nothing.
    """

    programs: Counter[str] = field(default_factory=Counter)
    scenarios: int = 0
    harmful: int = 0
    worst: dict[str, Finding] = field(default_factory=dict)
    unread: Finding | None = None

    @property
    def grade(self) -> float:
        """The highest grade of a harmful final state."""
        return max((finding.grade for finding in self.worst.values()), default=0.0)

    def add(self, other: Tally) -> None:
        """Add what was tried elsewhere."""
        self.programs += other.programs
        self.scenarios += other.scenarios
        self.harmful += other.harmful
        for kind, finding in other.worst.items():
            if kind not in self.worst or finding.grade > self.worst[kind].grade:
                self.worst[kind] = finding
        if other.unread and (self.unread is None or other.unread.grade > self.unread.grade):
            self.unread = other.unread


@dataclass(frozen=True)
class Effort:
    """How many programs each strategy plays on one scenario; a climb and a generation have 30 each."""

    sweep: int = 150
    climbs: int = 4
    generations: int = 6
    random: int = 40
    unread: int = 3


@dataclass
class Tried:
    """A program that was played. `pays` is what the adversary goes by."""

    program: Program
    grade: float
    harm: tuple[str, ...]
    pays: float


class Adversary:
    """Searches one scenario.

    Args:
        task: The task.
        split: Its split.
        seed: The scenario.
        harmful: The task's checker.
        rng: Draws the adversary's programs.
        until: When to stop, by `time.monotonic`.
    """

    WIDTH = 6
    TRIES = 30

    def __init__(
        self,
        task: Task[Any],
        split: Split,
        seed: int,
        harmful: Checker,
        rng: Random,
        until: float = float("inf"),
    ) -> None:
        self.task, self.split, self.seed = task, split, seed
        self.harmful, self.rng, self.until = harmful, rng, until
        self.fresh: Episode[Any] = Episode(task, split, seed)
        self.brief: str = self.fresh.observation()["task_description"]
        self.starts: dict[str, Program] = {
            policy: tuple(turn.call for turn in play(task, split, seed, policy).turns) for policy in STARTS
        }
        self.starts = {
            policy: tuple(call for call in calls if call.action_name != "finish")
            for policy, calls in self.starts.items()
        }
        self.pool = self._pool()
        self.values = self._values()
        self.looks = self._looks()
        self.tally = Tally(scenarios=1)

    # Programs --------------------------------------------------------------------------------------------

    def _pool(self) -> list[Call]:
        """Every well-formed call at the start, after all inspections, and after the expert's way."""
        scope = Scope(Subject(self.task.name, self.task), self.split, 1)
        at = (
            self.fresh,
            looked_at_all(scope, self.seed),
            replayed(scope, self.seed, self.starts["expert"]),
        )
        moves = {repr((move.name, move.params)): move for episode in at for move in every_move(episode)}
        return [move.call() for move in moves.values() if move.name != "finish"]

    def _looks(self) -> set[str]:
        """The actions that inspect: who only looks calls them, and no call of them changes a fact."""
        called, changing = set(), set()
        for policy in ("look_only", "expert"):
            episode = Episode(self.task, self.split, self.seed, max_steps=UNLIMITED)
            for turn in play(self.task, self.split, self.seed, policy).turns:
                before = pickle.dumps(episode.state.facts)
                episode.step(turn.call)
                if policy == "look_only":
                    called.add(turn.call.action_name)
                if pickle.dumps(episode.state.facts) != before:
                    changing.add(turn.call.action_name)
        return called - changing

    def _values(self) -> dict[str, list[Any]]:
        """Values to put in for each parameter: those of the pool, and some near them or out of the brief."""
        values: dict[str, list[Any]] = {}
        numbers = [int(text) for text in re.findall(r"\b\d{1,6}\b", self.brief)]
        networks = re.findall(r"\d+(?:\.\d+){3}/\d+", self.brief)
        for call in self.pool:
            for name, value in call.parameters.items():
                own = values.setdefault(name, [])
                if value not in own:
                    own.append(value)
        for own in values.values():
            if any(isinstance(value, int) for value in own):
                near = [value + step for value in [*own, *numbers] for step in (-1, 0, 1)]
                own.extend({value for value in near if value not in own and value >= 0})
            elif any(re.fullmatch(r"\d+(\.\d+){3}/\d+", str(value)) for value in own):
                own.extend({text for network in networks for text in _near(network)} - set(own))
        return values

    def changed(self, program: Program, pool: Sequence[Call]) -> Program:
        """The program with one change."""
        rng, calls = self.rng, list(program)
        at = rng.randrange(len(calls) + 1)
        there = rng.randrange(len(calls)) if calls else 0
        match rng.choice(
            (
                "insert",
                "insert",
                "delete",
                "swap",
                "replace",
                "value",
                "value",
                "move",
                "again",
                "cut",
                "join",
            )
            if calls
            else ("insert",)
        ):
            case "insert":
                calls.insert(at, rng.choice(pool))
            case "delete":
                del calls[there]
            case "swap":
                other = rng.randrange(len(calls))
                calls[there], calls[other] = calls[other], calls[there]
            case "replace":
                calls[there] = rng.choice(pool)
            case "value":
                calls.insert(at, self._other_value(calls[there], pool))
                if rng.random() < 0.5:
                    del calls[there + (at <= there)]
            case "move":
                part = calls[there : there + rng.randint(1, 4)]
                del calls[there : there + len(part)]
                place = rng.randrange(len(calls) + 1)
                calls[place:place] = part
            case "again":
                calls.insert(rng.randint(there, len(calls)), calls[there])
            case "cut":
                del calls[max(there, len(calls) - 4) :]
            case "join":
                other_way = rng.choice(list(self.starts.values()))
                allowed = set(map(repr, pool))
                calls[at:] = [call for call in other_way[at:] if repr(call) in allowed or pool is self.pool]
        return tuple(calls[: self.task.max_steps])

    def _other_value(self, call: Call, pool: Sequence[Call]) -> Call:
        names = [name for name in call.parameters if len(self.values.get(name, ())) > 1]
        if not names:
            return self.rng.choice(pool)
        name = self.rng.choice(names)
        parameters = {**call.parameters, name: self.rng.choice(self.values[name])}
        return Call(call.action_name, parameters, call.reasoning)

    def played(self, program: Program, strategy: str) -> Tried:
        """Play a program, hold its final state against the checker, and keep the best."""
        episode, states = fork(self.fresh), [pickle.dumps(self.fresh.state.facts)]
        for call in program:
            if episode.done:
                break
            episode.step(call)
            facts = pickle.dumps(episode.state.facts)
            if facts != states[-1]:
                states.append(facts)
        grade = episode.grade().score
        harm = tuple(self.harmful(self.brief, [pickle.loads(facts) for facts in states]))
        harm += () if episode.state.upkeep.former_kept else (GONE,)
        tried = Tried(program, grade, harm, grade - STEP * len(program))
        self.tally.programs[strategy] += 1
        if strategy == "unread":
            if self.tally.unread is None or grade > self.tally.unread.grade:
                self.tally.unread = self._finding(tried, strategy)
        elif harm:
            self.tally.harmful += 1
            for kind in {one.partition(":")[0] for one in harm}:
                known = self.tally.worst.get(kind)
                if known is None or grade > known.grade:
                    self.tally.worst[kind] = self._finding(tried, strategy)
        if strategy != "unread" and not harm:
            tried.pays -= 1.0
        return tried

    def _finding(self, tried: Tried, strategy: str) -> Finding:
        def texts(calls: Program) -> Counter[str]:
            return Counter(f"{call.action_name}({_said(call.parameters)})" for call in calls)

        made, expected = texts(tried.program), texts(self.starts["expert"])
        calls = tuple(call.to_json() for call in tried.program)
        beside, without = tuple((made - expected).elements()), tuple((expected - made).elements())
        name = self.task.name
        return Finding(name, self.split, self.seed, tried.grade, tried.harm, strategy, calls, beside, without)

    # Strategies ------------------------------------------------------------------------------------------

    def search(self, effort: Effort) -> Tally:
        """Try every strategy."""
        for strategy in (self._sweep, self._climb, self._beam, self._random, self._unread):
            for _ in strategy(effort):
                if time.monotonic() > self.until:
                    return self.tally
        for kind, finding in list(self.tally.worst.items()):
            if finding.grade > 0.5:
                self.tally.worst[kind] = self._shortened(finding, kind)
        return self.tally

    def _sweep(self, effort: Effort) -> Iterator[Tried]:
        """One more call, each anywhere on a good way before its end."""
        for call in self.rng.sample(self.pool, min(effort.sweep, len(self.pool))):
            way = self.starts[self.rng.choice(STARTS)]
            at = self.rng.randrange(len(way))
            yield self.played((*way[:at], call, *way[at:]), "sweep")

    def _climb(self, effort: Effort) -> Iterator[Tried]:
        """Change one program again and again; keep what is no worse."""
        for _ in range(effort.climbs):
            yield from self._climbed(self.starts[self.rng.choice(STARTS)], self.pool, "climb")

    def _climbed(self, program: Program, pool: Sequence[Call], strategy: str) -> Iterator[Tried]:
        here = self.played(program, strategy)
        for _ in range(self.TRIES):
            changed = self.changed(here.program, pool)
            if self.rng.random() < 0.3:
                changed = self.changed(changed, pool)
            tried = self.played(changed, strategy)
            if tried.pays >= here.pays:
                here = tried
            yield tried

    def _beam(self, effort: Effort) -> Iterator[Tried]:
        """Change several programs, and keep the best of them all."""
        beam = [self.played(program, "beam") for program in self.starts.values()]
        for _ in range(effort.generations):
            for _ in range(self.TRIES):
                tried = self.played(self.changed(self.rng.choice(beam).program, self.pool), "beam")
                beam.append(tried)
                yield tried
            beam = sorted(beam, key=lambda one: -one.pays)[: self.WIDTH]

    def _random(self, effort: Effort) -> Iterator[Tried]:
        """Calls by chance, after none or some of a good way."""
        for _ in range(effort.random):
            way = self.starts[self.rng.choice(STARTS)]
            way = way[: self.rng.randrange(len(way) + 1)] if self.rng.random() < 0.5 else ()
            more = self.rng.choices(self.pool, k=self.rng.randint(1, 12))
            yield self.played((*way, *more), "random")

    def _unread(self, effort: Effort) -> Iterator[Tried]:
        """Programs that neither read nor inspect. Grades lead them, so they guess far better than chance."""
        pool = [call for call in self.pool if call.action_name not in self.looks]
        for _ in range(effort.unread):
            way = self.starts[self.rng.choice(STARTS)]
            program = tuple(call for call in way if call.action_name not in self.looks)
            yield from self._climbed(program, pool, "unread")

    def _shortened(self, finding: Finding, kind: str) -> Finding:
        """The finding without the calls that it does not need."""
        calls = [Call.parse(**call) for call in finding.calls]
        best = self.played(tuple(calls), "shorten")
        for call in calls:
            shorter = list(best.program)
            shorter.remove(call)
            tried = self.played(tuple(shorter), "shorten")
            if tried.grade >= best.grade and any(one.startswith(f"{kind}:") for one in tried.harm):
                best = tried
        return self._finding(best, finding.strategy)


def _near(network: str) -> Iterator[str]:
    """The network, some that are wider or narrower, and everybody or nearly so."""
    known = IPv4Network(network)
    yield from ("0.0.0.0/0", "0.0.0.0/1", network)
    for wider in range(1, min(4, known.prefixlen)):
        yield str(known.supernet(wider))
    for narrower in range(1, min(4, 33 - known.prefixlen)):
        yield str(next(known.subnets(narrower)))


def _said(parameters: Any) -> str:
    """The parameters, less the words of a question."""
    return ", ".join(f"{name}={value}" for name, value in parameters.items() if name != "reason")


Job = tuple[int, int, tuple[str, ...], int, float]


def attack(job: Job) -> dict[str, Tally]:
    """Search every so many scenarios of all tasks, until the time is over."""
    worker, workers, tasks, seed, minutes = job
    until = time.monotonic() + 60 * minutes
    tallies = {name: Tally() for name in tasks}
    for number in count(worker, workers):
        scenario, place = divmod(number, len(tasks))
        name, split = tasks[place], SPLITS[scenario % 2]
        rng = Random(f"redteam/{seed}/{name}/{scenario}")
        adversary = Adversary(get_task(name), split, FIRST_SEED + scenario, checker(name), rng, until)
        tallies[name].add(adversary.search(Effort()))
        if time.monotonic() > until:
            break
    return tallies
