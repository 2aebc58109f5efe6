"""What can go wrong when a model is asked. Each error is a sentence that says what to do.

Owns which errors end a run and which end an episode.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["ContextFull", "Failed", "LLMError", "LimitReached", "Rejected", "RunLimitReached", "Unusable"]

Limit = Literal["calls", "tokens", "seconds"]


class LLMError(RuntimeError):
    """A sentence for people. It never holds a key."""


class Unusable(LLMError):
    """The endpoint, its credentials or its model cannot be used at all: no episode can be played."""


class Failed(LLMError):
    """The endpoint did not answer this time. The episode was not played to its end, and says nothing."""


class Rejected(LLMError):
    """The endpoint does not take a request of this form."""


class ContextFull(LLMError):
    """The request is longer than the model's window."""


class LimitReached(Exception):
    """The episode has used up what a model may use.

    Args:
        limit: Which limit it was.
    """

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit: Limit = limit


class RunLimitReached(LimitReached):
    """The run has used up what it may use. The episode was not played to its end."""
