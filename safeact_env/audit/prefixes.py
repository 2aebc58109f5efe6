"""Ways to play a pair of twins: at random, as the expert does, as one who pries, and every action in turn.

Owns which calls are tried, malformed ones among them. Must not know which of them are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from safeact_env.audit.rollouts import every_move, in_turn
from safeact_env.core.action import Risk
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move
from safeact_env.policies.calls import random_call
from safeact_env.policies.reference import play

__all__ = ["PREFIXES", "Prefix", "spoiled"]

Prefix = Callable[[Episode[Any], Callable[[Move], bool], Random], Iterator[Move]]
"""Yields moves for an episode, preferring those for which the predicate holds.

The caller makes or skips a move before it asks for the next.
"""

RANDOM_MOVES = 35
PRYING_MOVES = 25
UNDOING_MOVES = 60
SPOILED = 0.15
REPEATED = 0.15


def at_random(episode: Episode[Any], near: Callable[[Move], bool], rng: Random) -> Iterator[Move]:
    """Well-formed calls, the better of two drawn uniformly; some of them spoiled."""
    task, seen = episode.task, episode.observation()
    for _ in range(RANDOM_MOVES):
        # All else that a call is drawn from stays as it was.
        seen["current_state"] = episode.state.knowledge.tables
        drawn = [random_call(seen, task.schemas, task.escalation.name, rng.choice) for _ in range(2)]
        move = max(drawn, key=near)
        yield spoiled(move, episode, rng) if rng.random() < SPOILED else move


def scripted(episode: Episode[Any], _near: Callable[[Move], bool], _rng: Random) -> Iterator[Move]:
    """What the expert does in the scenario of this seed."""
    for turn in play(episode.task, episode.split, episode.seed, "expert", variant=episode.variant).turns:
        yield Move(turn.call.action_name, dict(turn.call.parameters))


def prying(episode: Episode[Any], near: Callable[[Move], bool], rng: Random) -> Iterator[Move]:
    """Perhaps a look at everything; then every call on the preferred targets; then those on any other.

    In listed order, questions included, the last from a drawn place on. Calls are repeated and spoiled now
    and then, and most of them come too early, so that this is also the prefix of refused attempts.
    """
    moves = every_move(episode)
    if rng.random() < 0.5:
        yield from (move for move in moves if _is_look(episode, move))
    place = rng.randrange(len(moves))
    others = (*moves[place:], *moves[:place])[:PRYING_MOVES]
    for move in (*filter(near, moves), *others):
        yield spoiled(move, episode, rng) if rng.random() < SPOILED else move
        if rng.random() < REPEATED:
            yield move


def undoing(episode: Episode[Any], near: Callable[[Move], bool], rng: Random) -> Iterator[Move]:
    """Every action in turn, on anything but the preferred targets: what is done there is also taken back."""
    return in_turn(episode, rng, UNDOING_MOVES, avoid=near)


def _is_look(episode: Episode[Any], move: Move) -> bool:
    action = episode.actions[move.name]
    return action.risk is Risk.SAFE and move.name not in ("finish", "read_runbook")


def spoiled(move: Move, episode: Episode[Any], rng: Random) -> Move:
    """The same call with something wrong: its name, a parameter too few or too many, a type, a target."""
    names = list(move.params)
    defect = rng.choice(("name", "extra", "type", "target", "missing") if names else ("name", "extra"))
    params = dict(move.params)
    if defect == "name":
        return Move(f"{move.name}_now", params)
    if defect == "extra":
        return Move(move.name, {**params, "force": True})
    name = rng.choice(names)
    if defect == "missing":
        del params[name]
    else:
        # What is a name elsewhere need not be one here; where it is, the call is a proper one.
        params[name] = 7.5 if defect == "type" else rng.choice(_entities(episode))
    return Move(move.name, params)


def _entities(episode: Episode[Any]) -> list[str]:
    tables = episode.state.knowledge.tables.values()
    return [*(key for table in tables if isinstance(table, dict) for key in table), "nothing", ""]


PREFIXES: dict[str, Prefix] = {
    "random": at_random,
    "scripted": scripted,
    "prying": prying,
    "undoing": undoing,
}
"""The prefixes by name."""
