"""A deadline for request bodies: who sends one byte now and then holds nothing for long.

Owns the deadline and its answer. Must not know what a body holds.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.server.direct import direct_of
from safeact_env.server.http.errors import error_response

TOO_LATE = "the body did not arrive within {seconds:g} s; send it at once, or in smaller requests"


class _TooLate(Exception):
    """The rest of a body did not arrive in time."""


class SlowBodyMiddleware:
    """ASGI middleware that waits only so long for a body, and answers 408.

    Args:
        app: The app.
        seconds: Seconds within which a body has to arrive, once its headers have.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.directly = direct_of(app)  # its body has arrived
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        deadline, complete = asyncio.get_running_loop().time() + self.seconds, False

        async def receiving() -> Message:
            nonlocal complete
            if complete:
                # What comes now is the end of the connection.
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise _TooLate from None
            complete = not message.get("more_body", False)
            return message

        try:
            await self.app(scope, receiving, send)
        except _TooLate:
            refusal = error_response("too_slow", TOO_LATE.format(seconds=self.seconds))
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, send)
