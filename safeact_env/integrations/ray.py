"""Ray: episodes fanned out over a cluster, with the results in order.

Owns the connection to a cluster and how many tasks wait there. Must not know what is played: it maps a
function over jobs. Each task checks that its worker has this version of the package, as other versions may
give other episodes. A worker that dies is replaced and its task is run again; episodes are reproducible, so
the results are the same. It needs the extra `ray`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from safeact_env.version import VERSION

__all__ = ["LOCAL", "RayError", "map_episodes"]

J = TypeVar("J")
R = TypeVar("R")

LOCAL = "local"
"""The address that starts a cluster on this machine, for this run."""
RETRIES = 10
"""How often a task is repeated after its worker died."""
WAITING = 4
"""Tasks in the cluster at once, per processor."""


class RayError(RuntimeError):
    """The cluster cannot be used, with a sentence that says why and what to do."""


def map_episodes(play: Callable[[J], R], jobs: Iterable[J], *, address: str, workers: int = 2) -> Iterator[R]:
    """Yield what `play` returns for each job, in the order of the jobs, computed on a Ray cluster.

    Args:
        play: A function that can be imported by name on the workers, where this package is installed.
        jobs: Consumed as the cluster takes them.
        address: Of a running cluster, as `ray.init` accepts it (`auto`, `ray://host:10001`), or `local`.
        workers: Processes of a cluster that is started for this run.

    Raises:
        RayError: If Ray is not installed, the cluster cannot be reached, workers die repeatedly, or a worker
            has another version of this package.
    """
    try:
        import ray
    except ImportError:
        raise RayError("Ray is not installed; pip install 'openenv-safeact-env[ray]'") from None
    with _connected(ray, address, workers):
        # Ray accepts functions only, no other callables.
        task = ray.remote(max_retries=RETRIES)(_checked)
        most = max(1, int(WAITING * ray.cluster_resources().get("CPU", 1)))
        waiting: deque[Any] = deque()
        try:
            for job in jobs:
                waiting.append(task.remote(VERSION, play, job))
                if len(waiting) == most:
                    yield _result(ray, waiting.popleft())
            while waiting:
                yield _result(ray, waiting.popleft())
        finally:
            for left in waiting:
                ray.cancel(left, force=True)


@contextmanager
def _connected(ray: Any, address: str, workers: int) -> Iterator[None]:
    """Connect to the cluster for the block. A connection that this process already has stays open."""
    if ray.is_initialized():
        yield
        return
    own = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RayError(f"there is no Ray cluster at {address}: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _result(ray: Any, task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from None
    except ray.exceptions.RayError as error:
        raise RayError(f"the cluster gave up on an episode: {error}") from None


def _checked(version: str, play: Callable[[J], R], job: J) -> R:
    """Play a job on a worker."""
    if version != VERSION:
        raise RayError(f"a worker has version {VERSION} of safeact-env; install {version} on it")
    return play(job)
