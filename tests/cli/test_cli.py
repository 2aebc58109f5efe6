"""The command line: what it prints, what it refuses, how it ends."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from io import StringIO
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner, Result

from safeact_env.cli import app, screen
from safeact_env.core.episode import Episode
from safeact_env.core.variant import Variant
from safeact_env.policies.reference import POLICIES, make_policy, play
from safeact_env.tasks import get_task, task_names
from safeact_env.version import VERSION

# By its name in sys.modules: as an attribute of the package, `play` is the command.
Game: Any = import_module("safeact_env.cli.play").Game
SAFEACT = [sys.executable, "-m", "safeact_env"]
WIDE = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}


def run(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(args), input=stdin, env=WIDE)


def output(result: Result) -> str:
    """All that was printed, without the frames and the folds of error messages."""
    return " ".join((result.stdout + result.stderr).replace("│", " ").split())


def test_version() -> None:
    assert run("--version").stdout == f"safeact-env {VERSION}\n"


def test_the_module_is_the_command() -> None:
    done = subprocess.run([*SAFEACT, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"safeact-env {VERSION}\n"


def test_help_lists_the_commands() -> None:
    found = run("--help").stdout
    assert all(command in found for command in ("serve", "play", "eval", "tasks"))


def test_tasks() -> None:
    found = run("tasks").stdout
    for name in task_names():
        task = get_task(name)
        assert task.title in found
        assert all(component.name in found for component in task.components)


# Bad arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["play", "--task", "nope"], f"there is no task 'nope'. The tasks are {', '.join(task_names())}."),
        (["play", "--seed", "-1"], "seed must be an integer from 0 to"),
        (["play", "--seed", str(2**63)], "seed must be an integer from 0 to"),
        (["play", "--split", "both"], "must be train or test, not 'both'."),
        (["play", "--level", "6"], "must be 1, 2, 3, 4, 5 or all, not '6'."),
        (["play", "--framing", "calm"], "must be rules, goal, hurry, waiver, planted or all, not 'calm'."),
        (["export", "here", "--level", "0"], "must be 1, 2, 3, 4, 5 or all, not '0'."),
        (["export", "here", "--from", "x", "--level", "1"], "--level cannot be combined with --from."),
        (["eval", "--task", "nope"], "there is no task 'nope'."),
        (["eval", "--policy", "nope"], f"The policies are {', '.join(POLICIES)}."),
        (["eval", "--seeds", "9-0"], "write the smaller seed first"),
        (["eval", "--seeds", "one"], "write seeds like 0-9,12"),
        (["eval", "--split", "dev"], "must be train or test or both"),
        (["eval", "--json", "/no/such/folder/file"], "there is no folder /no/such/folder"),
    ],
)
def test_bad_arguments_end_with_code_2_and_a_sentence(args: list[str], message: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert message in output(result)


# serve -----------------------------------------------------------------------------------------------------


def test_every_setting_is_an_option_and_the_environment_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = pytest.importorskip("safeact_env.server.settings").Settings
    served: list[Any] = []
    monkeypatch.setattr("safeact_env.server.main.serve", served.append)
    monkeypatch.setenv("SAFEACT_MAX_EPISODES", "17")
    monkeypatch.setenv("SAFEACT_PORT", "1111")
    assert run("serve", "--port", "2222", "--log-level", "debug").exit_code == 0
    assert served[0].model_dump() == {
        **{name: field.default for name, field in settings.model_fields.items()},
        "max_episodes": 17,
        "port": 2222,
        "log_level": "debug",
    }
    found = output(run("serve", "--help"))
    for name, field in settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in found
        assert f"(default: {field.default}; SAFEACT_{name.upper()})" in found
        assert field.description in found


def test_settings_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFEACT_MAX_SESSIONS", "many")
    result = run("serve", "--port", "70000")
    assert result.exit_code == 2
    assert "--port is '70000', but" in output(result)
    assert "SAFEACT_MAX_SESSIONS is 'many', but" in output(result)


# play ------------------------------------------------------------------------------------------------------


def test_a_variant_is_played_and_named_for_the_next_time() -> None:
    found = run("play", "--seed", "3", "--level", "1", "--framing", "goal", stdin="q\n").stdout
    shown: Episode[Any] = Episode(get_task("easy"), "train", 3, variant=Variant(1, "goal"))
    assert "easy, train, level 1, goal, seed 3, 24 steps" in found
    assert shown.observation()["task_description"][:40] in found
    assert "safeact play --task easy --split train --seed 3 --level 1 --framing goal" in found


def typed(episode: Episode[Any], policy: str = "expert") -> list[str]:
    """What a person types to play as a policy does; the episode is played on the way."""
    lines: list[str] = []
    player = make_policy(policy, episode.task, episode.seed)
    while not episode.done:
        call = player.act(episode.observation())
        names = list(episode.actions)
        lines.append(str(names.index(call.action_name) + 1))
        asked = list(episode.actions[call.action_name].params.model_fields)
        asked.sort(key=lambda name: name != "action_being_considered")
        lines += [str(call.parameters[name]) for name in asked if name in call.parameters]
        if not {"reason", "summary"} & call.parameters.keys():
            lines.append("")
        episode.step(call)
    return lines


@pytest.mark.parametrize(
    ("task", "split", "seed"),
    [(task, *where) for task, where in zip(task_names(), cycle([("train", 3), ("test", 4)]), strict=False)],
)
def test_a_person_who_plays_as_the_expert_succeeds(task: str, split: Any, seed: int) -> None:
    lines = typed(Episode(get_task(task), split, seed))
    result = run("play", "--task", task, "--split", split, "--seed", str(seed), stdin="\n".join(lines) + "\n")
    assert result.exit_code == 0, result.output
    assert "Completed: everything is done" in result.stdout
    assert "Score 1.0000" in result.stdout
    assert all(component.name in result.stdout for component in get_task(task).components)
    assert f"safeact play --task {task} --split {split} --seed {seed}" in result.stdout


def test_a_mistake_ends_the_episode_and_the_card_tells_the_risk() -> None:
    result = run("play", "--seed", "3", "--reveal", stdin="delete_all_in_directory\n2\nno idea\n")
    assert result.exit_code == 0
    assert "reward -1.0000, irreversible" in result.stdout
    assert "Score 0.0000 after 1 of" in result.stdout


def test_a_mistake_is_explained_and_the_game_saved_for_replay(tmp_path: Path) -> None:
    out = tmp_path / "game.jsonl"
    lines = "delete_all_in_directory\n2\nno idea\n"
    result = run("play", "--seed", "3", "--out", str(out), stdin=lines)
    assert "Step 1 would have been for good." in result.stdout
    assert "Runbook of delete_all_in_directory (not read):" in result.stdout
    assert "Asked just before, the answer was: Denied" in result.stdout
    assert f"safeact replay {out}" in result.stdout
    assert "delete_all_in_directory" in run("replay", str(out)).stdout
    assert "would have been" not in run("play", "--seed", "3", stdin="finish\nEnough.\n").stdout


def test_what_does_not_fit_is_asked_again_and_uses_no_step() -> None:
    wrong = ["99", "fly", "", "0", "archive_file", "77", "nothing", "", "h", "s", "a", "?", "q"]
    result = run("play", "--seed", "3", stdin="\n".join(wrong) + "\n")
    assert result.exit_code == 0
    assert result.stdout.count("Type a number from 1 to 15") == 3
    assert result.stdout.count("Type a number from 1 to 10.") == 2
    assert "Nothing has been done yet." in result.stdout
    assert "Stopped. The same episode from its start: safeact play" in result.stdout
    assert "step 1," not in result.stdout


def test_unknown_values_are_question_marks_until_they_are_shown() -> None:
    shown = run("play", "--seed", "3", stdin="list_directory\n\nq\n").stdout
    start, _, after = shown.partition("step 1, 35 left")
    assert "? for all: days, format, temporary, important" in start
    assert "? for all: format, temporary, important" in after


def test_input_that_ends_ends_the_game_with_code_1() -> None:
    result = run("play", "--seed", "3", stdin="list_directory\n\n")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == (
        "The input ended before the episode did. From its start again: "
        "safeact play --task easy --split train --seed 3"
    )


def test_a_call_over_the_limits_is_not_sent() -> None:
    result = run("play", "--seed", "3", stdin=f"finish\n{'x' * 4001}\nq\n")
    assert "Not sent: parameters: must be at most 4000 characters long." in result.stdout


def test_a_fresh_seed_is_told() -> None:
    found = run("play", stdin="q\n").stdout
    seed = found.split("--seed ")[1].split()[0]
    assert f"seed {seed}, " in found


def in_terminal(args: list[str], typed: bytes, lines: int = 40) -> str:
    """What a terminal of 80 columns shows."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "80", "LINES": str(lines), "TERM": "xterm"}
    with subprocess.Popen([*SAFEACT, *args], stdin=theirs, stdout=theirs, stderr=theirs, env=env):
        os.close(theirs)
        os.write(ours, typed)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65_536)
            except OSError:  # Linux tells the end of a terminal so
                break
            if not chunk:
                break
            shown += chunk
    os.close(ours)
    return shown.decode()


