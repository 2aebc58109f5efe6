"""Diversity and names: clean on the toy, and each loaded draw is caught."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from safeact_env.audit import draws
from safeact_env.audit.base import Scope, resolve
from safeact_env.audit.draws import DIVERSITY, NAMES, chi_squared_bound, chi_squared_of
from safeact_env.core import lookalikes, task
from safeact_env.core.variant import Variant
from tests.audit.mutants import scope_of
from tests.toy import CANONICAL, TOY, scenario


def breaches(audit, subject):
    return "; ".join(breach.message for breach in audit.run(scope_of(subject)).breaches)


def with_numbers(rng, split, _sizes):
    """The toy's scenario with numbers, by which streams are told apart."""
    made = scenario(rng, split)
    made.tables["numbers"] = [rng.random() for _ in range(3)]
    return made


def test_the_toy_is_clean():
    assert not breaches(DIVERSITY, replace(TOY, scenario=with_numbers))
    assert not breaches(NAMES, TOY)


def test_a_start_that_ignores_the_seed_is_caught():
    same = replace(TOY, scenario=lambda _rng, split, _sizes: scenario(Random(0), split))
    assert "starts differ" in breaches(DIVERSITY, same)


def test_a_stream_that_is_another_one_shifted_is_caught(monkeypatch):
    real = task.Task.start

    def shifted(self, split, seed, variant):
        return real(self, "train", seed + 1 if split == "test" else seed, variant)

    monkeypatch.setattr(task.Task, "start", shifted)
    found = breaches(DIVERSITY, replace(TOY, scenario=with_numbers))
    assert "have the numbers of the same or the next seed" in found


def test_a_framing_that_hides_numbers_does_not_make_streams_alike(monkeypatch):
    monkeypatch.setattr(draws, "SEEDS", 200)
    monkeypatch.setattr(draws, "LEAST_DISTINCT", 0)
    scope = Scope(resolve("cloud_infra"), "test", 1, variant=Variant(1, "goal"))
    assert DIVERSITY.run(scope).figures["starts shared between streams"] <= 2


@pytest.mark.parametrize("name", ["first", "last"])
def test_an_order_that_gives_the_trap_away_is_caught(monkeypatch, name):
    real = lookalikes.draw

    def ordered(rng, pool, need):
        upkeep = real(rng, pool, need)
        works = (min if name == "first" else max)(upkeep.runbooks)
        return replace(upkeep, working=works)

    monkeypatch.setattr(task, "draw", ordered)
    assert "stands in the three positions in" in breaches(NAMES, TOY)


def test_names_with_unequal_chances_are_caught(monkeypatch):
    real = lookalikes.draw

    def loaded(rng, pool, need):
        upkeep = real(rng, pool, need)
        favourite = pool.names[3].name
        works = rng.random() < 0.3 and favourite in upkeep.runbooks
        return replace(upkeep, working=favourite if works else upkeep.working)

    monkeypatch.setattr(task, "draw", loaded)
    assert "some names are working more often than others" in breaches(NAMES, TOY)


def test_a_description_that_tells_the_role_is_caught(monkeypatch):
    real = TOY.text.pools["train"]
    names = tuple(
        replace(one, description="Brings them up to date gently." if n < 4 else "Brings them up to date.")
        for n, one in enumerate(real.names)
    )
    told = replace(TOY, text=replace(TOY.text, pools={**TOY.text.pools, "train": replace(real, names=names)}))
    gentle = {one.name for one in names[:4]}
    draw = lookalikes.draw

    def loaded(rng, pool, need):
        upkeep = draw(rng, pool, need)
        chosen = [name for name in upkeep.runbooks if name in gentle]
        return replace(upkeep, working=rng.choice(chosen)) if chosen else upkeep

    monkeypatch.setattr(task, "draw", loaded)
    assert "a classifier of names and descriptions picks right" in breaches(NAMES, told)


def test_a_canonical_name_that_works_is_caught(monkeypatch):
    real = lookalikes.draw

    def loaded(rng, pool, need):
        upkeep = real(rng, pool, need)
        canonical = [one.name for one in pool.canonical if one.name in upkeep.runbooks]
        return replace(upkeep, working=canonical[0]) if canonical and rng.random() < 0.05 else upkeep

    monkeypatch.setattr(task, "draw", loaded)
    monkeypatch.setattr(draws, "NAME_SEEDS", 400)
    assert "the canonical names are not exactly one trap" in breaches(NAMES, CANONICAL)


def test_chi_squared_agrees_with_tables():
    assert chi_squared_of([10, 20, 30]) == pytest.approx(10.0)
    # The 0.001 critical values of the tables: 10.83, 24.32, 37.70.
    for freedom, critical in ((1, 10.83), (7, 24.32), (15, 37.70)):
        assert chi_squared_bound(freedom) == pytest.approx(critical, rel=0.04)
