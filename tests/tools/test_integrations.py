"""The run of other people's libraries fails where a test does, and where none is run."""

import json
import re
import select
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.compat import integrations
from tools.compat.integrations import REQUIREMENTS, Pinned, Tried, judged, merged, pinned
from tools.compat.junit import Found, run_tests
from tools.documents import tables as gen_docs
from tools.documents.tables import INTEGRATIONS_RUN
from tools.servers.throwaway import ROOT, Broken

FILES = sorted((ROOT / REQUIREMENTS).glob("*.txt"))
HERE = Path(sys.executable)

# Plugins are slow to import, and the tests here need none.
QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
RIGHT = "def test_right(): pass\n"
WARNS = "import warnings\ndef test_it(): warnings.warn_explicit('old', UserWarning, 'f', 1, '{module}')\n"
OUTCOMES = {
    "right": (RIGHT, []),
    "some are skipped": (RIGHT + "import pytest\n@pytest.mark.skip\ndef test_not(): pass\n", []),
    "wrong": (RIGHT + "def test_wrong(): assert False\n", ["test_wrong"]),
    "an error in a fixture": (
        RIGHT + "import pytest\n@pytest.fixture\ndef broken(): 1 / 0\ndef test_on_it(broken): pass\n",
        ["test_on_it"],
    ),
    "all are skipped": (
        "import pytest\npytest.skip('no library', allow_module_level=True)\n",
        ["no test was"],
    ),
    "no library": ("import no_such_library\n", ["test_twin"]),
    "no test": ("", ["there was no test"]),
    "no file": (None, ["not found"]),
    "a warning of this package": (WARNS.format(module="safeact_env.a.b"), ["test_it"]),
    "a warning of the library": (WARNS.format(module="library.a"), []),
    "the interpreter dies": (RIGHT + "import os\ndef test_death(): os._exit(0)\n", ["did not run"]),
}


@pytest.fixture
def sandbox(tmp_path: Path) -> Any:
    """A project with one integration, whose library is pytest."""
    project, home = tmp_path / "project", tmp_path / "home"
    (project / "tests" / "integrations").mkdir(parents=True)
    (project / REQUIREMENTS).mkdir(parents=True)
    (project / REQUIREMENTS / "twin.txt").write_text("# Twin: nothing much\npytest==1.2\n")
    text = (ROOT / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(re.sub(r"(?m)^asyncio_.*\n", "", text))
    home.mkdir()
    (tmp_path / "locked.txt").write_text("pytest==9.9\npytest-cov==9.9\npytest-asyncio==9.8 ; a == 'b'\n")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), **QUICK}
    wheel = tmp_path / "safeact.whl"
    return SimpleNamespace(
        folder=tmp_path, project=project, env=env, uv_env=env, locked=tmp_path / "locked.txt", wheel=wheel
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was given to pip, in place of what it would do."""
    given: list[tuple[str, ...]] = []

    def pip(_shop: Any, python: Path, *arguments: str) -> None:
        assert python.parents[1].is_dir()
        given.append(arguments)

    def venv(command: list[str], *_more: Any) -> str:
        assert command[1:3] == ["-m", "venv"]
        (Path(command[3]) / "bin").mkdir(parents=True)
        return ""

    monkeypatch.setattr(integrations, "pip", pip)
    monkeypatch.setattr(integrations, "run", venv)
    return given


# The outcome of a run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_run_is_well_only_if_tests_pass_and_none_fails(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], outcome: str
) -> None:
    source, wrong = OUTCOMES[outcome]
    if source is not None:
        (sandbox.project / "tests" / "integrations" / "test_twin.py").write_text(source)
    monkeypatch.setattr(integrations, "environment", lambda *_a, **_k: HERE)
    record = sandbox.folder / "record.json"
    code = integrations.main(["--json", str(record)], sandbox.project, lambda _folder: sandbox)
    assert code == (1 if wrong else 0)
    one = json.loads(record.read_text())["twin"]
    assert len(one["failed"]) == len(wrong)
    assert all(part in said for part, said in zip(wrong, one["failed"], strict=True))
    assert one["packages"] == {"pytest": pytest.__version__}
    assert ("FAIL  twin" in capsys.readouterr().out) == bool(wrong)


def is_over(stat: Path) -> bool:
    """Whether the process of a file in /proc has ended."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_tests_that_hang_are_ended_with_all_that_they_started(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    (tmp_path / "test_slow.py").write_text(
        "import pathlib, subprocess, sys, time\n"
        "def test_slow():\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        f"    pathlib.Path({str(started)!r}).write_text(str(child.pid))\n"
        "    time.sleep(300)\n"
    )
    found = run_tests(HERE, ["test_slow.py"], tmp_path / "report.xml", QUICK, tmp_path, timeout_s=2)
    assert found.failed == ["the tests did not end within 2 s"]
    if started.exists():
        # It was killed before this line is reached; a busy machine may take a while to end it.
        stat = Path(f"/proc/{started.read_text()}/stat")
        assert any(is_over(stat) or time.sleep(0.1) for _ in range(100))


