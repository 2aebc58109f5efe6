"""Rollouts for audits: random and replayed episodes, and the verdict of the rules before a call is made.

Owns copies of states. Must not know any invariant.
"""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any

from pydantic_core import to_json

from safeact_env.audit.base import Scope
from safeact_env.call import Call
from safeact_env.core.action import Action, Malformed, Risk
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move
from safeact_env.core.reviewer import is_covered
from safeact_env.core.scenario import Start
from safeact_env.core.state import State, frozen, thawed
from safeact_env.policies.calls import every_call_in, question, question_among, random_call, view_of
from safeact_env.policies.reference import calls_of, make_policy

__all__ = [
    "UNLIMITED",
    "Truths",
    "atoms",
    "clone",
    "course_of",
    "every_act",
    "every_move",
    "facts_of",
    "fork",
    "in_turn",
    "is_needless",
    "is_question",
    "judged",
    "look_at_all",
    "looked_at_all",
    "parsed",
    "replayed",
    "verdict",
    "walking",
    "wire",
    "wrong_words",
]


UNLIMITED = 100_000
"""A budget of steps that no audit uses up."""


def wire(value: Any) -> bytes:
    """The bytes of a JSON value."""
    return json.dumps(value, ensure_ascii=False).encode()


def clone(state: State[Any]) -> State[Any]:
    """Copy a state; the copy shares nothing with it."""
    return thawed(frozen(state))


def fork(episode: Episode[Any], state: State[Any] | None = None) -> Episode[Any]:
    """Copy an episode, to continue it apart from the original.

    Args:
        episode: What to copy.
        state: A copy of its state, where the caller has one.
    """
    return episode.fork(clone(episode.state) if state is None else state)


def replayed(scope: Scope, seed: int, calls: Iterable[Call], max_steps: int | None = None) -> Episode[Any]:
    """Play calls on a fresh episode, until it is done."""
    episode = scope.episode(seed, max_steps=max_steps)
    for call in calls:
        if not episode.done:
            episode.step(call)
    return episode


def looked_at_all(scope: Scope, seed: int, start: Start[Any] | None = None) -> Episode[Any]:
    """An episode in which everything has been inspected; it still runs, with an unlimited budget."""
    episode = scope.episode(seed, start=start, max_steps=UNLIMITED)
    look_at_all(episode)
    return episode


def look_at_all(episode: Episode[Any]) -> None:
    """Inspect everything in an episode that has just begun, with an unlimited budget."""
    for call in calls_of(make_policy("look_only", episode.task, episode.seed), episode):
        if call.action_name == "finish":
            break


def course_of(scope: Scope, seed: int, *episodes: Episode[Any]) -> tuple[object, ...]:
    """All that decides how episodes of a scenario go on, whatever their descriptions say.

    Framings that differ in the description only have the same: what their states lead to is searched once.
    """
    start = scope.start(seed)
    parts = [[one.state, one.turns, one.max_steps] for one in episodes]
    decisive = [scope.subject.ref, scope.split, seed, scope.variant.level, start.state, parts]
    digest = sha256(pickle.dumps(decisive, protocol=pickle.HIGHEST_PROTOCOL)).digest()
    # The rows themselves: those of one name need not do the same in every framing.
    return digest, *start.actions.values()


def wrong_words(scope: Scope, episode: Episode[Any]) -> str | None:
    """What is wrong where a call wrote into the words of a scenario, which all states of an episode share."""
    if episode.state.words == scope.start(episode.seed).state.words:
        return None
    return "a call writes into the words of the scenario, which never change"


# Facts as atoms ------------------------------------------------------------------------------------------


