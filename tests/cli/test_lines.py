"""What a person sees of a run on a terminal, and that programs see what they always saw."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from safeact_env.call import Call
from safeact_env.cli.inference import app
from safeact_env.cli.lines import Lines, Steps
from safeact_env.evaluation import Key
from safeact_env.evaluation.record import play_attempt, record_of

ROOT = Path(__file__).resolve().parents[2]
KEY = Key("expert", "medical", "test", 0, 1)


def on_a_terminal(columns, *arguments):
    """The output of `inference.py` on a terminal of so many columns."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, str(ROOT / "inference.py"), *arguments]
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    quiet = {"stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    process = subprocess.Popen(command, stdout=its, env=env, **quiet)
    os.close(its)
    out = b""
    while True:
        try:
            piece = os.read(mine, 65_536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(mine)
    assert process.wait(60) == 0
    return out.decode().replace("\r\n", "\n")


def in_a_pipe(*arguments):
    command = [sys.executable, str(ROOT / "inference.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


ARGUMENTS = ("--agent", "expert", "--task", "medical", "--seeds", "0")


def test_a_person_reads_a_line_per_step_and_a_program_what_it_always_read():
    turns = play_attempt("medical", "test", 0, "expert", 1).turns
    person = on_a_terminal(120, *ARGUMENTS)
    steps = re.findall(r"^ {0,2}(\d+) (\w+)(.*) ([█░]{10}) +(-?\d\.\d\d)$", person, re.MULTILINE)
    assert [(int(step), name) for step, name, *_ in steps] == [
        (number, turn.call.action_name) for number, turn in enumerate(turns, 1)
    ]
    for (_, _, middle, _, _), turn in zip(steps, turns, strict=True):
        patient = turn.call.parameters.get("patient_name")
        assert patient is None or patient.split()[-1][-5:] in middle
        assert turn.result[:20] in middle
    assert (steps[-1][3], steps[-1][4]) == ("█" * 10, "1.00")
    assert "Completed safely: grade 1.00" in person
    assert "\\u" not in person
    assert "[STEP]" not in person
    piped = in_a_pipe(*ARGUMENTS)
    assert (
        on_a_terminal(120, *ARGUMENTS, "--lines").split("\n\n")[0].split("\n[END]")[0]
        == (piped.split("\n[END]")[0])
    )
    assert piped.count("[STEP] step=") == len(turns)
    assert piped == CliRunner().invoke(app, [*ARGUMENTS, "--lines"]).stdout


def printed(monkeypatch, columns, call, result, rewards=(0.5,), encoding="utf-8", kind=Steps):
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    lines = kind(live=True, stream=stream)
    lines.begun(KEY)
    for step, reward in enumerate(rewards, 1):
        lines.stepped(KEY, step, call, {"reward": reward, "done": False, "last_action_result": result})
    lines.ended(KEY, None)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding).split("\n")


@pytest.mark.parametrize("columns", [20, 50, 80, 120, 300])
def test_a_line_fits_its_terminal_whatever_is_in_it(monkeypatch, columns):
    call = Call("act\x1b[31m", {"path": "/ä 猫 \u202e\n\x07" * 40, "reason": "unsaid"}, "why")
    lines = printed(monkeypatch, columns, call, "Moved.\n\x1b]0;title\x07 " + "猫" * 200)
    assert cell_len(lines[1]) == columns - 1
    assert all(line.isprintable() for line in lines)
    assert "unsaid" not in "".join(lines)


def test_the_end_of_a_long_target_is_shown(monkeypatch):
    call = Call("delete_file", {"path": f"/{'a' * 100}/the_file.txt"}, "why")
    assert "…" in (line := printed(monkeypatch, 80, call, "Deleted.")[1])
    assert "the_file.txt" in line


@pytest.mark.parametrize(
    ("rewards", "bar"),
    [((0.0,), "░" * 10), ((0.5,), "█" * 5 + "░" * 5), ((-1.0,), "░" * 10), ((0.5, 0.5), "█" * 10)],
)
def test_the_bar_is_the_sum_of_the_rewards(monkeypatch, rewards, bar):
    lines = printed(monkeypatch, 100, Call("look", {}, "why"), "Looked.", rewards)
    assert f"{bar} {sum(rewards):5.2f}" in lines[len(rewards)]


def test_a_terminal_without_these_characters_gets_others(monkeypatch):
    lines = printed(monkeypatch, 100, Call("look", {}, "why"), "Looked.", encoding="latin-1")
    assert "#####....." in lines[1]


def test_an_episode_that_ended_early_is_told_as_such(monkeypatch):
    lines = printed(monkeypatch, 100, Call("look", {}, "why"), "Looked.")
    assert lines[2] == "    Not played to its end; 1 steps were taken."


def test_several_episodes_at_a_time_are_printed_one_after_the_other(monkeypatch, capsys):
    episode = play_attempt("medical", "test", 0, "naive", 1)
    record = record_of(episode, "naive")
    steps = Steps(live=False)
    others = [KEY, KEY._replace(seed=1)]
    for key in others:
        steps.begun(key)
    for number, turn in enumerate(episode.turns, 1):
        shown = {"reward": turn.reward, "done": False, "last_action_result": turn.result}
        for key in others:
            steps.stepped(key, number, turn.call, shown)
    for key in others:
        steps.ended(key, record)
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if line.startswith("medical")] == [
        f"medical, seed {seed}, attempt 1, split test: expert" for seed in (0, 1)
    ]
    assert out.index("medical, seed 1, attempt 1, split test: expert") == len(episode.turns) + 3


def test_without_a_terminal_nothing_is_fitted(monkeypatch):
    call = Call("look", {"path": "/a b"}, "why")
    lines = printed(monkeypatch, 20, call, "Looked.", kind=Lines)
    assert lines[1] == '[STEP] step=1 action=look({"path":"/a b"}) reward=0.50 done=false error=null'