def test_it_plays_in_a_real_terminal_of_80_columns() -> None:
    text = in_terminal(["play", "--task", "easy", "--seed", "3"], b"list_directory\n\nh\nq\n", lines=24)
    assert "\x1b[1m" in text
    assert "What is new in the state" in text
    assert "Stopped. The same episode" in text


def test_a_game_ends_with_runbook_answer_and_the_experts_way_and_is_saved(tmp_path: Path) -> None:
    out = tmp_path / "game.jsonl"
    args = ["play", "--seed", "3", "--out", str(out)]
    text = in_terminal(args, b"delete_all_in_directory\n2\nno idea\n")
    # Risk has its colour, now that it may be told.
    assert "\x1b[31mirreversible" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert all(len(line) <= 80 for line in plain.replace(str(out), "").splitlines())
    end = plain.partition("Step 1 would have been for good.")[2]
    assert "Runbook of delete_all_in_directory (not read):" in end
    assert "Asked just before, the answer was: Denied" in end
    way = end.partition("The expert's way")[2]
    made = play(get_task("easy"), "train", 3, "expert")
    steps = [f"{number:>2}  {turn.call.action_name}" for number, turn in enumerate(made.turns, 1)]
    assert [step for step in steps if step not in way] == []
    assert "delete_all_in_directory" in run("replay", str(out)).stdout


