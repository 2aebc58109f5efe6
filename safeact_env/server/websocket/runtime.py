"""What all sessions of a process share: who counts their steps, and whether new episodes may begin.

Owns the running episodes of sessions, as a number. Must not know how a session is connected: an environment
finds this by the context of the request in which it is used.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakSet

from safeact_env.core.episode import Episode
from safeact_env.sessions.observer import Observer

__all__ = ["RUNTIME", "Runtime"]


class EpisodeHolder(Protocol):
    """Whoever holds an episode."""

    @property
    def episode(self) -> Episode[Any] | None:
        """The episode, if there is one."""


class Runtime:
    """The episodes of the sessions of a process.

    Args:
        observer: Is told of every start and step.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self.observer = observer or Observer()
        self.closed: str | None = None
        """Why no new episode may begin; `None` if one may."""
        self._holders: WeakSet[EpisodeHolder] = WeakSet()

    def close(self, reason: str) -> None:
        """Let no new episode begin."""
        self.closed = reason

    def began(self, player: EpisodeHolder, episode: Episode[Any]) -> None:
        """A player has started an episode."""
        self._holders.add(player)
        self.observer.started(episode)

    @property
    def running(self) -> int:
        """Number of episodes that are not over, of players that are still there."""
        return sum(one.episode is not None and not one.episode.done for one in self._holders)


_UNWATCHED = Runtime()
RUNTIME: ContextVar[Runtime] = ContextVar("runtime", default=_UNWATCHED)
"""The server that is being asked; by default one that nobody watches."""
