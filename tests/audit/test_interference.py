"""Non-interference: the tasks keep it, and broken ones are caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from random import Random
from typing import Any

import pytest

from safeact_env.audit.base import Result, Scope, Subject
from safeact_env.audit.interference import INTERFERENCE, twins_of
from safeact_env.core.action import Action, Gate, Need
from safeact_env.core.episode import Episode
from safeact_env.core.observation import Shown
from safeact_env.core.scenario import Scenario, Start
from safeact_env.core.scoring import Share
from safeact_env.core.state import State
from safeact_env.core.task import SPLITS, Split, Task
from safeact_env.core.twins import Twin, exchange
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.tasks import OFFICIAL, get_task
from safeact_env.tasks.easy import world as volume
from safeact_env.tasks.medical import world as wards
from safeact_env.tasks.medical.grading import order_in
from tests import toy

Change = Callable[[Action[Any]], dict[str, Any]]


@pytest.fixture(autouse=True)
def searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search in fewer scenarios than the audit's own; every kind of twins is revealed in them."""
    monkeypatch.setattr("safeact_env.audit.interference.SEARCHED", 16)


def audit(task: Task[Any], split: Split = "train", seeds: int = 6) -> Result:
    return INTERFERENCE.run(Scope(Subject(task.name, task), split, seeds))


def messages(task: Task[Any], seeds: int = 6) -> list[str]:
    return [breach.message for breach in audit(task, seeds=seeds).breaches]


def with_action(name: str, action: str, change: Change) -> Task[Any]:
    """A task with one row of its table changed."""
    task = get_task(name)
    rows = tuple(replace(row, **change(row)) if row.name == action else row for row in task.actions)
    return replace(task, actions=rows)


def with_component(name: str, component: str, **changes: Any) -> Task[Any]:
    """A task with one line of its grade changed."""
    task = get_task(name)
    lines = tuple(replace(one, **changes) if one.name == component else one for one in task.components)
    return replace(task, components=lines)


def shown_at_once(name: str, component: str) -> Task[Any]:
    """A task whose care units of one component count before the agent was shown that they are."""
    found = next(one for one in get_task(name).components if one.name == component)
    return with_component(
        name,
        component,
        items=tuple(replace(group, shown=lambda _s, _item: True) for group in found.items),
    )


def telling(name: str, action: str, secret: Callable[[State[Any], Any], object]) -> Task[Any]:
    """A task in which an answer ends with something secret."""

    def change(row: Action[Any]) -> dict[str, Any]:
        return {"effect": lambda s, p: f"{row.effect(s, p)} {secret(s, p)}"}

    return with_action(name, action, change)


# The tasks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", OFFICIAL)
def test_what_is_hidden_shows_nowhere_else(name: str, split: Split) -> None:
    result = audit(get_task(name), split)
    assert not result.breaches
    assert result.checked > 400
    assert result.figures["kinds"] == len(twins_of(get_task(name), split))


def test_a_run_is_the_same_every_time() -> None:
    first, second = (audit(get_task("hard"), seeds=2) for _ in range(2))
    assert (first.checked, first.figures) == (second.checked, second.figures)


@pytest.mark.parametrize(
    ("name", "action", "level", "secret"),
    [
        ("cloud_infra", "recover_instance", 4, lambda f: [one.critical for one in f.instances.values()]),
        ("hard", "deprovision_component", 3, lambda f: [one.local_state for one in f.services.values()]),
        ("hard", "reinstate_service", 4, lambda f: [one.local_state for one in f.services.values()]),
        ("medium", "recover_table", 4, lambda f: [one.last_access_days for one in f.tables.values()]),
        ("medical", "readmit_patient", 4, lambda f: [one.critical for one in f.patients.values()]),
    ],
)
def test_a_call_that_takes_back_and_tells_of_others_is_caught(
    name: str, action: str, level: int, secret: Callable[[Any], object]
) -> None:
    task = telling(name, action, lambda s, _p: secret(s.facts))
    scope = Scope(Subject(name, task), "train", 20, variant=Variant(level))
    assert f"{action} tells it in action_history" in str(INTERFERENCE.run(scope).breaches)


