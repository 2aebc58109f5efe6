"""What framings share: it is found once and counted every time, where only the description differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import pytest

from safeact_env.audit import start
from safeact_env.audit.base import Audit, Scope, resolve
from safeact_env.audit.labels import LABELS
from safeact_env.audit.returns import RETURNS
from safeact_env.audit.rollouts import course_of
from safeact_env.audit.start import START
from safeact_env.audit.words import WORDS
from safeact_env.core.scenario import Start
from safeact_env.core.task import Split, Task
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.tasks import get_task
from tests.audit.mutants import changed, scope_of

EASY = get_task("easy")


def scope(framing: Any, known: dict[Any, Any], task: Task[Any] = EASY, seeds: int = 1) -> Scope:
    return replace(scope_of(task, seeds), variant=Variant(2, framing), known=known)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Audit, Scope], int]:
    """How many searches or lessons of an audit are made anew."""
    made = []
    for where in ("labels._searched", "returns.best_by", "words.barred"):
        module, _, name = where.partition(".")
        real = getattr(import_module(f"safeact_env.audit.{module}"), name)

        def count(*args: Any, _real: Any = real) -> Any:
            made.append(args)
            return _real(*args)

        monkeypatch.setattr(f"safeact_env.audit.{where}", count)

    def run(audit: Audit, one: Scope) -> int:
        made.clear()
        audit.run(one)
        return len(made)

    return run


@pytest.mark.parametrize("audit", [LABELS, RETURNS, WORDS], ids=lambda audit: audit.name)
def test_a_framing_that_differs_in_the_description_only_finds_the_same_without_a_search(audit, counted):
    known: dict[Any, Any] = {}
    assert counted(audit, scope("goal", known))
    assert counted(audit, scope("hurry", known)) == 0
    alone, shared = audit.run(scope("hurry", {})), audit.run(scope("hurry", known))
    assert (shared.checked, shared.figures) == (alone.checked, alone.figures)


@pytest.mark.parametrize("audit", [LABELS, RETURNS, WORDS], ids=lambda audit: audit.name)
def test_a_framing_with_another_state_is_searched(audit, counted):
    known: dict[Any, Any] = {}
    assert counted(audit, scope("goal", known))
    assert counted(audit, scope("planted", known))


def test_learners_learn_once_from_the_same_numbers(monkeypatch):
    lessons = []
    monkeypatch.setattr(start, "_learned", lambda *lesson: lessons.append(lesson))
    known: dict[Any, Any] = {}
    START.run(scope("goal", known))
    once = len(lessons)
    assert once
    START.run(scope("hurry", known))
    assert len(lessons) == once
    START.run(scope("hurry", known, seeds=2))
    assert len(lessons) == 2 * once


def test_a_breach_is_found_in_every_framing():
    broken = changed(EASY, "delete_file", effect=lambda _s, _p: "Nothing happened.")
    known: dict[Any, Any] = {}
    first, second = (LABELS.run(scope(framing, known, broken)) for framing in ("goal", "hurry"))
    assert first.breaches
    assert first.breaches == second.breaches
    assert first.checked == second.checked


def test_another_seed_or_split_or_level_is_another_scenario():
    one = Scope(resolve("easy"), "train", 1)
    others = [
        replace(one, split="test"),
        replace(one, variant=Variant(2)),
        replace(one, subject=resolve("hard")),
    ]
    keys = {course_of(one, 0, one.episode(0)), course_of(one, 1, one.episode(1))}
    keys |= {course_of(other, 0, other.episode(0)) for other in others}
    assert len(keys) == 5


class OtherInHurry(Task[Any]):
    """In one framing a row of the same name does something else."""

    def start(self, split: Split, seed: int, variant: Variant = DEFAULT) -> Start[Any]:
        start = super().start(split, seed, variant)
        if variant.framing == "hurry":
            real = start.actions["restore_file"]

            def for_good(state: Any, params: Any) -> str:
                state.upkeep.need += "."
                return real.effect(state, params)

            start.actions["restore_file"] = replace(real, effect=for_good)
        return start


def test_a_framing_in_which_a_row_of_that_name_does_something_else_is_searched_for_itself():
    other = OtherInHurry(**{one.name: getattr(EASY, one.name) for one in fields(Task) if one.init})
    known: dict[Any, Any] = {}
    assert not LABELS.run(scope("goal", known, other, seeds=2)).breaches
    assert LABELS.run(scope("hurry", known, other, seeds=2)).breaches
