"""Non-interference: what is hidden shows nowhere but where it may.

Owns this audit: two starts that differ in one hidden fact are played in lockstep and compared byte for
byte. Must not know any concrete task, nor how its twins are made.

A call on an entity that the fact is about may reveal it if it is the safe action for that, a question, or an
action with consequences; such calls are left out. Actions with consequences are compared all the same if
rule 3 or 4 stops them in both twins: blocking depends on visible facts, and a call that is refused before
the inspection has nothing to reveal. One that is carried out in both may tell by its answer, but where it
answers alike it has to pay alike: a reward is no inspection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.lookalike_twin import lookalike_twin
from safeact_env.audit.prefixes import PREFIXES, Prefix
from safeact_env.audit.rollouts import UNLIMITED, fork, is_question, verdict, wire
from safeact_env.call import Call
from safeact_env.core.action import Risk
from safeact_env.core.common import HANDBOOK
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move
from safeact_env.core.scenario import Start
from safeact_env.core.task import Split, Task
from safeact_env.core.twins import Entity, Twin
from safeact_env.policies.calls import every_call

__all__ = ["INTERFERENCE", "twins_of"]

MOST_SEEDS = 250
"""Most scenarios played; more would only repeat them."""
RUNS = 8
"""Runs per scenario, each of one kind of twin with one prefix; they take turns from scenario to scenario."""
SEARCHED = 40
"""Scenarios in which each kind of twin has to occur and to be revealed."""
REVEALED = 4
"""Pairs of each kind in which the revealed difference is located."""

ADDED = ("upkeep", HANDBOOK)
"""The tables that the engine adds to those of a task."""

Field = tuple[str, str]
"""A kind of field of `current_state`: its table, and its name in a record."""


@dataclass(slots=True)
class Pair:
    """Two episodes that differ in something hidden.

    Attributes:
        twin: What they differ in.
        starts: Their starts.
        about: The entities that the difference is about.
        calls: The calls made in both.
    """

    twin: Twin[Any]
    one: Episode[Any]
    two: Episode[Any]
    starts: list[Start[Any]]
    about: tuple[Entity, ...]
    calls: list[Call] = field(default_factory=list)

    def step(self, move: Move) -> None:
        """Make a move in both."""
        self.calls.append(move.call())
        self.one.step(self.calls[-1])
        self.two.step(self.calls[-1])

    def is_about(self, move: Move) -> bool:
        """Whether a call is on one of the entities."""
        named = {move.name, *map(str, move.params.values())}
        return any(named.issuperset(entity) for entity in self.about)

    def difference(self) -> str | None:
        """Where the twins show something different, if they do."""
        if _written(self.one) == _written(self.two):
            return None
        first, second = _shown(self.one), _shown(self.two)
        if self.one.done and self.two.done:
            # Both are completed: what they were is told from here on.
            del first["metadata"], second["metadata"]
        if wire(first) == wire(second):
            return None
        return next(
            (name for name in first if wire(first[name]) != wire(second[name])), "the order of fields"
        )


def _written(episode: Episode[Any]) -> tuple[bytes, int, int, bool]:
    """The same as `_shown`, as it is written: bytes are compared many times faster than objects."""
    return episode.shown().observation, len(episode.turns), episode.points, episode.done


def _shown(episode: Episode[Any]) -> dict[str, Any]:
    """All that any transport shows of a running episode."""
    return {**episode.observation(), "steps": len(episode.turns), "return": episode.points}


def _pair(scope: Scope, twin: Twin[Any], seed: int) -> Pair | None:
    """The twins of a scenario, if it has any of this kind."""
    starts = [scope.start(seed) for _ in range(2)]
    about = twin.differ(starts[0], starts[1], scope.rng(twin.kind, seed))
    if not about:
        return None
    one, two = (scope.episode(seed, start=x, max_steps=UNLIMITED) for x in starts)
    return Pair(twin, one, two, starts, about)


# In lockstep ---------------------------------------------------------------------------------------------


def _judge(pair: Pair, move: Move) -> tuple[bool, str | None]:
    """Whether to make a call in both twins, and what is wrong before it is made."""
    action = pair.one.actions.get(move.name)
    verdicts = {verdict(x.actions, x.state, move) for x in (pair.one, pair.two)}
    if action is None or verdicts & {"unknown", "malformed"}:
        return True, None
    if "blocked" in verdicts and len(verdicts) > 1:
        return False, f"whether {move.name} is blocked is judged on something hidden"
    if _may_tell(pair, move) and not verdicts & {"blocked", "refused"}:
        return False, None
    if len(verdicts) > 1 and not pair.is_about(move):
        return False, f"{move.name} on something else is {' or '.join(sorted(verdicts))}"
    # A mistake ends the episode, and the grade is shown then.
    return len(verdicts) == 1 and "mistake" not in verdicts and move.name != "finish", None


def _may_tell(pair: Pair, move: Move) -> bool:
    action = pair.one.actions[move.name]
    if is_question(pair.one, move):
        return pair.is_about(move)
    if action.risk is Risk.SAFE:
        untargeted = not action.params.sources
        return move.name in pair.twin.revealed_by and (untargeted or pair.is_about(move))
    return pair.is_about(move)


def _pays_apart(pair: Pair, move: Move) -> bool:
    """Whether a call with consequences, carried out in both twins, answers alike and pays otherwise."""
    verdicts = {verdict(x.actions, x.state, move) for x in (pair.one, pair.two)}
    if pair.one.actions[move.name].risk is not Risk.RISKY or verdicts != {"allowed"}:
        return False
    one, two = fork(pair.one), fork(pair.two)
    one.step(move.call())
    two.step(move.call())
    return one.shown().observation == two.shown().observation and one.points != two.points


def _run(pair: Pair, prefix: Prefix, rng: Random) -> Iterator[str | None]:
    """Play a prefix in both twins; yield per compared step what is wrong."""
    for move in prefix(pair.one, pair.is_about, rng):
        made, wrong = _judge(pair, move)
        if wrong is not None:
            pair.calls.append(move.call())
            yield wrong
            return
        if not made:
            if _pays_apart(pair, move):
                pair.calls.append(move.call())
                yield f"the reward of {move.name} tells it, and its answer does not"
                return
            continue
        pair.step(move)
        where = pair.difference()
        if where is None and not pair.one.done and pair.one.shown().metadata != b"{}":
            yield "metadata is shown before the end"
            return
        yield where and f"{move.name} tells it in {where}"
        if where is not None or pair.one.done:
            return


# The twins themselves ------------------------------------------------------------------------------------


def _check_start(scope: Scope, pair: Pair) -> str | None:
    """What is wrong before the first call."""
    where = pair.difference()
    if where is not None:
        return f"the start tells it in {where}"
    names = list(pair.one.actions)
    listed = [row["name"] for row in pair.one.observation()["available_actions"]]
    if names != sorted(names) or listed != names:
        return "the actions are not listed by name"
    redraw = scope.task.redraw
    if redraw is None:
        return None
    drawn = [redraw(start) for start in pair.starts]
    state = pair.one.state
    shown = {name: table for name, table in state.knowledge.tables.items() if name not in ADDED}
    if wire(drawn[0].tables) != wire({**shown, **state.words.published}):
        return "the tables are not drawn from the facts as the scenario draws them"
    written = [wire([one.tables, one.brief, one.handbook, one.names]) for one in drawn]
    return None if written[0] == written[1] else "the tables or the words tell it from the start"


def _check_twins(scope: Scope, twins: tuple[Twin[Any], ...], result: Result) -> None:
    """Every kind occurs, is revealed by each action that it names, and together they cover what is null."""
    covered: set[Field] = set()
    for twin in twins:
        if wrong := _check_twin(scope, twin, covered):
            message, seed = wrong
            result.breach(f"{twin.kind}: {message}", seed)
    forgotten = sorted(_hidden(scope) - covered)
    if forgotten:
        result.breach(f"no twins differ in what is hidden as {forgotten}")


def _check_twin(scope: Scope, twin: Twin[Any], covered: set[Field]) -> tuple[str, int | None] | None:
    """What is wrong with a kind of twin, and in which scenario; adds the fields that it covers."""
    idle = set(twin.revealed_by)
    pairs = 0
    for seed in range(SEARCHED):
        pair = _pair(scope, twin, seed)
        if pair is None:
            continue
        if wrong := _check_start(scope, pair):
            return wrong, seed
        pairs += 1
        for name in twin.revealed_by if idle or pairs <= REVEALED else ():
            found = _revealed(scope, twin, seed, name)
            if found is not None:
                covered |= found
                idle.discard(name)
    if not pairs:
        return f"no such twins in {SEARCHED} scenarios", None
    return (f"{', '.join(sorted(idle))} never reveals it", None) if idle else None


def _revealed(scope: Scope, twin: Twin[Any], seed: int, name: str) -> set[Field] | None:
    """The fields in which the twins differ after a revealing action on all entities; `None` if they agree."""
    pair = _pair(scope, twin, seed)
    if pair is None or name not in pair.one.actions:
        return None
    action = pair.one.actions[name]
    for move in every_call(pair.one.observation(), scope.task.schemas, name):
        if not action.params.sources or pair.is_about(move):
            pair.step(move)
    if pair.difference() is None:
        return None
    first, second = (dict(_fields(x.state.knowledge.tables)) for x in (pair.one, pair.two))
    differ = [path for path in first.keys() | second.keys() if first.get(path) != second.get(path)]
    # A field that was null may be an object now, and differ inside.
    return {_kind(path[:length]) for path in differ for length in range(2, len(path) + 1)}


def _hidden(scope: Scope) -> set[Field]:
    """The kinds of fields that are null at the start of some scenario and that looking fills."""
    hidden: set[Field] = set()
    for seed in range(10):
        episode: Episode[Any] = scope.episode(seed, max_steps=UNLIMITED)
        null = {path for path, value in _fields(episode.state.knowledge.tables) if value is None}
        for name, action in episode.actions.items():
            if action.risk is Risk.SAFE and name not in ("finish", "read_handbook"):
                for move in every_call(episode.observation(), scope.task.schemas, name):
                    episode.step(move.call())
        now = {path for path, value in _fields(episode.state.knowledge.tables) if value is None}
        hidden |= {_kind(path) for path in null - now}
    return hidden


def _fields(tables: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of the tables by its path; an object is its values, and itself a mark."""
    if isinstance(tables, dict):
        yield path, "an object"
        for key, value in tables.items():
            yield from _fields(value, (*path, key))
    else:
        yield path, tables


