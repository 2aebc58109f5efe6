"""What a session service can say no with.

Owns the two exceptions. Must not know HTTP, nor any store.
"""

from __future__ import annotations

__all__ = ["SessionError", "StoreUnavailable"]


class SessionError(Exception):
    """A request that cannot be served. It changed nothing.

    Args:
        code: For programs, such as `unknown_episode`.
        message: For people: what to do instead.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StoreUnavailable(SessionError):
    """The store did not answer, or could not write.

    Where the answer to an append was lost, the step may have been recorded: the same `request_id` again
    tells, and acts once.

    Args:
        reason: For the operator's log. Clients get a sentence that names no host and no file.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "store_unavailable",
            "the store of episodes does not answer or cannot write; send the same request again in a moment, "
            "with the same request_id or episode_id, so that it acts once",
        )
        self.reason = reason
