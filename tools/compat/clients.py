"""Plays the same episodes through every OpenEnv client, and runs OpenEnv's validators.

One server runs, installed from this project's wheel. Every client, in an environment of its own, plays whole
episodes of all tasks on it, and all that it showed is compared, as canonical JSON, with what the engine shows
in this process. Then OpenEnv's validators judge the project, and the tests of the API run on dependencies
other than the locked ones. Exits 1 if anything differs, fails or was not played.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its stubs are another package

from safeact_env.version import VERSION
from tools.compat import validators
from tools.compat.junit import run_tests
from tools.compat.trajectories import difference, episodes
from tools.servers.throwaway import Broken, Workshop, serving

JSON = dict[str, Any]

OLDEST = "openenv-core==0.1.1"
CLIENTS = ("subclass", "subclass_async", "generic", "generic_async", "auto_generic")
OWN = ("typed", "typed_async", "typed_docker", "typed_http", "auto")
TITLES = {
    "old_http": ("a subclass of `HTTPEnvClient`", "by its address"),
    "old_docker": ("a subclass of `HTTPEnvClient`", "`from_docker_image`"),
    "subclass": ("a subclass of `EnvClient`", "sync"),
    "subclass_async": ("a subclass of `EnvClient`", "async"),
    "generic": ("`GenericEnvClient`", "sync"),
    "generic_async": ("`GenericEnvClient`", "async"),
    "generic_with": ("`GenericEnvClient`", "without `.sync()`"),
    "uv": ("`GenericEnvClient`", "`from_env` with uv"),
    "auto_generic": ("`AutoEnv`", "`skip_install`"),
    "auto": ("`AutoEnv`", "installed"),
    "typed": ("`SafeActEnv`", "sync"),
    "typed_async": ("`SafeActEnv`", "async"),
    "typed_docker": ("`SafeActEnv`", "`from_docker_image`"),
    "typed_http": ("`SafeActHTTPClient`", "sync"),
}
"""For readers: the client, and how it is used."""

OTHER_SERVER = "openenv-core==0.3.0"
TEST_TOOLS = (
    *("pytest", "pytest-asyncio", "pytest-randomly", "pytest-xdist", "hypothesis", "jsonschema"),
    *("redis", "uv"),
)


@dataclass(frozen=True)
class Played:
    """What became of one client.

    Attributes:
        package: The library and its version.
        client: Its class.
        use: How it was used.
        episodes: How many were to be played.
        steps: How many steps they take.
        difference: The first thing that was not the same; empty if all was.
    """

    package: str
    client: str
    use: str
    episodes: int
    steps: int
    difference: str


@dataclass(frozen=True)
class Suite:
    """What the tests of the API said on other dependencies."""

    dependencies: str
    passed: int
    skipped: int
    failed: list[str]


def packages(locked: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Per library the clients that need nothing else, and those that need this project's package."""
    return {
        OLDEST: (("old_http", "old_docker"), ()),
        "openenv-core==0.2.3": (CLIENTS, OWN),
        "openenv-core==0.3.0": ((*CLIENTS, "uv"), OWN),
        "openenv==0.4.1": ((*CLIENTS, "generic_with"), OWN),
        locked: ((*CLIENTS, "generic_with", "uv"), OWN),
    }


# The runs -----------------------------------------------------------------------------------------------


