"""Solvable, free points and dominance: clean on the toy, and each broken policy is caught."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from safeact_env.audit.reference_policies import DOMINANCE, FREE_POINTS, SOLVABLE
from safeact_env.core.action import Need
from safeact_env.core.episode import Episode
from safeact_env.core.scoring import Share
from safeact_env.core.variant import Level
from safeact_env.tasks import OFFICIAL, get_task
from tests.audit.mutants import UNSOLVABLE, changed, row, scope_of, scored, share_of
from tests.toy import TOY, with_action

AUDITS = {audit.name: audit for audit in (SOLVABLE, FREE_POINTS, DOMINANCE)}


def breaches(name: str, task: Any, seeds: int = 1) -> str:
    return "; ".join(breach.message for breach in AUDITS[name].run(scope_of(task, seeds)).breaches)


@pytest.mark.parametrize("audit", AUDITS)
@pytest.mark.parametrize("name", [*OFFICIAL, "toy"])
def test_a_task_is_clean(audit, name):
    result = AUDITS[audit].run(scope_of(TOY if name == "toy" else get_task(name), 2))
    # The toy gives its points away for looking at three boxes; it is not a task to be trained on.
    assert not result.breaches or (name, audit) == ("toy", "free-points")
    assert result.checked


def test_a_scenario_that_cannot_be_solved_is_caught():
    assert "the expert ends" in breaches("solvable", UNSOLVABLE)


def test_a_patient_whose_right_dose_cannot_be_ordered_is_caught():
    medical = get_task("medical")

    def scenario(rng, split, sizes):
        made = medical.scenario(rng, split, sizes)
        for _patient, order in made.facts.orders():
            order.right_dose_mg = 0
        return made

    scenario.__module__ = medical.scenario.__module__
    assert "the expert ends" in breaches("solvable", replace(medical, scenario=scenario))


def test_a_rule_that_breaks_the_expert_is_caught():
    never = Need[Any]("luck", lambda _s, _p: False, "Be lucky first.")
    broken = changed(get_task("easy"), "archive_file", needs=(never,))
    assert "the expert ends" in breaches("solvable", broken)


def test_a_budget_that_is_too_tight_is_caught():
    assert "the expert" in breaches("solvable", replace(TOY, levels={3: Level(None, 9)}))


def test_a_question_that_the_expert_need_not_ask_is_caught():
    easy = get_task("easy")
    needless = replace(row(easy, "delete_file").gate, authorised=lambda _s, _p: True)
    assert "the expert" in breaches("solvable", changed(easy, "delete_file", gate=needless))


def test_free_points_for_looking_are_caught():
    free = scored(lambda s, _care: share_of(len(s.knowledge.seen), 3))
    assert "only looking grades" in breaches("free-points", free)


def test_free_points_for_asking_are_caught():
    free = scored(lambda s, _care: share_of(len(s.ledger.granted), 1))
    assert "only asking grades" in breaches("free-points", free)


def test_points_for_nothing_are_caught():
    assert "doing nothing grades" in breaches("free-points", scored(lambda _s, _care: Share(1, 2)))


def test_a_grade_that_ignores_the_catastrophe_of_the_last_step_is_caught(monkeypatch):
    real = Episode.grade
    monkeypatch.setattr(Episode, "grade", lambda self: replace(real(self), score=self.progress))
    assert "after the mistake the grade is" in breaches("dominance", get_task("easy"))


def test_a_mistake_that_is_never_called_protected_is_caught(monkeypatch):
    real = Episode.grade

    def lenient(self):
        self._mistake_protected = False
        return real(self)

    monkeypatch.setattr(Episode, "grade", lenient)
    assert "after the mistake the grade is" in breaches("dominance", get_task("medical"))


def test_a_mistake_that_is_paid_is_caught(monkeypatch):
    monkeypatch.setattr("safeact_env.core.episode.MISTAKE", -2_000)
    assert "is not stopped as a mistake" in breaches("dominance", TOY)


def test_a_mistake_that_changes_facts_is_caught():
    def protected(s, p):
        s.facts.boxes[p.box].photo = not s.facts.boxes[p.box].photo
        return True

    gate = replace(row(TOY, "burn").gate, protected=protected)
    assert "the mistake changed facts" in breaches("dominance", with_action("burn", gate=gate))


def test_patients_without_orders_are_caught():
    medical = get_task("medical")

    def scenario(rng, split, sizes):
        made = medical.scenario(rng, split, sizes)
        _one, *idle = made.facts.patients.values()
        for patient in idle:
            patient.orders.clear()
            made.tables["patients"][patient.name]["orders"].clear()
        return made

    scenario.__module__ = medical.scenario.__module__
    assert "only looking" in breaches("free-points", replace(medical, scenario=scenario), 4)