# A task from elsewhere -----------------------------------------------------------------------------------


def exchange_roles(_one: Start[toy.Facts], two: Start[toy.Facts], rng: Random) -> tuple[tuple[str], ...]:
    first, second = rng.sample(list(two.state.facts.boxes), 2)
    exchange(two.state.facts.boxes[first], two.state.facts.boxes[second], "role")
    return (first,), (second,)


def easy_with(twin: Twin[Any]) -> Task[Any]:
    """The file cleanup with one kind of twins more."""
    task = get_task("easy")
    return replace(task, twins=(*task.twins, twin))


def test_a_task_from_elsewhere_offers_its_own_twins() -> None:
    assert messages(toy.TOY) == ["no twins differ in what is hidden as [('boxes', 'role')]"]
    assert messages(replace(toy.TOY, twins=(Twin("role", ("look",), exchange_roles),))) == []


def test_a_hidden_field_without_twins_is_noticed() -> None:
    medium = get_task("medium")
    kept = tuple(twin for twin in medium.twins if twin.kind != "rows")
    assert messages(replace(medium, twins=kept), seeds=0) == [
        "no twins differ in what is hidden as [('tables', 'rows')]"
    ]


def test_twins_that_do_not_differ_are_noticed() -> None:
    twin = Twin[Any]("nothing", ("read_file_metadata",), lambda *_: (("a file",),))
    assert messages(easy_with(twin), seeds=0) == ["nothing: read_file_metadata never reveals it"]


def test_an_action_that_does_not_reveal_is_noticed() -> None:
    owner = next(twin for twin in get_task("easy").twins if twin.kind == "owner")
    also = replace(owner, kind="also", revealed_by=("read_file_metadata", "list_directory"))
    assert messages(easy_with(also), seeds=0) == ["also: list_directory never reveals it"]


def test_twins_that_never_occur_are_noticed() -> None:
    never = Twin[Any]("never", ("read_file_metadata",), lambda *_: ())
    assert messages(easy_with(never), seeds=0) == ["never: no such twins in 16 scenarios"]


def test_twins_that_break_a_published_count_are_noticed() -> None:
    def one_more(_one: Any, two: Start[Any], _rng: Random) -> tuple[tuple[str], ...]:
        file = next(file for file in two.state.facts.files.values() if not file.erasure_order)
        file.erasure_order, file.marked = True, False
        return ((file.path,),)

    more = Twin("more", ("read_file_metadata",), one_more)
    assert "more: the tables or the words tell it from the start" in messages(easy_with(more), seeds=0)


# Broken tasks --------------------------------------------------------------------------------------------


def table(s: State[Any], p: Any) -> Any:
    return s.facts.tables[p.table]


def others(records: dict[str, Any], name: str) -> list[Any]:
    return [record for key, record in records.items() if key != name]


def lock_first(row: Action[Any]) -> dict[str, Any]:
    return {"needs": (row.needs[1], row.needs[0], *row.needs[2:])}


def owner_refuses(row: Action[Any]) -> dict[str, Any]:
    """The missing step is named only where something hidden of another file says so."""
    odd = Need[Any](
        "odd", lambda s, p: not others(s.facts.files, p.path)[0].referenced_by, "Another file is referenced."
    )
    return {"needs": (*row.needs, odd)}


def blocked_by_order(row: Action[Any]) -> dict[str, Any]:
    blocked: Any = row.blocked
    return {
        "blocked": lambda s, p: blocked(s, p) or ("Under a drop order." if table(s, p).drop_order else None)
    }


def blocked_if_locked(row: Action[Any]) -> dict[str, Any]:
    blocked: Any = row.blocked
    return {"blocked": lambda s, p: blocked(s, p) or ("Locked." if s.facts.files[p.path].locked_by else None)}


def dose_hinted(_row: Action[Any]) -> dict[str, Any]:
    def check(s: State[Any], p: Any) -> str | None:
        right = s.facts.patients[p.patient].orders[p.drug].right_dose_mg
        return f"{p.dose_mg} mg is beyond {right} mg." if p.dose_mg > 100 else None

    return {"check": check}


