"""Runs the tests of each integration with the real library, in an environment of its own.

For each file `tests/integrations/requirements/NAME.txt`, pip makes a virtual environment with these
releases, this project's wheel and what its tests need, and `tests/integrations/test_NAME.py` is run there.
The first line of the file is a comment, `# LIBRARY: what is run`; all requirements are pinned. A line
`# python: 3.12` asks for that Python. Environments are kept in `.integrations`, under the hash of what is in
them, and made again when that changes.

Exits 1 if an environment cannot be made, a test fails, or none is run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safeact_env.version import VERSION
from tools.compat.junit import Found, run_tests
from tools.servers.throwaway import ROOT, Broken, Workshop, run

__all__ = ["Pinned", "Tried", "main", "merged", "pinned", "try_all"]

REQUIREMENTS = Path("tests/integrations/requirements")
KEPT = ROOT / ".integrations"
TOOLS = ("pytest", "pytest-asyncio")
"""What the configuration of pytest in pyproject.toml needs."""
COMPLETE = "complete"
"""A file in an environment that was made to its end."""
WARNINGS = "filterwarnings=default\nerror:::safeact_env(\\..*)?"
"""Other people's libraries may warn; this one may not."""

PYTHON = re.compile(r"# python: (?P<version>3\.\d+)")
FIRST = re.compile(r"# (?P<library>[^:]+): (?P<what>.+)")
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[A-Za-z0-9._,-]+\])?==(?P<version>[A-Za-z0-9.+!-]+)")

INSTALL_S = 1_800.0
TEST_S = 1_200.0


@dataclass(frozen=True)
class Pinned:
    """What a file of requirements asks for.

    Attributes:
        name: Of the integration.
        library: Its name for readers.
        what: What is run with it.
        requirements: The pinned releases, as pip takes them; the library's own is the first.
        packages: Their names.
        python: The version of Python that it needs; empty if this one will do.
    """

    name: str
    library: str
    what: str
    requirements: tuple[str, ...]
    packages: tuple[str, ...]
    python: str = ""


@dataclass(frozen=True)
class Tried:
    """What became of one integration.

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
    return Pinned(path.stem, title["library"], title["what"], lines, packages, python)


# Environments -----------------------------------------------------------------------------------------------


def contents(shop: Workshop, asked: Pinned) -> list[str]:
    """All that pip is to install beside this project's wheel."""
    declared = tomllib.loads((shop.project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = shop.locked.read_text(encoding="utf-8").splitlines()
    tools = [line for line in locked if line.partition("==")[0] in TOOLS]
    return [*asked.requirements, *declared["dependencies"], *tools]


def interpreter(shop: Workshop, version: str) -> tuple[str, str]:
    """A Python of this version, or this one, and its full version.

    Raises:
        Broken: If there is none on the path.
    """
    if not version:
        return sys.executable, platform.python_version()
    # pyenv has one name for all of its Pythons, and is told here which is meant.
    env = {**shop.uv_env, "PYENV_VERSION": version}
    code = "import platform, sys; print(sys.executable); print(platform.python_version())"
    try:
        path, full = run([f"python{version}", "-c", code], env).split()
    except (Broken, OSError):
        raise Broken(f"it needs Python {version}; install one that is found as python{version}") from None
    return path, full


def environment(shop: Workshop, asked: Pinned, kept: Path, *, fresh: bool) -> Path:
    """The Python of the environment of an integration, made if it is not kept already."""
    base, full = interpreter(shop, asked.python)
    packages = contents(shop, asked)
    key = hashlib.sha256("\n".join([full, *packages]).encode()).hexdigest()[:12]
    home = kept / f"{asked.name}-{key}"
    python = home / "bin" / "python"
    if fresh or not (home / COMPLETE).exists():
        for old in kept.glob(f"{asked.name}-" + "[0-9a-f]" * len(key)):
            shutil.rmtree(old)
        kept.mkdir(parents=True, exist_ok=True)
        run([base, "-m", "venv", str(home)], shop.uv_env)
        pip(shop, python, *packages)
        (home / COMPLETE).write_text("\n".join(packages) + "\n", encoding="utf-8")
    pip(shop, python, "--no-deps", "--force-reinstall", str(shop.wheel))
    return python


def pip(shop: Workshop, python: Path, *arguments: str) -> None:
    """Install, as pip does it."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    run(command, shop.uv_env, timeout_s=INSTALL_S)


def installed(python: Path, packages: Sequence[str], env: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The version of this Python, and its releases of these packages, without `+cpu` and the like."""
    code = "import json, platform, sys; from importlib.metadata import version as v; "
    code += "found = {name: v(name).partition('+')[0] for name in sys.argv[1:]}; "
    code += "print(json.dumps([platform.python_version(), found]))"
    version, found = json.loads(run([str(python), "-c", code, *packages], dict(env)))
    return version, found


# The runs ---------------------------------------------------------------------------------------------------


def judged(found: Found) -> list[str]:
    """What is wrong with the outcome of some tests: those that failed, or that none was run."""
    if not found.failed and not found.passed:
        return [f"no test was run, {found.skipped} skipped"]
    return found.failed


def try_one(shop: Workshop, asked: Pinned, python: Path) -> Tried:
    """Run the tests of an integration with the packages that this Python has."""
    env = {**shop.env, "PATH": f"{python.parent}:{shop.env['PATH']}", "VIRTUAL_ENV": str(python.parents[1])}
    report = shop.folder / f"{asked.name}.xml"
    started = time.monotonic()
    options = ["-o", WARNINGS, f"tests/integrations/test_{asked.name}.py"]
    found = run_tests(python, options, report, env, shop.project, TEST_S)
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


def try_all(shop: Workshop, chosen: Sequence[Pinned], kept: Path, *, fresh: bool) -> dict[str, Tried]:
    """Make the environments and run the tests, one integration after the other; by name."""
    # What is tested is the wheel, as users have it, and not the source beside the tests.
    for name in ("safeact_env", "safeact_verifiers", "server"):
        shutil.rmtree(shop.project / name, ignore_errors=True)
    tried = {}
    for asked in chosen:
        try:
            one = try_one(shop, asked, environment(shop, asked, kept, fresh=fresh))
        except Broken as error:
            today = datetime.now(UTC).date().isoformat()
            wrong = [str(error)]
            one = Tried(asked.library, asked.what, {}, platform.python_version(), 0, 0, wrong, 0.0, today)
        say(asked.name, one)
        tried[asked.name] = one
    return tried


def say(name: str, one: Tried) -> None:
    """One line of the report, and what is wrong."""
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
    """The record with new runs in it: what was not run again stays, what is no longer there goes."""
    now = {**before, **{name: asdict(one) for name, one in tried.items()}}
    return {name: now[name] for name in sorted(now) if name in names}


def main(
    arguments: Sequence[str],
    root: Path = ROOT,
    make: Callable[[Path], Workshop] = Workshop,
    kept: Path = KEPT,
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
    parser.add_argument("--fresh", action="store_true", help="make the environments anew")
    parser.add_argument("--json", type=Path, help="write what was seen to this file, and keep its other runs")
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
        # Files may have come while this ran.
        there = [path.stem for path in (root / REQUIREMENTS).glob("*.txt")]
        text = json.dumps(merged(before, tried, there), indent=2, ensure_ascii=False)
        target.write_text(text + "\n", encoding="utf-8")
    return 1 if not tried or any(one.failed for one in tried.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
