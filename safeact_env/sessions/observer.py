"""Notifications about episodes, for counting.

Owns which events are reported. Must not know who listens.
"""

from typing import Any

from safeact_env.core.episode import Episode


class Observer:
    """Is notified of every start and step once, when it has been taken. This base class ignores them.

    A retry that is answered from the record is no step, and neither is a replay. The methods run within every
    step, possibly in several threads: they must be quick and must not fail.
    """

    def started(self, episode: Episode[Any]) -> None:
        """An episode was started."""

    def stepped(self, episode: Episode[Any]) -> None:
        """An episode took a step; it is over if `done`."""

    def store_failed(self) -> None:
        """The store did not answer, or could not write."""
