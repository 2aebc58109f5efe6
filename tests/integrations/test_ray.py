"""Ray itself: a local cluster whose workers die, and RLlib on the Gymnasium form.

In the ordinary suite these are skipped: `make integrations` installs Ray and runs them.
"""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from safeact_env.cli import app
from safeact_env.evaluation import Selection, evaluate
from safeact_env.integrations.ray import LOCAL, RayError, map_episodes

ray = pytest.importorskip("ray", reason="Ray is not installed here; `make integrations` runs this test")

SELECTION = Selection(("expert", "random"), ("easy", "hard"), ("train", "test"), tuple(range(6)))


@pytest.fixture(autouse=True)
def _no_cluster_is_left() -> Iterator[None]:
    yield
    assert not ray.is_initialized()


def dying(play: Any, marks: str, job: Any) -> Any:
    """Plays; but the worker that is given one of two scenarios kills itself, the first time."""
    if job.scenario.seed == 3:
        mark = Path(marks, "-".join(map(str, job.scenario)))
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return play(job)


def test_workers_that_die_in_mid_run_change_nothing(tmp_path: Path) -> None:
    def mapper(play: Any, jobs: Any) -> Any:
        return map_episodes(partial(dying, play, str(tmp_path)), jobs, address=LOCAL, workers=2)

    serial, fanned = tmp_path / "serial.jsonl", tmp_path / "fanned.jsonl"
    expected = evaluate(SELECTION, out=serial, workers=1)
    assert evaluate(SELECTION, out=fanned, mapper=mapper) == expected
    assert fanned.read_bytes() == serial.read_bytes()
    assert len([mark for mark in tmp_path.iterdir() if mark.suffix != ".jsonl"]) == 4


def always_dying(_job: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_always_die_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeact_env.integrations.ray.RETRIES", 1)
    with pytest.raises(RayError, match="gave up on an episode"):
        list(map_episodes(always_dying, [1], address=LOCAL))


def failing(job: int) -> None:
    raise KeyError(f"job {job}")


def test_an_error_of_the_job_arrives_as_it_is() -> None:
    with pytest.raises(KeyError, match="job 7"):
        list(map_episodes(failing, [7], address=LOCAL))


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(RayError, match="there is no Ray cluster at auto"):
        list(map_episodes(failing, [1], address="auto"))


def test_the_command_line_plays_on_a_running_cluster(tmp_path: Path) -> None:
    arguments = ["--policy", "expert", "--task", "medium", "--seeds", "0-3", "--json"]
    context = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        fanned = ["eval", *arguments, str(tmp_path / "b.json"), "--ray", context.address_info["address"]]
        assert CliRunner().invoke(app, fanned).exit_code == 0
    finally:
        ray.shutdown()
    serial = ["eval", *arguments, str(tmp_path / "a.json"), "--workers", "1"]
    assert CliRunner().invoke(app, serial).exit_code == 0
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_exports_are_the_same(tmp_path: Path) -> None:
    arguments = ["--task", "easy", "--seeds", "0-3", "--form", "sft"]
    for folder, more in (("a", []), ("b", ["--ray", LOCAL])):
        result = CliRunner().invoke(app, ["export", str(tmp_path / folder), *arguments, *more])
        assert result.exit_code == 0, result.output
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert any(name.endswith(".jsonl") for name in files)


def test_rllib_trains_an_iteration() -> None:
    from gymnasium.wrappers import FlattenObservation
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.tune.registry import register_env

    from safeact_env.integrations.gymnasium import SafeActGymEnv

    register_env("safeact", lambda config: FlattenObservation(SafeActGymEnv(**config)))
    config = (
        PPOConfig()
        .environment("safeact", env_config={"task": "easy", "split": "train"})
        .env_runners(num_env_runners=0)
        .training(train_batch_size_per_learner=128, minibatch_size=64, num_epochs=1)
    )
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        algorithm = config.build_algo()
        found = algorithm.train()
        algorithm.stop()
    finally:
        ray.shutdown()
    assert found["env_runners"]["num_env_steps_sampled"] >= 128
    assert -10 <= found["env_runners"]["episode_return_mean"] <= 1
    assert json.dumps(found["env_runners"]["num_episodes"], default=str)
