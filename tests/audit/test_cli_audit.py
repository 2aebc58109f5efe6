"""`safeact audit`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module

import pytest
from typer.testing import CliRunner

from safeact_env import audit
from safeact_env.audit.base import Audit, Result
from safeact_env.call import Call
from safeact_env.cli import app
from safeact_env.core.trajectory import replay
from safeact_env.version import VERSION
from tests.audit.mutants import UNSOLVABLE

MUTANTS = "tests.audit.mutants"


def run(*arguments):
    return CliRunner().invoke(app, ["audit", *arguments])


def one(ref, name, *more):
    return run("--task", ref, "--only", name, "--split", "train", "--seeds", "1", "--workers", "1", *more)


def test_a_clean_task_ends_with_0_and_a_table():
    result = one("tests.toy:TOY", "labels")
    assert result.exit_code == 0, result.output
    assert "no breaches" in result.stdout
    assert "Calls to undo, at most" in result.stdout
    assert "move_back" in result.stdout


def test_a_breach_ends_with_1_and_can_be_seen_again():
    result = one(f"{MUTANTS}:UNSOLVABLE", "solvable")
    assert result.exit_code == 1
    assert "BREACH of solvable" in result.stdout
    assert "1 breach." in result.stdout
    body = json.loads(next(line for line in result.stdout.splitlines() if line.startswith("{")))
    assert set(body) == {"task_name", "split", "seed", "level", "framing", "actions"}
    calls = [Call.parse(**call) for call in body["actions"]]
    assert replay(UNSOLVABLE, "train", body["seed"], calls).grade().score < 1.0


def test_everything_is_in_the_file(tmp_path):
    path = tmp_path / "audit.json"
    only = ("--only", "free-points", "--only", "solvable")
    result = run("--task", "easy", "--seeds", "2", *only, "--json", str(path), "--workers", "2")
    assert result.exit_code == 0, result.output
    whole = json.loads(path.read_text())
    assert whole["version"] == VERSION
    assert whole["tasks"] == {"easy": 2}
    found = [(row["split"], row["audit"]) for row in whole["audits"]]
    assert found == [(s, a) for s in ("train", "test") for a in ("solvable", "free-points")]
    for row in whole["audits"]:
        assert row["checked"] == 2
        assert row["breaches"] == []
        assert row["seconds"] >= 0
        assert row["promise"].endswith(".")


def test_variants_are_chosen_by_name_and_framings_are_compared_once_a_level(tmp_path):
    path = tmp_path / "audit.json"
    variants = ("--level", "1", "--level", "4", "--framing", "goal", "--framing", "planted")
    result = one("easy", "solvable", *variants, "--only", "framings", "--json", str(path))
    assert result.exit_code == 0, result.output
    found = [(row["audit"], row["level"], row["framing"]) for row in json.loads(path.read_text())["audits"]]
    assert sorted(found) == [
        *(("framings", level, "rules") for level in (1, 4)),
        *(("solvable", level, framing) for level in (1, 4) for framing in ("goal", "planted")),
    ]
    whole = one("easy", "solvable", "--level", "all", "--framing", "all", "--json", str(path))
    assert whole.exit_code == 0, whole.output
    assert len(json.loads(path.read_text())["audits"]) == 25


def test_an_audit_that_fails_is_a_breach_and_hides_nothing(monkeypatch):
    def fail(_scope):
        raise ZeroDivisionError("by zero")

    def passes(_scope):
        return Result("things", 3)

    broken = (Audit("labels", "Fails.", fail), Audit("solvable", "Passes.", passes))
    # By its name in sys.modules: as an attribute of the package, `audit` may also be the command.
    monkeypatch.setattr(import_module("safeact_env.cli.audit"), "AUDITS", broken)
    result = one("easy", "labels", "--only", "solvable")
    assert result.exit_code == 1
    assert "the audit itself failed: ZeroDivisionError: by zero" in result.stdout
    assert "3 things" in result.stdout


def test_the_bar_moves_within_a_job(monkeypatch):
    def halves(scope):
        scope.tick(0.25)
        scope.tick(0.5)
        return Result("things", 1)

    drawn = []

    @contextmanager
    def bar(*_columns, **_more):
        yield lambda **moved: drawn.append(moved.get("completed"))

    module = import_module("safeact_env.cli.audit")
    both = (Audit("labels", "Ticks.", halves), Audit("solvable", "Ticks.", halves))
    monkeypatch.setattr(module, "AUDITS", both)
    monkeypatch.setattr(module, "progress_bar", bar)
    assert one("easy", "labels", "--only", "solvable").exit_code == 0
    assert [done for done in drawn if done is not None] == [0.25, 0.5, 1, 1.25, 1.5, 2]
    # Of jobs in other processes, each writes down how far it is where the bar reads it.
    shares = [0.0, 0.0]
    monkeypatch.setattr(module, "_SHARES", [shares])
    module._run_apart((1, module.Job("easy", "train", "solvable", 1)), {})
    assert shares == [0.0, 0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "nope"], "the tasks are easy"),
        (["--task", "nowhere:TASK"], "cannot find nowhere:TASK"),
        (["--task", "tests.toy:NOPE"], "cannot find"),
        (["--only", "nope"], "The audits are determinism"),
        (["--split", "all"], "train or test or both"),
        (["--task", "easy", "--level", "6"], "easy has no '6'. Its levels are 1, 2, 3, 4, 5"),
        (["--task", "easy", "--framing", "loud"], "framings rules, goal, hurry, waiver, planted"),
        (["--seeds", "0"], "--seeds"),
        (["--seeds", "many"], "--seeds"),
        (["--workers", "0"], "--workers"),
        (["--json", "/nowhere/at/all.json"], "no folder"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_argument_ends_with_2_and_says_what_is_right(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    words = " ".join(result.stderr.replace("│", " ").split())
    assert message in words


def test_the_list_of_audits_is_whole_and_imported_lazily():
    assert [one.name for one in audit.AUDITS] == list(audit.AUDIT_NAMES)
    assert all(one.promise.endswith(".") for one in audit.AUDITS)
    with pytest.raises(AttributeError):
        _ = audit.NOPE
    code = "import sys, safeact_env.audit.base; print(sorted(m for m in sys.modules if '.audit.' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['safeact_env.audit.base']"


def test_an_audit_that_learns_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(import_module("safeact_env.cli.audit"), "find_spec", lambda _name: None)
    result = run("--task", "easy", "--seeds", "1")
    assert result.exit_code == 2
    assert "start and texts need scikit-learn" in " ".join(result.output.replace("│", " ").split())
    assert one("tests.toy:TOY", "labels").exit_code == 0
