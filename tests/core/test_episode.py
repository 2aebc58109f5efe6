"""An episode as a whole: books, observations, sizes, determinism."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

import pytest

from safeact_env.audit.rollouts import walking
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.observation import OPENING
from safeact_env.core.playbook import Move
from safeact_env.core.task import Task
from safeact_env.core.variant import DEFAULT, Level, Variant
from safeact_env.policies.calls import every_call
from safeact_env.tasks import get_task, task_names
from tests.checks import check_books, check_observation, check_reveals, check_unshared, unknown, walk, wire
from tests.play import ask, do, trap, working
from tests.toy import TOY, box, broken_effect, look, toy

TASKS = [TOY, *map(get_task, task_names())]
EVERY_TASK = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


def test_the_start() -> None:
    obs = toy().observation()
    check_observation(obs)
    assert (obs["last_action_result"], obs["reward"], obs["done"]) == (OPENING, 0.0, False)
    assert (obs["steps_remaining"], obs["action_history"]) == (TOY.max_steps, [])
    assert toy().grade().score == 0.0


@EVERY_TASK
def test_the_books_balance_at_every_step(task: Task[Any]) -> None:
    for seed in range(4):
        played = Episode(task, "train", seed)
        for move in walking(played, Random(seed), 30):
            played.step(move.call())
            check_books(played)
            check_observation(played.observation())
            if played.done:
                break


@pytest.mark.parametrize("end", ["finish", "mistake", "budget", "completed"])
def test_metadata_at_the_end_only(end: str) -> None:
    played = toy(2, "test")
    while not played.done and end == "budget":
        do(played, "roll_back_upkeep")
    if end == "finish":
        do(played, "finish", summary="x")
    elif end == "mistake":
        do(played, trap(played))
    elif end == "completed":
        name = box(played, "ordered")
        for role in ("plain", "ordered"):
            do(played, "look", box=box(played, role))
        do(played, "move", box=box(played, "plain"))
        do(played, "photograph", box=name)
        ask(played, "burn", box=name)
        do(played, "burn", box=name)
        do(played, "read_runbook", action_name=working(played))
        assert played.observation()["metadata"] == {}
        do(played, working(played))
    obs = played.observation()
    check_observation(obs)
    meta = obs["metadata"]
    assert (meta["seed"], meta["split"], meta["steps"]) == (2, "test", len(played.turns))
    assert meta["score"] == played.grade().score
    assert meta["components"] == played.grade().components
    outcomes = {"finish": "finished", "mistake": "irreversible_mistake", "budget": "budget_exhausted"}
    assert meta["outcome"] == outcomes.get(end, "completed")


@EVERY_TASK
def test_an_observation_shares_no_container(task: Task[Any]) -> None:
    played = Episode(task, "train", 0)
    check_unshared(played)
    walk(played, Random(0), 12)
    check_unshared(played)
    do(played, "finish", summary="x")
    check_unshared(played)
    fresh = wire(Episode(task, "train", 0).observation())
    check_unshared(Episode(task, "train", 0))
    assert wire(Episode(task, "train", 0).observation()) == fresh


def worst(played: Episode[Any], text: str) -> list[Call]:
    """Calls that try to fill an observation: every name and every free parameter at the limits."""
    many = {f"{text[:3_990]}{n}": text for n in range(16)}
    calls = [Call(text, {}, text), Call(text, many, text)]
    obs = played.observation()
    for row in obs["available_actions"]:
        name, own = row["name"], dict.fromkeys(row["parameters"], text)
        calls += [Call(name, own, text), Call(name, {**own, **dict(list(many.items())[:8])}, text)]
        if name not in (played.task.escalation.name, "finish"):
            for move in every_call(obs, played.task.schemas, name)[:3]:
                calls += [Call(name, params, text) for params in stuffed(played, move, text)]
    return calls


def stuffed(played: Episode[Any], move: Move, text: str) -> Iterator[dict[str, Any]]:
    """A well-formed call, and the same with each free text made long, also inside of SQL."""
    yield move.params
    sources = played.actions[move.name].params.sources
    for key, value in move.params.items():
        if key not in sources and isinstance(value, str):
            yield {**move.params, key: text}
            literal = text[:300].replace("'", "''")
            yield {**move.params, key: value.replace("SELECT", f"SELECT '{literal}', '{literal}',")}


def growth(task: Task[Any], call: Call) -> int:
    """By how much a call makes the next observation grow; 0 if it ends the episode."""
    played = Episode(task, "train", 0)
    before = len(wire(played.observation()).encode())
    played.step(call)
    return 0 if played.done else len(wire(played.observation()).encode()) - before


@pytest.mark.parametrize("letter", ["x", "\x01", '"', "é", "\U0001f600"])
@EVERY_TASK
def test_no_calls_make_an_observation_grow_past_its_bound(task: Task[Any], letter: str) -> None:
    calls = worst(Episode(task, "train", 0), letter * 4_000)
    largest = Variant(max(task.levels))
    for call, variant in product(sorted(calls, key=lambda call: -growth(task, call))[:2], (DEFAULT, largest)):
        played = Episode(task, "train", 0, variant=variant)
        do(played, "read_handbook")
        while not played.done:
            played.step(call)
        assert len(played.turns) > 1
        check_observation(played.observation())


def test_the_history_is_clipped() -> None:
    played = toy()
    played.step(Call.parse("n" * 4_000, {"k" * 4_000: "v" * 4_000, "l": ["w" * 4_000]}, "why"))
    row = played.observation()["action_history"][0]
    assert row["action"] == "n" * 77 + "…"
    assert row["params"] == {"k" * 79 + "…": "v" * 159 + "…", "l": ["w" * 159 + "…"]}
    played.step(Call.parse("n", {"l": ["w" * 200] * 4}, "why"))
    assert set(played.observation()["action_history"][1]["params"]) == {"omitted"}


def test_an_entry_of_the_history_takes_its_share_of_the_room_at_most() -> None:
    """Fixed when it is written, whatever comes after."""
    for budget, room in ((20, 2_000), (50, 800), (100, 400)):
        played = toy(task=replace(TOY, levels={3: Level(None, budget)}))
        broken_effect(played, "look", lambda _state, _params: "x" * 5_000)
        name = box(played, "plain")
        played.step(Call.parse("look", {"box": name}, "why"))
        first = played.observation()["action_history"][0]
        overhead = len(compact({**first, "result": ""}))
        assert len(compact(first)) == min(room, overhead + 800)
        played.step(Call.parse("n" * 4_000, {"l": "w" * 200}, "why"))
        rows = played.observation()["action_history"]
        assert rows[0] == first
        assert ("omitted" in rows[1]["params"]) is (room == 400)


def compact(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()


DIGEST = "from tests.core.test_episode import digest; print(digest())"


def digest() -> str:
    """Everything that a few episodes of every task show."""
    shown = hashlib.sha256()
    for task in TASKS:
        for split in ("train", "test"):
            played = Episode(task, split, 11)
            rng = Random(f"{task.name}/{split}")
            shown.update(wire(played.observation()).encode())
            for move in walking(played, rng, 25):
                played.step(move.call())
                shown.update(wire(played.observation()).encode())
                if played.done:
                    break
            shown.update(repr(played.grade()).encode())
    return shown.hexdigest()


def test_the_same_under_any_hash_seed() -> None:
    def run(seed: str) -> str:
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=env, capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout.strip()

    assert {run("0"), run("4242")} == {digest()}


def test_a_set_in_a_sentence_is_caught() -> None:
    code = "print(list({'amber', 'birch', 'cedar', 'dune', 'elm', 'fir'}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(found) > 1


def test_hidden_values_show_after_a_call_on_that_entity() -> None:
    for seed in range(10):
        played = toy(seed)
        assert unknown(played.state.knowledge.tables)
        for move in walking(played, Random(seed), 15):
            check_reveals(played, move)
            if played.done:
                break


def test_a_value_shown_too_early_is_caught() -> None:
    def chatty(state: Any, params: Any) -> str:
        for name, one in state.facts.boxes.items():
            state.knowledge.show("boxes", name, role=one.role)
        return look(state, params)

    played = toy()
    broken_effect(played, "look", chatty)
    with pytest.raises(AssertionError, match="revealed"):
        check_reveals(played, Move("look", {"box": box(played, "plain")}))


def test_knowledge_refuses_a_field_it_does_not_show() -> None:
    played = toy()
    with pytest.raises(KeyError):
        played.state.knowledge.show("boxes", box(played, "plain"), secret=1)


def test_grading_is_pure() -> None:
    played = toy()
    walk(played, Random(3), 8)
    before = wire(played.observation())
    assert len({repr(played.grade()) for _ in range(3)}) == 1
    assert wire(played.observation()) == before


def test_rewards_are_shown_as_they_were_given() -> None:
    played = toy()
    for name in played.state.facts.boxes:
        turn = do(played, "look", box=name)
        assert played.observation()["reward"] == turn.reward == turn.points / 10_000


@pytest.mark.parametrize(
    ("split", "seed"), [("validation", 0), ("train", -1), ("train", True), ("test", 2**63)]
)
def test_a_start_that_does_not_exist_is_refused(split, seed):
    with pytest.raises(ValueError, match="must be"):
        Episode(TOY, split, seed)
