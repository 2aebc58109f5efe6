"""What audits play: random and reference episodes, and the verdict of the rules before a call is made.

Owns prefixes and copies of states. Must not know any invariant.
"""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from random import Random
from typing import Any

from safeact_env.core.action import Action, Malformed, Risk
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move
from safeact_env.core.reviewer import is_covered
from safeact_env.core.state import State
from safeact_env.policies.calls import every_call, question, random_call

__all__ = [
    "atoms",
    "clone",
    "every_move",
    "facts_of",
    "fork",
    "is_question",
    "parsed",
    "verdict",
    "walking",
    "wire",
]


def wire(value: Any) -> bytes:
    """The bytes of a JSON value."""
    return json.dumps(value, ensure_ascii=False).encode()


def clone(s: State[Any]) -> State[Any]:
    """A state that shares nothing with another."""
    other: State[Any] = pickle.loads(pickle.dumps(s, protocol=pickle.HIGHEST_PROTOCOL))
    return other


def fork(episode: Episode[Any]) -> Episode[Any]:
    """An episode that goes on from here by itself."""
    # Reaches behind the episode's interface, as no rule of the game needs this.
    other = copy.copy(episode)
    other.turns = [*episode.turns]
    other.state = clone(episode.state)
    return other


# Facts as atoms ------------------------------------------------------------------------------------------


def atoms(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """What is true, by path, one leaf each; `False`, `None` and what is empty are absence."""
    found: dict[tuple[str, ...], Any] = {}
    _collect(value, path, found)
    return found


def facts_of(s: State[Any]) -> dict[tuple[str, ...], Any]:
    """The facts of a state, the upkeep's included."""
    return atoms((s.facts, s.upkeep))


@cache
def _fields_of(kind: type[Any]) -> tuple[str, ...] | None:
    """The names of a dataclass's public fields; `None` for any other type."""
    if not is_dataclass(kind):
        return None
    return tuple(one.name for one in fields(kind) if not one.name.startswith("_"))


def _collect(value: Any, path: tuple[str, ...], found: dict[tuple[str, ...], Any]) -> None:
    # The leaves first: searches spend much of their time here.
    if isinstance(value, str | int | float):
        if value is not False and value != "":
            found[path] = value
    # A class is hashable, whatever its instances are.
    elif (names := _fields_of(type(value))) is not None:  # type: ignore[arg-type]
        for name in names:
            _collect(getattr(value, name), (*path, name), found)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _collect(item, (*path, str(key)), found)
    elif isinstance(value, set | frozenset):
        for item in value:
            found[(*path, repr(item))] = True
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _collect(item, (*path, str(number)), found)
    elif value is not None:
        found[path] = value


# Calls ---------------------------------------------------------------------------------------------------


def parsed(actions: Mapping[str, Action[Any]], s: State[Any], move: Move) -> Any:
    """The checked parameters of a well-formed move."""
    view = {**s.knowledge.tables, "available_actions": actions}
    return actions[move.name].params.parse(move.params, view)


def verdict(actions: Mapping[str, Action[Any]], s: State[Any], move: Move) -> str:
    """What the rules say of a call before anything happens.

    Returns:
        `unknown`, `malformed`, `blocked`, `refused`, `mistake`, `approved` or `allowed`. Written apart from
        the engine's step, so that the two check each other.
    """
    action = actions.get(move.name)
    if action is None:
        return "unknown"
    try:
        p = parsed(actions, s, move)
    except Malformed:
        return "malformed"
    if action.check is not None and action.check(s, p) is not None:
        return "malformed"
    if action.blocked is not None and action.blocked(s, p) is not None:
        return "blocked"
    if action.unmet(s, p) is not None:
        return "refused"
    if action.risk_in(s, p) is Risk.IRREVERSIBLE and not (action.gate and action.gate.authorised(s, p)):
        return "approved" if is_covered(s, action, p) else "mistake"
    return "allowed"


def is_question(episode: Episode[Any], move: Move) -> bool:
    """Whether a move asks the reviewer."""
    return move.name == episode.task.escalation.name


def every_move(episode: Episode[Any]) -> list[Move]:
    """Every well-formed call in this state, and a question about each action and target."""
    obs, task = episode.observation(), episode.task
    ask = task.escalation.name
    moves = [m for name in episode.actions if name != ask for m in every_call(obs, task.schemas, name)]
    asked = {wire(q.params): q for m in moves for q in [question(obs, ask, m)]}
    return [*moves, *asked.values()]


def walking(
    episode: Episode[Any], rng: Random, steps: int, avoid: Callable[[Move], bool] = lambda _move: False
) -> Iterator[Move]:
    """Random well-formed moves that neither end the episode nor fall under `avoid`.

    The caller makes each move before it asks for the next.
    """
    task = episode.task
    for _ in range(steps):
        if episode.done:
            return
        move = random_call(episode.observation(), task.schemas, task.escalation.name, rng.choice)
        if move.name == "finish" or verdict(episode.actions, episode.state, move) == "mistake" or avoid(move):
            continue
        yield move
