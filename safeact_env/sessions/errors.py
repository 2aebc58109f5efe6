"""The errors of the session service.

Owns the two exceptions. Must not know HTTP, or any store.
"""


class SessionError(Exception):
    """A request that was refused. It changed nothing.

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

    If the answer to an append was lost, the step may have been recorded. A retry with the same `request_id`
    finds out, and acts once.

    Args:
        reason: For the operator's log. Clients get a sentence without host or file names.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "store_unavailable",
            "the store of episodes does not answer or cannot write; send the same request again in a moment, "
            "with the same request_id or episode_id, so that it acts once",
        )
        self.reason = reason
