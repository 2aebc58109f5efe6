"""Replay: the tuple of version, task, split, seed and calls is the episode.

Owns this audit. Must not know any concrete task.
"""

from __future__ import annotations

import json
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.rollouts import wire
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.report import report
from safeact_env.core.trajectory import Trajectory
from safeact_env.policies.reference import calls_of, make_policy

__all__ = ["REPLAY", "snapshot"]

POLICIES = ("expert", "random", "guesser", "escalate_all")


def snapshot(episode: Episode[Any]) -> list[bytes]:
    """An episode as bytes: its observation and return so far, and its report at the end."""
    reward = episode.turns[-1].points if episode.turns else 0
    shown = [episode.shown().observation, b"%d %d %d" % (reward, episode.done, episode.points)]
    if episode.done:
        shown.append(wire(report(episode)))
    return shown


def replay(scope: Scope) -> Result:
    """Every step of every episode is rebuilt byte for byte from its trajectory's JSON."""
    result = Result("steps")
    for seed in range(scope.seeds):
        for policy in POLICIES:
            _check(scope, seed, policy, result)
        scope.tick((seed + 1) / scope.seeds)
        if result.full:
            break
    return result


def _check(scope: Scope, seed: int, policy: str, result: Result) -> None:
    episode: Episode[Any] = scope.episode(seed)
    shown = [snapshot(episode) for _call in calls_of(make_policy(policy, scope.task, seed), episode)]
    shown.append(snapshot(episode))
    stored = json.dumps(Trajectory.of(episode, "audit").to_json())
    again = Trajectory.from_json(json.loads(stored))
    rebuilt: Episode[Any] = Episode(scope.task, again.split, again.seed, variant=again.variant)
    calls: list[Call] = []
    for number, expected in enumerate(shown):
        if number:
            calls.append(again.calls[number - 1])
            rebuilt.step(calls[-1])
        result.checked += 1
        if snapshot(rebuilt) != expected:
            result.breach(f"step {number} of {policy} is not rebuilt as it was", seed, calls)
            return


REPLAY = Audit("replay", "An episode is rebuilt byte for byte from its trajectory.", replay)
