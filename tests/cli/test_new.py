"""`safeact new`: what it writes is a whole task that passes everything as it is."""

import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from safeact_env.audit import AUDITS, texts
from safeact_env.audit.base import Scope, resolve
from safeact_env.cli import app
from safeact_env.core.task import SPLITS
from safeact_env.policies.reference import POLICIES, make_policy
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.tasks import OFFICIAL, get_task
from tests.packages import installed
from tests.tasks import test_conformance as conformance

ROOT = Path(__file__).resolve().parents[2]
NAME = "task_for_the_tests"
MOST_LINES = 450
"""Of Python, in all files of the folder."""


def run(*args: Any) -> Result:
    env = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(app, list(map(str, args)), env=env)


def output(result: Result) -> str:
    return " ".join((result.stdout + result.stderr).replace("│", " ").split())


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Another package, to which `safeact new --dir` has added a task, installed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "print_shop").mkdir()
    (folder / "print_shop" / "__init__.py").touch()
    result = run("new", NAME, "--dir", folder / "print_shop")
    assert result.exit_code == 0, output(result)
    line = next(line for line in result.stdout.splitlines() if line.startswith(f"{NAME} = "))
    assert '[project.entry-points."safeact_env.tasks"]' in result.stdout
    key, _, value = line.partition(" = ")
    with installed(folder, {key: value.strip('"')}, "print-shop"):
        yield folder


# A package of one's own ------------------------------------------------------------------------------------


CHECKS = {
    name: check
    for name, check in vars(conformance).items()
    if name.startswith("test_") and "name" in inspect.signature(check).parameters
}
CHOICES = {"name": (NAME,), "split": SPLITS, "policy": POLICIES}
CASES = [
    (check, dict(zip(given, values, strict=True)))
    for check, function in CHECKS.items()
    for given in [list(inspect.signature(function).parameters)]
    for values in product(*(CHOICES[one] for one in given))
]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("check", "given"), CASES, ids=[f"{c}-{'-'.join(g.values())}" for c, g in CASES])
def test_it_conforms_as_a_task_of_another_package(check: str, given: dict[str, Any]) -> None:
    CHECKS[check](**given)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("audit", AUDITS, ids=[audit.name for audit in AUDITS])
