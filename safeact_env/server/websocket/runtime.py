"""The state that all sessions of a process share: their observer, and whether episodes may start.

Owns the number of running episodes in sessions. Must not know how a session is connected: an environment
finds the runtime through the context of its request.
"""

from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakSet

from safeact_env.core.episode import Episode
from safeact_env.server.asking import ASKER
from safeact_env.server.reset_limit import ResetLimit
from safeact_env.sessions.observer import Observer


class EpisodeHolder(Protocol):
    """An object that holds an episode."""

    @property
    def episode(self) -> Episode[Any] | None:
        """The episode, if there is one."""

    @property
    def key(self) -> str:
        """The id of the episode, as `own_id` makes it of the one that its client chose."""


class Runtime:
    """The episodes of the sessions of a process.

    Args:
        observer: Is notified of every start and step.
        closed_test: Whether nobody may choose a scenario of the split `test`.
        resets: How often one client may start an episode; by default as often as it likes.
    """

    def __init__(
        self,
        observer: Observer | None = None,
        *,
        closed_test: bool = False,
        resets: ResetLimit | None = None,
    ) -> None:
        self.observer = observer or Observer()
        self.closed_test = closed_test
        self.resets = resets
        self.closed_reason: str | None = None
        """Why no new episode may start; `None` if one may."""
        self._holders: WeakSet[EpisodeHolder] = WeakSet()

    def close(self, reason: str) -> None:
        """Let no new episode start."""
        self.closed_reason = reason

    def count_reset(self) -> None:
        """Count a reset of the client that asks.

        Raises:
            SessionError: `too_many_resets`.
        """
        if self.resets is not None:
            self.resets.take(ASKER.get().client)

    def episode_started(self, holder: EpisodeHolder, episode: Episode[Any]) -> None:
        """Note that this holder has started an episode."""
        self._holders.add(holder)
        self.observer.started(episode)

    def episode_with(self, key: str) -> Episode[Any] | None:
        """The episode with this key, if a session of this process holds it."""
        return next((one.episode for one in self._holders if one.key == key), None)

    @property
    def running(self) -> int:
        """Number of unfinished episodes whose holder still exists."""
        return sum(one.episode is not None and not one.episode.done for one in self._holders)


_UNOBSERVED = Runtime()
RUNTIME: ContextVar[Runtime] = ContextVar("runtime", default=_UNOBSERVED)
"""The runtime of the present request; by default one without an observer."""
