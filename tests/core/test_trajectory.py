"""Trajectories: the tuple is the episode."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from safeact_env.call import MAX_INT
from safeact_env.core.task import check_seed
from safeact_env.core.trajectory import Trajectory, TrajectoryError, replay
from tests.checks import walk, wire
from tests.play import do
from tests.toy import TOY, toy


def recorded(seed: int = 4) -> Any:
    played = toy(seed)
    walk(played, Random(seed), 12)
    return played


@pytest.mark.parametrize("seed", range(5))
def test_round_trip_and_replay_byte_for_byte(seed: int) -> None:
    played = recorded(seed)
    one = Trajectory.of(played, "1.2.3")
    again = Trajectory.from_json(json.loads(json.dumps(one.to_json())))
    assert again == one
    replayed = replay(TOY, again.split, again.seed, again.calls)
    assert wire(replayed.observation()) == wire(played.observation())
    assert (replayed.grade(), replayed.points) == (played.grade(), played.points)
    assert [t.result for t in replayed.turns] == [t.result for t in played.turns]


def test_it_starts_empty() -> None:
    one = Trajectory.of(toy(1, "test"), "1")
    assert (one.task, one.task_version, one.split, one.seed, one.calls) == ("toy", 1, "test", 1, ())


def test_leftover_calls_are_refused() -> None:
    played = toy()
    do(played, "finish", summary="x")
    call = played.turns[0].call
    assert replay(TOY, "train", 0, [call]).outcome == "finished"
    with pytest.raises(TrajectoryError, match="over before call 2"):
        replay(TOY, "train", 0, [call, call])


def test_the_json_shares_nothing_with_the_record() -> None:
    played = toy()
    do(played, "look", box={"deep": [1]})
    Trajectory.of(played, "1").to_json()["calls"][0]["parameters"]["box"]["deep"].append(2)
    assert played.turns[0].call.parameters == {"box": {"deep": [1]}}


@pytest.mark.parametrize("field", ["version", "task", "task_version", "split", "seed", "calls"])
def test_a_missing_field_is_named(field: str) -> None:
    data = Trajectory.of(recorded(), "1").to_json()
    del data[field]
    with pytest.raises(TrajectoryError, match=field):
        Trajectory.from_json(data)


CALL = {"action_name": "look", "parameters": {"box": "amber"}, "reasoning": "why"}


@pytest.mark.parametrize(
    "bad",
    [
        {"split": "valid"},
        {"split": None},
        {"split": ["train"]},
        {"seed": -1},
        {"seed": True},
        {"seed": 1.0},
        {"seed": "1"},
        {"seed": MAX_INT + 1},
        {"task_version": float("inf")},
        {"task_version": float("nan")},
        {"task_version": "1"},
        {"task_version": True},
        {"task_version": 1.5},
        {"task_version": None},
        {"task": None},
        {"task": ["toy"]},
        {"version": 1},
        {"calls": None},
        {"calls": "look"},
        {"calls": [None]},
        {"calls": ["look"]},
        {"calls": [[]]},
        {"calls": {"a": 1}},
        {"calls": 7},
        {"calls": [{}]},
        {"calls": [{**CALL, "reasoning": ""}]},
        {"calls": [{**CALL, "parameters": []}]},
        {"calls": [{**CALL, "parameters": {"x": float("nan")}}]},
        {"calls": [{**CALL, "action_name": 1}]},
    ],
)
def test_bad_files(bad: dict[str, Any]) -> None:
    with pytest.raises(TrajectoryError):
        Trajectory.from_json({**Trajectory.of(recorded(), "1").to_json(), **bad})


@pytest.mark.parametrize("data", [None, [], "x", 1, {}, [1, 2]])
def test_what_is_no_object(data: Any) -> None:
    with pytest.raises(TrajectoryError):
        Trajectory.from_json(data)


def test_seeds() -> None:
    assert [check_seed(seed) for seed in (0, MAX_INT)] == [0, MAX_INT]
    for bad in (-1, MAX_INT + 1, True, None, "1", 1.0):
        with pytest.raises(ValueError, match="seed"):
            check_seed(bad)
