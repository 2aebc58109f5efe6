"""`safeact replay`: what it prints, what it verifies, what it refuses."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from safeact_env.cli import app
from safeact_env.core.variant import Variant
from safeact_env.evaluation import Selection, evaluate, play_attempt, record_of
from safeact_env.tasks import get_task
from tools.golden import GOLDEN

FULL = GOLDEN / "easy" / "full.json"
STEPS = json.loads(FULL.read_text())["steps"]


def run(*args: Any) -> Result:
    env = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(app, ["replay", *map(str, args)], env=env)


def output(result: Result) -> str:
    return " ".join((result.stdout + result.stderr).replace("│", " ").split())


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A file as `safeact eval --out` writes it."""
    path = tmp_path / "run.jsonl"
    policies = ("expert", "look_only", "guesser")
    evaluate(Selection(policies, ("easy",), ("test",), (3, 4)), out=path, workers=1)
    return path


def changed(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({**json.loads(FULL.read_text()), **changes}))
    return path


def test_an_episode_is_printed_readably_and_verified() -> None:
    result = run(FULL)
    assert result.exit_code == 0
    found = output(result)
    trace = json.loads(FULL.read_text())
    for call, turn in zip(trace["calls"], trace["turns"], strict=True):
        assert call["action_name"] in found
        assert f"{turn['reward']:+.4f}" in found
        assert " ".join(turn["result"].split())[:60] in found
    assert all(risk in found for risk in ("safe", "risky", "irreversible", "escalate"))
    assert f"completed, score 1.0000 in {trace['steps']} steps of {trace['max_steps']}" in found
    assert all(name in found for name in trace["components"])
    assert found.endswith("As recorded.")


def test_a_compressed_file_is_read_as_it_is_and_a_broken_one_is_said_to_be(records: Path) -> None:
    packed = records.with_name("run.jsonl.gz")
    packed.write_bytes(gzip.compress(records.read_bytes()))
    assert output(run(packed, "--all")) == output(run(records, "--all"))
    for content in (packed.read_bytes()[:-9], b"not packed", packed.read_bytes()[:40] + b"\0" * 60):
        packed.write_bytes(content)
        result = run(packed)
        assert result.exit_code == 2
        assert "cannot be read" in output(result)


def test_only_the_end_of_a_line_ends_a_record(records: Path) -> None:
    first, *rest = records.read_text().splitlines()
    named = json.loads(first)
    named["calls"][0]["reasoning"] = "One\u2028two\u0085three"
    records.write_text("\n".join([json.dumps(named, ensure_ascii=False), *rest]) + "\n", encoding="utf-8")
    result = run(records, "--all")
    assert result.exit_code == 0, output(result)


def test_the_episodes_of_a_file_of_many_are_listed(records: Path) -> None:
    made = [json.loads(line) for line in records.read_text().splitlines()]
    with records.open("a") as file:
        file.write("{}\n")
    result = run(records)
    assert result.exit_code == 0
    *listed, last = result.stdout.splitlines()
    assert last == f"{len(made) + 1} episodes. Replay one with --line N, or all of them with --all."
    assert listed.pop() == f"line {len(made) + 1}: no episode"
    for number, (line, one) in enumerate(zip(listed, made, strict=True), 1):
        place = f"line {number}: easy, test, seed {one['seed']}, {one['policy']}: "
        assert line == f"{place}{one['outcome']}, score {one['score']}"


def test_a_record_names_its_variant_and_is_replayed_in_it(tmp_path: Path) -> None:
    path, selection = tmp_path / "varied.jsonl", Selection(("expert",), ("easy",), ("test",), (3,))
    variants = (Variant(1), Variant(5, "planted"))
    evaluate(replace(selection, variants=variants), out=path, workers=1)
    named = [(one["level"], one["framing"]) for one in map(json.loads, path.read_text().splitlines())]
    assert named == [(1, "rules"), (5, "planted")]
    result = run(path, "--all")
    assert result.exit_code == 0, output(result)
    assert "line 2: easy, test, level 5, planted, seed 3, expert: completed" in result.stdout
    again = evaluate(replace(selection, variants=(Variant(1), Variant(2))), out=path, workers=1)
    assert [sample.key.variant.level for sample in again] == [1, 2]
    assert len(path.read_text().splitlines()) == 3, "an episode of another variant is another episode"


def test_a_record_without_a_variant_is_of_the_default_and_another_variant_differs(tmp_path: Path) -> None:
    record, path = record_of(play_attempt("easy", "test", 3, "expert", 1), "expert"), tmp_path / "one.json"

    def replayed_with(**changes: Any) -> Result:
        path.write_text(json.dumps({**bare, **changes}))
        return run(path)

    bare = {name: record[name] for name in record if name not in ("level", "framing")}
    assert replayed_with().exit_code == replayed_with(level=3, framing="rules").exit_code == 0
    assert replayed_with(level=1).exit_code == 1, "the calls fit another scenario, and it shows"
    for field, value in (("level", 6), ("level", True), ("framing", "calm"), ("framing", None)):
        result = replayed_with(**{field: value})
        assert (result.exit_code, f"{field} must be" in output(result)) == (2, True)
    older = replayed_with(task_version=1)
    assert (older.exit_code, "recorded on version 1 of the task easy" in output(older)) == (2, True)


