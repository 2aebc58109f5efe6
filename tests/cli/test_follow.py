"""`safeact replay --follow`: each step of a run as it is written, and what is said of lines that are none."""

import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from safeact_env.cli import app
from safeact_env.cli import inference as program
from safeact_env.cli.follow import follow
from safeact_env.cli.step_log import STEPS, StepLog
from safeact_env.evaluation import Key, play_attempt, record_of
from safeact_env.llm.run import EPISODES, Watcher
from tests.cli.test_replay import output

KEY = Key("a-model", "easy", "test", 3, 1)


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in events)


def begun(key: Key = KEY) -> dict[str, Any]:
    named = {"policy": key.policy, "task": key.task, "split": key.split, "seed": key.seed, "attempt": 1}
    return {"event": "begun", **named, **key.variant.to_json()}


def step(number: int, result: str, key: Key = KEY) -> dict[str, Any]:
    call = {"action_name": "read_file_metadata", "parameters": {"path": "/a"}, "reasoning": "Look."}
    told = {"step": number, "call": call, "result": result, "reward": 0.25, "done": False}
    return {**begun(key), "event": "step", **told}


def printed(path: Path, *moments: Callable[[], object]) -> Iterator[str]:
    """What is printed of a run while things happen to it; after the last of them, somebody interrupts."""
    said = StringIO()
    console = Console(file=said, width=200, highlight=False)
    left = list(moments)

    def pause() -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    assert follow(path, console, pause) == 0
    yield from said.getvalue().splitlines()


def add(path: Path, data: bytes) -> Callable[[], object]:
    def write() -> None:
        with path.open("ab") as file:
            file.write(data)

    return write


def test_steps_are_printed_as_they_are_written_and_half_a_line_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / STEPS
    second = lines(step(2, "The second result."))
    seen: list[str] = []

    def look(data: bytes) -> Callable[[], object]:
        def act() -> None:
            seen.append(capsys.readouterr().out)
            add(path, data)()

        return act

    path.write_bytes(lines({"event": "run", "episodes": 1}, begun(), step(1, "The first result.")))
    said = list(printed(tmp_path, look(second[:60]), look(second[60:]), look(lines({"event": "over"}))))
    assert said == []
    assert "a-model" in seen[0]
    assert "1 read_file_metadata /a" in seen[0]
    assert "The first" in seen[0]
    assert seen[1] == "", "half of a line tells nothing"
    assert "2 read_file_metadata /a" in seen[2]
    # The run is over: nobody had to interrupt.
    assert capsys.readouterr().out == ""


def test_a_line_that_cannot_be_read_is_said_and_the_next_one_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / STEPS
    wrong = step(2, "x")
    del wrong["call"]
    unheard = {**begun(), "event": "singing"}
    odd = {**step(2, "x"), "reward": "\x1b[31m"}
    whole = lines(begun(), wrong, unheard, odd, step(3, "Right again."), {"event": "over"})
    path.write_bytes(b"{no json\n[1]\n" + whole)
    said = list(printed(path))
    starts = [f"Line {number} cannot be read: " for number in (1, 2, 4, 5, 6)]
    assert [one[: len(start)] for one, start in zip(said, starts, strict=True)] == starts
    assert "call" in said[2]
    found = capsys.readouterr().out
    assert "Right" in found
    assert found.count("read_file_metadata") == 1


def test_it_ends_when_somebody_interrupts(tmp_path: Path) -> None:
    (tmp_path / STEPS).write_bytes(lines(begun()))
    assert list(printed(tmp_path)) == ["No longer followed. The run itself goes on."]


def test_a_folder_without_a_run_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = lines(begun(), step(1, "At last."), {"event": "over"})
    assert "yet" in next(printed(tmp_path, lambda: None, add(tmp_path / STEPS, text)))
    assert "At last." in capsys.readouterr().out


def test_a_run_that_is_begun_anew_is_read_from_its_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / STEPS
    path.write_bytes(lines(begun(), step(1, "The former run."), step(2, "The former run.")))
    again = lines(begun(), step(1, "The new one."), {"event": "over"})
    assert list(printed(path, lambda: path.write_bytes(again))) == [f"{path} was begun anew."]
    assert "The new" in capsys.readouterr().out


def test_episodes_that_are_played_at_the_same_time_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = KEY._replace(seed=4)
    both = [begun(), begun(other), step(1, "x"), step(1, "y", other), step(2, "z")]
    (tmp_path / STEPS).write_bytes(lines(*both, {"event": "over"}))
    list(printed(tmp_path))
    heads = [line for line in capsys.readouterr().out.splitlines() if line.startswith("easy, seed")]
    assert [head.split(",")[1] for head in heads] == [" seed 3", " seed 4", " seed 3"]


def test_the_records_of_a_run_are_printed_as_they_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / EPISODES
    made = play_attempt("easy", "test", 3, "guesser", 1)
    record = record_of(made, "guesser")
    path.write_bytes(lines(record))
    said = list(printed(path, add(path, lines({**record, "seed": "none"}, {**record, "task": "nothing"}))))
    assert [one.partition(" cannot be read")[0] for one in said[:2]] == ["Line 2", "Line 3"]
    found = capsys.readouterr().out
    assert all(f"{n:>3} {turn.call.action_name}" in found for n, turn in enumerate(made.turns, 1))
    assert f"grade {record['score']:.2f} after {record['steps']} steps" in found


def test_inference_writes_what_is_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    options = ["--agent", "naive", "--task", "easy", "--seeds", "0-1", "--out", str(out)]
    assert CliRunner().invoke(program.app, options).exit_code == 0
    events = [json.loads(line) for line in (out / STEPS).read_text().splitlines()]
    kinds = [one["event"] for one in events]
    assert kinds[0] == "run"
    assert kinds[-1] == "over"
    assert kinds.count("begun") == kinds.count("ended") == events[0]["episodes"] == 2
    records = [json.loads(line) for line in (out / EPISODES).read_text().splitlines()]
    assert kinds.count("step") == sum(record["steps"] for record in records)
    result = CliRunner().invoke(app, ["replay", "--follow", str(out)])
    assert result.exit_code == 0
    assert result.stdout.count("Not completed: grade") == 2


def test_a_resumed_run_goes_on_with_its_log(tmp_path: Path) -> None:
    path = tmp_path / STEPS
    path.write_bytes(lines({"event": "run", "episodes": 2}) + b'{"event": "beg')
    with StepLog(path, Watcher(), 2, resume=True) as log:
        log.begun(KEY)
    events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert events == ["run", "run", "begun", "over"]
    with StepLog(path, Watcher(), 2, resume=False):
        pass
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("more", [["--line", "1"], ["--all"]])
def test_following_goes_with_no_other_choice(tmp_path: Path, more: list[str]) -> None:
    result = CliRunner().invoke(app, ["replay", str(tmp_path), "--follow", *more])
    assert result.exit_code == 2
    assert "--follow" in output(result)


def test_nothing_is_not_followed(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["replay", "--follow", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "does not exist" in output(result)
