"""OpenEnv's own commands take the checkout: validate, catalog, build up to Docker, and what serve prints."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from safeact_env._openenv import lightly
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.sessions import task_index
from safeact_env.tasks import OFFICIAL, get_task
from safeact_env.version import VERSION
from tools.servers.local_servers import Server, free_port, healthy
from tools.servers.throwaway import ROOT, UNCOPIED

BIN = Path(sys.executable).parent
MANIFEST = yaml.safe_load((ROOT / "openenv.yaml").read_text())
DECLARED = MANIFEST["validation"]
CANARIES = [
    row
    for file in sorted((ROOT / DECLARED["capabilities"]["canaries"]).glob("*.json"))
    for row in json.loads(file.read_text())
]


def openenv(*words: str, cwd: Path, **more: str) -> Result:
    # Every process of the tests reads this file, and only one needs what this imports.
    with lightly():
        from openenv.cli.__main__ import app

    with chdir(cwd):
        return CliRunner().invoke(app, words, env={"COLUMNS": "400", **more})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("copy") / "safeact"
    shutil.copytree(ROOT, copy, ignore=UNCOPIED)
    return copy


# The manifest -----------------------------------------------------------------------------------------------


def test_the_manifest_says_what_the_code_does() -> None:
    assert MANIFEST["version"] == DECLARED["task_distribution"]["dataset_version"] == VERSION
    capabilities = DECLARED["capabilities"]
    tools = {action.name for task in OFFICIAL for action in get_task(task).fixed_actions}
    assert capabilities["declared_tools"] == sorted(tools)
    assert capabilities["declared_task_count"] == {
        one["name"]: one["num_tasks"] for one in task_index.splits()
    }
    assert task_index.numbered("train", 0)["seed"] == DECLARED["task_distribution"]["generator_seed"]
    for file in (
        capabilities["oracle"]["location"],
        DECLARED["execution"]["probe_path"],
        DECLARED["execution"]["dockerfile"],
    ):
        assert (ROOT / file).is_file()
    assert {row["reset"]["options"]["task_name"] for row in CANARIES} == set(OFFICIAL)


def test_the_manifest_declares_all_that_the_schema_has() -> None:
    from openenv.validation.manifest import CapabilitiesSpec, ExecutionDeclaration, NormalizedManifestV2

    # There is no model in the grade, no state is ever taken from outside, and no GPU is used.
    unused = {"judge", "llm_judged", "set_state"}
    of_parser = {"manifest_schema_version", "signature", "name", "version"}
    assert set(DECLARED) == set(NormalizedManifestV2.model_fields) - of_parser - unused
    assert set(DECLARED["capabilities"]) == set(CapabilitiesSpec.model_fields) - unused
    assert set(DECLARED["execution"]) == set(ExecutionDeclaration.model_fields)


@pytest.mark.parametrize("options", [["--level", "static"], ["--skip-build"]], ids=" ".join)
def test_validate_passes_without_a_container_engine(options: list[str], checkout: Path) -> None:
    done = openenv("validate", *options, "--json", cwd=checkout)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["manifest"]["manifest_schema_version"] == "2"
    assert [one["check_id"] for one in report["results"] if one["status"] == "pass"] == ["static.manifest"]
    assert not [one for one in report["results"] if one["status"] in ("fail", "error")]


@pytest.mark.parametrize(
    "row", CANARIES, ids=lambda row: f"{row['reset']['options']['task_name']}-{row['name']}"
)
def test_a_canary_is_worth_what_is_declared_and_little(row: dict[str, Any]) -> None:
    reset = row["reset"]
    episode: Episode[Any] = Episode(
        get_task(reset["options"]["task_name"]), reset["options"]["split"], reset["seed"]
    )
    for action in row["actions"]:
        episode.step(Call(**action))
    grade = episode.grade()
    assert (grade.score, grade.total) == (row["score"], row["return"])
    assert grade.score <= 0.3 < 1.0 - DECLARED["reward"]["floor_margin"]


def test_the_oracle_earns_all_there_is_on_a_running_server(live_url: str) -> None:
    oracle = [sys.executable, str(ROOT / "validation" / "oracle.py"), live_url]
    done = subprocess.run(oracle, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{task}: 1.0" for task in OFFICIAL]


# The catalog ------------------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of a repository of environments that holds this one in envs/safeact."""
    repository = tmp_path_factory.mktemp("catalog")
    place = repository / "envs" / "safeact"
    place.mkdir(parents=True)
    for file in ("openenv.yaml", "pyproject.toml", "README.md", "discovery.json", "LICENSE"):
        shutil.copy(ROOT / file, place)
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "an environment")
    uri = "https://github.com/someone/environments.git"
    built = openenv(
        *("catalog", "build", "--repository", ".", "--repository-uri", uri, "--publisher", "example.org"),
        *("--output", "catalog.json"),
        cwd=repository,
    )
    assert built.exit_code == 0, built.output
    assert "complete=true" in built.stderr
    assert "warning" not in built.stderr
    return repository / "catalog.json"


@pytest.mark.parametrize("query", json.loads((ROOT / "discovery.json").read_text())["representative_queries"])
def test_a_catalog_finds_the_environment_by_what_it_is_for(query: str, catalog: Path) -> None:
    found = openenv("discover", query, "--catalog", str(catalog), "--json", cwd=catalog.parent)
    (entry,) = json.loads(found.stdout)["results"]
    assert entry["data"]["license"] == "MIT"
    assert entry["data"]["framework_requirement"] == "openenv>=0.10"
    assert entry["data"]["artifact_availability"] == "resolvable"


# Commands ---------------------------------------------------------------------------------------------------

DOCKER = """#!/bin/sh
# Stands in for Docker: keeps its arguments and the context, which is its last one.
printf '%s\\n' "$@" > "$TOLD"
for context; do :; done
cp -a "$context" "$KEPT"
"""


def test_build_hands_docker_a_context_with_all_that_the_image_needs(checkout: Path, tmp_path: Path) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    told, kept = tmp_path / "told", tmp_path / "kept"
    done = openenv(
        *("build", "--tag", "safeact-env"),
        cwd=checkout,
        PATH=f"{docker.parent}:{os.environ['PATH']}",
        TOLD=str(told),
        KEPT=str(kept),
    )
    assert done.exit_code == 0, done.output
    words = told.read_text().split("\n")
    assert words[:3] == ["build", "-t", "safeact-env"]
    assert Path(words[words.index("-f") + 1]).name == "Dockerfile"
    for name in ("Dockerfile", ".dockerignore"):
        assert (kept / name).read_bytes() == (ROOT / name).read_bytes()
    for line in (kept / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            assert (kept / line[1:]).exists(), line


def test_the_command_that_serve_prints_serves_on_the_port_it_names(checkout: Path, tmp_path: Path) -> None:
    port = free_port()
    done = openenv("serve", "--port", str(port), cwd=checkout)
    assert "not yet implemented" in done.stdout, "OpenEnv serves by itself now: test that"
    (program,) = re.findall(rf"uv run --project \. (\w+) --port {port}", done.stdout)
    command = [str(BIN / program), "--port", str(port), "--host", "127.0.0.1"]
    with Server(command, port, tmp_path / "log", dict(os.environ)):
        assert healthy(port)


def test_collect_takes_the_environments_of_openenv_only(tmp_path: Path) -> None:
    done = openenv(
        *("collect", "safeact:easy", "--base-url", "http://127.0.0.1:1", "--output-dir", str(tmp_path)),
        cwd=tmp_path,
    )
    assert done.exit_code != 0
    assert "Unknown env" in done.output, "OpenEnv lets others in now: offer a session factory"
