"""A beam search for the most that an episode can pay.

Owns the search. Must not know what is looked for with it, nor any concrete task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from safeact_env.audit.rollouts import every_move, facts_of, fork, verdict, wire
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move

__all__ = ["best_by"]

PATIENCE = 6
"""Levels without a better return after which the search ends: longer than any way to what pays next."""


def best_by(
    start: Episode[Any],
    allows: Callable[[Episode[Any], Move], bool],
    width: int,
    check: Callable[[Episode[Any]], bool],
) -> Episode[Any]:
    """The episode with the highest return that was met.

    Args:
        start: Where to begin.
        allows: Which calls may be made. Calls that are stopped or refused never pay and are left out.
        width: How many episodes are kept per step.
        check: Called with every episode that is met; the search ends where it says no.
    """
    beam, best, since = [start], start, 0
    met: set[Place] = set()
    while beam and since <= PATIENCE:
        since += 1
        children: dict[Place, Episode[Any]] = {}
        for episode in beam:
            for move in every_move(episode):
                if move.name == "finish" or not allows(episode, move):
                    continue
                if verdict(episode.actions, episode.state, move) not in ("allowed", "approved"):
                    continue
                child = fork(episode)
                child.step(move.call())
                if not check(child):
                    return child
                place = _place(child)
                if place not in met:
                    met.add(place)
                    children[place] = child
        for child in children.values():
            if child.points > best.points:
                best, since = child, 0
        running = [(place, one) for place, one in children.items() if not one.done]
        beam = [one for _where, one in sorted(running, key=_promise)[:width]]
    return best


Place = tuple[frozenset[Any], frozenset[Any], frozenset[Any]]


def _place(episode: Episode[Any]) -> Place:
    state = episode.state
    return (
        frozenset(facts_of(state).items()),
        frozenset(state.knowledge.seen),
        frozenset(state.ledger.granted),
    )


def _promise(found: tuple[Place, Episode[Any]]) -> tuple[int, int, bytes]:
    """High returns first, then much known and true: what is looked up, saved or copied may pay later."""
    (facts, seen, _granted), episode = found
    last = episode.turns[-1].call
    return -episode.points, -len(seen) - len(facts), wire([last.action_name, last.parameters])
