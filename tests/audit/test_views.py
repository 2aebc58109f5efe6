"""The audit `views`: clean on the tasks, and it catches a state whose fields come, go or move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from safeact_env.audit.views import VIEWS_MERGE, updated
from safeact_env.core import observation
from safeact_env.core.state import Knowledge
from safeact_env.core.task import Task
from safeact_env.core.variant import Variant
from safeact_env.tasks import OFFICIAL, get_task
from tests.audit.mutants import changed, row, scope_of
from tests.toy import TOY


def breaches(task: Task[Any]) -> str:
    return "; ".join(one.message for one in VIEWS_MERGE.run(scope_of(task)).breaches)


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_task_is_clean(name: str) -> None:
    result = VIEWS_MERGE.run(scope_of(get_task(name), 2))
    assert not result.breaches
    assert result.checked > 100


def comes(state: Any, params: Any) -> str:
    put(state, params.box, {**state.knowledge.tables["boxes"][params.box], "weight": 3})
    return "It was weighed."


def goes(state: Any, params: Any) -> str:
    row = state.knowledge.tables["boxes"][params.box]
    put(state, params.box, {name: value for name, value in row.items() if name != "tag"})
    return "The tag fell off."


def moves(state: Any, params: Any) -> str:
    row = dict(state.knowledge.tables["boxes"][params.box])
    status = row.pop("status")
    put(state, params.box, {**row, "status": status})
    return "It is listed last."


def put(state: Any, box: str, row: dict[str, Any]) -> None:
    state.knowledge.publish(boxes={**state.knowledge.tables["boxes"], box: row})


def writes_past(state: Any, params: Any) -> str:
    state.knowledge.tables["boxes"][params.box]["status"] = "gone"
    return "Nobody is shown."


@pytest.mark.parametrize("effect", [comes, goes, moves])
def test_a_field_that_comes_goes_or_moves_is_caught(effect: Callable[..., str]) -> None:
    assert breaches(TOY) == ""
    assert "a field comes, goes or moves in the state at step" in breaches(
        changed(TOY, "photograph", effect=effect)
    )


def test_a_write_past_show_is_caught() -> None:
    assert "what is shown is not what is known" in breaches(changed(TOY, "photograph", effect=writes_past))


@pytest.mark.parametrize(
    ("name", "call", "table"),
    [
        ("easy", "restore_file", "files"),
        ("medium", "recover_table", "tables"),
        ("hard", "rollback_migration", "services"),
        ("medical", "retract_adverse_event", "patients"),
        ("cloud_infra", "recover_instance", "instances"),
    ],
)
def test_a_write_past_show_is_caught_in_a_call_that_no_policy_makes(name: str, call: str, table: str) -> None:
    task = get_task(name)
    effect = row(task, call).effect

    def noting(state: Any, params: Any) -> str:
        answer: str = effect(state, params)
        next(iter(state.knowledge.tables[table].values()))["note"] += "!"
        return answer

    scope = replace(scope_of(changed(task, call, effect=noting), 2), variant=Variant(4))
    assert "what is shown is not what is known" in str(VIEWS_MERGE.run(scope).breaches)


def test_a_call_that_writes_into_the_words_is_caught() -> None:
    easy = get_task("easy")
    effect = row(easy, "archive_file").effect

    def noting(state: Any, params: Any) -> str:
        state.words.notes[params.path] = "It was archived."
        return str(effect(state, params))

    assert "writes into the words of the scenario" in breaches(changed(easy, "archive_file", effect=noting))


def shows_in_place(self: Knowledge, table: str, /, *path: str, **values: Any) -> None:
    record = self.tables[table]
    for key in path:
        record = record[key]
    record.update(values)
    self._stale.setdefault(table, set()).update(path[:1] or values)


def test_a_record_that_is_written_to_in_place_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken twin of `show`: the tables before the step are the same objects, so nothing differs."""
    monkeypatch.setattr(Knowledge, "show", shows_in_place)
    assert "do not give the state after it" in breaches(get_task("easy"))


def grows(state: Any, params: Any) -> str:
    sides = state.knowledge.tables["boxes"][params.box]["sides"]
    sides.append("lid")
    state.knowledge.show("boxes", params.box, sides=sides)
    return "It has a lid."


def test_a_list_that_is_shown_and_grows_in_place_is_caught() -> None:
    assert "do not give the state after it" in breaches(changed(TOY, "photograph", effect=grows))


def test_changes_that_leave_something_out_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = observation.difference

    def first_only(before: Any, after: Any) -> Any:
        found = real(before, after)
        return found and dict(list(found.items())[:1])

    monkeypatch.setattr(observation, "difference", first_only)
    assert "do not give the state after it" in breaches(get_task("easy"))


def test_changes_are_put_in_their_place() -> None:
    before = {"a": {"b": 1, "c": {"d": None}}, "e": [1]}
    changes = {"a": {"c": {"d": {"x": 1}}}, "e": []}
    assert updated(before, changes) == {"a": {"b": 1, "c": {"d": {"x": 1}}}, "e": []}
    assert before == {"a": {"b": 1, "c": {"d": None}}, "e": [1]}
