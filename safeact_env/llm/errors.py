"""Errors of playing with a model. Each message is a sentence that says what to do.

Owns which errors end a run and which end an episode.
"""

from typing import Literal

__all__ = [
    "ContextFull",
    "Failed",
    "LLMError",
    "LimitReached",
    "Refused",
    "Rejected",
    "RunLimitReached",
    "UnreadableFile",
    "Unusable",
]

Limit = Literal["calls", "tokens", "seconds"]


class LLMError(RuntimeError):
    """An error with a message for people. The message never holds a key."""


class Unusable(LLMError):
    """The endpoint, its credentials or its model cannot be used at all: no episode can be played."""


class Failed(LLMError):
    """The endpoint did not answer this time. The episode was not played to the end, and does not count."""


class Refused(Failed):
    """The endpoint does not answer this conversation, whenever it is asked. It answers others."""


class UnreadableFile(Unusable):
    """A file of settings cannot be read. What does not need it can be played."""


class Rejected(LLMError):
    """The endpoint does not accept a request of this form.

    Args:
        message: The message for people.
        told: What the endpoint said, whole.
        status: The HTTP status.
    """

    def __init__(self, message: str, told: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.told = told or message
        self.status = status


class ContextFull(LLMError):
    """The request is longer than the model's window."""


class LimitReached(Exception):
    """The episode has reached a limit on what a model may use.

    Args:
        limit: The limit.
    """

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit: Limit = limit


class RunLimitReached(LimitReached):
    """The run has reached a limit. The episode was not played to the end."""