def importance_in_an_error(row: Action[Any]) -> dict[str, Any]:
    """The wording of a rule 2 error depends on what is hidden."""

    def check(s: State[Any], p: Any) -> str | None:
        return "Not now." if sum(f.days for f in s.facts.files.values()) % 2 else "Not today."

    return {"check": check}


def gated_by_another(_row: Action[Any]) -> dict[str, Any]:
    def when(s: State[Any], _p: Any) -> bool:
        return sum(patient.weight_kg for patient in s.facts.patients.values()) % 2 == 0

    return {"gate": Gate(when=when)}


def shows_a_neighbour(row: Action[Any]) -> dict[str, Any]:
    def effect(s: State[Any], p: Any) -> str:
        answer = row.effect(s, p)
        for other in others(s.facts.instances, p.instance):
            s.knowledge.show("instances", other.name, utilisation_percent=other.utilisation)
        return answer

    return {"effect": effect}


def paid_for_questions(s: State[Any], care: Share) -> Share:
    """The care, less for steps while the first service keeps local state: a hidden fact in every reward."""
    keeper = next(iter(s.facts.services.values())).local_state
    return care * Share(1, 2) if keeper and s.facts.database.snapshot else care


def holds_judged_unchecked() -> Task[Any]:
    """A hold is harm or none by what the order's check would show, before anybody checked."""
    task = get_task("medical")

    def allowed(ward: Any, item: Any, status: Any) -> bool:
        return bool(status == ("held" if order_in(ward, item).contraindicated else "given"))

    statuses, *rest = task.cells
    return replace(task, cells=(replace(statuses, allowed=allowed), *rest))


BROKEN: dict[str, tuple[Task[Any], str]] = {
    "the reward of a hold tells what the check would show": (
        holds_judged_unchecked(),
        "contraindicated: the reward of hold_medication tells it",
    ),
    "backing up a stale table is paid before it is analyzed": (
        shown_at_once("medium", "backup_discipline"),
        "create_backup tells it in",
    ),
    "a snapshot is paid before the configuration is read": (
        shown_at_once("hard", "snapshot"),
        "create_snapshot tells it in",
    ),
    "a reward depends on a hidden fact about something else": (
        with_component("hard", "snapshot", score=paid_for_questions),
        "tells it in",
    ),
    "a refusal tells the lock before the record is read": (
        with_action("easy", "archive_file", lock_first),
        "lock: archive_file tells it in",
    ),
    "a refusal is judged on another file": (
        with_action("easy", "archive_file", owner_refuses),
        "archive_file on something else is allowed or refused",
    ),
    "a safe action is blocked by a hidden order": (
        with_action("medium", "create_backup", blocked_by_order),
        "drop order: whether create_backup is blocked is judged on something hidden",
    ),
    "a risky action is blocked by a hidden lock": (
        with_action("easy", "archive_file", blocked_if_locked),
        "lock: whether archive_file is blocked is judged on something hidden",
    ),
    "an error hints at the right dose": (
        with_action("medical", "amend_order", dose_hinted),
        "right dose: amend_order tells it in",
    ),
    "an error depends on hidden days": (
        with_action("easy", "restore_file", importance_in_an_error),
        "days: restore_file tells it in",
    ),
    "the risk depends on another patient": (
        with_action("medical", "log_adverse_event", gated_by_another),
        "weight: log_adverse_event on something else is allowed or mistake",
    ),
    "a list tells what is critical": (
        telling(
            "cloud_infra", "list_instances", lambda s, _p: [x.critical for x in s.facts.instances.values()]
        ),
        "list_instances tells it in",
    ),
    "a chart tells of the other patients": (
        telling(
            "medical",
            "review_chart",
            lambda s, p: [x.allergies for x in others(s.facts.patients, p.patient)],
        ),
        "allergies: review_chart tells it in",
    ),
    "a description shows the neighbours": (
        with_action("cloud_infra", "describe_instance", shows_a_neighbour),
        "describe_instance tells it in current_state",
    ),
    "a safe action tells more than it may": (
        telling("medium", "create_backup", lambda s, p: table(s, p).rows),
        "rows: create_backup tells it in",
    ),
    "a check of one component tells of all": (
        telling(
            "hard",
            "check_component_dependencies",
            lambda s, _p: [c.dependencies for c in s.facts.components.values()],
        ),
        "dependencies: check_component_dependencies tells it in",
    ),
}