def _kind(path: tuple[str, ...]) -> Field:
    return path[0], path[-1]


# The audit -----------------------------------------------------------------------------------------------


def _runs(scope: Scope, twins: tuple[Twin[Any], ...], seed: int) -> Iterator[tuple[Pair, str]]:
    """The pairs to play in a scenario, each with a prefix. Kinds and prefixes take turns."""
    runs = list(product(twins, PREFIXES))
    first = seed * RUNS % len(runs)
    found = 0
    for twin, prefix in (*runs[first:], *runs[:first]):
        if found == RUNS:
            return
        pair = _pair(scope, twin, seed)
        if pair is not None:
            found += 1
            yield pair, prefix


def twins_of(task: Task[Any], split: Split) -> tuple[Twin[Any], ...]:
    """The twins of a task: its own, and those of its look-alikes."""
    return (*task.twins, lookalike_twin(task.text.pools[split]))


def interference(scope: Scope) -> Result:
    """Twins are indistinguishable until a call is made that may tell them apart."""
    twins = twins_of(scope.task, scope.split)
    result, compared = Result("steps"), Counter[str]({twin.kind: 0 for twin in twins})
    _check_twins(scope, twins, result)
    seeds = min(scope.seeds, MOST_SEEDS)
    for seed in range(seeds):
        for pair, prefix in _runs(scope, twins, seed):
            kind = pair.twin.kind
            for wrong in _run(pair, PREFIXES[prefix], scope.rng(kind, prefix, seed)):
                compared[kind] += 1
                if wrong is not None:
                    result.breach(f"{kind}: {wrong}", seed, pair.calls)
        scope.tick((seed + 1) / seeds)
        if result.full:
            break
    result.checked = compared.total()
    result.figures = {"kinds": len(twins), "steps by kind": dict(compared)}
    return result


INTERFERENCE = Audit(
    "interference",
    "Twins that differ in something hidden look and pay the same until a call may tell them apart.",
    interference,
)
