"""Tests each integration with the real library, in a virtual environment per library.

For each file `tests/integrations/requirements/NAME.txt`, pip installs these releases, this project's wheel
and the test tools, and `tests/integrations/test_NAME.py` runs there. The first line of the file is a comment,
`# LIBRARY: what is run`; all requirements are pinned. A line `# python: 3.12` asks for that Python, and a
line `# with: NAME==VERSION` for a release that a part of the library needs and it does not install.
Environments are kept in `.integrations` under a hash of their contents, and rebuilt when that changes.

Exits with 1 if an environment cannot be made, a test fails, or none runs.
"""

import argparse
import fcntl
import hashlib
import json
import platform
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safeact_env.version import VERSION
from tools.compat.junit import Found, run_tests
from tools.servers.throwaway import ROOT, Broken, Sandbox, run

REQUIREMENTS = Path("tests/integrations/requirements")
KEPT = ROOT / ".integrations"
TOOLS = ("pytest", "pytest-asyncio")
"""Needed by the configuration of pytest in pyproject.toml."""
COMPLETE = "complete"
"""A file that marks a finished environment."""
WARNINGS = "filterwarnings=default\nerror:::safeact_env(\\..*)?"
"""Other libraries may warn; this one may not."""

PYTHON = re.compile(r"# python: (?P<version>3\.\d+)")
WITH = re.compile(r"# with: (?P<requirement>\S+==\S+)")
FIRST = re.compile(r"# (?P<library>[^:]+): (?P<what>.+)")
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[A-Za-z0-9._,-]+\])?==(?P<version>[A-Za-z0-9.+!-]+)")

INSTALL_S = 1_800.0
TEST_S = 3_600.0


@dataclass(frozen=True)
class Pinned:
    """The contents of a file of requirements.

    Attributes:
        name: Of the integration.
        library: Its name for readers.
        what: What is run with it.
        requirements: The pinned releases, as pip takes them; the library's own is the first.
        packages: Their names.
        python: The version of Python that it needs; empty if this one will do.
        beside: Other releases, as pip takes them.
    """

    name: str
    library: str
    what: str
    requirements: tuple[str, ...]
    packages: tuple[str, ...]
    python: str = ""
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tried:
    """The result of one integration.

    Attributes:
        library: Its name for readers.
        what: What was run.
        packages: The releases that were installed, by name, the library's own first.
        python: Of which version.
        passed: Tests that passed.
        skipped: Tests that were not run.
        failed: Tests that failed, or why none was run; empty if all is well.
        seconds: Time that the tests took.
        date: Day of the run, UTC.
        version: Of this package.
    """

    library: str
    what: str
    packages: dict[str, str]
    python: str
    passed: int
    skipped: int
    failed: list[str]
    seconds: float
    date: str
    version: str = VERSION


def pinned(path: Path) -> Pinned:
    """Read a file of requirements.

    Raises:
        Broken: If it does not say what it is, or leaves a release open.
    """
    first, *rest = path.read_text(encoding="utf-8").splitlines() or [""]
    title = FIRST.fullmatch(first)
    if title is None:
        raise Broken(f"the first line of {path.name} must be `# LIBRARY: what is run`")
    lines = tuple(line.strip() for line in rest if line.strip() and not line.lstrip().startswith("#"))
    pins = [PIN.fullmatch(line) for line in lines]
    for line, pin in zip(lines, pins, strict=True):
        if pin is None:
            raise Broken(f"{path.name} must pin every release as name==version, not {line!r}")
    packages = tuple(pin["name"] for pin in pins if pin is not None)
    if not packages:
        raise Broken(f"{path.name} names no library")
    python = next((found["version"] for line in rest if (found := PYTHON.fullmatch(line))), "")
    beside = tuple(found["requirement"] for line in rest if (found := WITH.fullmatch(line)))
    return Pinned(path.stem, title["library"], title["what"], lines, packages, python, beside)


# Environments -----------------------------------------------------------------------------------------------


