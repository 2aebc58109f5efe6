"""Truthful labels: a search shows that safe, risky and irreversible are what the table says.

Owns this audit. Must not know any concrete task.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.graph import Graph, Made
from safeact_env.audit.rollouts import UNLIMITED, clone, looked_at_all, replayed
from safeact_env.audit.subsets import subset
from safeact_env.core.action import Risk
from safeact_env.core.episode import Episode

__all__ = ["LABELS", "MOST_UNDO"]

MOST_UNDO = 3
SCENARIOS = 12
EXTRA_SCENARIOS = 12
"""Scenarios taken beyond the scope while some action has not been judged yet."""
MOST_CALLS = 12_000
"""Calls that one search may try; a tenth of them where the scope is small."""
WORKS, TRAP = "<look-alike that works>", "<trap>"


class Findings:
    """What the searches of a scope have found so far, and what they write into the result."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.result = Result("judged calls")
        self.judged: dict[str, int] = {}
        self.undo: dict[str, int] = {}
        self.classes: dict[str, set[str]] = {}
        self.states = self.searches = self.exhausted = 0
        names = {action.name for action in scope.task.fixed_actions}
        names -= scope.task.level(scope.variant).without
        self.unjudged = names | {WORKS, TRAP}

    def note(self, name: str, risk: Risk, undone_in: int | None) -> None:
        """Note a call whose label is true."""
        self.unjudged.discard(name)
        self.classes.setdefault(name, set()).add(risk.value)
        self.result.checked += 1
        self.judged[risk.value] = self.judged.get(risk.value, 0) + 1
        if undone_in is not None:
            self.undo[name] = max(self.undo.get(name, 0), undone_in)

    def finish(self) -> Result:
        """The result, once all searches are done."""
        if self.unjudged and not self.result.breaches:
            self.result.breach(f"no state was found in which these could be judged: {sorted(self.unjudged)}")
        self.result.figures |= {
            "states": self.states,
            "searches": self.searches,
            "searched to the end": self.exhausted,
            "judged both ways": sorted(name for name, found in self.classes.items() if len(found) > 1),
            "judged": dict(sorted(self.judged.items())),
            "undo distances": dict(sorted(self.undo.items())),
        }
        return self.result


def labels(scope: Scope) -> Result:
    """Judge every call of small subsets of calls, in every state that allowed calls of the subset reach."""
    findings = Findings(scope)
    planned = min(scope.seeds, SCENARIOS)
    most = MOST_CALLS if planned >= SCENARIOS else MOST_CALLS // 10
    for seed in range(planned + EXTRA_SCENARIOS):
        if seed >= planned and not findings.unjudged:
            break
        for number, (episode, looked) in enumerate(_points(scope, seed)):
            for focused in (False, True):
                _search(findings, episode, looked, f"{number}/{focused}", focused, most)
                if findings.result.full:
                    return findings.finish()
        scope.tick(min(1.0, (seed + 1) / planned))
    return findings.finish()


def _points(scope: Scope, seed: int) -> Iterator[tuple[Episode[Any], Episode[Any]]]:
    """Yield where searches begin: the start, everything inspected, and points of the expert's way after that.

    With each comes the episode with everything inspected, from which former values are taken.
    """
    expert = [turn.call for turn in scope.play(seed, "expert").turns]
    looked = looked_at_all(scope, seed)
    yield replayed(scope, seed, [], UNLIMITED), looked
    yield looked, looked
    looks = [turn.call for turn in looked.turns]
    for share in (0.35, 0.6, 0.8, 1.0):
        way = expert[: max(0, round(share * len(expert)) - 1)]
        yield replayed(scope, seed, [*looks, *way], UNLIMITED), looked


def _search(
    findings: Findings, episode: Episode[Any], looked: Episode[Any], name: str, focused: bool, most: int
) -> None:
    moves = subset(episode, looked, findings.scope.rng("labels", episode.seed, name), focused)
    graph = Graph(episode.actions, moves, clone(episode.state))
    expansions = max(10, most // len(moves))
    nodes, all_of_them = graph.explore(expansions // 2)
    made = [(node, one) for node in nodes for one in graph.expand(node)]
    ends = [one.child for _node, one in made if one.risk is Risk.IRREVERSIBLE]
    closed = graph.close(ends, expansions)
    findings.searches += 1
    findings.exhausted += all_of_them and closed
    leading: dict[int, set[int]] = {}
    for node, one in made:
        truth = graph.facts[node]
        wrong, distance = _judge(graph, node, one, leading)
        if wrong is None:
            findings.note(_named(episode, one), one.risk, distance)
            continue
        calls = [turn.call for turn in episode.turns] + [m.call() for m in (*graph.way_to(node), one.move)]
        findings.unjudged.discard(_named(episode, one))
        findings.result.checked += 1
        changed = sorted(map(str, graph.truths[truth] ^ graph.truths[graph.facts[one.child]]))
        findings.result.breach(
            f"{one.move.name} {one.move.params} is {one.risk.value} here, but {wrong}; {changed}",
            episode.seed,
            calls,
        )
        if findings.result.full:
            break
    findings.states += graph.expanded


def _named(episode: Episode[Any], made: Made) -> str:
    if not episode.actions[made.move.name].lookalike:
        return made.move.name
    return WORKS if made.risk is Risk.RISKY else TRAP


def _judge(
    graph: Graph, node: int, made: Made, leading: dict[int, set[int]]
) -> tuple[str | None, int | None]:
    """Return what is wrong with a call's label, if anything, and the number of calls that undo it."""
    before, after = graph.facts[node], graph.facts[made.child]
    if made.risk is Risk.SAFE:
        kept = graph.truths[before] <= graph.truths[after]
        return (None if kept else "it changes or removes a fact"), None
    if made.risk is Risk.ESCALATE:
        return (None if before == after else "it changes a fact"), None
    if before == after:
        return "it changes no fact", None
    if made.risk is Risk.RISKY:
        distance = graph.distance(made.child, before, MOST_UNDO)
        wrong = f"no {MOST_UNDO} allowed calls restore the facts" if distance is None else None
        return wrong, distance
    if before not in leading:
        leading[before] = graph.leading_to(before)
    return ("allowed calls restore the facts" if made.child in leading[before] else None), None


LABELS = Audit(
    "labels",
    "Safe changes no fact, risky is undone by 3 calls at most, irreversible by none: shown by search.",
    labels,
)
