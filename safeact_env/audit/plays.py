"""What audits play: random and reference episodes, and the verdict of the rules before a call is made.

Owns prefixes and copies of states. Must not know any invariant.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
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
    copy: State[Any] = pickle.loads(pickle.dumps(s, protocol=pickle.HIGHEST_PROTOCOL))
    return copy


# Facts as atoms ------------------------------------------------------------------------------------------


def atoms(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """What is true, by path, one leaf each; `False`, `None` and what is empty are absence."""
    return dict(_leaves(value, path))


def facts_of(s: State[Any]) -> dict[tuple[str, ...], Any]:
    """The facts of a state, the upkeep's included."""
    return atoms((s.facts, s.upkeep))


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if is_dataclass(value):
        for one in fields(value):
            if not one.name.startswith("_"):
                yield from _leaves(getattr(value, one.name), (*path, one.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, set | frozenset):
        for item in value:
            yield (*path, repr(item)), True
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, str(number)))
    elif value is not None and value is not False and value != "":
        yield path, value


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