def contents(sandbox: Sandbox, asked: Pinned) -> list[str]:
    """The requirements that pip installs beside this project's wheel."""
    declared = tomllib.loads((sandbox.project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = sandbox.locked.read_text(encoding="utf-8").splitlines()
    tools = [line for line in locked if line.partition("==")[0] in TOOLS]
    return [*asked.requirements, *asked.beside, *declared["dependencies"], *tools]


def interpreter(sandbox: Sandbox, version: str) -> tuple[str, str]:
    """A Python of this version, or this one, and its full version; `Broken` if none is on the path."""
    if not version:
        return sys.executable, platform.python_version()
    # pyenv has one shim for all Pythons, and takes the version from here.
    env = {**sandbox.uv_env, "PYENV_VERSION": version}
    code = "import platform, sys; print(sys.executable); print(platform.python_version())"
    try:
        path, full = run([f"python{version}", "-c", code], env).split()
    except (Broken, OSError):
        raise Broken(f"it needs Python {version}; install one that is found as python{version}") from None
    return path, full


def environment(sandbox: Sandbox, asked: Pinned, kept: Path, *, fresh: bool) -> Path:
    """The Python of an integration's environment, which is built if it is not kept already."""
    base, full = interpreter(sandbox, asked.python)
    packages = contents(sandbox, asked)
    key = hashlib.sha256("\n".join([full, *packages]).encode()).hexdigest()[:12]
    home = kept / f"{asked.name}-{key}"
    python = home / "bin" / "python"
    if fresh or not (home / COMPLETE).exists():
        for old in kept.glob(f"{asked.name}-" + "[0-9a-f]" * len(key)):
            shutil.rmtree(old)
        kept.mkdir(parents=True, exist_ok=True)
        run([base, "-m", "venv", str(home)], sandbox.uv_env)
        pip(sandbox, python, *packages)
        (home / COMPLETE).write_text("\n".join(packages) + "\n", encoding="utf-8")
    pip(sandbox, python, "--no-deps", "--force-reinstall", str(sandbox.wheel))
    return python


@contextmanager
def held(kept: Path, name: str) -> Iterator[None]:
    """Keep an integration's environments to this process, and wait while another has them.

    The wheel is installed anew by every run. Without this, a second run would take the package away from the
    tests of the first, and Inspect, say, would find neither tasks nor approvers in it.
    """
    kept.mkdir(parents=True, exist_ok=True)
    with (kept / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pip(sandbox: Sandbox, python: Path, *arguments: str) -> None:
    """Run `pip install`."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    run(command, sandbox.uv_env, timeout_s=INSTALL_S)


def installed(python: Path, packages: Sequence[str], env: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The version of this Python, and its releases of these packages, without `+cpu` and the like."""
    code = "import json, platform, sys; from importlib.metadata import version as v; "
    code += "found = {name: v(name).partition('+')[0] for name in sys.argv[1:]}; "
    code += "print(json.dumps([platform.python_version(), found]))"
    version, found = json.loads(run([str(python), "-c", code, *packages], dict(env)))
    return version, found


# The runs ---------------------------------------------------------------------------------------------------


def judged(found: Found) -> list[str]:
    """The failures, or that no test ran."""
    if not found.failed and not found.passed:
        return [f"no test was run, {found.skipped} skipped"]
    return found.failed


def try_one(sandbox: Sandbox, asked: Pinned, python: Path) -> Tried:
    """Run the tests of an integration with the packages of this Python."""
    env = {
        **sandbox.env,
        "PATH": f"{python.parent}:{sandbox.env['PATH']}",
        "VIRTUAL_ENV": str(python.parents[1]),
    }
    report = sandbox.folder / f"{asked.name}.xml"
    started = time.monotonic()
    options = ["-o", WARNINGS, f"tests/integrations/test_{asked.name}.py"]
    found = run_tests(python, options, report, env, sandbox.project, TEST_S)
    version, packages = installed(python, asked.packages, env)
    return Tried(
        asked.library,
        asked.what,
        packages,
        version,
        found.passed,
        found.skipped,
        judged(found),
        round(time.monotonic() - started, 1),
        datetime.now(UTC).date().isoformat(),
    )


def try_all(sandbox: Sandbox, chosen: Sequence[Pinned], kept: Path, *, fresh: bool) -> dict[str, Tried]:
    """Build the environments and run the tests, one integration after the other; results by name."""
    # Test the wheel, as users have it, and not the source beside the tests.
    for name in ("safeact_env", "safeact_verifiers", "server"):
        shutil.rmtree(sandbox.project / name, ignore_errors=True)
    tried = {}
    for asked in chosen:
        try:
            with held(kept, asked.name):
                one = try_one(sandbox, asked, environment(sandbox, asked, kept, fresh=fresh))
        except Broken as error:
            today = datetime.now(UTC).date().isoformat()
            wrong = [str(error)]
            one = Tried(asked.library, asked.what, {}, platform.python_version(), 0, 0, wrong, 0.0, today)
        say(asked.name, one)
        tried[asked.name] = one
    return tried


def say(name: str, one: Tried) -> None:
    """Print a line of the report, and the failures."""
    releases = ", ".join(f"{package} {version}" for package, version in one.packages.items())
    skips = f", {one.skipped} skipped" if one.skipped else ""
    print(
        f"{'FAIL' if one.failed else 'ok':4}  {name}: {one.passed} passed{skips} in {one.seconds:.0f} s "
        f"with {releases or 'nothing installed'}",
        flush=True,
    )
    for wrong in one.failed:
        print("      " + wrong.strip().replace("\n", "\n      "), flush=True)


def merged(before: Mapping[str, Any], tried: Mapping[str, Tried], names: Sequence[str]) -> dict[str, Any]:
    """The record with new runs: it keeps those not run again and drops removed integrations."""
    now = {**before, **{name: asdict(one) for name, one in tried.items()}}
    return {name: now[name] for name in sorted(now) if name in names}


def main(
    arguments: Sequence[str], root: Path = ROOT, make: Callable[[Path], Sandbox] = Sandbox, kept: Path = KEPT
) -> int:
    """Run it; return the exit code.

    Args:
        arguments: Of the command line.
        root: Where the files of requirements lie.
        make: Makes the copy of the project, in an empty folder.
        kept: Where environments are kept.
    """
    files = sorted((root / REQUIREMENTS).glob("*.txt"))
    names = [path.stem for path in files]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=names, action="append", help="run this one only; may be repeated")
    parser.add_argument("--fresh", action="store_true", help="rebuild the environments")
    parser.add_argument("--json", type=Path, help="write the results to this file, and keep its other runs")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sa-") as folder:
        try:
            chosen = [pinned(path) for path in files if path.stem in (options.only or names)]
            tried = try_all(make(Path(folder)), chosen, kept, fresh=options.fresh)
        except Broken as error:
            print(f"FAIL  {error}")
            return 1
    if options.json is not None:
        target: Path = options.json
        before = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
        # Files may have been added during the run.
        there = [path.stem for path in (root / REQUIREMENTS).glob("*.txt")]
        text = json.dumps(merged(before, tried, there), indent=2, ensure_ascii=False)
        target.write_text(text + "\n", encoding="utf-8")
    return 1 if not tried or any(one.failed for one in tried.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
