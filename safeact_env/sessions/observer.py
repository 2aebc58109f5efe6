"""What happens to episodes, told to whoever counts it.

Owns the moments that are told. Must not know who listens.
"""

from __future__ import annotations

from typing import Any

from safeact_env.core.episode import Episode

__all__ = ["Observer"]


class Observer:
    """Is told of every start and step once, when it has been taken; this one does not listen.

    A retry that was answered from the record is no step, and neither is a replay. Called on the way of every
    step, perhaps from several threads: to be quick, and never to fail.
    """

    def started(self, episode: Episode[Any]) -> None:
        """An episode was started."""

    def stepped(self, episode: Episode[Any]) -> None:
        """An episode took a step; it is over if `done`."""

    def store_failed(self) -> None:
        """The store did not answer, or could not write."""