def test_of_the_held_out_split_the_experts_way_is_not_told() -> None:
    found = run("play", "--split", "test", "--seed", "3", stdin="finish\nEnough.\n").stdout
    assert "test is held out" in found
    assert "The expert's way\n" not in found


def turns_of(task: str, seed: int, height: int) -> Iterator[tuple[str, Episode[Any]]]:
    """What is printed of each turn of the expert on a terminal of 80 columns."""
    said = StringIO()
    console = Console(file=said, width=80, height=height, highlight=False)
    game = Game(task, "train", seed, console)
    player = make_policy("expert", game.episode.task, seed)
    while not game.episode.done:
        call, before = player.act(game.obs), game.obs["current_state"]
        said.seek(0)
        said.truncate()
        turn = game.episode.step(call)
        game.obs = game.episode.observation()
        game._show_turn(turn, before)
        yield said.getvalue(), game.episode


@pytest.mark.parametrize("task", ["hard", "medical"])
def test_a_turn_fits_a_terminal_of_40_lines(task: str) -> None:
    tallest = whole = 0
    for seed in (0, 42):
        for text, episode in turns_of(task, seed, 40):
            if episode.done:
                break
            # Two more lines: the commands, and the prompt.
            tallest = max(tallest, text.count("\n") + 2)
            whole += "What is new" not in text
    assert tallest <= 40
    assert whole > 2, "the whole state is shown where it fits"
    assert any(text.count("\n") > 40 for text, _ in turns_of(task, 0, 400)), "with more room it is taller"


@pytest.mark.parametrize("task", task_names())
def test_no_word_is_folded_with_a_letter_or_two_on_a_line_of_their_own(task: str) -> None:
    state = play(get_task(task), "train", 3, "expert").observation()["current_state"]
    tables = [one for one in screen.state_tables({**state, "handbook": None}, 80) if isinstance(one, Table)]
    rests = [
        (word, column.width)
        for table in tables
        for column in table.columns
        if column.width
        for cell in map(str, column.cells)
        for word in cell.split()
        if len(word) > column.width and len(word) % column.width in (1, 2)
    ]
    assert tables
    assert rests == []
    wide = screen.Column("name", ["x" * (screen.MAX_CELL + 1), "y"], screen.MAX_CELL)
    assert wide.least_width == screen.MAX_CELL + 1


# eval ------------------------------------------------------------------------------------------------------


def test_eval_prints_tables_and_writes_files(tmp_path: Path) -> None:
    files = {name: str(tmp_path / name) for name in ("out", "json", "markdown")}
    result = run(
        *("eval", "--task", "easy", "--policy", "expert", "--policy", "guesser", "--seeds", "0-3"),
        *("--workers", "1", *(part for name, path in files.items() for part in (f"--{name}", path))),
    )
    assert result.exit_code == 0, result.output
    assert "easy; train and test: 8 scenarios" in result.stdout
    assert "expert" in result.stdout
    assert len((tmp_path / "out").read_text().splitlines()) == 16
    assert json.loads((tmp_path / "json").read_text())["groups"][0]["policy"] == "expert"
    assert "| expert | 1.000 |" in (tmp_path / "markdown").read_text()


def test_eval_refuses_a_file_of_another_version(tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = ["eval", "--task", "easy", "--policy", "do_nothing", "--seeds", "0", "--workers", "1"]
    assert run(*args, "--out", str(out)).exit_code == 0
    out.write_text(out.read_text().replace(f'"version":"{VERSION}"', '"version":"0.0.1"'))
    result = run(*args, "--out", str(out))
    assert result.exit_code == 2
    assert "was recorded with version 0.0.1, but this is" in output(result)
    assert run(*args, "--out", str(out), "--no-resume").exit_code == 0


def test_an_interrupted_eval_keeps_what_it_played_and_is_resumed(tmp_path: Path) -> None:
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    args = ["eval", "--task", "easy", "--policy", "escalate_all", "--seeds", "0-149", "--split", "train"]
    # A process that a shell started in the background ignores the interrupt; so would its children.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from safeact_env.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *args, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not out.exists() or not out.stat().st_size:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert said == f"Interrupted. {out} keeps what was played; run the same command again to go on.\n"
    assert 0 < len(out.read_text().splitlines()) < 150
    assert run(*args, "--out", str(out), "--workers", "1").exit_code == 0
    assert run(*args, "--out", str(whole), "--workers", "1").exit_code == 0
    assert out.read_bytes() == whole.read_bytes()
