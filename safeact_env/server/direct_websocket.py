"""uvicorn's WebSocket protocol with a short way: a frame that arrives whole is answered where it arrives.

Owns which frames go this way, their bytes, and whose turn it is. Must not know the app: that offers its
answers through an extension of the ASGI scope. As an ASGI message a frame passes a queue and a switch of
tasks, and the reading of its connection stops and starts again, which together take as long as a step.
"""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from safeact_env.server.direct import DIRECT, DirectFrame

__all__ = ["DirectWebSocketProtocol"]

MOST_HELD = 65_536
"""Longest frame that is waited for here, in bytes; uvicorn bounds longer ones."""
AT_ONCE = 16
"""Frames of one connection that are taken before others have their turn."""
LONGEST_HEAD = 10
"""Bytes of a frame within which its size stands."""
TEXT, MASKED = 0x81, 0x80
"""First byte of a frame that is a whole text; bit of the second byte that a client sets."""


class DirectWebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection. It keeps the order of frames: none goes the short way while the app has another one.

    What comes is kept as it came until its turn: uvicorn would make a message of every frame at once, which
    takes fifty times the memory of a short one, and write a pong for every ping to a client that reads none.

    Args:
        given: What uvicorn gives its protocols.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._answer: DirectFrame | None = None
        self._is_idle = False
        """Whether the app waits for a frame."""
        self._held = b""
        """What waits for its turn, or for the rest of a frame."""
        self._passing = 0
        """Bytes to come of a frame of which the usual way has the beginning."""
        self._turn: asyncio.Handle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def handle_connect(self, event: Any) -> None:
        """Begin the handshake."""
        super().handle_connect(event)
        if not self.handshake_complete and not self.conn.extensions:
            extensions: dict[Any, Any] = self.scope["extensions"]
            extensions[DIRECT] = self._take

    def _take(self, answer: DirectFrame) -> None:
        self._answer = answer

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._unread is not None:
            self._unread.cancel()
        self._held = b""
        super().connection_lost(exc)

    async def receive(self) -> Any:
        """The next ASGI message."""
        self._is_idle = True
        self._take_turn()
        message = await super().receive()
        self._is_idle = False
        self._set_reading()
        return message

    def on_task_complete(self, task: Any) -> None:
        """The app has ended: what is held may be the end of the connection, and the client has to read."""
        super().on_task_complete(task)
        self._take_turn()
        self._wait_for_reader()

    def keepalive_timeout(self) -> None:
        """A ping was not answered in time."""
        super().keepalive_timeout()
        self._wait_for_reader()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read; meanwhile nothing of it is read."""
        super().pause_writing()
        self._set_reading()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        # While the connection is closing, all that is left has to be read in time.
        if self._unread is not None and not self.transport.is_closing():
            self._unread.cancel()
            self._unread = None
        self._set_reading()
        self._take_turn()

    def _wait_for_reader(self) -> None:
        if self._unread is None and not self.disconnected and self.ping_timeout is not None:
            self._unread = self.loop.call_later(self.ping_timeout, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Answer a frame, or take what came in its turn."""
        if not self.handshake_initiated:
            super().data_received(data)
        elif self._held or not self._is_answered(data):
            self._held += data
            self._work_off()

    def _work_off(self) -> None:
        """Take some of the frames that are held, until one has to wait. Then others have their turn."""
        self._turn = None
        held, at = self._held, 0
        for _ in range(AT_ONCE):
            end = self._after(held, at)
            if end == at:
                break
            at = end
        else:
            self._take_turn()
        self._held = held[at:]
        self._set_reading()

    def _take_turn(self) -> None:
        if self._turn is None and self._held:
            self._turn = self.loop.call_soon(self._work_off)

    def _set_reading(self) -> None:
        """Read no more than is soon worked off."""
        stop = self._is_open and (len(self._held) > MOST_HELD or not self._is_ready)
        if stop != self.read_paused and not self.transport.is_closing():
            self.read_paused = stop
            (self.transport.pause_reading if stop else self.transport.resume_reading)()

    @property
    def _is_open(self) -> bool:
        """Whether nobody has closed the connection; afterwards only the end of it is waited for."""
        return self.conn.state in (State.CONNECTING, State.OPEN)

    @property
    def _is_ready(self) -> bool:
        """Whether the app has taken the last message, and the client reads."""
        return self.queue.empty() and self.writable.is_set()

    def _after(self, data: bytes, at: int) -> int:
        """Take a frame, or more of one. Where the next one begins; the same place if this one has to wait."""
        if at == len(data) or self.transport.is_closing() or (self._is_open and not self._is_ready):
            return at
        if not self._passing:
            size = size_of(data[at : at + LONGEST_HEAD])
            frame = data[at : at + size]
            if size and self._is_answered(frame):
                return at + size
            usual = frame[:1] == b"%c" % TEXT and frame[1] & MASKED and size <= MOST_HELD
            if not size or (usual and len(frame) < size):
                return at
            self._passing = size
        part = data[at : at + self._passing]
        self._passing -= len(part)
        super().data_received(part)
        return at + len(part)

    def _is_answered(self, data: bytes) -> bool:
        """Whether the data is one whole frame of text, and the app has answered it."""
        if (
            self._answer is None
            or not self._is_idle
            or self._passing
            or self.frames  # The fragments of a message are not whole.
            or not self._is_ready
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


def size_of(head: bytes) -> int:
    """Bytes of the frame that begins so, its head included; 0 while that is not known."""
    if len(head) < 2:
        return 0
    size, start = head[1] & 0x7F, 6 if head[1] & MASKED else 2
    if size >= 126:
        more = 2 if size == 126 else 8
        if len(head) < 2 + more:
            return 0
        size, start = int.from_bytes(head[2 : 2 + more], "big"), start + more
    return start + size
