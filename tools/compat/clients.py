"""Checks compatibility: plays through every OpenEnv client and runs OpenEnv's validators.

Every client plays whole episodes of all tasks, in its own environment, on one server that is installed from
this project's wheel. Its results are compared, as canonical JSON, with those of the engine in this process.
Then OpenEnv's validators judge the project, and the tests of the API run on dependencies other than the
locked ones. Exits with 1 if anything differs, fails or was not played.
"""

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
from tools.servers.throwaway import Broken, Sandbox, serving

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
"""The client, and how it is used, for readers."""

CLIENT_SECONDS, TEST_SECONDS = 1_200, 1_800
"""How long the clients of a library may play, and how long tests may take; a busy machine takes its time."""
OTHER_SERVER = "openenv-core==0.3.0"
TEST_TOOLS = (
    *("pytest", "pytest-asyncio", "pytest-randomly", "pytest-xdist", "hypothesis", "jsonschema"),
    *("redis", "uv"),
)


@dataclass(frozen=True)
class Played:
    """The result of one client.

    Attributes:
        package: The library and its version.
        client: Its class.
        use: How it was used.
        episodes: Episodes to play.
        steps: Steps in them.
        difference: The first difference from the engine; empty if there is none.
    """

    package: str
    client: str
    use: str
    episodes: int
    steps: int
    difference: str


@dataclass(frozen=True)
class Suite:
    """The result of the tests of the API on other dependencies."""

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


