"""Views: the changes of a step say all that it changed in what is shown.

Owns this audit. Must not know any concrete task, nor how a client merges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.rollouts import in_turn, looked_at_all, wire, wrong_words
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.policies.reference import Policy, make_policy

__all__ = ["VIEWS_MERGE", "updated"]

POLICIES = ("expert", "thorough", "random", "naive")
SEEDS = 40
"""Most seeds played."""
IN_TURN = 60
"""Calls of every action in turn, per seed."""


def views(scope: Scope) -> Result:
    """After every step, the state before it and the changes give the state after it, byte for byte.

    What is shown is what is known: nothing writes past `show` and `publish`, which renew the bytes. And
    nothing writes into the words of a scenario, which all states of an episode share.

    A field that comes, goes or moves within an object is a breach: changes cannot say so, and the server
    has to send the whole observation.
    """
    result = Result("steps")
    seeds = min(scope.seeds, SEEDS)
    for seed in range(seeds):
        for episode, calls in _courses(scope, seed):
            wrong = _first_wrong(episode, calls, result) or wrong_words(scope, episode)
            if wrong is not None:
                result.breach(wrong, seed, [turn.call for turn in episode.turns])
        scope.tick((seed + 1) / seeds)
        if result.full:
            break
    return result


def _courses(scope: Scope, seed: int) -> Iterator[tuple[Episode[Any], Iterator[Call]]]:
    """What policies do, and then every action in turn, after a look at everything."""
    for policy in POLICIES:
        episode: Episode[Any] = scope.episode(seed)
        yield episode, _played(episode, make_policy(policy, scope.task, seed))
    looked = looked_at_all(scope, seed)
    yield looked, (move.call() for move in in_turn(looked, scope.rng("views", seed), IN_TURN, asks=True))


def _played(episode: Episode[Any], player: Policy) -> Iterator[Call]:
    while not episode.done:
        yield player.act(episode.observation())


def _first_wrong(episode: Episode[Any], calls: Iterator[Call], result: Result) -> str | None:
    """Make the calls; what is wrong with the first step that is."""
    shown = episode.observation()
    for call in calls:
        episode.step(call)
        changes, before = episode.observation("changes"), shown["current_state"]
        shown = episode.observation()
        result.checked += 1
        step = len(episode.turns)
        if wire(shown["current_state"]) != wire(episode.state.knowledge.tables):
            return (
                f"what is shown is not what is known at step {step}: an effect writes into tables past "
                "show and publish"
            )
        if changes["available_actions"]:
            return f"a field comes, goes or moves in the state at step {step}"
        if wire(updated(before, changes["current_state"])) != wire(shown["current_state"]):
            return f"the changes of step {step} do not give the state after it"
    return None


def updated(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The state after some changes, in the order of the state before them."""
    return before | {
        name: updated(before[name], value)
        if isinstance(value, dict) and isinstance(before[name], dict)
        else value
        for name, value in changes.items()
    }


VIEWS_MERGE = Audit("views", "The changes of a step say all that it changed in what is shown.", views)
