"""Fanning episodes out: the same results as in one process, in order, with a cluster in the place of Ray."""

import inspect
import sys
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from safeact_env.cli import app
from safeact_env.evaluation import Selection, evaluate
from safeact_env.exports import policy_rollouts
from safeact_env.integrations import ray as fan_out
from safeact_env.integrations.ray import RayError, map_episodes

SELECTION = Selection(("expert", "naive"), ("easy", "medical"), ("test",), (0, 1, 2))


class Cluster:
    """What `map_episodes` uses of Ray. Tasks run when they are asked for, the last first."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            def as_instanceof_cause(self) -> Exception:
                return KeyError("of the job")

    def __init__(self, fails: type[Exception] | None = None) -> None:
        self.fails = fails
        self.log: list[str] = []
        self.most = 0
        self.open: deque[Any] = deque()
        self.up = False

    def is_initialized(self) -> bool:
        return self.up

    def init(self, address: str, **_options: Any) -> None:
        if address == "nowhere":
            raise ConnectionError("refused")
        self.log.append(f"init {address}")

    def shutdown(self) -> None:
        self.log.append("shutdown")

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **options: Any) -> Any:
        assert options == {"max_retries": 10}

        def made(function: Any) -> Any:
            assert inspect.isfunction(function), "Ray takes functions and nothing else that can be called"

            def start(*arguments: Any) -> Any:
                task = SimpleNamespace(run=lambda: function(*arguments))
                self.open.append(task)
                self.most = max(self.most, len(self.open))
                return task

            return SimpleNamespace(remote=start)

        return made

    def get(self, task: Any) -> Any:
        self.open.remove(task)
        if self.fails is not None:
            raise self.fails("worker died")
        return task.run()

    def cancel(self, task: Any, *, force: bool) -> None:
        assert force
        self.open.remove(task)
        self.log.append("cancel")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster()
    monkeypatch.setitem(sys.modules, "ray", found)
    return found


def test_results_come_in_order_and_few_tasks_wait(cluster: Cluster) -> None:
    drawn: list[int] = []

    def jobs() -> Any:
        for job in range(50):
            drawn.append(job)
            yield job

    results = map_episodes(lambda job: job * job, jobs(), address="auto")
    assert next(results) == 0
    assert len(drawn) == 8
    assert list(results) == [job * job for job in range(1, 50)]
    assert cluster.most == 8
    assert cluster.log == ["init auto", "shutdown"]


def test_what_is_left_is_cancelled_when_nobody_wants_it(cluster: Cluster) -> None:
    results = map_episodes(abs, range(50), address="auto")
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert cluster.log == ["init auto", *["cancel"] * 7, "shutdown"]
    assert not cluster.open


def test_a_connection_that_is_there_is_used_and_kept(cluster: Cluster) -> None:
    cluster.up = True
    assert list(map_episodes(abs, [-1], address="auto")) == [1]
    assert cluster.log == []


def test_errors_say_what_happened(cluster: Cluster) -> None:
    with pytest.raises(RayError, match="no Ray cluster at nowhere: refused"):
        list(map_episodes(abs, [1], address="nowhere"))
    cluster.fails = Cluster.exceptions.RayError
    with pytest.raises(RayError, match="gave up on an episode: worker died"):
        list(map_episodes(abs, [1], address="auto"))
    cluster.fails = Cluster.exceptions.RayTaskError
    with pytest.raises(KeyError, match="of the job"):
        list(map_episodes(abs, [1], address="auto"))


def test_a_worker_with_another_version_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    results = map_episodes(abs, range(9), address="auto")
    next(results)
    monkeypatch.setattr(fan_out, "VERSION", "0.0.1")
    with pytest.raises(RayError, match=r"a worker has version 0\.0\.1 of safeact-env; install"):
        list(results)


def test_an_evaluation_is_the_same_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    def mapper(play: Any, jobs: Any) -> Any:
        return map_episodes(play, jobs, address="auto")

    one, two = tmp_path / "one", tmp_path / "two"
    assert evaluate(SELECTION, out=one, workers=1) == evaluate(SELECTION, out=two, mapper=mapper)
    assert one.read_bytes() == two.read_bytes()
    assert evaluate(SELECTION, out=two, mapper=mapper) == evaluate(SELECTION, out=one, workers=1)


def test_played_episodes_are_the_same_on_a_cluster(cluster: Cluster) -> None:
    def mapper(play: Any, jobs: Any) -> Any:
        return map_episodes(play, jobs, address="auto")

    here, there = (list(policy_rollouts(("easy",), "train", range(3), "naive", by)) for by in (None, mapper))
    assert [x.episode.turns for x in here] == [x.episode.turns for x in there]
    assert {x.by for x in there} == {"naive"}


def test_the_command_line_says_that_ray_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for arguments in (["eval", "--seeds", "0"], ["export", str(tmp_path / "data"), "--seeds", "0"]):
        result = CliRunner().invoke(app, [*arguments, "--ray", "auto"], env={"COLUMNS": "200"})
        assert result.exit_code == 2
        assert "Ray is not installed" in " ".join(result.output.split())


def test_a_suite_is_not_played_on_a_cluster(tmp_path: Path) -> None:
    arguments = ["eval", "--suite", "v2", "--policy", "expert", "--out", str(tmp_path), "--ray", "auto"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "--ray" in result.output
