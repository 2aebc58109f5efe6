"""The graph of what allowed calls can reach from a state, explored as far as asked.

Owns nodes (what is true, what is known, what is approved) and edges (allowed calls). Must not know labels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from safeact_env.audit.rollouts import Truths, judged
from safeact_env.core.action import Action, Risk
from safeact_env.core.playbook import Move
from safeact_env.core.state import Frozen, State, frozen, thawed

__all__ = ["Graph", "Made"]

ALLOWED = ("allowed", "approved")
Key = tuple[int, frozenset[Any], frozenset[Any]]


@dataclass(frozen=True, slots=True)
class Made:
    """A call that the rules 2 to 4 let pass, in a state.

    Attributes:
        move: The call.
        risk: Its class there.
        child: The node after its declared effect, although the engine may withhold it.
        withheld: Whether it would be the mistake, so that no allowed call leads along here.
    """

    move: Move
    risk: Risk
    child: int
    withheld: bool


class Graph:
    """Nodes are numbered as they are met; 0 is the start.

    Args:
        actions: The episode's actions.
        moves: The calls to consider.
        start: Where to begin.
    """

    def __init__(self, actions: Mapping[str, Action[Any]], moves: Iterable[Move], start: State[Any]) -> None:
        self.actions = actions
        self.moves = tuple(moves)
        self.facts: list[int] = []
        self._states: list[Frozen] = []
        self._made: dict[int, list[Made]] = {}
        self._nodes: dict[Key, int] = {}
        self._truths = Truths()
        self._ways: list[tuple[int, Move] | None] = []
        self._before: dict[int, list[int]] = {}
        self._add(start, None)

    def __len__(self) -> int:
        return len(self._states)

    @property
    def expanded(self) -> int:
        """How many nodes were expanded."""
        return len(self._made)

    def _add(self, state: State[Any], way: tuple[int, Move] | None) -> int:
        truth = self._truths.of(state)
        key = (truth, frozenset(state.knowledge.seen), frozenset(state.ledger.approvals))
        if key not in self._nodes:
            self._nodes[key] = len(self._states)
            self._states.append(frozen(state))
            self._ways.append(way)
            self.facts.append(truth)
        return self._nodes[key]

    @property
    def truths(self) -> list[frozenset[Any]]:
        """What is true, by the numbers in `facts`."""
        return self._truths.atoms

    def state(self, node: int) -> State[Any]:
        """A copy of a node's state."""
        return thawed(self._states[node])

    def way_to(self, node: int) -> list[Move]:
        """The calls by which a node was first met."""
        way: list[Move] = []
        while (step := self._ways[node]) is not None:
            node = step[0]
            way.append(step[1])
        return way[::-1]

    def expand(self, node: int, *, withheld: bool = False) -> list[Made]:
        """The calls that pass in a node; those the engine would withhold only if asked for at first."""
        if node not in self._made:
            self._made[node] = [*self._expanded(node, withheld)]
            for made in self._made[node]:
                if not made.withheld and made.child != node:
                    self._before.setdefault(made.child, []).append(node)
        return self._made[node]

    def _expanded(self, node: int, withheld: bool) -> Iterator[Made]:
        s, after = self.state(node), self.state(node)
        for move in self.moves:
            found, p = judged(self.actions, s, move)
            if found not in ALLOWED and not (withheld and found == "mistake"):
                continue
            action = self.actions[move.name]
            if found == "approved":
                after.ledger.approvals.discard((action.name, action.target_of(p)))
            action.effect(after, p)
            child = self._add(after, (node, move))
            if child != node:
                after = self.state(node)
            yield Made(move, action.risk_in(s, p), child, found == "mistake")

    def explore(self, most: int) -> tuple[list[int], bool]:
        """Expand what allowed calls reach, nearest first; the nodes expanded, and whether these are all."""
        queue, met, done = deque([0]), {0}, list[int]()
        while queue and len(done) < most:
            node = queue.popleft()
            done.append(node)
            for made in self.expand(node, withheld=True):
                if not made.withheld and made.child not in met:
                    met.add(made.child)
                    queue.append(made.child)
        return done, not queue

    def close(self, nodes: Iterable[int], most: int) -> bool:
        """Expand all that allowed calls reach from these nodes, while fewer than `most` are expanded."""
        queue = deque(dict.fromkeys(nodes))
        met = set(queue)
        while queue:
            node = queue.popleft()
            if node not in self._made and self.expanded >= most:
                return False
            for made in self.expand(node):
                if not made.withheld and made.child not in met:
                    met.add(made.child)
                    queue.append(made.child)
        return True

    def distance(self, node: int, truth: int, most: int) -> int | None:
        """How many allowed calls lead from a node to these facts, if `most` are enough."""
        level, met = [node], {node}
        for steps in range(most + 1):
            if any(self.facts[one] == truth for one in level):
                return steps
            if steps < most:
                near = (made.child for one in level for made in self.expand(one) if not made.withheld)
                level = [child for child in dict.fromkeys(near) if child not in met]
                met.update(level)
        return None

    def leading_to(self, truth: int) -> set[int]:
        """The expanded nodes from which allowed calls lead to these facts, and those where they hold."""
        found = {node for node, one in enumerate(self.facts) if one == truth}
        queue = deque(found)
        while queue:
            for node in self._before.get(queue.popleft(), ()):
                if node not in found:
                    found.add(node)
                    queue.append(node)
        return found
