"""The tables of the small language model, from logs made here."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from safeact_env.evaluation import record_of
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task
from safeact_env.version import VERSION
from tools.documents import lm_table as tables
from tools.documents.lm_table import NONE_YET, harm, lm_table


def record(split: str, seed: int, picked: bool | None, score: float, level: int = 1) -> dict[str, Any]:
    return {
        "policy": "lm",
        "task": "easy",
        "split": split,
        "seed": seed,
        "level": level,
        "framing": "rules",
        "calls": [{}] * 4,
        "score": score,
        "mistake": picked is False,
        "model": {"malformed": 1, "picked": picked},
    }


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The records here hold no calls that could be played again.
    monkeypatch.setattr(tables, "harm", lambda records: f"{len(records)} were judged.")
    settings = {"batch": 4, "group": 8}
    head = {"settings": settings, "parameters": 984_192, "versions": {"safeact-env": VERSION}}
    steps = [
        {"stage": "chats", "step": 50, "loss": 4.5, "tokens": 600_000, "seconds": 1_800.0},
        {"stage": "chats", "step": 100, "loss": 0.125, "tokens": 600_000, "seconds": 1_800.0},
        {"measured": "chats", "episodes": 4, "seconds": 0.0},
        {"stage": "reward", "step": 1, "spread": 0.0, "gap": -0.5, "seconds": 0.0},
        {"stage": "reward", "step": 2, "spread": 0.5, "gap": -0.25, "seconds": 0.0},
    ]
    write(tmp_path / "0" / "log.jsonl.gz", [head, *steps])
    played = [record("train", 7, True, 1.0), record("test", 0, False, 0.0), record("test", 1, None, 0.5)]
    write(tmp_path / "0" / "chats.jsonl.gz", [record("test", 0, True, 0.25, level=2), *played])
    write(tmp_path / "0" / "reward.jsonl.gz", [record("test", 0, True, 1.0)])
    return tmp_path


def test_without_a_run_it_says_so(tmp_path: Path) -> None:
    assert lm_table(tmp_path) == NONE_YET


def test_a_row_per_cell_and_stage(logs: Path) -> None:
    rows = lm_table(logs).splitlines()[2:6]
    assert [row[:51] for row in rows] == [
        "| `easy` | `train` | 1 | rules | chats | 1 | 1 | 75",
        "| `easy` | `test` | 1 | rules | chats | 1 | 2 | 75.",
        "| `easy` | `test` | 1 | rules | then reward | 1 | 1",
        "| `easy` | `test` | 2 | rules | chats | 1 | 1 | 75.",
    ]
    assert rows[0].endswith("| 1.00 [1.00, 1.00] of 1 | 1.00 [1.00, 1.00] | 0.00 [0.00, 0.00] |")
    # One of two episodes called a look-alike, the wrong one; it was a mistake, and graded 0.
    assert rows[1].endswith("| 0.00 [0.00, 0.00] of 1 | 0.25 [0.00, 0.50] | 0.50 [0.00, 1.00] |")


def test_an_episode_without_a_look_alike_counts_for_none(logs: Path) -> None:
    write(logs / "0" / "chats.jsonl.gz", [record("test", 1, None, 0.5)])
    assert "none called" in lm_table(logs)


def test_two_runs_on_a_scenario_are_one_observation(logs: Path) -> None:
    write(logs / "1" / "chats.jsonl.gz", [record("train", 7, False, 0.0)])
    row = lm_table(logs).splitlines()[2]
    assert "| 2 | 2 | 75.0% | 0.50 [0.50, 0.50] of 2 (1 of 1, 0 of 1) | 0.50 [0.50, 0.50]" in row


def test_runs_that_differ_in_more_than_their_seed_are_refused(logs: Path) -> None:
    head, *rest = tables.lines(logs / "0" / "log.jsonl.gz")
    settings = {**head["settings"], "seed": 1}
    left_out = {"task": None, "level": None, "framing": None}
    said = {"task": ["easy"], "level": [1], "framing": ["rules"]}
    newer = {"versions": {**head["versions"], "python": "3.12.0"}}
    for same in ({}, left_out, said):
        write(logs / "1" / "log.jsonl.gz", [{**head, **newer, "settings": {**settings, **same}}, *rest])
        assert "2 runs of 984,192 parameters" in lm_table(logs)
    other_task = {**head, "settings": {**settings, "task": ["medium"]}}
    for other in (other_task, {**head, "parameters": 36_640}, {**head, "settings": {**settings, "batch": 1}}):
        write(logs / "1" / "log.jsonl.gz", [other, *rest])
        with pytest.raises(ValueError, match="differ in more than their seed"):
            lm_table(logs)


def test_what_the_reward_changed_is_seen_in_the_same_runs(logs: Path) -> None:
    write(logs / "1" / "chats.jsonl.gz", [{**record("test", 0, False, 0.75), "policy": "lm 1"}])
    rows = [row for row in lm_table(logs).splitlines() if row.startswith("| `easy` | `test` | 1 |")]
    assert [row.split(" | ")[4:7] for row in rows] == [
        ["chats", "2", "3"],
        ["chats, the rewarded", "1", "2"],
        ["then reward", "1", "1"],
    ]
    assert ["0.42 [" in rows[0], "0.25 [" in rows[1], "1.00 [" in rows[2]] == [True] * 3


def test_how_it_was_trained_is_told(logs: Path) -> None:
    note = lm_table(logs).splitlines()[-1]
    assert note.startswith(f"Version {VERSION}. 1 run of 984,192 parameters, 1.0 hours")
    assert "Chats: 400 per run, 1.2 million tokens" in note
    assert "4.50 at first and 0.125 in the end" in note
    assert "Reward, in 1 of the runs: 2 groups of 8 rollouts, 1 paid all alike" in note
    assert "within a group was 0.25" in note
    assert "an episode -0.2500" in note
    assert note.endswith(" 5 were judged.")


def test_the_highest_grade_of_harm_is_found_in_the_records() -> None:
    whole, blunt = (
        record_of(play(get_task("medical"), "test", 0, name), name) for name in ("expert", "blunt")
    )
    assert harm([whole]).startswith("No episode with a grade above 0 ended")
    assert harm([whole, blunt]).endswith(f"checkers call harmful is {blunt['score']:.4f}.")
    assert blunt["score"] > 0
    assert harm([whole, {**blunt, "score": 0.0}]) == harm([whole])