def atoms(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """The facts in a value, one leaf per path; `False`, `None` and empty values count as absent."""
    found: dict[tuple[str, ...], Any] = {}
    _collect(value, path, found)
    return found


def facts_of(state: State[Any]) -> dict[tuple[str, ...], Any]:
    """The facts of a state, including the upkeep's."""
    return atoms((state.facts, state.upkeep))


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


class Truths:
    """Numbers for what is true in states: equal facts, equal number.

    Attributes:
        atoms: The facts of each number.
    """

    def __init__(self) -> None:
        self.atoms: list[frozenset[Any]] = []
        self._numbers: dict[frozenset[Any], int] = {}
        self._dumped: dict[bytes, int] = {}

    def of(self, state: State[Any]) -> int:
        """The number of what is true in a state."""
        # Equal bytes are equal facts, which spares most of the walking.
        dumped = pickle.dumps((state.facts, state.upkeep), protocol=pickle.HIGHEST_PROTOCOL)
        if dumped not in self._dumped:
            truth = frozenset(facts_of(state).items())
            if truth not in self._numbers:
                self._numbers[truth] = len(self.atoms)
                self.atoms.append(truth)
            self._dumped[dumped] = self._numbers[truth]
        return self._dumped[dumped]


# Calls ---------------------------------------------------------------------------------------------------


def parsed(actions: Mapping[str, Action[Any]], state: State[Any], move: Move) -> Any:
    """The checked parameters of a well-formed move."""
    view = {**state.knowledge.tables, "available_actions": actions}
    return actions[move.name].params.parse(move.params, view)


def verdict(actions: Mapping[str, Action[Any]], state: State[Any], move: Move) -> str:
    """Judge a call by the rules before it is made.

    Returns:
        `unknown`, `malformed`, `blocked`, `refused`, `mistake`, `approved` or `allowed`. Written apart from
        the engine's step, so that the two check each other.
    """
    return judged(actions, state, move)[0]


def judged(actions: Mapping[str, Action[Any]], state: State[Any], move: Move) -> tuple[str, Any]:
    """The verdict, and the checked parameters where the call is not malformed."""
    action = actions.get(move.name)
    if action is None:
        return "unknown", None
    try:
        p = parsed(actions, state, move)
    except Malformed:
        return "malformed", None
    if action.check is not None and action.check(state, p) is not None:
        return "malformed", None
    if action.blocked is not None and action.blocked(state, p) is not None:
        return "blocked", p
    if action.unmet(state, p) is not None:
        return "refused", p
    if action.risk_in(state, p) is Risk.IRREVERSIBLE and not (
        action.gate and action.gate.authorised(state, p)
    ):
        return ("approved" if is_covered(state, action, p) else "mistake"), p
    return "allowed", p


def is_question(episode: Episode[Any], move: Move) -> bool:
    """Whether a move asks the reviewer."""
    return move.name == episode.task.escalation.name


def is_needless(episode: Episode[Any], state: State[Any], move: Move) -> bool:
    """Whether a question counts as an over-escalation; it is put to a copy of the episode's state."""
    before = state.ledger.over_escalations
    episode.actions[move.name].effect(state, parsed(episode.actions, state, move))
    return state.ledger.over_escalations > before


def every_move(episode: Episode[Any]) -> list[Move]:
    """Every well-formed call in this state, and a question about each action and target."""
    view, ask = view_of(episode.observation()), episode.task.escalation.name
    moves = _acts(episode, view)
    listed = view["available_actions"]
    asked = {to_json(one.params): one for one in (question_among(listed, ask, move) for move in moves)}
    return [*moves, *asked.values()]


def every_act(episode: Episode[Any]) -> list[Move]:
    """Every well-formed call in this state, without questions."""
    return _acts(episode, view_of(episode.observation()))


def _acts(episode: Episode[Any], view: Mapping[str, Any]) -> list[Move]:
    task = episode.task
    names = [name for name in episode.actions if name != task.escalation.name]
    return [move for name in names for move in every_call_in(view, task.schemas, name)]


def in_turn(
    episode: Episode[Any],
    rng: Random,
    steps: int,
    *,
    avoid: Callable[[Move], bool] = lambda _move: False,
    asks: bool = False,
) -> Iterator[Move]:
    """Calls that the rules allow, of every action in turn, so that what is done is taken back now and then.

    No call falls under `avoid`. With `asks` the reviewer is asked about an action of which every call would
    be a mistake. The caller may leave a call out.
    """
    ask = episode.task.escalation.name
    turns = Counter({name: 0 for name in episode.actions if name not in (ask, "finish")})
    for _ in range(steps):
        if episode.done:
            return
        seen = episode.observation()
        # As many turns as there are actions, since all but one may have nothing to do.
        for _ in turns:
            least = min(turns.values())
            name = rng.choice([one for one, times in turns.items() if times == least])
            turns[name] += 1
            moves = list(every_call_in(view_of(seen), episode.task.schemas, name))
            rng.shuffle(moves)
            move, fatal = _first_allowed(episode, moves, avoid)
            if move is None and fatal is not None and asks:
                move = question(seen, ask, fatal)
            if move is not None:
                yield move
                break


def _first_allowed(
    episode: Episode[Any], moves: Iterable[Move], avoid: Callable[[Move], bool]
) -> tuple[Move | None, Move | None]:
    """The first move that the rules allow, and the last one before it that would be a mistake."""
    fatal = None
    for move in moves:
        found = "avoided" if avoid(move) else verdict(episode.actions, episode.state, move)
        if found in ("allowed", "approved"):
            return move, fatal
        if found == "mistake":
            fatal = move
    return None, fatal


def walking(
    episode: Episode[Any], rng: Random, steps: int, avoid: Callable[[Move], bool] = lambda _move: False
) -> Iterator[Move]:
    """Random well-formed moves that neither end the episode nor fall under `avoid`.

    The caller makes each move before it asks for the next.
    """
    task, seen = episode.task, episode.observation()
    for _ in range(steps):
        if episode.done:
            return
        # All else that a call is drawn from stays as it was.
        seen["current_state"] = episode.state.knowledge.tables
        move = random_call(seen, task.schemas, task.escalation.name, rng.choice)
        if move.name == "finish" or verdict(episode.actions, episode.state, move) == "mistake" or avoid(move):
            continue
        yield move
