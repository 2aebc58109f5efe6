"""Beside a library that needs mcp 2, this package plays in process and over HTTP, installed with --no-deps.

Run in an environment of its own, as docs/train/verifiers.md says; elsewhere it is not collected.
"""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from safeact_env.integrations.text import TextEpisode
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import OFFICIAL, get_task


def played(task: str, url: str | None) -> float:
    """The grade of the expert's episode, played as text."""
    episode = TextEpisode(task, "train", 5, base_url=url)
    player = make_policy("expert", get_task(task), 5)
    while not episode.done:
        episode.step(player.act(episode.observation))
    grade = episode.grade().score
    episode.close()
    return grade


@pytest.fixture(scope="module")
def url() -> str:
    """A server elsewhere: this environment cannot serve."""
    if "SAFEACT_URL" not in os.environ:
        pytest.skip("give the address of a server in SAFEACT_URL")
    return os.environ["SAFEACT_URL"]


def test_the_library_has_its_own_mcp() -> None:
    assert int(version("mcp").partition(".")[0]) >= 2
    import verifiers.v1

    assert verifiers.v1


@pytest.mark.parametrize("task", OFFICIAL)
def test_the_expert_plays_in_process(task: str) -> None:
    assert played(task, None) == 1.0


@pytest.mark.parametrize("task", OFFICIAL)
def test_the_expert_plays_over_http(task: str, url: str) -> None:
    assert played(task, url) == 1.0


def test_the_taskset_is_found() -> None:
    import verifiers.v1 as vf

    assert vf.taskset_config_type("safeact-verifiers").__name__ == "SafeActConfig"


def test_what_is_tested_is_the_installed_package() -> None:
    code = "import safeact_env; print(safeact_env.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert Path(sys.prefix) in Path(done.stdout.strip()).parents
