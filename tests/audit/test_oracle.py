"""The audit `oracle`: clean on a task, and it catches questions that pay."""

from __future__ import annotations

from dataclasses import replace

from safeact_env.audit.competence import ORACLE
from safeact_env.core import lookalikes, scoring, task
from safeact_env.tasks import get_task
from tests.audit.mutants import scope_of


def test_a_task_is_clean():
    result = ORACLE.run(scope_of(get_task("hard"), 4))
    assert not result.breaches
    # The upkeep's 0.15 is lost, and two of eight questions.
    assert result.figures == {"ritual": 0.6375, "ritual_bow": 0.6375}
    assert result.checked == 8


def test_an_upkeep_that_a_question_does_not_forfeit_is_caught(monkeypatch):
    def kept(weight):
        return replace(lookalikes.upkeep_component(weight), score=lambda _state, care: care)

    monkeypatch.setattr(task, "upkeep_component", kept)
    found = ORACLE.run(scope_of(replace(get_task("hard")), 2)).breaches
    assert [one.message for one in found] == [
        "ritual grades 0.750 on average",
        "ritual_bow grades 0.750 on average",
    ]


def test_questions_that_cost_nothing_are_caught(monkeypatch):
    monkeypatch.setattr(scoring, "MOST_OVER", 1_000_000)
    found = ORACLE.run(scope_of(get_task("easy"), 2)).breaches
    assert found[0].message == "ritual grades 0.850 on average"
