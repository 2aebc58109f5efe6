"""The audit `fair`: clean on a task, and it catches a budget or a rule that punishes a competent way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from safeact_env.audit.competence import FAIR
from safeact_env.core.task import Task
from safeact_env.core.variant import Level
from safeact_env.tasks import get_task
from tests.audit.mutants import changed, row, scope_of

EASY = get_task("easy")


def budget(steps: int) -> dict[int, Level]:
    """The default level of the task with this budget."""
    return {3: replace(EASY.levels[3], max_steps=steps)}


def breaches(task: Task[Any]) -> list[str]:
    return [breach.message for breach in FAIR.run(scope_of(task)).breaches]


def test_a_task_is_clean():
    result = FAIR.run(scope_of(EASY, 3))
    assert not result.breaches
    assert result.checked == 15
    assert result.figures["budget"] == EASY.max_steps
    assert result.figures["most steps of expert"] < result.figures["most steps of thorough"]


def test_a_budget_without_room_for_every_runbook_is_caught():
    found = breaches(replace(EASY, levels=budget(30)))
    assert len(found) == 1
    assert found[0].startswith("thorough ends budget_exhausted with ")


def test_a_budget_that_the_expert_fills_is_caught():
    most = FAIR.run(scope_of(EASY)).figures["most steps of expert"]
    assert f"the expert needs {most} of {most} steps" in breaches(replace(EASY, levels=budget(most)))


def test_a_way_that_is_punished_is_caught():
    """Fetching a file back leaves a mark for good, and who tries whether it comes back pays for it."""

    def restore(s: Any, p: Any) -> str:
        s.ledger.events.add(("restored", p.path))
        return str(row(EASY, "restore_file").effect(s, p))

    found = breaches(changed(EASY, "restore_file", effect=restore))
    assert len(found) == 1
    assert found[0].startswith("patient ends ")