def test_nothing_to_run_is_a_failure(tmp_path: Path, sandbox: Any) -> None:
    assert integrations.main([], tmp_path, lambda _folder: sandbox) == 1


def test_a_library_that_cannot_be_installed_is_a_failure_and_the_others_are_run(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (sandbox.project / REQUIREMENTS / "gone.txt").write_text("# Gone: nothing\npytest==0.0\n")
    (sandbox.project / "tests" / "integrations" / "test_twin.py").write_text(RIGHT)

    def environment(_shop: Any, asked: Pinned, *_more: Any, **_options: Any) -> Path:
        if asked.name == "gone":
            raise Broken("no such release")
        return HERE

    monkeypatch.setattr(integrations, "environment", environment)
    assert integrations.main([], sandbox.project, lambda _folder: sandbox) == 1
    assert integrations.main(["--only", "twin"], sandbox.project, lambda _folder: sandbox) == 0
    said = capsys.readouterr().out
    assert "FAIL  gone" in said
    assert "no such release" in said
    assert said.count("ok    twin: 1 passed") == 2


def test_what_is_tested_is_not_the_source_beside_the_tests(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sandbox.project / "safeact_env").mkdir()
    (sandbox.project / "safeact_env" / "__init__.py").write_text("raise ImportError")
    test = "def test_it():\n    import safeact_env\n    assert safeact_env.__version__\n"
    (sandbox.project / "tests" / "integrations" / "test_twin.py").write_text(test)
    monkeypatch.setattr(integrations, "environment", lambda *_a, **_k: HERE)
    assert integrations.main([], sandbox.project, lambda _folder: sandbox) == 0


# Environments -----------------------------------------------------------------------------------------------


def test_an_environment_is_made_once_and_again_when_its_contents_change(
    sandbox: Any, made: list[tuple[str, ...]]
) -> None:
    kept = sandbox.folder / "kept"
    asked = pinned(sandbox.project / REQUIREMENTS / "twin.txt")

    def homes(one: Pinned = asked, *, fresh: bool = False) -> Path:
        return integrations.environment(sandbox, one, kept, fresh=fresh)

    wheel = ("--no-deps", "--force-reinstall", str(sandbox.wheel))
    first = homes()
    everything, then = made
    assert everything[0] == "pytest==1.2"
    assert {"pytest==9.9", "pytest-asyncio==9.8 ; a == 'b'", "fastapi>=0.116"} <= set(everything)
    assert not any("cov" in line for line in everything)
    assert then == wheel
    assert homes() == first
    assert made[2:] == [wheel]
    assert homes(fresh=True) == first
    assert made[3:] == [everything, wheel]
    changed = homes(replace(asked, requirements=("pytest==1.3",)))
    assert changed != first
    assert [one.name for one in kept.iterdir()] == [changed.parents[1].name]


def test_an_environment_that_was_not_made_to_its_end_is_made_again(
    sandbox: Any, made: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = sandbox.folder / "kept"
    asked = pinned(sandbox.project / REQUIREMENTS / "twin.txt")
    with monkeypatch.context() as broken:

        def fails(*_arguments: Any) -> None:
            raise Broken("the network is gone")

        broken.setattr(integrations, "pip", fails)
        with pytest.raises(Broken, match="network"):
            integrations.environment(sandbox, asked, kept, fresh=False)
    integrations.environment(sandbox, asked, kept, fresh=False)
    assert len(made) == 2


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "first line"),
        ("pytest==1\n", "first line"),
        ("# Pytest\npytest==1\n", "first line"),
        ("# Pytest: runs\n", "names no library"),
        ("# Pytest: runs\npytest>=1\n", "must pin"),
        ("# Pytest: runs\npytest\n", "must pin"),
        ("# Pytest: runs\n--pre\n", "must pin"),
    ],
)
def test_requirements_say_what_they_are_and_are_pinned(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "some.txt"
    path.write_text(text)
    with pytest.raises(Broken, match=wrong):
        pinned(path)


def test_requirements_are_read(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_text("# A library: it runs: twice\n\n# why\nthis[that,too]==1.0.post1\nother-one==2+cpu\n")
    asked = pinned(path)
    assert (asked.name, asked.library, asked.what) == ("some", "A library", "it runs: twice")
    assert asked.requirements == ("this[that,too]==1.0.post1", "other-one==2+cpu")
    assert asked.packages == ("this", "other-one")
    assert asked.python == ""


def test_requirements_may_need_another_python(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch, made: list[tuple[str, ...]]
) -> None:
    path = sandbox.project / REQUIREMENTS / "twin.txt"
    path.write_text("# Twin: nothing much\n# python: 3.99\npytest==1.2\n")
    asked = pinned(path)
    assert asked.python == "3.99"
    with monkeypatch.context() as without:

        def absent(*_arguments: Any) -> str:
            raise FileNotFoundError

        without.setattr(integrations, "run", absent)
        with pytest.raises(Broken, match=r"it needs Python 3\.99"):
            integrations.environment(sandbox, asked, sandbox.folder / "kept", fresh=False)
    bases = []

    def run(command: list[str], *_more: Any) -> str:
        if command[1] == "-c":
            return f"/usr/bin/{command[0]}\n3.99.1\n"
        bases.append(command[0])
        (Path(command[3]) / "bin").mkdir(parents=True)
        return ""

    monkeypatch.setattr(integrations, "run", run)
    home = integrations.environment(sandbox, asked, sandbox.folder / "kept", fresh=False)
    assert bases == ["/usr/bin/python3.99"]
    assert home != integrations.environment(
        sandbox, replace(asked, python=""), sandbox.folder / "kept", fresh=False
    )
    assert made


# The record -------------------------------------------------------------------------------------------------

ONE = Tried("L", "w", {"l": "1"}, "3.11", 2, 0, [], 1.0, "2026-01-02")


def test_a_record_keeps_what_was_not_run_again_and_drops_what_is_gone() -> None:
    before = {"gone": {}, "kept": {"library": "K"}, "new": {"library": "old"}}
    now = merged(before, {"new": ONE}, ["new", "kept", "never"])
    assert list(now) == ["kept", "new"]
    assert now["kept"] == {"library": "K"}
    assert now["new"]["library"] == "L"


def test_nothing_passed_is_a_failure_even_if_nothing_failed() -> None:
    assert judged(Found(1, 5)) == []
    assert judged(Found(0, 5)) == ["no test was run, 5 skipped"]
    assert judged(Found(3, 0, ["a"])) == ["a"]


def test_the_table_shows_what_failed_and_what_was_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gen_docs, "INTEGRATIONS_RUN", tmp_path / "none.json")
    assert gen_docs.integrations_table() == "No run is recorded yet."
    runs = {"a": ONE, "b": replace(ONE, library="M", failed=["x"], passed=0, skipped=3)}
    (tmp_path / "some.json").write_text(json.dumps(merged({}, runs, ["a", "b"])))
    monkeypatch.setattr(gen_docs, "INTEGRATIONS_RUN", tmp_path / "some.json")
    *_, first, second = gen_docs.integrations_table().splitlines()
    assert first == "| L | l 1 | w | 2 passed | 2026-01-02 |"
    assert second == "| M | l 1 | w | 1 FAILED, 3 skipped | 2026-01-02 |"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_integration_has_its_test_and_its_recorded_run(path: Path) -> None:
    asked = pinned(path)
    assert (ROOT / "tests" / "integrations" / f"test_{asked.name}.py").exists()
    one = json.loads(INTEGRATIONS_RUN.read_text())[asked.name]
    again = f'run `make integrations ARGS="--only {asked.name} --json results/integrations.json"`'
    assert (one["library"], one["what"]) == (asked.library, asked.what), again
    assert [f"{name}=={version}" for name, version in one["packages"].items()] == [
        line.partition("[")[0] + "==" + line.partition("==")[2] if "[" in line else line
        for line in asked.requirements
    ], again
    assert one["failed"] == [], again
    assert one["passed"] > 0


HOLD = """
import sys, time
from pathlib import Path
from tools.compat.integrations import held
with held(Path(sys.argv[1]), "here"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_run_waits_for_an_environment_that_a_first_one_uses(tmp_path: Path) -> None:
    first, second, other = (
        subprocess.Popen(
            [sys.executable, "-c", HOLD.replace("here", name), str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("here", "here", "there")
    )
    with first, second, other:
        # Which of the two is first does not matter; the environment of another library is free.
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        streams = [one.stdout for one in (first, second) if one.stdout is not None]
        ready, _, _ = select.select(streams, [], [], 60)
        (holder,) = ready
        assert holder.readline() == "held\n"
        waiting = streams[1 - streams.index(holder)]
        assert select.select([waiting], [], [], 1.0)[0] == []
        (first if holder is first.stdout else second).communicate("go\n", timeout=60)
        assert waiting.readline() == "held\n"
        for one in (second if holder is first.stdout else first, other):
            one.communicate("go\n", timeout=60)
