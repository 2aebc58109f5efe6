"""The short way from a connection to an answer, where the server that runs the app offers one.

Owns its names and types, which apps and protocols share. Servers without it serve the app through ASGI as
ever, and so does everything unusual: what the short way answers with `None` comes again as ASGI messages.
"""

from collections.abc import Callable, Iterable
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

__all__ = ["DIRECT", "DirectAnswer", "DirectFrame", "DirectRequest", "answer_of", "direct_of", "lines_of"]

DIRECT = "safeact.direct"
"""In the ASGI scope of a WebSocket, an extension: a function to which an app gives its `DirectFrame` once it
has accepted the connection. In the state of the lifespan: the app's `DirectRequest`."""

DirectFrame = Callable[[str], bytes | None]
"""Answers the text of a frame with the bytes of a text. `None` if it does not; nothing was done then."""

DirectAnswer = tuple[int, bytes, bytes]
"""Status, lines of headers, and body of a response."""

DirectRequest = Callable[[Scope, bytes], DirectAnswer | None]
"""Answers a request by its scope and its whole body. `None` if it does not; nothing was done then."""


def direct_of(app: Any) -> DirectRequest | None:
    """The short way through a layer of middleware; `None` if that layer, or one below, has none."""
    found: DirectRequest | None = getattr(app, "directly", None)
    return found


def answer_of(response: Response) -> DirectAnswer:
    """A response as a direct answer."""
    return response.status_code, lines_of(response.raw_headers), bytes(response.body)


def lines_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as their lines."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])
