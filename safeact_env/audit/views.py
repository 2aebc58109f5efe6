"""Views: the changes of a step say all that it changed in what is shown.

Owns this audit. Must not know any concrete task, nor how a client merges.
"""

from __future__ import annotations

from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.rollouts import wire
from safeact_env.core.episode import Episode
from safeact_env.policies.reference import make_policy

__all__ = ["VIEWS_MERGE", "updated"]

POLICIES = ("expert", "thorough", "random", "naive")
SEEDS = 40
"""Most seeds played."""


def views(scope: Scope) -> Result:
    """After every step, the state before it and the changes give the state after it, byte for byte.

    What is shown is what is known: nothing writes past `show` and `publish`, which renew the bytes.

    A field that comes, goes or moves within an object is a breach: changes cannot say so, and the server
    has to send the whole observation.
    """
    result = Result("steps")
    seeds = min(scope.seeds, SEEDS)
    for seed in range(seeds):
        for policy in POLICIES:
            _check(scope, seed, policy, result)
        scope.tick((seed + 1) / seeds)
        if result.full:
            break
    return result


def _check(scope: Scope, seed: int, policy: str, result: Result) -> None:
    episode: Episode[Any] = scope.episode(seed)
    player = make_policy(policy, scope.task, seed)
    shown = episode.observation()
    while not episode.done:
        episode.step(player.act(shown))
        changes, before = episode.observation("changes"), shown["current_state"]
        shown = episode.observation()
        result.checked += 1
        calls = [turn.call for turn in episode.turns]
        if wire(shown["current_state"]) != wire(episode.state.knowledge.tables):
            result.breach(
                f"what is shown is not what is known at step {len(calls)}: an effect writes into tables past "
                "show and publish",
                seed,
                calls,
            )
            return
        if changes["available_actions"]:
            result.breach(f"a field comes, goes or moves in the state at step {len(calls)}", seed, calls)
            return
        if wire(updated(before, changes["current_state"])) != wire(shown["current_state"]):
            result.breach(f"the changes of step {len(calls)} do not give the state after it", seed, calls)
            return


def updated(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The state after some changes, in the order of the state before them."""
    return before | {
        name: updated(before[name], value)
        if isinstance(value, dict) and isinstance(before[name], dict)
        else value
        for name, value in changes.items()
    }


VIEWS_MERGE = Audit("views", "The changes of a step say all that it changed in what is shown.", views)
