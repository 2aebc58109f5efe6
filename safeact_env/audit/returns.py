"""Return is the grade less the penalties, and nothing can be farmed.

Owns this audit. Must not know any concrete task.

A loop leads back to the same facts, knowledge, unused approvals and credited care units. Care is credited
once, in the ledger only: for the upkeep when it is first carried out, and undoing does not take that back.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import chain
from random import Random
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.beam import best_by
from safeact_env.audit.rollouts import (
    UNLIMITED,
    Truths,
    course_of,
    every_move,
    fork,
    is_question,
    judged,
    looked_at_all,
    parsed,
    verdict,
)
from safeact_env.audit.subsets import subset
from safeact_env.core.action import Risk
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move
from safeact_env.core.scoring import POINTS
from safeact_env.policies.reference import calls_of, make_policy

__all__ = ["RETURNS"]

POLICIES = ("expert", "random", "escalate_all", "guesser", "naive", "cautious", "asker")
SEARCHED = 3
"""Scenarios that are searched for the best return; one where the scope is small, and in other framings."""
WALKED = 20
WALK = 80
REPEATS = 4


def returns(scope: Scope) -> Result:
    """Check the rewards of many episodes; look for loops, repeats and searches that pay too much."""
    result = Result("steps", figures={"loops": 0, "calls repeated": 0})
    searched = SEARCHED if scope.seeds >= WALKED and scope.is_default_framing else 1
    for seed in range(scope.seeds):
        for policy in POLICIES:
            _played(scope, seed, policy, result)
        if seed < WALKED:
            looked = looked_at_all(scope, seed)
            _walk(scope, seed, result, looked)
            _repeat(scope, seed, result, looked)
        if seed < searched:
            _search(scope, seed, result, 1 if searched > 1 else 3)
        scope.tick((seed + 1) / scope.seeds)
        if result.full:
            break
    return result


# Books ---------------------------------------------------------------------------------------------------


def _books(episode: Episode[Any]) -> str | None:
    """What is wrong with the sum of the rewards, if anything, in exact ten-thousandths."""
    grade = episode.grade()
    score, paid = round(grade.score * POINTS), sum(turn.points for turn in episode.turns)
    penalties = episode.state.ledger.penalties
    if episode.points != paid or round(grade.total * POINTS) != paid:
        return f"the rewards sum to {paid}, the episode says {episode.points}"
    if penalties < 0 or any(abs(turn.points) > POINTS for turn in episode.turns):
        return "a reward is out of [-1, 1], or a penalty below 0"
    if episode.outcome == "irreversible_mistake":
        return None if episode.turns[-1].points == -POINTS else "a mistake does not pay -1"
    if paid != score - penalties:
        return f"the return is {paid}, the grade less penalties {score} - {penalties}"
    return f"the return is {paid}, more than 1.0" if paid > POINTS else None


def _check(result: Result, episode: Episode[Any]) -> bool:
    """Check the rewards and note a breach; return whether there was none."""
    result.checked += 1
    wrong = _books(episode)
    if wrong is not None:
        result.breach(wrong, episode.seed, [turn.call for turn in episode.turns])
    return wrong is None


def _played(scope: Scope, seed: int, policy: str, result: Result) -> None:
    episode: Episode[Any] = scope.episode(seed)
    approved = None
    for call in chain(calls_of(make_policy(policy, scope.task, seed), episode), [None]):
        if episode.turns and not _check(result, episode):
            return
        if approved is not None:
            action = episode.actions[approved.name]
            target = action.target_of(parsed(episode.actions, episode.state, approved))
            if (action.name, target) in episode.state.ledger.approvals:
                calls = [turn.call for turn in episode.turns]
                result.breach(f"the approval of {action.name} outlives its use", seed, calls)
                return
        if call is not None:
            move = Move(call.action_name, dict(call.parameters))
            approved = move if verdict(episode.actions, episode.state, move) == "approved" else None


# Loops ---------------------------------------------------------------------------------------------------


def _place(episode: Episode[Any], truths: Truths) -> Hashable:
    """Identify where an episode is, to find loops."""
    state = episode.state
    return (
        truths.of(state),
        frozenset(state.knowledge.seen),
        frozenset(state.ledger.approvals),
        frozenset(state.ledger.credited),
    )


def _walk(scope: Scope, seed: int, result: Result, looked: Episode[Any]) -> None:
    """Walk at random among few calls, so that places recur, and compare what was paid in between."""
    truths = Truths()
    for number in range(3):
        rng = scope.rng("loops", seed, number)
        episode = fork(looked) if number else scope.episode(seed, max_steps=UNLIMITED)
        moves = [move for move in subset(episode, looked, rng, focused=number == 2) if move.name != "finish"]
        least: dict[Hashable, int] = {_place(episode, truths): episode.points}
        for _ in range(WALK):
            move = _drawn(episode, moves, rng)
            if move is None:
                continue
            episode.step(move.call())
            place = _place(episode, truths)
            if not _check(result, episode) or episode.done:
                break
            if place in least:
                result.figures["loops"] += 1
                if episode.points > least[place]:
                    paid = episode.points - least[place]
                    calls = [turn.call for turn in episode.turns]
                    result.breach(f"a loop pays {paid} ten-thousandths", seed, calls)
                    break
            least[place] = min(least.get(place, episode.points), episode.points)


def _drawn(episode: Episode[Any], moves: list[Move], rng: Random) -> Move | None:
    """Draw a call for a walk: mostly one that passes, seldom an irreversible one, never a mistake."""
    odd, lasting = rng.random() < 0.15, rng.random() < 0.05

    def fits(move: Move) -> bool:
        seen, p = judged(episode.actions, episode.state, move)
        if seen == "mistake":
            return False
        if seen not in ("allowed", "approved"):
            return odd
        return lasting or episode.actions[move.name].risk_in(episode.state, p) is not Risk.IRREVERSIBLE

    fitting = [move for move in moves if fits(move)]
    return rng.choice(fitting) if fitting else None


def _repeat(scope: Scope, seed: int, result: Result, looked: Episode[Any]) -> None:
    """Repeat each call, questions included: after the first time it must not pay."""
    for start in (scope.episode(seed, max_steps=UNLIMITED), looked):
        moves = every_move(start)
        for move in scope.rng("repeat", seed).sample(moves, min(len(moves), 25)):
            episode = fork(start)
            for time in range(REPEATS):
                if episode.done or verdict(episode.actions, episode.state, move) == "mistake":
                    break
                points = episode.step(move.call()).points
                if time and points > 0:
                    calls = [turn.call for turn in episode.turns]
                    result.breach(f"{move.name} pays {points} when made again", seed, calls)
                    break
                result.checked += 1
            result.figures["calls repeated"] += 1


# Searches ------------------------------------------------------------------------------------------------

Allows = Callable[[Episode[Any], Move], bool]


def _is_safe(episode: Episode[Any], move: Move) -> bool:
    return episode.actions[move.name].risk is Risk.SAFE


FROM_LOOKED = "best return after looking"
LIMITED: dict[str, tuple[Allows, int, int]] = {
    "best return": (lambda _e, _m: True, 6, POINTS),
    FROM_LOOKED: (lambda _e, _m: True, 3, POINTS),
    "best without looking": (lambda e, m: not _is_safe(e, m) or m.name == "finish", 3, POINTS),
    "best without asking": (lambda e, m: not is_question(e, m), 3, POINTS),
    "best by only looking": (_is_safe, 1, 1_500),
    "best by looking and asking": (lambda e, m: _is_safe(e, m) or is_question(e, m), 2, 2_000),
}
"""Per figure: the calls that may be made, the width of the beam, and the most that may be found."""


def _search(scope: Scope, seed: int, result: Result, narrower: int) -> None:
    for figure, (allows, width, most) in LIMITED.items():
        start = looked_at_all(scope, seed) if figure == FROM_LOOKED else scope.episode(seed)
        width = max(1, width // narrower)
        key = (figure, width, course_of(scope, seed, start))
        if key in scope.known:
            found, checked = scope.known[key]
            result.checked += checked
        else:
            checked = result.checked
            best = best_by(start, allows, width, lambda one: _check(result, one))
            found = best.points
            if found > most:
                calls = [turn.call for turn in best.turns]
                message = f"{figure} is {found / POINTS}, at most {most / POINTS} is right"
                result.breach(message, seed, calls)
            if not result.breaches:
                scope.known[key] = found, result.checked - checked
        result.figures[figure] = max(result.figures.get(figure, 0.0), found / POINTS)


RETURNS = Audit(
    "returns",
    "Without a mistake the return is the grade less the penalties; no loop, repeat or question pays again.",
    returns,
)
