"""Determinism: task, split, seed, variant and calls fix every byte, in any process, over every transport.

Owns this audit. Must not know any concrete task, nor how a transport works: transports are passed in.

Run as a program, with a reference, a split, a number of seeds, a level and a framing, it prints the digests
of this process.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope, resolve
from safeact_env.audit.replays import snapshot
from safeact_env.audit.rollouts import wire
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import SPLITS, Split
from safeact_env.core.variant import Variant, check_framing
from safeact_env.policies.reference import calls_of, make_policy

__all__ = ["DETERMINISM", "Transport", "canonical", "determinism"]

POLICIES = ("expert", "random", "guesser", "escalate_all")
HASH_SEEDS = ("1", "2")
TRANSPORT_SEEDS, LEAST_SEEDS = 10, 3
"""Scenarios played over each transport; in framings other than the default."""
TIMEOUT = 1_800.0
"""Seconds after which another process is stopped."""

Transport = Callable[[str, Split, int, Variant, Sequence[Call]], list[bytes]]
"""Plays calls on a named task, split, seed and variant; returns the canonical bytes of each observation."""


def canonical(value: Any) -> bytes:
    """The bytes of a JSON value in which the order of an object's fields does not show."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()


def determinism(transports: Mapping[str, Transport] | None = None) -> Audit:
    """Make the audit. It compares each of these transports, by name, with the episode in this process."""

    def run(scope: Scope) -> Result:
        result = Result("episodes")
        here = _digests(scope)
        _compare_generators(scope, result)
        scope.tick(0.3)
        _compare_processes(scope, here, result)
        scope.tick(0.7)
        # A transport plays a task by name.
        if scope.subject.ref == scope.task.name:
            for name, transport in (transports or {}).items():
                _compare_transport(scope, name, transport, result)
        result.figures["doors"] = ["in process", *(transports or ())]
        scope.tick(1.0)
        return result

    return Audit("determinism", "Task, split, seed and calls fix every byte, in any process and door.", run)


def _played(scope: Scope, seed: int, policy: str) -> tuple[list[Call], str]:
    """The calls of a policy's episode, and the digest of all it shows and pays."""
    episode = scope.episode(seed)
    digest = hashlib.sha256()
    for _call in calls_of(make_policy(policy, scope.task, seed), episode):
        digest.update(b"\n".join(snapshot(episode)))
    digest.update(b"\n".join(snapshot(episode)))
    return [turn.call for turn in episode.turns], digest.hexdigest()


def _digests(scope: Scope) -> list[str]:
    return [_played(scope, seed, policy)[1] for seed in range(scope.seeds) for policy in POLICIES]


def _compare_processes(scope: Scope, here: list[str], result: Result) -> None:
    """The same episodes in processes with other hash seeds, so that the order of sets is another one."""
    for hash_seed in HASH_SEEDS:
        there = _elsewhere(scope, hash_seed)
        for number, (one, other) in enumerate(zip(here, there, strict=True)):
            result.checked += 1
            if one != other:
                seed, policy = number // len(POLICIES), POLICIES[number % len(POLICIES)]
                calls = _played(scope, seed, policy)[0]
                result.breach(f"{policy} sees other bytes under PYTHONHASHSEED={hash_seed}", seed, calls)
                break


def _elsewhere(scope: Scope, hash_seed: str) -> list[str]:
    """The digests of a process with this hash seed."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    variant = scope.variant
    arguments = (scope.subject.ref, scope.split, str(scope.seeds), str(variant.level), variant.framing)
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, *arguments],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths},
        capture_output=True,
        check=False,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode:
        raise RuntimeError(f"the process with PYTHONHASHSEED={hash_seed} failed:\n{done.stderr[-2_000:]}")
    digests: list[str] = json.loads(done.stdout)
    return digests


def _compare_generators(scope: Scope, result: Result) -> None:
    """No episode reads or moves the generator that a whole process shares."""
    kept = random.getstate()
    try:
        for seed in range(min(scope.seeds, 50)):
            shown = []
            for state in (seed, seed + 1):
                random.seed(state)
                before = random.getstate()
                calls, digest = _played(scope, seed, "random")
                shown.append(digest)
                if random.getstate() != before:
                    result.breach("the episode moves the global random generator", seed, calls)
                    return
            result.checked += 1
            if shown[0] != shown[1]:
                result.breach("the episode depends on the global random generator", seed, calls)
                return
    finally:
        random.setstate(kept)


def _compare_transport(scope: Scope, name: str, transport: Transport, result: Result) -> None:
    """Play the same calls over a transport and compare every observation."""
    for seed in range(min(scope.seeds, TRANSPORT_SEEDS if scope.is_default_framing else LEAST_SEEDS)):
        for policy in ("expert", "random"):
            calls = _played(scope, seed, policy)[0]
            episode: Episode[Any] = scope.episode(seed)
            expected = [canonical(episode.observation())]
            for call in calls:
                episode.step(call)
                expected.append(canonical(episode.observation()))
            result.checked += 1
            found = transport(scope.subject.ref, scope.split, seed, scope.variant, calls)
            if found != expected:
                step = next(
                    (n for n, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other),
                    0,
                )
                result.breach(f"{name} answers otherwise at step {step} of {policy}", seed, calls[:step])
                return


def _main(arguments: Sequence[str]) -> None:
    ref, split, seeds, level, framing = arguments
    chosen = next(one for one in SPLITS if one == split)
    variant = Variant(int(level), check_framing(framing))
    sys.stdout.buffer.write(wire(_digests(Scope(resolve(ref), chosen, int(seeds), variant=variant))))


DETERMINISM = determinism()

if __name__ == "__main__":
    _main(sys.argv[1:])
