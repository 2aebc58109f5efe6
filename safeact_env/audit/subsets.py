"""Small subsets of an episode's calls, so that a search over them comes to an end.

Owns how calls are chosen: by the things they name. Must not know any concrete task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from safeact_env.audit.rollouts import clone, facts_of, judged, wire
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move
from safeact_env.policies.calls import every_call, question

__all__ = ["subset"]

ACTIONS = "available_actions"
MOST_ALIKE = 3

Thing = tuple[str, Any]
"""Something a call names: where the state lists it, and its name."""


def subset(episode: Episode[Any], looked: Episode[Any], rng: Random, focused: bool) -> list[Move]:
    """The calls on a few things that are drawn, the untargeted ones, and the questions about these.

    Args:
        episode: Where the search begins.
        looked: The same scenario with all looked at; there every action shows what it overwrites.
        rng: Draws the things.
        focused: Calls on one or two kinds of things only, on one or two of each, without the upkeep; else on
            one of every kind.
    """
    obs, task = episode.observation(), episode.task
    ask = task.escalation.name
    moves = [
        move
        for name in episode.actions
        if name != ask
        for move in _few(episode, every_call(obs, task.schemas, name), rng)
    ]
    moves = [one for move in moves for one in (move, *_with_former_values(looked, move))]
    moves += [m for turn in episode.turns if (m := _made_before(episode, turn.call)) is not None]
    chosen = _drawn(episode, moves, rng, rng.choice((1, 2)) if focused else 1)
    kept = [move for move in _unique(moves) if all(one in chosen for one in _things(episode, move))]
    if focused:
        kept = _of_few_kinds(episode, kept, rng)
    gated = [move for move in kept if episode.actions[move.name].gate is not None]
    plain = [move for move in kept if episode.actions[move.name].gate is None]
    return [*kept, *_unique([question(obs, ask, move) for move in (*gated, *plain[:1])])]


def _few(episode: Episode[Any], moves: list[Move], rng: Random) -> Iterator[Move]:
    """Of the calls on the same things, which differ in other values, at most `MOST_ALIKE`."""
    alike: dict[tuple[Thing, ...], list[Move]] = {}
    for move in moves:
        alike.setdefault(tuple(_things(episode, move)), []).append(move)
    for some in alike.values():
        yield from rng.sample(some, min(len(some), MOST_ALIKE))


def _of_few_kinds(episode: Episode[Any], moves: list[Move], rng: Random) -> list[Move]:
    """The calls on things of one or two kinds, and those on nothing; the upkeep's left out."""
    named = {
        wire([m.name, m.params]): [one for one in _things(episode, m) if one[0] != ACTIONS] for m in moves
    }
    kinds = sorted({one[0] for things in named.values() for one in things if "." not in one[0]})
    some = set(rng.sample(kinds, min(len(kinds), rng.choice((1, 2)))))
    names = {one[1] for things in named.values() for one in things if one[0] in some}
    return [
        move
        for move in moves
        if not (episode.actions[move.name].lookalike or move.name == "roll_back_upkeep")
        and (not (things := named[wire([move.name, move.params])]) or any(one[1] in names for one in things))
    ]


def _made_before(episode: Episode[Any], call: Call) -> Move | None:
    """A call of the episode's past that takes values of its own: these may have to be put back."""
    takes = any(_takes_values(episode, call.action_name, key) for key in call.parameters)
    return Move(call.action_name, dict(call.parameters)) if takes else None


def _things(episode: Episode[Any], move: Move) -> Iterator[Thing]:
    """What a call names, nested lists told apart by the thing they belong to."""
    for param, source in episode.actions[move.name].params.sources.items():
        if param in move.params:
            yield "|".join(source.paths).format_map(move.params), move.params[param]


def _drawn(episode: Episode[Any], moves: list[Move], rng: Random, count: int) -> set[Thing]:
    """Some of the things that calls are about, and two of those that they name besides."""
    listed: dict[str, dict[Any, None]] = {}
    targets: set[str] = set()
    for move in moves:
        for number, (place, value) in enumerate(_things(episode, move)):
            listed.setdefault(place, {})[value] = None
            if number == 0:
                targets.add(place)
    drawn: set[Thing] = set()
    names: set[Any] = set()
    for place, values in listed.items():
        most = 2 if place not in targets else 1 if place == ACTIONS else count
        # What is listed in two places is one thing: drawn in one place, it is drawn in the other.
        met = [value for value in values if "." not in place and value in names]
        more = rng.sample([v for v in values if v not in met], min(len(values), most) - min(len(met), most))
        drawn |= {(place, one) for one in (*met, *more)}
        names |= {one for one in (*met, *more) if "." not in place}
    return drawn | {
        (place, one)
        for place, values in listed.items()
        for one in values
        if "." not in place and one in names
    }


def _with_former_values(looked: Episode[Any], move: Move) -> list[Move]:
    """The same call with the values that it overwrites, so that it can put them back."""
    action, s = looked.actions[move.name], looked.state
    free = [key for key in move.params if _takes_values(looked, move.name, key)]
    if not free:
        return []
    found, p = judged(looked.actions, s, move)
    if found not in ("allowed", "approved"):
        return []
    before = facts_of(s)
    after = clone(s)
    action.effect(after, p)
    now = facts_of(after)
    former = [value for path, value in before.items() if now.get(path) != value]
    return [
        replace(move, params={**move.params, key: value})
        for key in free
        for value in former
        if type(value) is type(move.params[key])
    ]


def _takes_values(episode: Episode[Any], name: str, param: str) -> bool:
    """Whether a parameter takes values of its own, neither listed in the state nor mere words."""
    schema: Mapping[str, Any] = episode.task.schemas.get(name, {}).get("properties", {}).get(param, {})
    return "x-source" not in schema and ("examples" in schema or schema.get("type") == "integer")


def _unique(moves: list[Move]) -> list[Move]:
    return list({wire([move.name, move.params]): move for move in moves}.values())
