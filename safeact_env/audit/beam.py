"""A beam search for the most that an episode can pay.

Owns the search. Must not know what is looked for with it, nor any concrete task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from safeact_env.audit.rollouts import (
    Truths,
    every_move,
    fork,
    is_needless,
    is_question,
    verdict,
    wire,
)
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move
from safeact_env.core.state import frozen, thawed

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
        allows: Which calls may be made. Calls that are stopped or refused never pay and are left out, and so
            are questions that count as over-escalations.
        width: How many episodes are kept per step.
        check: Called with every episode that is met; the search ends where it says no.
    """
    beam, best, since = [start], start, 0
    met: set[Place] = set()
    truths = Truths()
    while beam and since <= PATIENCE:
        since += 1
        children: dict[Place, Episode[Any]] = {}
        for episode in beam:
            state = frozen(episode.state)
            asked = thawed(state)
            for move in every_move(episode):
                if move.name == "finish" or not allows(episode, move):
                    continue
                if verdict(episode.actions, episode.state, move) not in ("allowed", "approved"):
                    continue
                if is_question(episode, move):
                    # Most questions are left out: they are put to one copy, which only counts those.
                    if is_needless(episode, asked, move):
                        continue
                    asked = thawed(state)
                child = fork(episode, thawed(state))
                child.step(move.call())
                if not check(child):
                    return child
                place = _place(child, truths)
                if place not in met:
                    met.add(place)
                    children[place] = child
        for child in children.values():
            if child.points > best.points:
                best, since = child, 0
        running = [(place, one) for place, one in children.items() if not one.done]
        beam = [
            one for _where, one in sorted(running, key=lambda one: _promise(one[0], one[1], truths))[:width]
        ]
    return best


Place = tuple[int, frozenset[Any], frozenset[Any]]


def _place(episode: Episode[Any], truths: Truths) -> Place:
    state = episode.state
    return truths.of(state), frozenset(state.knowledge.seen), frozenset(state.ledger.granted)


def _promise(place: Place, episode: Episode[Any], truths: Truths) -> tuple[int, int, bytes]:
    """High returns first, then much known and true: what is looked up, saved or copied may pay later."""
    truth, seen, _granted = place
    last = episode.turns[-1].call
    known = len(seen) + len(truths.atoms[truth])
    return -episode.points, -known, wire([last.action_name, last.parameters])
