"""The audit of determinism: clean on every task and transport, and it catches what depends on the process."""

from __future__ import annotations

import pytest

from safeact_env.audit.base import Scope, UnknownTask, resolve
from safeact_env.audit.determinism import DETERMINISM, canonical, determinism
from safeact_env.cli.transports import transports
from safeact_env.core.variant import DEFAULT, Variant
from tests.audit.mutants import FROM_SET, HIDDEN_STATE, scope_of

MUTANTS = "tests.audit.mutants"


@pytest.fixture(scope="module")
def doors():
    """The transports of one server."""
    return transports()


@pytest.fixture
def alone(monkeypatch):
    """Without other processes: to start them is the slow part, and not what catches the mutant."""
    monkeypatch.setattr("safeact_env.audit.determinism.HASH_SEEDS", ())


# Whether tasks keep the promise is for `make audit` and the tests of the tasks; these are of the audit.
@pytest.mark.parametrize("name", ["hard", "medical"])
def test_a_task_is_the_same_in_every_process_and_through_every_door(name, doors):
    found = determinism(doors).run(Scope(resolve(name), "train", 1))
    assert not found.breaches
    assert found.figures["doors"] == ["in process", *doors]
    # One start, four policies in two processes, two policies through two transports in two views.
    assert found.checked == 1 + 8 + 8


def messages(attribute, seeds):
    return [one.message for one in DETERMINISM.run(Scope(resolve(attribute), "train", seeds)).breaches]


def test_a_task_that_depends_on_the_order_of_sets_is_caught():
    assert any("sees other bytes under PYTHONHASHSEED" in one for one in messages(f"{MUTANTS}:FROM_SET", 6))


@pytest.mark.usefixtures("alone")
def test_a_task_that_depends_on_the_generator_of_the_process_is_caught():
    assert any("the global random generator" in one for one in messages(f"{MUTANTS}:FROM_GLOBAL", 6))


@pytest.mark.usefixtures("alone")
def test_a_door_that_answers_otherwise_is_caught(doors):
    real = doors["HTTP, changes"]

    def late(*scenario):
        answers = real(*scenario)
        return [*answers[:3], canonical({}), *answers[4:]]

    def short(*scenario):
        return real(*scenario)[:-1]

    found = determinism({"a late transport": late, "a short transport": short}).run(
        Scope(resolve("easy"), "test", 1)
    )
    told = [breach.message for breach in found.breaches]
    assert told[0] == "a late transport answers otherwise at step 3 of expert"
    assert told[1].startswith("a short transport answers otherwise")
    assert len(found.breaches[0].calls) == 3


@pytest.mark.parametrize("variant", [Variant(5), Variant(4, "planted")])
def test_every_variant_goes_through_every_door(variant, doors):
    found = determinism(doors).run(Scope(resolve("easy"), "test", 1, variant=variant))
    assert not found.breaches
    assert found.checked == 1 + 8 + 8


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("variant", [Variant(4), Variant(3, "goal")])
def test_a_door_that_ignores_the_variant_is_caught(variant, doors):
    real = doors["WebSocket, changes"]

    def default_only(task, split, seed, _variant, calls):
        return real(task, split, seed, DEFAULT, calls)

    scope = Scope(resolve("easy"), "test", 1, variant=variant)
    found = determinism({"a door": default_only}).run(scope).breaches
    assert [breach.message for breach in found] == ["a door answers otherwise at step 0 of expert"]


def test_a_process_that_cannot_find_the_task_is_an_error_and_not_a_pass():
    with pytest.raises(RuntimeError, match="PYTHONHASHSEED=1 failed"):
        DETERMINISM.run(scope_of(FROM_SET, ref="nowhere:TASK"))


def test_hidden_state_of_the_process_is_caught():
    found = DETERMINISM.run(scope_of(HIDDEN_STATE, ref=f"{MUTANTS}:HIDDEN_STATE")).breaches
    assert found


@pytest.mark.parametrize("ref", ["nope", "nowhere:TASK", "tests.audit.mutants:NOPE"])
def test_a_reference_that_leads_nowhere_is_refused(ref):
    with pytest.raises(UnknownTask):
        resolve(ref)
