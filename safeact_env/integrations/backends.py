"""Backends for trainers: blocking, one episode after another, in this process or on a server.

Owns how a call reaches the environment and how its observation comes back. Must not know who plays.
"""

import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import Split, Task
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.llm.backends import observation_of, version_mismatch

__all__ = ["Backend", "LocalBackend", "ServerBackend", "WrongServer", "backend_for"]

RETRIES = 8
"""How often a request is repeated: for about a minute, long enough to restart a server."""


class WrongServer(RuntimeError):
    """The server does not have this installation's version of the task."""


class Backend(Protocol):
    """Runs one episode after another."""

    def begin(self, split: Split, seed: int, variant: Variant = DEFAULT) -> dict[str, Any]:
        """Drop the previous episode and start another; return its first observation."""

    def step(self, call: Call) -> dict[str, Any]:
        """Take a step; return the observation after it, with `reward` and `done`."""

    def close(self) -> None:
        """Drop the episode. Without one, or when closed already, do nothing."""


class LocalBackend:
    """Runs episodes in this process.

    Args:
        task: The task to play.
    """

    def __init__(self, task: Task[Any]) -> None:
        self._task = task
        self._episode: Episode[Any] | None = None

    def begin(self, split: Split, seed: int, variant: Variant = DEFAULT) -> dict[str, Any]:
        """Start an episode; return the first observation."""
        self._episode = Episode(self._task, split, seed, variant=variant)
        return self._episode.observation()

    def step(self, call: Call) -> dict[str, Any]:
        """Take a step; return the observation after it."""
        assert self._episode is not None
        self._episode.step(call)
        return self._episode.observation()

    def close(self) -> None:
        """Nothing to do."""


class ServerBackend:
    """Runs episodes on a server over HTTP.

    HTTP and not a WebSocket: a trainer sends nothing for as long as a training step takes, and a proxy may
    close a silent connection. Over HTTP no connection carries the episode: a request without an answer is
    sent again and acts once, and an episode that the server has forgotten is replayed from its calls.

    Args:
        task: The task to play.
        url: Address of the server.
        headers: Sent with each request, such as `{"Authorization": "Bearer ..."}`.

    Raises:
        ValueError: If `url` is not an HTTP address.
    """

    def __init__(self, task: Task[Any], url: str, headers: Mapping[str, str] | None = None) -> None:
        from safeact_env.client import SafeActHTTPClient

        self._task = task
        self._url = url
        self._client = SafeActHTTPClient(url, headers=headers, retries=RETRIES)
        # A trainer does not say when it is done with an environment.
        weakref.finalize(self, self._client.close)
        self._start: tuple[Split, int, Variant] | None = None
        self._calls: list[Call] = []

    def begin(self, split: Split, seed: int, variant: Variant = DEFAULT) -> dict[str, Any]:
        """Have the server drop the previous episode and start another; return its first observation.

        Raises:
            WrongServer: If the server has another version of the task.
            SafeActError: If the server cannot be reached, or refuses.
        """
        if self._start is None:
            self._check_version()
        else:
            self._forget()
        self._start, self._calls = (split, seed, variant), []
        return self._reset()

    def step(self, call: Call) -> dict[str, Any]:
        """Take a step; return the observation after it.

        Raises:
            SafeActError: If the server cannot be reached, or refuses.
        """
        from safeact_env.client import SafeActError

        try:
            observation = self._send(call)
        except SafeActError as error:
            if error.code != "unknown_episode":
                raise
            # The server was restarted, or has dropped an idle episode.
            self._reset()
            for earlier in self._calls:
                self._send(earlier)
            observation = self._send(call)
        self._calls.append(call)
        return observation

    def close(self) -> None:
        """Have the server drop the episode, and close the connection."""
        if self._start is not None:
            self._forget()
            self._start = None
        self._client.close()

    def _reset(self) -> dict[str, Any]:
        assert self._start is not None
        split, seed, variant = self._start
        started = self._client.reset(
            self._task.name, seed, split, level=variant.level, framing=variant.framing
        )
        return observation_of(started)

    def _send(self, call: Call) -> dict[str, Any]:
        from safeact_env.models import SafeActAction

        return observation_of(self._client.step(SafeActAction(**call.to_json())))

    def _forget(self) -> None:
        from safeact_env.client import SafeActError

        # The server drops idle episodes by itself.
        with suppress(SafeActError):
            self._client.delete()

    def _check_version(self) -> None:
        """Tools are made from the task here, so the server must have the same version."""
        versions = {card["name"]: card["version"] for card in self._client.tasks().get("tasks", [])}
        if mismatch := version_mismatch(self._url, versions, self._task.name, self._task.version):
            raise WrongServer(mismatch)


def backend_for(task: Task[Any], url: str | None = None, headers: Mapping[str, str] | None = None) -> Backend:
    """Return a backend for a task: on the server at `url`, or in this process without one."""
    return LocalBackend(task) if url is None else ServerBackend(task, url, headers)
