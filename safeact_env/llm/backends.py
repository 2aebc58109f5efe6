"""Backends: where an episode runs, in this process or on a server.

Owns how a call reaches the environment and how its observation comes back. Must not know who plays. An
episode on a server runs here as well and is compared at every step: both backends give the same record, and
a server that behaves differently is noticed at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, Self

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import Split
from safeact_env.core.variant import Variant
from safeact_env.llm.errors import Failed, Unusable
from safeact_env.tasks import get_task

if TYPE_CHECKING:
    from safeact_env._openenv import StepResult
    from safeact_env.models import SafeActObservation

__all__ = ["Backend", "LocalBackend", "Server", "observation_of", "version_mismatch"]


class Backend(Protocol):
    """Runs one episode."""

    @property
    def episode(self) -> Episode[Any]:
        """The episode so far, as this installation runs it."""

    async def begin(self, task: str, split: Split, seed: int, variant: Variant) -> dict[str, Any]:
        """Start the episode; return the first observation."""

    async def step(self, call: Call) -> dict[str, Any]:
        """Take a step; return the observation after it."""

    async def close(self) -> None:
        """Drop the episode, finished or not."""


class LocalBackend:
    """Runs an episode in this process."""

    episode: Episode[Any]

    async def begin(self, task: str, split: Split, seed: int, variant: Variant) -> dict[str, Any]:
        """Start the episode; return the first observation."""
        self.episode = Episode(get_task(task), split, seed, variant=variant)
        return self.episode.observation()

    async def step(self, call: Call) -> dict[str, Any]:
        """Take a step; return the observation after it."""
        self.episode.step(call)
        return self.episode.observation()

    async def close(self) -> None:
        """Nothing to do."""


class Server:
    """A server to run episodes on. Use it as an async context manager.

    Args:
        url: Its address.
        tasks: Names of the tasks to be played there; checked on entry.
        token: Bearer token to send, if any.
    """

    def __init__(self, url: str, tasks: tuple[str, ...], token: str | None = None) -> None:
        self.url = url
        self._tasks = tasks
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def backend(self) -> Backend:
        """Return a backend for one episode on this server."""
        return _ServerBackend(self.url, self._headers)

    async def __aenter__(self) -> Self:
        """Check that the server has the same tasks as this installation.

        Raises:
            Unusable: If the server cannot be reached, or its tasks differ.
        """
        from safeact_env.client import AsyncSafeActHTTPClient, SafeActError

        try:
            async with AsyncSafeActHTTPClient(self.url, retries=1, headers=self._headers) as client:
                cards = (await client.tasks())["tasks"]
                versions = {card["name"]: card["version"] for card in cards}
        except SafeActError as error:
            raise Unusable(f"The server at {self.url} did not list its tasks: {error.message}.") from None
        except (KeyError, TypeError, ValueError) as error:
            raise Unusable(f"{self.url} is not the address of a SafeAct-Env server: {error}.") from None
        for task in self._tasks:
            if mismatch := version_mismatch(self.url, versions, task, get_task(task).version):
                raise Unusable(mismatch)
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing to do."""


class _ServerBackend:
    episode: Episode[Any]

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        from safeact_env.client import AsyncSafeActHTTPClient

        self._url = url
        self._client = AsyncSafeActHTTPClient(url, headers=headers)

    async def begin(self, task: str, split: Split, seed: int, variant: Variant) -> dict[str, Any]:
        self.episode = Episode(get_task(task), split, seed, variant=variant)
        wanted = self._client.reset(task, seed, split, level=variant.level, framing=variant.framing)
        return await self._checked(wanted)

    async def step(self, call: Call) -> dict[str, Any]:
        from safeact_env.models import SafeActAction

        self.episode.step(call)
        return await self._checked(self._client.step(SafeActAction(**call.to_json())))

    async def close(self) -> None:
        from safeact_env.client import SafeActError

        # The record is kept here. The server drops idle episodes by itself.
        with suppress(SafeActError):
            await self._client.delete()
        await self._client.close()

    async def _checked(self, request: Awaitable[StepResult[SafeActObservation]]) -> dict[str, Any]:
        """The server's observation, which must equal the local episode's."""
        from safeact_env.client import SafeActError

        try:
            observation = observation_of(await request)
        except SafeActError as error:
            raise Failed(f"The server at {self._url} did not play on: {error.message}.") from None
        if observation != self.episode.observation():
            raise Unusable(
                f"The server at {self._url} and this installation play the same calls differently; install "
                "the same version on both."
            )
        return observation


def observation_of(result: StepResult[SafeActObservation]) -> dict[str, Any]:
    """Return the observation in a client's result, with `reward` and `done`, as an episode has it."""
    shown = result.observation.model_dump(exclude={"reward", "done"})
    return {**shown, "reward": result.reward, "done": result.done}


def version_mismatch(url: str, versions: Mapping[str, int], task: str, own: int) -> str | None:
    """Say how a server's version of a task differs from the version here, `own`, if it does.

    Args:
        url: Address of the server.
        versions: Version of each of its tasks, by name.
        task: Name of the task.
        own: Version of the task in this installation.
    """
    if versions.get(task) == own:
        return None
    has = f"version {versions[task]}" if task in versions else "none"
    return (
        f"The server at {url} has {has} of the task {task}, and this installation version {own}; install the "
        "server's version."
    )