def drive(python: Path, sandbox: Sandbox, plan: JSON, name: str) -> dict[str, JSON]:
    """Run the clients of a plan; per client its results or its error."""
    plan_file, shown_file = sandbox.folder / f"{name}.plan.json", sandbox.folder / f"{name}.shown.json"
    plan_file.write_text(json.dumps(plan), encoding="utf-8")
    script = sandbox.project / "tools" / "compat" / "client.py"
    try:
        done = subprocess.run(
            [str(python), str(script), str(plan_file), str(shown_file)],
            env=sandbox.env,
            cwd=sandbox.env["HOME"],
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {one: {"error": f"it did not end within {CLIENT_SECONDS} s"} for one in plan["clients"]}
    if not shown_file.exists():
        return {one: {"error": (done.stdout + done.stderr)[-2_000:]} for one in plan["clients"]}
    shown: dict[str, JSON] = json.loads(shown_file.read_text(encoding="utf-8"))
    return shown


def judged(package: str, plan: JSON, shown: dict[str, JSON], expected: Sequence[JSON]) -> list[Played]:
    """The result of every client of a plan."""
    steps = sum(len(one["calls"]) for one in plan["episodes"])
    verdicts = []
    for name in plan["clients"]:
        said = shown.get(name, {"error": "it was not played"})
        wrong = said["error"] if "error" in said else difference(said["shown"], expected)
        verdicts.append(Played(package, *TITLES[name], len(plan["episodes"]), steps, wrong))
    return verdicts


def play_package(
    sandbox: Sandbox, package: str, url: str, plans: Sequence[JSON], expected: Sequence[JSON]
) -> list[Played]:
    """Play with all clients of a library, first without this project's package, then with it."""
    bare, own = packages(sandbox.openenv)[package]
    manifest = yaml.safe_load((sandbox.project / "openenv.yaml").read_text(encoding="utf-8"))
    known = {"description": manifest["description"], "default_image": "safeact-env:latest"}
    base = {"url": url, "project": str(sandbox.project), "episodes": plans, "manifest": known}
    python = sandbox.environment(package, [package])
    played = []
    for kind, clients in (("bare", bare), ("own", own)):
        if kind == "own" and own:
            sandbox.add_wheel(python)
            sandbox.add(python, "pydantic", "httpx")
        plan = {**base, "clients": list(clients)}
        shown = drive(python, sandbox, plan, f"{package}-{kind}") if clients else {}
        played.extend(judged(package, plan, shown, expected))
    return played


def suite(sandbox: Sandbox, title: str, python: Path, *options: str) -> Suite:
    """Run the tests of the API with the packages of this Python."""
    report = sandbox.folder / f"{python.parents[1].name}.xml"
    chosen = ["-n", "2", *options, "tests/server", "tests/client"]
    found = run_tests(python, chosen, report, sandbox.env, sandbox.project, timeout_s=TEST_SECONDS)
    return Suite(title, found.passed, found.skipped, found.failed)


def servers(sandbox: Sandbox) -> list[Suite]:
    """Run the tests of the API on another OpenEnv, and on the oldest declared dependencies."""
    needed = sandbox.dependencies()
    other = sandbox.environment("other", [OTHER_SERVER, *needed, *TEST_TOOLS])
    oldest = sandbox.environment("oldest", ["-r", str(sandbox.project / "pyproject.toml")], lowest=True)
    for python in (other, oldest):
        sandbox.add_wheel(python)
    sandbox.add(oldest, *TEST_TOOLS)
    # Old releases use what newer ones deprecate. The page at /web needs gradio, which is not declared here.
    lenient = ("-W", "default::DeprecationWarning", "--ignore", "tests/server/page/test_openenv_web.py")
    return [
        suite(sandbox, OTHER_SERVER, other),
        suite(sandbox, "the oldest declared dependencies", oldest, *lenient),
    ]


def validated(sandbox: Sandbox, program: Path, url: str) -> list[validators.Report]:
    """The reports of OpenEnv's validators."""
    newest = sandbox.openenv
    pythons = {name: sandbox.environment(name, [name]) for name in (OTHER_SERVER, newest)}
    provider = validators.LocalProvider(lambda _root: program, sandbox.env, sandbox.folder)
    other, project, outside = OTHER_SERVER, sandbox.project, sandbox.folder
    with ThreadPoolExecutor(2) as pool:
        commands = [
            pool.submit(validators.running, other, pythons[other], sandbox.env, outside, url),
            pool.submit(validators.running, newest, pythons[newest], sandbox.env, outside, url),
            pool.submit(validators.local, other, pythons[other], sandbox.env, project),
            pool.submit(validators.static, newest, pythons[newest], sandbox.env, project),
        ]
    reports = [command.result() for command in commands]
    return [*reports, validators.every_level(newest, project, provider), validators.task_api(url)]


# The program --------------------------------------------------------------------------------------------


def say(name: str, wrong: Sequence[str], right: str) -> None:
    """Print a line of the report, and the failures."""
    print(
        f"{'FAIL' if wrong else 'ok':4}  {name}: {right if not wrong else f'{len(wrong)} wrong'}", flush=True
    )
    for one in wrong:
        print("      " + one.strip().replace("\n", "\n      "), flush=True)


def everything(sandbox: Sandbox, parts: Sequence[str]) -> tuple[JSON, bool]:
    """Run parts of the check; the record, and whether all is well."""
    record: JSON = {"version": VERSION, "openenv": sandbox.openenv}
    wrongs: list[str] = []

    def note(name: str, wrong: Sequence[str], right: str) -> None:
        say(name, wrong, right)
        wrongs.extend(wrong)

    server = sandbox.environment("server", [str(sandbox.wheel), sandbox.openenv])
    program = server.parent / "safeact"
    with serving(program, sandbox.env, sandbox.folder / "server.log") as url:
        if "clients" in parts:
            plans, expected = episodes()
            with ThreadPoolExecutor(2) as pool:
                runs = pool.map(
                    lambda package: play_package(sandbox, package, url, plans, expected),
                    packages(sandbox.openenv),
                )
                played = [one for run in runs for one in run]
            for one in played:
                what = f"{one.episodes} episodes, {one.steps} steps, as in process"
                note(
                    f"{one.package} {one.client}, {one.use}", [one.difference] if one.difference else [], what
                )
            record["clients"] = [asdict(one) for one in played]
        if "validators" in parts:
            reports = validated(sandbox, program, url)
            for report in reports:
                count = sum(result == "pass" for result in report.criteria.values())
                skips = f", {len(report.skipped)} skipped" if report.skipped else ""
                note(f"{report.package} {report.validator}", report.wrong, f"{count} pass{skips}")
            record["validators"] = [report.to_json() for report in reports]
    if "servers" in parts:
        suites = servers(sandbox)
        for test in suites:
            right = f"{test.passed} tests pass, {test.skipped} skipped"
            note(f"server on {test.dependencies}", test.failed, right)
        record["servers"] = [asdict(test) for test in suites]
    return record, not wrongs


def main(arguments: Sequence[str], make: Callable[[Path], Sandbox] = Sandbox) -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("clients", "validators", "servers")
    parser.add_argument("--part", choices=parts, action="append", help="run this part only; may be repeated")
    parser.add_argument("--json", type=Path, help="write the record to this file")
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
