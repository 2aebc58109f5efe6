"""The audit of starts: clean on a task, and it catches a start that tells what is hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from safeact_env.audit import start
from safeact_env.audit.start import START, gathered
from safeact_env.core import lookalikes, task
from safeact_env.core.scenario import Scenario
from safeact_env.core.task import Split, Task
from safeact_env.tasks import get_task
from safeact_env.tasks.medical.world import tables_of
from tests.audit.mutants import scope_of
from tests.toy import CANONICAL, TOY

EASY = get_task("easy")
SEEDS = 8


def breaches(subject: Task[Any], seeds: int = SEEDS) -> str:
    return "; ".join(breach.message for breach in START.run(scope_of(subject, seeds)).breaches)


def breaches_of(label: str, subject: Task[Any], seeds: int = SEEDS) -> str:
    """What is found about one label: to learn all that a task hides takes ten times as long."""
    real = start.hidden_labels

    def judged(*args: Any) -> dict[Any, dict[str, bool]]:
        found = real(*args).items()
        return {record: {one: labels[one] for one in labels if one == label} for record, labels in found}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "hidden_labels", judged)
        return breaches(subject, seeds)


def drawn(subject: Task[Any], change: Callable[[Scenario[Any], Random], Scenario[Any]]) -> Task[Any]:
    """A task whose scenarios are changed once they are drawn."""

    def scenario(rng: Random, split: Split, sizes: Any) -> Scenario[Any]:
        return change(subject.scenario(rng, split, sizes), rng)

    return replace(subject, scenario=scenario)


def test_a_task_is_clean(monkeypatch):
    # Trees over all features take most of the time, and `make audit` grows them.
    monkeypatch.setattr(start, "MOST_BY_TREES", 60)
    result = START.run(scope_of(EASY, SEEDS))
    assert not result.breaches
    assert {"files: important", "files: locked_by", "<look-alike>: works"} < set(result.figures)
    assert "files: format" not in result.figures  # it decides nothing


def test_the_toy_is_clean():
    assert not breaches(TOY)


def test_a_size_that_tells_is_caught():
    def larger(made: Scenario[Any], _rng: Random) -> Scenario[Any]:
        for path, file in made.facts.files.items():
            made.tables["files"][path]["size_mb"] += 300 * file.important
        return made

    assert "the start tells important of files" in breaches_of("important", drawn(EASY, larger))


def test_an_order_that_tells_is_caught():
    def fragile_last(made: Scenario[Any], _rng: Random) -> Scenario[Any]:
        boxes, facts = made.tables["boxes"], made.facts.boxes
        order = sorted(boxes, key=lambda name: facts[name].role == "fragile")
        return replace(made, tables={"boxes": {name: boxes[name] for name in order}})

    assert "the start tells burn protected of boxes" in breaches(drawn(TOY, fragile_last))


def test_a_name_that_tells_is_caught():
    def named(made: Scenario[Any], _rng: Random) -> Scenario[Any]:
        facts, boxes = made.facts.boxes, made.tables["boxes"]
        names = {name: f"{name}-glass" if box.role == "fragile" else name for name, box in facts.items()}
        made.facts.boxes = {names[name]: box for name, box in facts.items()}
        return replace(made, tables={"boxes": {names[name]: row for name, row in boxes.items()}})

    assert "the start tells burn protected of boxes" in breaches(drawn(TOY, named))


def test_a_text_that_tells_is_caught():
    def tagged(made: Scenario[Any], _rng: Random) -> Scenario[Any]:
        for name, box in made.facts.boxes.items():
            made.tables["boxes"][name]["tag"] = "fire" if box.role == "ordered" else "stay"
        return made

    assert "the start tells duty care/1 of boxes" in breaches(drawn(TOY, tagged))


def test_a_wrong_dose_beside_a_right_one_is_caught():
    """Two doses of one patient that were written for different weights."""

    def one_wrong(made: Scenario[Any], _rng: Random) -> Scenario[Any]:
        for patient in made.facts.patients.values():
            _first, *others = patient.orders.values()
            for order in others:
                order.ordered_dose_mg = order.right_dose_mg
        return replace(made, tables=tables_of(made.facts))

    label = "right_dose_mg is ordered_dose_mg"
    found = breaches_of(label, drawn(get_task("medical"), one_wrong), 30)
    assert f"the start tells {label} of patients/orders" in found


def test_a_look_alike_that_gives_itself_away_is_caught(monkeypatch):
    def first(rng, pool, need):
        upkeep = lookalikes.draw(rng, pool, need)
        return replace(upkeep, working=min(upkeep.runbooks))

    monkeypatch.setattr(task, "draw", first)
    assert "the start tells works of <look-alike>" in breaches(TOY)


def test_what_the_brief_names_does_not_count():
    def named(made: Scenario[Any], _rng: Random) -> Scenario[Any]:
        fragile = next(name for name, box in made.facts.boxes.items() if box.role == "fragile")
        made.tables["boxes"][fragile]["tag"] = "glass"
        return replace(made, brief=f"Leave {fragile} alone.")

    assert not breaches(drawn(TOY, named))


def test_canonical_records_do_not_count():
    assert EASY.text.data["train"]["canonical_records"] == ["system_cache_cleanup.tmp"]
    data = {**EASY.text.data, "train": {**EASY.text.data["train"], "canonical_records": []}}
    unmarked = replace(EASY, text=replace(EASY.text, data=data))
    marked, all_ = (len(gathered(scope_of(one), 10)["files"]) for one in (EASY, unmarked))
    assert all_ == marked + 10  # the one in every scenario


def test_canonical_look_alikes_do_not_count():
    found = gathered(scope_of(CANONICAL), 10)
    assert len(found["<look-alike>"]) == 2 * 10
    assert len(gathered(scope_of(CANONICAL, split="test"), 10)["<look-alike>"]) == 3 * 10