def test_a_record_of_a_variant_that_the_task_lacks_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = get_task("easy")
    few = replace(task, levels={3: task.levels[3]})
    monkeypatch.setattr("safeact_env.evaluation.replay.get_task", lambda _name: few)
    result = run(changed(tmp_path, level=1))
    assert result.exit_code == 2
    assert "recorded on a variant that is not installed: easy has no level 1; it has 3" in output(result)


def test_a_trajectory_without_a_grade_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    trace = json.loads(FULL.read_text())
    names = ("version", "task", "task_version", "split", "seed", "calls")
    path = tmp_path / "bare.json"
    path.write_text(json.dumps({name: trace[name] for name in names} | {"calls": trace["calls"][:3]}))
    result = run(path)
    assert result.exit_code == 0
    assert "not over, score" in output(result)
    assert output(result).endswith("The file has no grade to compare with.")


def test_every_record_of_an_evaluation_replays_under_its_own_budget(records: Path) -> None:
    result = run(records, "--all")
    assert result.exit_code == 0, output(result)
    assert len(result.stdout.splitlines()) == 6
    assert "line 2: easy, test, seed 3, look_only: finished" in result.stdout
    looking = run(records, "--line", 2)
    assert looking.exit_code == 0
    assert "of 10000" in output(looking)


def test_the_budget_of_the_record_counts(tmp_path: Path) -> None:
    look = {"action_name": "list_directory", "parameters": {}, "reasoning": "Again."}
    long = {"calls": [look] * 40, "turns": [], "steps": 40}
    assert "not over, score 0.0000 in 40 steps of 10000" in output(
        run(changed(tmp_path, max_steps=10_000, **long))
    )
    result = run(changed(tmp_path, **long))
    assert result.exit_code == 1
    assert "the episode is over after 36 of 40 calls" in output(result)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": 0.5}, "different: score: recorded 0.5, replayed 1.0"),
        ({"return": 0.5}, "different: return: recorded 0.5, replayed 1.0"),
        ({"outcome": "finished"}, 'different: outcome: recorded "finished", replayed "completed"'),
        ({"rewards": [0.0]}, "different: rewards: recorded for 1 steps, replayed for "),
        ({"rewards": 3}, "different: rewards: recorded 3"),
        ({"turns": [3] * STEPS}, "different: step 1, recorded in no form known here"),
        ({"seed": 12}, "different:"),
    ],
)
def test_a_difference_is_told_and_ends_with_code_1(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    result = run(changed(tmp_path, **changes))
    assert result.exit_code == 1
    assert message in output(result)


def test_one_difference_among_many_is_found(records: Path) -> None:
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    lines[4]["rewards"][1] += 0.25
    records.write_text("\n".join(map(json.dumps, lines)))
    result = run(records, "--all")
    assert result.exit_code == 1
    assert "different: step 2, reward: recorded" in result.stdout
    assert result.stdout.count("different") == 1
    assert run(records, "--line", 4).exit_code == 0
    assert run(records, "--line", 5).exit_code == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "0.9.0"}, "line 1: recorded with safeact-env 0.9.0, and this is"),
        ({"task_version": 99}, "recorded on version 99 of the task easy, and this is version"),
        ({"task": "nope"}, "recorded on the task 'nope': unknown task; the tasks are easy,"),
        ({"max_steps": 0}, "max_steps must be an integer of at least 1"),
        ({"max_steps": True}, "max_steps must be an integer of at least 1"),
        ({"calls": [{}]}, "the trajectory cannot be read: action_name"),
        ({"calls": 3}, "the trajectory cannot be read"),
        ({"seed": -1}, "seed must be an integer from 0"),
    ],
)
def test_what_cannot_be_replayed_ends_with_code_2(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    result = run(changed(tmp_path, **changes))
    assert result.exit_code == 2
    assert message in output(result)


@pytest.mark.parametrize(
    ("content", "args", "message"),
    [
        (b"", (), "is neither a JSON object nor JSON lines"),
        (b"seed 7", (), "is neither a JSON object nor JSON lines"),
        (b"[1, 2]", (), "line 1: a trajectory is a JSON object"),
        (b"\xff\xfe", (), "cannot be read"),
        (b"{}\n{}\n", ("--line", 3), "has no episode on line 3"),
        (b"{}\n\n{}\n", ("--line", 3), "line 3: the trajectory has no field"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    tmp_path: Path, content: bytes, args: tuple[Any, ...], message: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    result = run(path, *args)
    assert result.exit_code == 2
    assert message in output(result)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path / "none")
    assert result.exit_code == 2
    assert "cannot be read" in output(result)
