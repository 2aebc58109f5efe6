"""Where a trainer's episode is played: in this process, or on a server. Blocking, one episode at a time.

Owns how a call gets there and how its observation comes back. Must not know who plays.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import Split, Task

if TYPE_CHECKING:
    from safeact_env._openenv import StepResult
    from safeact_env.models import SafeActObservation

__all__ = ["Here", "There", "World", "WrongServer"]

RETRIES = 8
"""How often a request is repeated: for about a minute, so that a server may be started again meanwhile."""


class WrongServer(RuntimeError):
    """The server does not have the task as this installation has it."""


class World(Protocol):
    """One episode after another, wherever they run."""

    def begin(self, split: Split, seed: int) -> dict[str, Any]:
        """Start an episode and let go of the one before; the first observation."""

    def step(self, call: Call) -> dict[str, Any]:
        """Take a step; the observation after it, with `reward` and `done`."""

    def close(self) -> None:
        """Let go of the episode. Nothing happens if there is none, or it is closed already."""


class Here:
    """Episodes in this process.

    Args:
        task: What is played.
    """

    def __init__(self, task: Task[Any]) -> None:
        self._task = task
        self._episode: Episode[Any] | None = None

    def begin(self, split: Split, seed: int) -> dict[str, Any]:
        """Start an episode; the first observation."""
        self._episode = Episode(self._task, split, seed)
        return self._episode.observation()

    def step(self, call: Call) -> dict[str, Any]:
        """Take a step; the observation after it."""
        assert self._episode is not None
        self._episode.step(call)
        return self._episode.observation()

    def close(self) -> None:
        """Nothing is held."""


class There:
    """Episodes on a server, through its HTTP door.

    That door, not a WebSocket: between two resets a trainer is silent for as long as a training step takes,
    and what lies between may have dropped the connection by then. Here no connection carries the episode.
    A request without an answer is sent again and acts once, and an episode that the server has forgotten is
    played again from its calls, which are all that it consists of.

    Args:
        task: What is played.
        url: Where the server is.
        headers: Sent along, such as `{"Authorization": "Bearer ..."}`.

    Raises:
        ValueError: If `url` is no HTTP address.
    """

    def __init__(self, task: Task[Any], url: str, headers: Mapping[str, str] | None = None) -> None:
        from safeact_env.client import SafeActHTTPClient

        self._task = task
        self._url = url
        self._client = SafeActHTTPClient(url, headers=headers, retries=RETRIES)
        # A trainer tells nobody when it is done with an environment.
        weakref.finalize(self, self._client.close)
        self._start: tuple[Split, int] | None = None
        self._calls: list[Call] = []

    def begin(self, split: Split, seed: int) -> dict[str, Any]:
        """Start an episode and have the server forget the one before; the first observation.

        Raises:
            WrongServer: If the server plays another version of the task.
            SafeActError: If it cannot be reached, or refuses.
        """
        if self._start is None:
            self._check_task()
        else:
            self._forget()
        self._start, self._calls = (split, seed), []
        return self._begun()

    def step(self, call: Call) -> dict[str, Any]:
        """Take a step; the observation after it.

        Raises:
            SafeActError: If the server cannot be reached, or refuses.
        """
        from safeact_env.client import SafeActError

        try:
            shown = self._sent(call)
        except SafeActError as error:
            if error.code != "unknown_episode":
                raise
            # The server was started again, or has forgotten an idle episode.
            self._begun()
            for earlier in self._calls:
                self._sent(earlier)
            shown = self._sent(call)
        self._calls.append(call)
        return shown

    def close(self) -> None:
        """Have the server forget the episode, and hang up."""
        if self._start is not None:
            self._forget()
            self._start = None
        self._client.close()

    def _begun(self) -> dict[str, Any]:
        assert self._start is not None
        split, seed = self._start
        return _observation(self._client.reset(self._task.name, seed, split))

    def _sent(self, call: Call) -> dict[str, Any]:
        from safeact_env.models import SafeActAction

        return _observation(self._client.step(SafeActAction(**call.to_json())))

    def _forget(self) -> None:
        from safeact_env.client import SafeActError

        # What cannot be deleted, the server forgets in time.
        with suppress(SafeActError):
            self._client.delete()

    def _check_task(self) -> None:
        """The tools are made from the task here, so the server has to have the same one."""
        cards = self._client.tasks().get("tasks", [])
        versions = {card["name"]: card["version"] for card in cards}
        own, name = self._task.version, self._task.name
        if versions.get(name) != own:
            has = f"version {versions[name]}" if name in versions else "none"
            raise WrongServer(
                f"The server at {self._url} has {has} of the task {name}, and this installation version "
                f"{own}; install the server's version."
            )


def _observation(result: StepResult[SafeActObservation]) -> dict[str, Any]:
    shown = result.observation.model_dump(exclude={"reward", "done"})
    return {**shown, "reward": result.reward, "done": result.done}
