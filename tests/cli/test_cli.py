"""The command line: what it prints, what it refuses, how it ends."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from safeact_env.cli import app
from safeact_env.core.episode import Episode
from safeact_env.core.variant import Variant
from safeact_env.policies.reference import POLICIES, make_policy
from safeact_env.tasks import get_task, task_names
from safeact_env.version import VERSION

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


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize(("split", "seed"), [("train", 3), ("test", 4)])
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


def test_it_plays_in_a_real_terminal_of_80_columns() -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    args = [*SAFEACT, "play", "--task", "easy", "--seed", "3"]
    with subprocess.Popen(args, stdin=theirs, stdout=theirs, stderr=theirs, env=env):
        os.close(theirs)
        os.write(ours, b"list_directory\n\nh\nq\n")
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
    text = shown.decode()
    assert "\x1b[1m" in text
    assert "What is new in the state" in text
    assert "Stopped. The same episode" in text


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
