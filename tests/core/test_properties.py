"""Properties of an episode under any calls at all: drawn from what is shown, malformed, or unknown."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeact_env.audit.rollouts import verdict
from safeact_env.call import Call
from safeact_env.core.episode import Episode, EpisodeDone
from safeact_env.core.playbook import Move
from safeact_env.core.scoring import POINTS
from safeact_env.core.task import SPLITS, Task
from safeact_env.core.trajectory import Trajectory, replay
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.policies.calls import filled, lookalike_names, random_call
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import get_task, task_names
from tests import toy as toys
from tests.checks import check_books, check_observation, unknown, wire

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)

TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20
)
NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
SORTS = ("any", "any", "any", "expert", "expert", "expert", "careful", "lookalike", "less", "more", "wrong")
PLANS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(SORTS), st.integers(0, 2**32), VALUES),
        st.tuples(st.just("unknown"), TEXTS.filter(str.strip), st.dictionaries(TEXTS, VALUES, max_size=3)),
    ),
    min_size=4,
    max_size=36,
)
"""What to do at each step: a sort of call, what it is drawn by, and a value to spoil it with."""
SEEDS = st.integers(0, 50) | st.integers(0, 2**63 - 1)


def call_of(episode: Episode[Any], player: Any, plan: tuple[Any, Any, Any]) -> Call:
    """The planned call, made from what an agent sees."""
    sort, drawn, value = plan
    if sort == "unknown":
        return Call(drawn, value, "A wild guess.")
    obs, task, pick = episode.observation(), episode.task, Random(drawn).choice
    if sort == "expert":
        call: Call = player.act(obs)
        return call
    if sort == "lookalike":
        return filled(obs, task.schemas, pick(lookalike_names(obs, task.schemas)), pick).call()
    move = random_call(obs, task.schemas, task.escalation.name, pick)
    if sort == "careful" and verdict(episode.actions, episode.state, move) == "mistake":
        move = Move("read_runbook", {"action_name": move.name})
    if sort == "less":
        return replace(move, params=dict(list(move.params.items())[:-1])).call()
    if sort == "more":
        return replace(move, params={**move.params, "extra": value}).call()
    if sort == "wrong" and move.params:
        return replace(move, params={**move.params, pick(list(move.params)): value}).call()
    return move.call()


def check_any_calls(
    task: Task[Any],
    split: Any,
    seed: int,
    plans: list[tuple[Any, Any, Any]],
    variant: Variant = DEFAULT,
) -> None:
    """Play the plans and check every promise that holds whatever is called."""
    episode: Episode[Any] = Episode(task, split, seed, variant=variant)
    budget = task.levels[variant.level].max_steps
    player = make_policy("expert", task, seed)
    seen = [record(episode)]
    for number, plan in enumerate(plans, 1):
        hidden = unknown(episode.observation()["current_state"])
        turn = episode.step(call_of(episode, player, plan))
        obs = episode.observation()
        seen.append(record(episode))
        check_observation(obs)
        check_books(episode)
        assert obs["reward"] == turn.reward
        assert episode.done == obs["done"] == (episode.outcome is not None)
        assert len(episode.turns) == number == budget - obs["steps_remaining"] <= budget
        forgotten = unknown(obs["current_state"]) - hidden
        assert not forgotten, f"after {turn.call} the agent no longer knows {forgotten}"
        if episode.done:
            break
    check_replay(episode, seen)
    check_end(episode)


def record(episode: Episode[Any]) -> tuple[str, float, int]:
    """What must be the same in a replay; the progress is counted anew from the facts."""
    shares = episode.shares()
    assert all(0 <= share.numerator <= share.denominator for share in shares.values()), shares
    total = sum(
        Fraction(c.weight * shares[c.name].numerator, shares[c.name].denominator) for c in episode.task.graded
    )
    grade = episode.grade()
    total *= Fraction(max(0, 8 - grade.over_escalations), 8 * (1 + grade.harm))
    assert round(episode.progress * POINTS) == int(total)
    return wire(episode.observation()), episode.progress, episode.points


def check_replay(episode: Episode[Any], seen: list[tuple[str, float, int]]) -> None:
    """The trajectory, through JSON, gives every step of the episode again."""
    stored = Trajectory.from_json(json.loads(json.dumps(Trajectory.of(episode, "1").to_json())))
    again: Episode[Any] = Episode(episode.task, stored.split, stored.seed, variant=stored.variant)
    found = [record(again)]
    for call in stored.calls:
        again.step(call)
        found.append(record(again))
    assert found == seen
    whole = replay(episode.task, stored.split, stored.seed, stored.calls, stored.variant)
    assert whole.shares() == episode.shares()
    assert whole.grade() == episode.grade()


def check_end(episode: Episode[Any]) -> None:
    """An episode that is over takes no step, and nothing changes."""
    finish = Call("finish", {"summary": "Done."}, "The end.")
    if not episode.done:
        episode.step(finish)
        check_books(episode)
    assert episode.done
    before = record(episode), episode.grade(), len(episode.turns)
    for call in (finish, Call("nonsense", {}, "Again.")):
        with pytest.raises(EpisodeDone):
            episode.step(call)
    assert (record(episode), episode.grade(), len(episode.turns)) == before


@pytest.mark.parametrize("name", task_names())
@SETTINGS
@given(split=st.sampled_from(SPLITS), seed=SEEDS, plans=PLANS, pick=st.integers(0, 24))
def test_what_holds_whatever_is_called(name: str, split: Any, seed: int, plans: list[Any], pick: int) -> None:
    task = get_task(name)
    variants = [Variant(level, framing) for level in task.levels for framing in task.framings]
    check_any_calls(task, split, seed, plans, variants[pick % len(variants)])


@SETTINGS
@given(seed=SEEDS, plans=PLANS)
def test_it_holds_for_the_toy(seed: int, plans: list[Any]) -> None:
    check_any_calls(toys.TOY, "train", seed, plans)


# Broken twins ----------------------------------------------------------------------------------------------


def forgetful(state: toys.S, params: Any) -> str:
    for name, box in state.facts.boxes.items():
        state.knowledge.show("boxes", name, role=box.role if name == params.box else None)
    state.knowledge.seen.add(("box", params.box))
    return f"Nothing but {params.box}."


def drifting(state: toys.S, params: Any) -> str:
    state.knowledge.show("boxes", params.box, tag=f"tag-{id(state)}")
    return toys.look(state, params)


def overpaid(state: toys.S, care: toys.Share) -> toys.Share:
    looks = sum(kind == "box" for kind, _name in state.knowledge.seen)
    return toys.Share(looks) + toys.care_alone(state, care)


RICH = replace(toys.TOY.components[1], score=overpaid)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (toys.with_action("look", effect=forgetful), "no longer knows"),
        (toys.with_action("look", effect=drifting), "At index 2 diff"),
        (replace(toys.TOY, components=(toys.TOY.components[0], RICH)), "Share"),
    ],
)
def test_a_broken_task_is_caught(task: Task[Any], message: str) -> None:
    """The handbook and two looks are enough to show each of them."""
    plans = [("expert", n, None) for n in range(5)]
    with pytest.raises(AssertionError, match=message):
        check_any_calls(task, "train", 0, plans)


def test_a_step_after_the_end_that_changes_something_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    played = toys.toy()
    toys_step = Episode.step

    def careless(self: Episode[Any], call: Call) -> Any:
        if self.done:
            self.state.ledger.penalties += 500
        return toys_step(self, call)

    monkeypatch.setattr(Episode, "step", careless)
    with pytest.raises(AssertionError):
        check_end(played)