RARE = {
    "a reward depends on a hidden fact about something else": 12,
    "the reward of a hold tells what the check would show": 12,
}
"""Seeds for what shows in few scenarios only."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_task_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The search for what reveals each twin takes long, and is not what catches these.
    monkeypatch.setattr("safeact_env.audit.interference.SEARCHED", 8)
    task, expected = BROKEN[name]
    found = audit(task, seeds=RARE.get(name, 6))
    assert any(expected in breach.message for breach in found.breaches), [b.message for b in found.breaches]
    assert all(breach.calls for breach in found.breaches if breach.seed is not None)


class WorkingFirst(Task[Any]):
    """Lists the look-alike that works before the others."""

    def start(self, split: Split, seed: int, variant: Variant = DEFAULT) -> Start[Any]:
        start = super().start(split, seed, variant)
        start.available.sort(key=lambda row: row["name"] != start.state.upkeep.working)
        return start


def test_an_order_of_actions_that_tells_is_caught() -> None:
    task = get_task("medical")
    broken = WorkingFirst(**{one.name: getattr(task, one.name) for one in fields(task)})
    assert any("not listed by name" in message for message in messages(broken))


def reclaimable_first(facts: Any, tables: dict[str, Any]) -> dict[str, Any]:
    files = tables["files"]
    return {**tables, "files": {k: files[k] for k in sorted(files, key=lambda k: facts.files[k].important)}}


def test_tables_ordered_by_what_is_hidden_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    task, draw = get_task("easy"), volume.tables_of

    def scenario(rng: Random, split: Split, sizes: Any) -> Scenario[Any]:
        drawn = task.scenario(rng, split, sizes)
        return replace(drawn, tables=reclaimable_first(drawn.facts, drawn.tables))

    assert any("as the scenario draws them" in m for m in messages(replace(task, scenario=scenario), seeds=0))
    monkeypatch.setattr(
        volume, "tables_of", lambda facts, names: reclaimable_first(facts, draw(facts, names))
    )
    assert "importance: the tables or the words tell it from the start" in messages(task, seeds=0)


def test_a_brief_that_tells_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = wards.numbers_of

    def telling_numbers(facts: Any) -> dict[str, Any]:
        held = sum(order.contraindicated for _patient, order in facts.orders())
        return numbers(facts) | {"patients": f"patients, {held} orders to be held,"}

    monkeypatch.setattr(wards, "numbers_of", telling_numbers)
    assert messages(get_task("medical"), seeds=0) == [
        "contraindicated: the tables or the words tell it from the start",
        # What the start tells is not searched for what reveals it.
        "no twins differ in what is hidden as [('patients', 'contraindicated'), ('patients', 'why')]",
    ]


def with_metadata(monkeypatch: pytest.MonkeyPatch, metadata: Callable[[Episode[Any]], object]) -> None:
    """Let every observation show this metadata."""
    real = Episode.shown

    def shown(self: Episode[Any]) -> Shown:
        told = json.dumps(metadata(self)).encode()
        return Shown(real(self).observation.replace(b'"metadata":{}', b'"metadata":%b' % told), told)

    monkeypatch.setattr(Episode, "shown", lambda self, _view="full": shown(self))


def test_metadata_before_the_end_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with_metadata(monkeypatch, lambda episode: {"steps": len(episode.turns)})
    assert any("metadata is shown before the end" in message for message in messages(get_task("hard"), 1))


def test_metadata_that_tells_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with_metadata(monkeypatch, lambda episode: {"upkeep": episode.state.upkeep.working})
    assert "look-alike roles: the start tells it in metadata" in messages(get_task("hard"), 1)
