"""Where an episode is played: in this process, or on a server.

Owns how a call reaches the environment and how its observation comes back. Must not know who plays. What a
server plays is played here as well and compared at each step, so that both ways give the same record, and a
server that plays otherwise is noticed at once.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import Split
from safeact_env.llm.errors import Failed, Unusable
from safeact_env.tasks import get_task

if TYPE_CHECKING:
    from safeact_env._openenv import StepResult
    from safeact_env.models import SafeActObservation

__all__ = ["Here", "Server", "World"]


class World(Protocol):
    """One episode, wherever it runs."""

    @property
    def episode(self) -> Episode[Any]:
        """The episode as far as it has gone, as this installation plays it."""

    async def begin(self, task: str, split: Split, seed: int) -> dict[str, Any]:
        """Start it; the first observation."""

    async def step(self, call: Call) -> dict[str, Any]:
        """Take a step; the observation after it."""

    async def close(self) -> None:
        """Let go of it, at whatever point."""


class Here:
    """An episode in this process."""

    episode: Episode[Any]

    async def begin(self, task: str, split: Split, seed: int) -> dict[str, Any]:
        """Start it; the first observation."""
        self.episode = Episode(get_task(task), split, seed)
        return self.episode.observation()

    async def step(self, call: Call) -> dict[str, Any]:
        """Take a step; the observation after it."""
        self.episode.step(call)
        return self.episode.observation()

    async def close(self) -> None:
        """Nothing is held."""


class Server:
    """A server, and episodes on it. Use it as an async context manager.

    Args:
        url: Where it is.
        tasks: What is to be played there; checked on entry.
        token: Sent as the bearer token, if there is one.
    """

    def __init__(self, url: str, tasks: tuple[str, ...], token: str | None = None) -> None:
        self.url = url
        self._tasks = tasks
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def world(self) -> World:
        """A fresh episode on it."""
        return _There(self.url, self._headers)

    async def __aenter__(self) -> Self:
        """Check that it plays the same tasks as this installation.

        Raises:
            Unusable: If it cannot be reached or does not.
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
            own = get_task(task).version
            if versions.get(task) != own:
                has = f"version {versions[task]}" if task in versions else "none"
                raise Unusable(
                    f"The server at {self.url} has {has} of the task {task}, and this installation version "
                    f"{own}: what is played there could not be graded here. Install the server's version."
                )
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Nothing is held."""


class _There:
    episode: Episode[Any]

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        from safeact_env.client import AsyncSafeActHTTPClient

        self._url = url
        self._client = AsyncSafeActHTTPClient(url, headers=headers)

    async def begin(self, task: str, split: Split, seed: int) -> dict[str, Any]:
        self.episode = Episode(get_task(task), split, seed)
        return await self._checked(self._client.reset(task, seed, split))

    async def step(self, call: Call) -> dict[str, Any]:
        from safeact_env.models import SafeActAction

        self.episode.step(call)
        return await self._checked(self._client.step(SafeActAction(**call.to_json())))

    async def close(self) -> None:
        from safeact_env.client import SafeActError

        # The record is here already. What cannot be deleted, the server forgets in time.
        with suppress(SafeActError):
            await self._client.delete()
        await self._client.close()

    async def _checked(self, asked: Awaitable[StepResult[SafeActObservation]]) -> dict[str, Any]:
        """The server's observation, which has to be the one of the episode here."""
        from safeact_env.client import SafeActError

        try:
            result = await asked
        except SafeActError as error:
            raise Failed(f"The server at {self._url} did not play on: {error.message}.") from None
        shown = result.observation.model_dump(exclude={"reward", "done"})
        observation: dict[str, Any] = {**shown, "reward": result.reward, "done": result.done}
        if observation != self.episode.observation():
            raise Unusable(
                f"The server at {self._url} and this installation play the same calls differently; install "
                "the same version on both."
            )
        return observation
