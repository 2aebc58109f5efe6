"""Runs OpenEnv's own validators on this project and reads the result of each criterion.

Owns running and reading them, and the provider that starts a subject for the runtime checks without a
container engine. The validators alone decide what is good, except for the checks that may be skipped, which
are named here.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]  # its stubs are another package

from safeact_env._openenv import lightly
from tools.servers.throwaway import Broken, InstalledServer

with lightly():
    from openenv.validation import Level, run_validation
    from openenv.validation.manifest import ExecutionDeclaration
    from openenv.validation.providers import ExecResult, ProviderError, StartupError
    from openenv.validation.runtime.contracts import LaunchSpec
    from openenv.validation.types import ProviderCapability

MAY_BE_SKIPPED = ("grader not implemented in this build", "missing provider capabilities: network_policy")
"""OpenEnv lacks the check, or it needs a container engine. Any other reason is a failure."""


@dataclass(frozen=True)
class Report:
    """The report of one validator.

    Attributes:
        package: Its OpenEnv.
        validator: How it was called.
        criteria: Result by criterion: `pass`, `fail`, `error` or `skip`.
        wrong: Failures in the validator's words; empty if all is well.
        skipped: Reasons by skipped criterion.
    """

    package: str
    validator: str
    criteria: dict[str, str]
    wrong: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def _called(python: Path, env: dict[str, str], cwd: Path, *arguments: str) -> dict[str, Any]:
    """The JSON report of an `openenv` command, whatever its exit code."""
    done = subprocess.run(
        [str(python.parent / "openenv"), *arguments],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise Broken(
            f"`openenv {' '.join(arguments)}` printed no report: {done.stdout}{done.stderr}"
        ) from None
    return report


def _criteria(package: str, validator: str, report: dict[str, Any]) -> Report:
    """Read a report that lists criteria as passed or not."""
    found = {one["id"]: one for one in report["criteria"]}
    wrong = [
        f"{name}: {one.get('details', 'failed')}, expected {one.get('expected')}, got {one.get('actual')}"
        for name, one in found.items()
        if not one["passed"]
    ]
    if not report["passed"] and not wrong:
        wrong.append("the report as a whole did not pass")
    return Report(
        package, validator, {name: "pass" if one["passed"] else "fail" for name, one in found.items()}, wrong
    )


def running(package: str, python: Path, env: dict[str, str], cwd: Path, url: str) -> Report:
    """`openenv validate --url`, with the OpenEnv of this Python."""
    return _criteria(package, "validate --url", _called(python, env, cwd, "validate", "--url", url, "--json"))


def local(package: str, python: Path, env: dict[str, str], project: Path) -> Report:
    """`openenv validate` in the project, for OpenEnv before 0.5."""
    report = _called(python, env, project, "validate", "--verbose", "--json")
    return _criteria(package, "validate", report)


def static(package: str, python: Path, env: dict[str, str], project: Path) -> Report:
    """`openenv validate --level static --skip-build`."""
    arguments = ("--level", "static", "--skip-build")
    report = _called(python, env, project.parent, "validate", str(project), *arguments, "--json")
    return _levels(package, " ".join(("validate", *arguments)), report)


def every_level(package: str, project: Path, provider: LocalProvider) -> Report:
    """`openenv validate` at all its levels, on a server that the provider starts.

    The project is a copy, whose manifest is changed: it declares no network, and no provider of processes
    could enforce that.
    """
    declared = project / "openenv.yaml"
    manifest = yaml.safe_load(declared.read_text(encoding="utf-8"))
    manifest["validation"]["network"] = {"mode": "public"}
    declared.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    report = run_validation(project, max_level=Level.SEMANTIC, provider=provider)
    return _levels(package, "validate", report.model_dump(mode="json"))


def _levels(package: str, validator: str, report: dict[str, Any]) -> Report:
    """Read a report with levels and a verdict."""
    criteria, wrong, skipped = {}, [], {}
    for one in report["results"]:
        name, said = one["check_id"], "; ".join(one["evidence"])
        criteria[name] = one["status"]
        if one["status"] in ("fail", "error"):
            wrong.append(f"{name}: {said}")
        elif one["status"] == "skip":
            skipped[name] = said
            if said not in MAY_BE_SKIPPED:
                wrong.append(f"{name} was skipped: {said}")
    if report["verdict"] == "fail" and not wrong:
        wrong.append("the verdict is fail")
    return Report(package, validator, criteria, wrong, skipped)


def task_api(url: str) -> Report:
    """Check that the routes of the Task API agree with each other and with `/reset`."""
    wrong: dict[str, str] = {}
    with httpx.Client(base_url=url) as client:

        def answer(path: str, **body: Any) -> Any:
            got = client.post(path, json=body) if body else client.get(path)
            if got.status_code != 200:
                wrong[path] = f"answers {got.status_code}"
                return {}
            return got.json()

        (name,) = answer("/list_environments") or ["safeact"]
        base = f"/{name}"
        splits = {one["name"]: one["num_tasks"] for one in answer(f"{base}/splits")}
        for split, size in splits.items():
            if answer(f"{base}/num_tasks", split=split) != {"num_tasks": size}:
                wrong[f"{base}/num_tasks"] = f"does not say {size} for {split}"
            last = answer(f"{base}/task", split=split, index=size - 1).get("task")
            if answer(f"{base}/task_range", split=split, start=size - 1).get("tasks") != [last]:
                wrong[f"{base}/task_range"] = f"does not end with the last task of {split}"
            first = answer(f"{base}/task", split=split, index=0).get("task")
            if answer(f"{base}/tasks", split=split).get("tasks", [])[:1] != [first]:
                wrong[f"{base}/tasks"] = f"does not begin with the first task of {split}"
            start = {key: last[key] for key in ("task_name", "split", "seed")} if last else {}
            by_index = answer("/reset", split=split, index=size - 1)
            if by_index.get("observation") != answer("/reset", **start).get("observation"):
                wrong[f"{base}/task"] = f"names another start than /reset takes for {split}"
    routes = ("splits", "num_tasks", "tasks", "task", "task_range")
    paths = ("/list_environments", *(f"{base}/{route}" for route in routes))
    criteria = {path: "fail" if path in wrong else "pass" for path in (*paths, *wrong)}
    return Report("the Task API", "its routes", criteria, [f"{path} {what}" for path, what in wrong.items()])


class LocalProvider:
    """Starts the subject of a validation as a process of this machine.

    Its capabilities declare neither resource limits nor a network policy.

    Args:
        install: Builds and installs a package and returns its program `safeact`.
        env: Environment of the subject.
        folder: For its logs.
    """

    name = "local-process"
    capabilities = frozenset({ProviderCapability.IMAGE_BUILD})
    supported_network_modes = frozenset({"public"})

    def __init__(self, install: Callable[[Path], Path], env: dict[str, str], folder: Path) -> None:
        self._install = install
        self._env = env
        self._folder = folder
        self._programs: dict[str, Path] = {}

    def build(self, root: Path, execution: ExecutionDeclaration) -> str:
        """Install the package; a digest of its declarations takes the place of the image's."""
        try:
            program = self._install(root)
        except Broken as error:
            raise ProviderError(str(error)) from None
        declared = (root / "openenv.yaml").read_bytes() + (root / execution.probe_path).read_bytes()
        digest = f"sha256:{hashlib.sha256(declared).hexdigest()}"
        self._programs[digest] = program
        return digest

    def start(self, spec: LaunchSpec) -> LocalSubject:
        """Start a server."""
        env = {**self._env, **spec.env_vars}
        log = self._folder / f"{spec.run_id}.log"
        try:
            return LocalSubject(
                InstalledServer(self._programs[spec.image_ref], env, log, spec.startup_timeout_s)
            )
        except Broken as error:
            raise StartupError(str(error)) from None


class LocalSubject:
    """A server that is being validated."""

    def __init__(self, server: InstalledServer) -> None:
        self._server = server
        self.base_url = server.url

    def inspect(self) -> dict[str, Any]:
        """The kind of subject."""
        return {"kind": "process"}

    def logs(self, max_bytes: int = 65_536) -> str:
        """The end of its output."""
        return self._server.printed(max_bytes)

    def exec(self, argv: list[str], timeout_s: float) -> ExecResult:
        """Not supported: nothing would contain the command."""
        raise ProviderError("a process of this machine contains no command")

    def stop(self) -> None:
        """Stop it."""
        self._server.stop()