def drive(python: Path, shop: Workshop, plan: JSON, name: str) -> dict[str, JSON]:
    """Let the clients of a plan play; per client what it showed, or its error."""
    plan_file, shown_file = shop.folder / f"{name}.plan.json", shop.folder / f"{name}.shown.json"
    plan_file.write_text(json.dumps(plan), encoding="utf-8")
    script = shop.project / "tools" / "compat" / "client.py"
    done = subprocess.run(
        [str(python), str(script), str(plan_file), str(shown_file)],
        env=shop.env,
        cwd=shop.env["HOME"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if not shown_file.exists():
        return {one: {"error": (done.stdout + done.stderr)[-2_000:]} for one in plan["clients"]}
    shown: dict[str, JSON] = json.loads(shown_file.read_text(encoding="utf-8"))
    return shown


def judged(package: str, plan: JSON, shown: dict[str, JSON], expected: Sequence[JSON]) -> list[Played]:
    """What became of every client of a plan."""
    steps = sum(len(one["calls"]) for one in plan["episodes"])
    verdicts = []
    for name in plan["clients"]:
        said = shown.get(name, {"error": "it was not played"})
        wrong = said["error"] if "error" in said else difference(said["shown"], expected)
        verdicts.append(Played(package, *TITLES[name], len(plan["episodes"]), steps, wrong))
    return verdicts


def play_package(
    shop: Workshop, package: str, url: str, plans: Sequence[JSON], expected: Sequence[JSON]
) -> list[Played]:
    """Play with all clients of a library, first without this project's package, then with it."""
    bare, own = packages(shop.openenv)[package]
    manifest = yaml.safe_load((shop.project / "openenv.yaml").read_text(encoding="utf-8"))
    known = {"description": manifest["description"], "default_image": "safeact-env:latest"}
    base = {"url": url, "project": str(shop.project), "episodes": plans, "manifest": known}
    python = shop.environment(package, [package])
    played = []
    for kind, clients in (("bare", bare), ("own", own)):
        if kind == "own" and own:
            shop.add_wheel(python)
            shop.add(python, "pydantic", "httpx")
        plan = {**base, "clients": list(clients)}
        shown = drive(python, shop, plan, f"{package}-{kind}") if clients else {}
        played.extend(judged(package, plan, shown, expected))
    return played


def suite(shop: Workshop, title: str, python: Path, *options: str) -> Suite:
    """Run the tests of the API with the packages that this Python has."""
    report = shop.folder / f"{python.parents[1].name}.xml"
    chosen = ["-n", "2", *options, "tests/server", "tests/client"]
    found = run_tests(python, chosen, report, shop.env, shop.project, timeout_s=600)
    return Suite(title, found.passed, found.skipped, found.failed)


def servers(shop: Workshop) -> list[Suite]:
    """The tests of the API on another OpenEnv, and on the oldest dependencies that are declared."""
    needed = shop.dependencies()
    other = shop.environment("other", [OTHER_SERVER, *needed, *TEST_TOOLS])
    oldest = shop.environment("oldest", ["-r", str(shop.project / "pyproject.toml")], lowest=True)
    for python in (other, oldest):
        shop.add_wheel(python)
    shop.add(oldest, *TEST_TOOLS)
    # Old releases warn of what they use in the newer ones that they did not know of.
    # The page at /web is gradio's, whose release this project does not declare.
    lenient = ("-W", "default::DeprecationWarning", "--ignore", "tests/server/page/test_openenv_web.py")
    return [
        suite(shop, OTHER_SERVER, other),
        suite(shop, "the oldest declared dependencies", oldest, *lenient),
    ]


def validated(shop: Workshop, program: Path, url: str) -> list[validators.Report]:
    """The reports of OpenEnv's validators."""
    newest = shop.openenv
    pythons = {name: shop.environment(name, [name]) for name in (OTHER_SERVER, newest)}
    provider = validators.LocalProvider(lambda _root: program, shop.env, shop.folder)
    other, project, outside = OTHER_SERVER, shop.project, shop.folder
    with ThreadPoolExecutor(2) as pool:
        commands = [
            pool.submit(validators.running, other, pythons[other], shop.env, outside, url),
            pool.submit(validators.running, newest, pythons[newest], shop.env, outside, url),
            pool.submit(validators.local, other, pythons[other], shop.env, project),
            pool.submit(validators.static, newest, pythons[newest], shop.env, project),
        ]
    reports = [command.result() for command in commands]
    return [*reports, validators.runtime(newest, project, provider), validators.task_api(url)]


# The program --------------------------------------------------------------------------------------------


def say(name: str, wrong: Sequence[str], right: str) -> None:
    """One line of the report, and what is wrong."""
    print(
        f"{'FAIL' if wrong else 'ok':4}  {name}: {right if not wrong else f'{len(wrong)} wrong'}", flush=True
    )
    for one in wrong:
        print("      " + one.strip().replace("\n", "\n      "), flush=True)


def everything(shop: Workshop, parts: Sequence[str]) -> tuple[JSON, bool]:
    """Run the parts that are asked for; the record, and whether all is well."""
    record: JSON = {"version": VERSION, "openenv": shop.openenv}
    wrongs: list[str] = []

    def note(name: str, wrong: Sequence[str], right: str) -> None:
        say(name, wrong, right)
        wrongs.extend(wrong)

    server = shop.environment("server", [str(shop.wheel), shop.openenv])
    program = server.parent / "safeact"
    with serving(program, shop.env, shop.folder / "server.log") as url:
        if "clients" in parts:
            plans, expected = episodes()
            with ThreadPoolExecutor(2) as pool:
                runs = pool.map(
                    lambda package: play_package(shop, package, url, plans, expected), packages(shop.openenv)
                )
                played = [one for run in runs for one in run]
            for one in played:
                what = f"{one.episodes} episodes, {one.steps} steps, as in process"
                note(
                    f"{one.package} {one.client}, {one.use}", [one.difference] if one.difference else [], what
                )
            record["clients"] = [asdict(one) for one in played]
        if "validators" in parts:
            reports = validated(shop, program, url)
            for report in reports:
                count = sum(result == "pass" for result in report.criteria.values())
                skips = f", {len(report.skipped)} skipped" if report.skipped else ""
                note(f"{report.package} {report.validator}", report.wrong, f"{count} pass{skips}")
            record["validators"] = [report.to_json() for report in reports]
    if "servers" in parts:
        suites = servers(shop)
        for test in suites:
            right = f"{test.passed} tests pass, {test.skipped} skipped"
            note(f"server on {test.dependencies}", test.failed, right)
        record["servers"] = [asdict(test) for test in suites]
    return record, not wrongs


def main(arguments: Sequence[str], make: Callable[[Path], Workshop] = Workshop) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("clients", "validators", "servers")
    parser.add_argument("--part", choices=parts, action="append", help="run this part only; may be repeated")
    parser.add_argument("--json", type=Path, help="write what was seen to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="safeact-compat-") as folder:
        try:
            record, well = everything(make(Path(folder)), options.part or parts)
        except Broken as error:
            print(f"FAIL  {error}")
            return 1
    if options.json is not None:
        options.json.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
