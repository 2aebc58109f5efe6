"""The golden traces: recorded episodes of the official tasks that must come out the same, byte for byte."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safeact_env.core.task import Task
from safeact_env.core.trajectory import TrajectoryError
from safeact_env.evaluation.replay import detailed_trajectory, differences, replayed
from safeact_env.tasks import OFFICIAL, get_task
from tools import golden

TRACES = [golden.GOLDEN / name / f"{kind}.json" for name in OFFICIAL for kind in golden.KINDS]
ADVICE = (
    "The same calls no longer give the same episode. If that was not meant, fix the code. If it was, raise "
    "the task's version, say so in CHANGELOG.md and run `make golden`."
)


def named(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def check_trace(trace: Mapping[str, Any]) -> None:
    try:
        episode = replayed(trace)
    except TrajectoryError as error:
        raise AssertionError(f"{error}. Run `make golden`.") from None
    found = differences(trace, episode)
    assert not found, "\n".join([*found, ADVICE])
    assert detailed_trajectory(episode) == trace, ADVICE


@pytest.mark.parametrize("path", TRACES, ids=named)
def test_a_recorded_episode_comes_out_the_same(path: Path) -> None:
    check_trace(read(path))


def test_the_traces_are_what_the_script_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert golden.main(["--check"]) == 0, f"{capsys.readouterr().out}\n{ADVICE}"
    assert sorted(golden.GOLDEN.rglob("*.json")) == sorted(TRACES)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_traces_are_of_every_kind(name: str) -> None:
    traces = {kind: read(golden.GOLDEN / name / f"{kind}.json") for kind in golden.KINDS}
    assert {trace["split"] for trace in traces.values()} == {"train", "test"}
    assert traces["full"]["score"] == traces["full"]["return"] == 1.0
    assert traces["zero"]["score"] == 0.0
    assert traces["mistake"]["outcome"] == "irreversible_mistake"
    assert traces["mistake"]["steps"] > 5
    assert traces["mixed"]["steps"] > 10
    said = [turn["result"] for turn in traces["refused"]["turns"]]
    for begin in ("There is no action", "Not carried out.", "Refused.", "Denied:"):
        assert any(sentence.startswith(begin) for sentence in said), begin
    rewards = [
        turn["reward"] for turn in traces["refused"]["turns"] if not turn["result"].startswith("Denied")
    ]
    assert rewards.count(0.0) > 1, "nothing was blocked"


def test_a_mistake_of_each_sort_is_there() -> None:
    last = [read(golden.GOLDEN / name / "mistake.json") for name in OFFICIAL]
    fixed = [trace["calls"][-1]["action_name"] in get_task(trace["task"]).schemas for trace in last]
    assert set(fixed) == {True, False}


# Broken twins ----------------------------------------------------------------------------------------------


def reworded(task: Task[Any], text: str) -> Task[Any]:
    """The task with another sentence about the upkeep that was carried out."""
    return replace(task, text=replace(task.text, upkeep=replace(task.text.upkeep, done=text)))


def test_a_changed_sentence_is_noticed() -> None:
    trace = read(golden.GOLDEN / "easy" / "full.json")
    now = detailed_trajectory(replayed(trace), reworded(get_task("easy"), "Done."))
    assert now != trace
    changed = {**trace, "turns": now["turns"]}
    with pytest.raises(AssertionError, match=r'step \d+, result: recorded "Done\."(.|\n)*raise the task'):
        check_trace(changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["turns"][2].update(reward=0.5), "step 3, reward: recorded 0.5"),
        (lambda t: t["turns"][2].update(observation="0"), "step 3, observation"),
        (lambda t: t["turns"].pop(), r"turns: recorded for (\d+) steps, replayed for (?!\1\b)"),
        (lambda t: t.update(start="0"), "the first observation"),
        (lambda t: t.update(score=0.9), "score: recorded 0.9, replayed 1.0"),
        (lambda t: t["calls"].append(t["calls"][-1]), r"over after \d+ of \d+ calls"),
        (lambda t: t.update(seed=12), "step 1"),
        (lambda t: t.update(task_version=0), "recorded on version 0 of the task easy"),
        (lambda t: t.update(version="0.1"), "recorded with safeact-env 0.1"),
    ],
)
def test_whatever_else_changes_is_noticed(change: Any, message: str) -> None:
    trace = read(golden.GOLDEN / "easy" / "full.json")
    change(trace)
    with pytest.raises(AssertionError, match=message):
        check_trace(trace)


# The script ------------------------------------------------------------------------------------------------


def test_the_script_rewrites_and_prints_the_difference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(golden, "ROOT", tmp_path)
    monkeypatch.setattr(golden, "GOLDEN", tmp_path / "golden")
    only_easy = ["--task", "easy"]
    assert golden.main([*only_easy, "--check"]) == 1
    assert not (tmp_path / "golden").exists()
    assert golden.main(only_easy) == 0
    assert golden.main([*only_easy, "--check"]) == 0
    for path in TRACES[: len(golden.KINDS)]:
        assert (tmp_path / "golden" / "easy" / path.name).read_bytes() == path.read_bytes()
    capsys.readouterr()
    assert (tmp_path / "validation" / "runtime.json").is_file()
    full = tmp_path / "golden" / "easy" / "full.json"
    full.write_text(full.read_text().replace("and now matches the share", "and matches the share"))
    assert golden.main([*only_easy, "--check"]) == 1
    assert golden.main(only_easy) == 0
    printed = capsys.readouterr().out
    assert "--- golden/easy/full.json (old)" in printed
    assert '+    {"result": "The search index was brought up to date and now matches the share."' in printed
    assert "raise the task's version" in printed


def test_a_task_that_cannot_be_played_does_not_keep_the_script_from_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> Task[Any]:
        if name == "hard":
            raise RuntimeError("half written")
        return get_task(name)

    monkeypatch.setattr(golden, "ROOT", tmp_path)
    monkeypatch.setattr(golden, "GOLDEN", tmp_path / "golden")
    monkeypatch.setattr(golden, "get_task", broken)
    assert golden.main(["--task", "hard", "--task", "easy"]) == 1
    assert (tmp_path / "golden" / "easy" / "full.json").is_file()
    printed = capsys.readouterr()
    assert "1 tasks that cannot be played" in printed.out
    assert "half written" in printed.err
