"""uvicorn's WebSocket protocol with a short way: a frame that arrives whole is answered where it arrives.

Owns which frames go this way, and their bytes. Must not know the app: that offers its answers through an
extension of the ASGI scope. As an ASGI message a frame passes a queue and a switch of tasks, and the reading
of its connection stops and starts again, which together take as long as a step.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from safeact_env.server.direct import DIRECT, DirectFrame

__all__ = ["DirectWebSocketProtocol"]

MOST_HELD = 65_536
"""Longest frame that is waited for here, in bytes; uvicorn bounds longer ones."""
TEXT, MASKED = 0x81, 0x80
"""First byte of a frame that is a whole text; bit of the second byte that a client sets."""


class DirectWebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection. It keeps the order of frames: none goes the short way while the app has another one.

    Args:
        given: What uvicorn gives its protocols.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._answer: DirectFrame | None = None
        self._is_idle = False
        """Whether the app waits for a frame."""
        self._held = b""
        """The beginning of a frame: the parser of the usual way gets whole ones, or all the rest."""

    def handle_connect(self, event: Any) -> None:
        """Begin the handshake."""
        super().handle_connect(event)
        if not self.handshake_complete and not self.conn.extensions:
            extensions: dict[Any, Any] = self.scope["extensions"]
            extensions[DIRECT] = self._take

    def _take(self, answer: DirectFrame) -> None:
        self._answer = answer

    async def receive(self) -> Any:
        """The next ASGI message."""
        self._is_idle = True
        message = await super().receive()
        self._is_idle = False
        return message

    def data_received(self, data: bytes) -> None:
        """Answer a frame, or pass on what came."""
        if self._answer is None:
            super().data_received(data)
            return
        if self._held:
            data, self._held = self._held + data, b""
        if self._is_answered(data):
            return
        end, size = _whole_frames(data)
        if size > MOST_HELD:
            # What follows may begin within this frame, so the usual way gets all of it.
            self._answer, end = None, len(data)
        self._held = data[end:]
        if end:
            super().data_received(data[:end])

    def _is_answered(self, data: bytes) -> bool:
        """Whether the data is one whole frame of text, and the app has answered it."""
        if (
            self._answer is None
            or not self._is_idle
            or not self.queue.empty()
            or not self.writable.is_set()
            or self.conn.state is not State.OPEN
        ):
            return False
        text = text_in(data)
        answer = None if text is None else self._answer(text)
        if answer is None:
            return False
        self.transport.write(head_of(len(answer)) + answer)
        return True


def text_in(data: bytes) -> str | None:
    """The text of exactly one whole frame from a client; `None` if the data is anything else."""
    if len(data) < 6 or data[0] != TEXT:
        return None
    size = data[1] - MASKED
    start = 6
    if size == 126:
        size, start = int.from_bytes(data[2:4], "big"), 8
    if not len(data) == start + size > start or size == 127:
        return None
    key = data[start - 4 : start] * (size // 4 + 1)
    text = int.from_bytes(data[start:], "big") ^ int.from_bytes(key[:size], "big")
    try:
        return text.to_bytes(size, "big").decode()
    except UnicodeDecodeError:
        return None


def head_of(size: int) -> bytes:
    """The head of a frame of text with so many bytes, as a server sends it."""
    if size < 126:
        return b"%c%c" % (TEXT, size)
    if size < 65_536:
        return b"%c\x7e%b" % (TEXT, size.to_bytes(2, "big"))
    return b"%c\x7f%b" % (TEXT, size.to_bytes(8, "big"))


def _whole_frames(data: bytes) -> tuple[int, int]:
    """Where the last whole frame ends, and the size of the next one; 0 while that is not known."""
    end = 0
    while len(data) >= end + 2:
        size = data[end + 1] & 0x7F
        start = end + (6 if data[end + 1] & MASKED else 2)
        if size >= 126:
            more = 2 if size == 126 else 8
            size, start = int.from_bytes(data[end + 2 : end + 2 + more], "big"), start + more
        if len(data) < start:
            break
        if len(data) < start + size:
            return end, size
        end = start + size
    return end, 0
