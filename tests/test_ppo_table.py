"""The table of training runs, from logs made here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from scripts.ppo_table import interval, ppo_table, trained


def write(folder: Path, task: str, seed: int, grade: float, mistakes: float) -> None:
    points = [
        {"played": 0, "grade": 0.0, "mistakes": 0.9, "over_escalations": 3.0},
        {"played": 1000, "grade": grade, "mistakes": mistakes, "over_escalations": 0.5},
    ]
    head = {"run": {"task": task, "seed": seed, "clues": "runbooks"}, "config": {}, "versions": {}}
    lines = "\n".join(map(json.dumps, [head, *points]))
    (folder / f"runbooks-{task}-{seed}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    assert ppo_table(tmp_path) == "No training run has been recorded yet; `make train-ppo` records them."


def test_a_row_per_task_with_intervals_over_runs(tmp_path: Path) -> None:
    for seed, grade in enumerate((0.8, 0.9)):
        write(tmp_path, "hard", seed, grade, 0.01 * seed)
    write(tmp_path, "easy", 0, 0.97, 0.0)
    assert [one.run["task"] for one in trained(tmp_path)] == ["easy", "hard", "hard"]
    lines = ppo_table(tmp_path).splitlines()
    assert lines[2] == "| `easy` | all that is seen | 1 | 1,000 | 0.970 | 90.0% | 0.0% | 0.50 |"
    assert lines[3].startswith(
        "| `hard` | all that is seen | 2 | 1,000 | 0.850 [0.215, 1.000] | 90.0% | 0.5% ["
    )


def test_an_interval_is_students() -> None:
    assert interval([0.5], "{:.2f}") == "0.50"
    # Mean 0.3, standard deviation 0.1, three runs: 0.3 +- 4.303 * 0.1 / sqrt(3).
    assert interval([0.2, 0.3, 0.4], "{:.3f}") == "0.300 [0.052, 0.548]"
    assert interval([0.1, 0.1], "{:.1%}") == "10.0% [10.0%, 10.0%]"
