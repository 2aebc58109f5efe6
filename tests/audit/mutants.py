"""Deliberately broken tasks that another process can import: each breaks one promise."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from safeact_env.audit.base import Scope, Subject
from safeact_env.core.scenario import Scenario
from safeact_env.core.scoring import Component, Share
from safeact_env.core.task import Split, Task
from tests.toy import PLAYBOOK, TOY, Facts, scenario, with_action

__all__ = ["PLAYBOOK"]


def scope_of(task: Task[Any], seeds: int = 1, split: Split = "train", ref: str = "a mutant") -> Scope:
    return Scope(Subject(ref, task), split, seeds)


def changed(task: Task[Any], name: str, **changes: Any) -> Task[Any]:
    """A task with one row of its table changed."""
    assert any(row.name == name for row in task.actions)
    rows = tuple(replace(row, **changes) if row.name == name else row for row in task.actions)
    return replace(task, actions=rows)


def row(task: Task[Any], name: str) -> Any:
    return next(one for one in task.actions if one.name == name)


def scored(score: Any) -> Task[Facts]:
    """The toy with this component in the place of its work."""
    return replace(TOY, components=(Component("work", 40, score), TOY.components[1]))


def from_set(rng: random.Random, split: Split, sizes: Any) -> Scenario[Facts]:
    made = scenario(rng, split, sizes)
    hidden = sorted(box.role for box in made.facts.boxes.values())
    for box, role in zip(made.facts.boxes.values(), {*hidden}, strict=True):
        box.role = role
    return made


def from_global(rng: random.Random, split: Split, sizes: Any) -> Scenario[Facts]:
    made = scenario(rng, split, sizes)
    for name, box in made.facts.boxes.items():
        box.tag = f"tag-{random.randint(0, 10**9)}"
        made.tables["boxes"][name]["tag"] = box.tag
    return made


FROM_SET = replace(TOY, name="from_set", scenario=from_set)
FROM_GLOBAL = replace(TOY, name="from_global", scenario=from_global)

TOUCHED = 0


def counting(s: Any, p: Any) -> str:
    """Answers with how often this process has looked: hidden state that no replay has."""
    global TOUCHED
    TOUCHED += 1
    row(TOY, "look").effect(s, p)
    return f"Look number {TOUCHED}."


HIDDEN_STATE = with_action("look", effect=counting)


def share_of(count: int, most: int) -> Share:
    return Share(min(count, most), most)


def keeps_approval(s: Any, p: Any) -> str:
    s.ledger.approvals.add(("burn", (p.box,)))
    return str(row(TOY, "burn").effect(s, p))


REVIVED = with_action(
    "move_back",
    blocked=lambda _s, _p: None,
    effect=lambda s, p: setattr(s.facts.boxes[p.box], "gone", False) or row(TOY, "move_back").effect(s, p),
)
UNSOLVABLE = with_action("burn", blocked=lambda _s, _p: "The oven is cold.")
