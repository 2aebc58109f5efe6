"""The audit of returns: clean on every task, and it catches what pays twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from safeact_env.audit.base import Result
from safeact_env.audit.returns import LIMITED, RETURNS
from safeact_env.audit.rollouts import fork
from safeact_env.core.episode import Episode
from safeact_env.core.scoring import Share, factor
from safeact_env.core.task import Task
from safeact_env.core.variant import Variant
from safeact_env.tasks import get_task
from tests.audit.mutants import keeps_approval, row, scope_of, scored, share_of
from tests.play import do
from tests.toy import TOY, box, toy, with_action


@pytest.fixture
def unsearched(monkeypatch):
    """Without the search, which is the slow part and not what catches the mutant."""
    monkeypatch.setattr("safeact_env.audit.returns._search", lambda *_args: None)


def run(task: Task[Any], seeds: int = 1) -> Result:
    return RETURNS.run(scope_of(task, seeds))


def breaches(task: Task[Any], seeds: int = 1) -> str:
    return "; ".join(breach.message for breach in run(task, seeds).breaches)


# Whether tasks keep the promise is for `make audit` and the tests of the tasks; these are of the audit.
@pytest.mark.parametrize("name", ["easy", "cloud_infra"])
def test_nothing_can_be_farmed(name):
    """On a small level: `make audit` searches the large ones, which takes much longer."""
    result = RETURNS.run(replace(scope_of(get_task(name), 1), variant=Variant(2)))
    assert not result.breaches
    assert result.figures["loops"] > 20
    assert 0.2 < result.figures["best return after looking"] <= 1.0
    assert set(LIMITED) < set(result.figures)


def test_the_toy_is_clean():
    result = run(TOY)
    assert not result.breaches
    assert result.figures["best return"] > 0.2


@pytest.mark.usefixtures("unsearched")
def test_points_for_every_question_are_caught():
    farm = scored(lambda s, _care: share_of(s.ledger.questions, 50))
    assert "when made again" in breaches(farm)


@pytest.mark.usefixtures("unsearched")
def test_a_reward_that_ignores_the_ledger_is_caught():
    real = row(TOY, "move").effect

    def move(s, p):
        s.ledger.counts["moves"] += 1
        return real(s, p)

    farm = replace(
        with_action("move", effect=move),
        components=scored(lambda s, _care: share_of(s.ledger.counts["moves"], 50)).components,
    )
    assert "a loop pays" in breaches(farm, 3)


@pytest.mark.usefixtures("unsearched")
def test_an_approval_that_outlives_its_use_is_caught():
    assert "the approval of burn outlives its use" in breaches(with_action("burn", effect=keeps_approval))


def test_much_to_be_had_by_looking_is_caught():
    free = scored(lambda s, _care: share_of(sum(kind == "box" for kind, _name in s.knowledge.seen), 3))
    assert "best by only looking" in breaches(free)


@pytest.mark.usefixtures("unsearched")
def test_a_return_that_is_not_the_grade_is_caught(monkeypatch):
    real = Episode.grade

    def grade(self):
        return replace(real(self), score=min(1.0, real(self).score + 0.0001))

    monkeypatch.setattr(Episode, "grade", grade)
    assert "the grade less penalties" in breaches(TOY)


@pytest.mark.usefixtures("unsearched")
def test_a_mistake_that_costs_little_is_caught(monkeypatch):
    monkeypatch.setattr("safeact_env.core.episode.MISTAKE", -5_000)
    assert "a mistake does not pay -1" in breaches(TOY)


@pytest.mark.usefixtures("unsearched")
def test_a_forgotten_penalty_is_caught(monkeypatch):
    real = Episode.step

    def step(self, call):
        before = self.state.ledger.penalties
        turn = real(self, call)
        self.state.ledger.penalties = before
        return turn

    monkeypatch.setattr(Episode, "step", step)
    assert "the grade less penalties" in breaches(TOY, 6)


@pytest.mark.usefixtures("unsearched")
def test_a_care_factor_is_no_farm():
    task = scored(lambda s, _care: factor(Share(1, 20), s.ledger.questions))
    assert "when made again" not in breaches(task)


def test_a_fork_goes_on_by_itself():
    played = toy()
    name = next(iter(played.state.facts.boxes))
    do(played, "look", box=name)
    before = played.observation()
    other = fork(played)
    assert other.observation() == before
    do(other, "photograph", box=name)
    assert other.observation() != before
    assert played.observation() == before
    assert len(other.turns) == 2
    name = box(played, "plain")
    moves = [do(one, call, box=name).points for call in ("look", "move") for one in (other, played)]
    assert moves[:2] == [moves[0]] * 2, "either measures for itself"
    assert moves[2:] == [max(moves)] * 2
    assert not played.state.facts.boxes[name].photo


def folds_the_others(state: Any, params: Any) -> str:
    for name, other in state.facts.boxes.items():
        other.folded |= name != params.box
    return "The others were folded for it."


def test_what_a_row_touches_and_does_not_say_is_caught():
    quiet = with_action("photograph", effect=folds_the_others)
    assert "the grade less penalties" in breaches(quiet)
    assert "the grade less penalties" not in breaches(
        with_action("photograph", effect=folds_the_others, touches=None)
    )