def test_it_passes_the_audit(audit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Learners that tell 0.45 from a third; the audit itself is for less.
    monkeypatch.setattr(texts, "TRAIN", 400)
    monkeypatch.setattr(texts, "TEST", 400)
    for split in SPLITS:
        result = audit.run(Scope(resolve(f"print_shop.{NAME}:TASK"), split, 2))
        assert result.checked
        assert not result.breaches


@pytest.mark.usefixtures("package")
def test_its_playbook_and_its_twins_are_found_beside_it() -> None:
    from print_shop import task_for_the_tests as module

    from safeact_env.audit.interference import twins_of

    task = get_task(NAME)
    assert task is module.TASK
    assert task.playbook is module.PLAYBOOK
    assert module.TWINS[0] in twins_of(task, "train")


@pytest.mark.usefixtures("package")
def test_it_is_played_over_http() -> None:
    task = get_task(NAME)
    with TestClient(create_app(Settings())) as client:
        assert NAME in [card["name"] for card in client.get("/tasks").json()["tasks"]]
        answer = client.post("/reset", json={"task_name": NAME, "split": "test", "seed": 4}).json()
        player = make_policy("expert", task, 4)
        while not answer["done"]:
            call = player.act(answer["observation"]).to_json()
            body = {"action": call, "episode_id": answer["episode_id"]}
            answer = client.post("/step", json=body).json()
        assert answer["metadata"]["score"] == 1.0


@pytest.mark.usefixtures("package")
def test_it_is_evaluated_listed_and_replayed(tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    one = ("--task", NAME, "--seeds", "0-2", "--workers", 1, "--out", out)
    result = run("eval", "--policy", "expert", "--policy", "guesser", *one)
    assert result.exit_code == 0, output(result)
    assert NAME in run("tasks").stdout
    assert run("replay", out, "--all").exit_code == 0


@pytest.mark.usefixtures("package")
def test_it_is_not_written_a_second_time(tmp_path: Path) -> None:
    result = run("new", NAME, "--dir", tmp_path)
    assert result.exit_code == 2
    assert f"there is a task {NAME} already" in output(result)


# A checkout ------------------------------------------------------------------------------------------------


FILES = {"__init__.py", "actions.py", "grading.py", "playbook.py", "texts.toml", "twins.py", "world.py"}


def files_under(folder: Path) -> set[Path]:
    """What lies in a folder, but for what Python keeps there."""
    return {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def test_it_conforms_in_a_checkout(tmp_path: Path) -> None:
    """In a copy: the command, then what it advises, and the style of the house."""
    for folder in ("safeact_env", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "NO_COLOR": "1", "COLUMNS": "200"}
    # The other plugins are slow to import.
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p pytest_asyncio.plugin"}

    def python(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *args], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    before = files_under(tmp_path)
    written = python("safeact_env", "new", "another_for_the_tests", "--title", "X" * 50)
    task = tmp_path / "safeact_env" / "tasks" / "another_for_the_tests"
    assert str(task) in written
    assert files_under(tmp_path) - before == {task / name for name in FILES}
    lines = [line for module in task.glob("*.py") for line in module.read_text().splitlines()]
    assert len(lines) < MOST_LINES
    conforming = ("tests/tasks/test_conformance.py", "-k", "another_for_the_tests", "-p", "no:cacheprovider")
    assert f"{len(CASES)} passed" in python("pytest", "-q", *conforming)
    assert "another_for_the_tests" in python("safeact_env", "tasks")
    python(
        "safeact_env",
        "eval",
        "--task",
        "another_for_the_tests",
        "--policy",
        "expert",
        "--seeds",
        "0",
        "--workers",
        "1",
    )
    python("ruff", "check", "--no-cache", str(task))
    python("ruff", "format", "--no-cache", "--check", str(task))


# What it refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("PrintQueue", "such as print_queue, not 'PrintQueue'"),
        ("print-queue", "such as print_queue"),
        ("_queue", "such as print_queue"),
        ("../queue", "such as print_queue"),
        ("9lives", "such as print_queue"),
        ("class", "such as print_queue"),
        ("dröm", "such as print_queue"),
        ("a" * 41, "such as print_queue"),
        *((name, f"there is a task {name} already") for name in OFFICIAL),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, message: str, tmp_path: Path) -> None:
    result = run("new", name, "--dir", tmp_path / "new")
    assert result.exit_code == 2
    assert message in output(result)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("title", ['The "queue"', "back\\slash", "two\nlines", "Drömmar", "$name", "x" * 51])
def test_a_title_that_cannot_be_is_refused(title: str, tmp_path: Path) -> None:
    result = run("new", "queue", "--title", title, "--dir", tmp_path / "new")
    assert result.exit_code == 2
    assert "a title has at most 50 letters" in output(result)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("there", ["queue/mine.txt", "queue/__init__.py", "queue.py"])
def test_nothing_is_overwritten(there: str, tmp_path: Path) -> None:
    mine = tmp_path / there
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    result = run("new", "queue", "--dir", tmp_path)
    assert result.exit_code == 2
    assert f"{there.partition('/')[0]} is there already" in output(result)
    assert mine.read_text() == "mine"
    assert files_under(tmp_path) == {mine}


def test_half_a_task_is_never_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write = Path.write_text

    def fail_at_the_last(path: Path, *args: Any, **options: Any) -> int:
        if path.name == "world.py":
            raise OSError(28, "No space left on device")
        return write(path, *args, **options)

    monkeypatch.setattr(Path, "write_text", fail_at_the_last)
    result = run("new", "queue", "--dir", tmp_path)
    assert result.exit_code == 2
    assert "queue: No space left on device" in output(result)
    assert list(tmp_path.iterdir()) == []


def test_an_installed_package_asks_for_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        import_module("safeact_env.cli.new"), "TASKS", tmp_path / "site-packages" / "safeact_env" / "tasks"
    )
    result = run("new", "queue")
    assert result.exit_code == 2
    assert "say with --dir where your own package is" in output(result)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("new", "queue", "--dir", tmp_path / "file" / "inside")
    assert result.exit_code == 2
    assert "cannot write" in output(result)


def test_a_folder_outside_a_package_is_named_as_it_is_imported(tmp_path: Path) -> None:
    result = run("new", "queue", "--title", "Lost & found (2)", "--dir", tmp_path / "made" / "here")
    assert result.exit_code == 0
    assert 'queue = "queue:TASK"' in result.stdout
    assert 'title="Lost & found (2)"' in (tmp_path / "made" / "here" / "queue" / "__init__.py").read_text()
