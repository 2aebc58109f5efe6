"""The table and the curves of training runs, from logs made here."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from safeact_env.core.variant import LEVELS
from safeact_env.evaluation.suite import V2
from safeact_env.version import VERSION
from tools.documents.curves import curves
from tools.documents.training_table import NONE_YET, Trained, interval, trained, training_table


def write(
    folder: Path,
    task: str,
    seed: int,
    grade: float,
    mistakes: float,
    algorithm: str = "q",
    level: int = 3,
    curriculum: bool = False,
) -> None:
    start = {"grade": 0.0, "return": -0.9, "mistakes": 0.9, "over_escalations": 3.0}
    end = {"grade": grade, "return": grade, "mistakes": mistakes, "over_escalations": 0.5}
    cells = [{"level": one.level, "framing": one.framing, **end} for one in V2.variants]
    points = [
        {"played": 0, **start},
        {"played": 500, **start, "trained_on": 20, "gap": -0.25},
        {"played": 1000, **end, "trained_on": 30, "gap": 0.0, "seconds": 120, "cells": cells},
    ]
    run: dict[str, Any] = {"algorithm": algorithm, "task": task, "seed": seed, "clues": "runbooks"}
    run |= {"level": level} | ({"curriculum": True} if curriculum else {})
    head = {"run": run, "config": {}, "versions": {"safeact-env": VERSION}}
    lines = "\n".join(map(json.dumps, [head, *points]))
    (folder / f"{algorithm}-runbooks-{task}-l{'1-' * curriculum}{level}-{seed}.jsonl.gz").write_bytes(
        gzip.compress(lines.encode())
    )


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Three runs: two of a kind, and one of another."""
    for seed, grade in enumerate((0.8, 0.9)):
        write(tmp_path, "hard", seed, grade, 0.01 * seed)
    write(tmp_path, "easy", 0, 0.97, 0.0, "ppo")
    return tmp_path


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    assert training_table(tmp_path) == NONE_YET


def test_a_row_per_task_and_learner_with_intervals_over_runs(logs: Path) -> None:
    assert list(trained(logs)) == [("easy", "ppo", "runbooks", "3"), ("hard", "q", "runbooks", "3")]
    lines = training_table(logs).splitlines()
    assert lines[2] == "| `easy` | 3 | PPO | 1 | 1,000 | 0.970 | 90.0% | 0.0% | 0.50 | 2 |"
    assert lines[3].startswith(
        "| `hard` | 3 | Q-learning | 2 | 1,000 | 0.850 [0.215, 1.000] | 90.0% | 0.5% ["
    )


def test_what_carries_over_is_told_by_level_and_framing(logs: Path) -> None:
    write(logs, "hard", 0, 0.5, 0.25, level=2)
    lines = training_table(logs).splitlines()
    at = next(number for number, line in enumerate(lines) if "rules, 3 | goal, 3" in line)
    assert [line[:28] for line in lines[at + 2 : at + 5]] == [
        "| `easy` | 3 | PPO | 0.97 (0",
        "| `hard` | 2 | Q-learning | ",
        "| `hard` | 3 | Q-learning | ",
    ]
    assert lines[at + 3].count("0.50 (25%)") == len(V2.variants) == 9


def test_a_curriculum_is_told_from_its_last_level_alone(logs: Path) -> None:
    drawn = curves(logs)
    write(logs, "hard", 0, 0.5, 0.25, curriculum=True)
    assert [line[:20] for line in training_table(logs).splitlines()[3:5]] == [
        "| `hard` | 1 to 3 | ",
        "| `hard` | 3 | Q-lea",
    ]
    assert curves(logs) == drawn


def test_groups_of_rollouts_are_told_before_and_after(logs: Path) -> None:
    assert "groups of 8" not in training_table(logs)
    path = logs / "ppo-runbooks-easy-l3-0.jsonl.gz"
    head, first, *rest, last = map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
    alike = [{"level": level, "alike": 0.25, "deviation": 0.5, "harmful": None} for level in LEVELS]
    first["groups"], last["groups"], last["harmful"] = alike, [one | {"alike": 1.0} for one in alike], 0.125

    def told(**changed: Any) -> str:
        lines = [json.dumps(one) for one in (head, first, *rest, last | changed)]
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
        return training_table(logs)

    assert "| `easy` | 3 | PPO | before | 0.50 (25%) |" in told()
    assert "| `easy` | 3 | PPO | after | 0.50 (100%) |" in told()
    assert "harmful is 0.1250" in told()
    assert "harmful is 0.5000" in told(groups=[one | {"harmful": 0.5} for one in alike])
    assert "harmful is 0.0000" in told(harmful=0.0)
    assert "does harm by" in told(harmful=None)


def test_the_largest_return_above_a_grade_is_told(logs: Path) -> None:
    assert "In the 150 episodes of training" in training_table(logs)
    assert "was 0.0000." in training_table(logs)
    path = logs / "ppo-runbooks-easy-l3-0.jsonl.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"-0.25", b"0.125")))
    assert "was 0.1250." in training_table(logs)


def test_an_interval_is_students() -> None:
    assert interval([0.5], "{:.2f}") == "0.50"
    # Mean 0.3, standard deviation 0.1, three runs: 0.3 +- 4.303 * 0.1 / sqrt(3).
    assert interval([0.2, 0.3, 0.4], "{:.3f}") == "0.300 [0.052, 0.548]"
    assert interval([0.1, 0.1], "{:.1%}") == "10.0%", "runs that are alike say nothing of others"


def test_curves_show_what_there_is(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    drawing = curves(logs)
    assert drawing == curves(logs)
    nothing = curves(tmp_path_factory.mktemp("empty"))
    assert drawing.startswith(b"<?xml")
    assert drawing.count(b"<path") > nothing.count(b"<path")
    write(logs, "hard", 1, 0.2, 0.5)
    assert curves(logs) != drawing


def test_a_log_is_read_as_it_was_written(logs: Path) -> None:
    first, second = trained(logs)["hard", "q", "runbooks", "3"]
    assert isinstance(first, Trained)
    assert (first.run["seed"], second.run["seed"]) == (0, 1)
    assert [point["played"] for point in first.points] == [0, 500, 1000]
