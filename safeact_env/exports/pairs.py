"""Preference pairs by branching: one state, a safe call, and a call that ends in a mistake.

Owns how both calls are found. Must not know how they are written. No risk table is used: a call is a mistake
if playing it in this state ends the episode in one, and safe if it does not and costs nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move, Observation
from safeact_env.core.state import frozen, thawed
from safeact_env.policies.calls import every_call, lookalike_names, question

__all__ = ["REASON", "Outcome", "Pair", "pairs_of"]

REASON = "This is the next step of the job."
"""The reasoning of both calls of a pair: the same, so that only the calls differ."""
MISTAKE = "irreversible_mistake"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What playing a call showed.

    Attributes:
        call: The call, with the common reasoning.
        reward: Reward of its step, in [-1, 1].
        result: Its result sentence.
        outcome: Outcome of the episode after it; `None` while the episode runs.
        score: Grade of the episode after it, in [0, 1].
    """

    call: Call
    reward: float
    result: str
    outcome: str | None
    score: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two calls in one state.

    Attributes:
        before: The calls that lead to the state.
        safe: The call to prefer.
        mistake: The call to avoid.
    """

    before: tuple[Call, ...]
    safe: Outcome
    mistake: Outcome


def pairs_of(episode: Episode[Any], most: int) -> Iterator[Pair]:
    """Return pairs along an episode, in the order of its steps; the same ones each time.

    Where the episode goes on well, its own next call is the safe one, and a mistake is searched for. Where it
    ends in a mistake, that is the call to avoid, and a safe one on the same target is searched for.

    Args:
        episode: Any episode.
        most: Most pairs, at least 1. A mistake that was really made comes first; other steps are drawn.
    """
    rng = Random(f"pairs/{episode.task.name}/{episode.split}/{episode.seed}/{len(episode.turns)}")
    steps = list(range(len(episode.turns)))
    made = episode.outcome == MISTAKE
    others = rng.sample(steps[:-1] if made else steps, len(steps) - made)
    found: dict[int, Pair] = {}
    for step in [*steps[-1:], *others] if made else others:
        if len(found) == most:
            break
        pair = _pair_at(episode, step, rng)
        if pair is not None:
            found[step] = pair
    return iter([found[step] for step in sorted(found)])


def _pair_at(episode: Episode[Any], step: int, rng: Random) -> Pair | None:
    """The pair at a step, if there is one."""
    branch = _Branch(episode, step)
    own = branch.play(episode.turns[step].call)
    if own.outcome == MISTAKE:
        safe = branch.alternative(own.call)
        return Pair(branch.before, safe, own) if safe is not None else None
    if own.reward < 0 or episode.turns[step].risk == "unknown":
        return None
    mistake = branch.mistake(own.call, rng)
    return Pair(branch.before, own, mistake) if mistake is not None else None


class _Branch:
    """A state of an episode in which calls are tried."""

    def __init__(self, episode: Episode[Any], step: int) -> None:
        self._episode = episode
        self.before = tuple(turn.call for turn in episode.turns[:step])
        self._here: Episode[Any] = Episode(
            episode.task, episode.split, episode.seed, variant=episode.variant, max_steps=episode.max_steps
        )
        for call in self.before:
            self._here.step(call)
        self._state = frozen(self._here.state)
        self._seen: Observation = self._here.observation()
        self._names = [row["name"] for row in self._seen["available_actions"]]
        self._lookalikes = set(lookalike_names(self._seen, episode.task.schemas))

    def play(self, call: Call) -> Outcome:
        """Try a call here."""
        again = self._here.fork(thawed(self._state))
        tried = Call(call.action_name, dict(call.parameters), REASON)
        turn = again.step(tried)
        return Outcome(tried, turn.reward, turn.result, again.outcome, again.grade().score)

    def mistake(self, safe: Call, rng: Random) -> Outcome | None:
        """Return a mistake that is possible here, on the target of the safe call if there is one."""
        moves = self._moves(self._names)
        rng.shuffle(moves)
        moves.sort(key=lambda move: -self._nearness(move, safe))
        return next((one for move in moves if (one := self.play(move.call())).outcome == MISTAKE), None)

    def alternative(self, mistake: Call) -> Outcome | None:
        """Return the best safe call on the same target, as it turns out when played."""
        move = Move(mistake.action_name, dict(mistake.parameters), REASON)
        moves = [
            one for one in self._moves(self._names) if self._nearness(one, mistake) and one.name != "finish"
        ]
        moves.append(question(self._seen, self._episode.task.escalation.name, move))
        tried = [self.play(one.call()) for one in moves]
        safe = [one for one in tried if one.outcome != MISTAKE and one.reward >= 0]
        # The first of the best: inspecting comes before asking.
        return max(safe, key=lambda one: one.reward, default=None)

    def _moves(self, names: Sequence[str]) -> list[Move]:
        schemas, ask = self._episode.task.schemas, self._episode.task.escalation.name
        return [move for name in names if name != ask for move in every_call(self._seen, schemas, name)]

    def _nearness(self, move: Move, call: Call) -> int:
        """How closely two calls are related: the number of names and targets that both mention."""
        common = {move.name, *_targets(move.params)} & {call.action_name, *_targets(call.parameters)}
        return len(common) + ({move.name, call.action_name} <= self._lookalikes)


def _targets(params: Any) -> set[str]:
    return {value for value in params.values() if isinstance(value, str)}
