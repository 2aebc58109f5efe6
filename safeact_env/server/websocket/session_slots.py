"""The sessions of OpenEnv's clients: each has an id and an environment, and takes one slot of the server.

Owns how many there may be, and when one ends. Must not know what clients send in it.

A session that a connection opens ends with the connection. A session of `openenv/session/create` has no
connection of its own, and nothing in the protocol ends it when its client is gone. It is therefore leased:
without a WebSocket and without a request it ends after a while, and only a few of a client may wait for one.
"""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from safeact_env.server.asking import ASKER
from safeact_env.server.websocket.environment import SafeActEnvironment

ALL_TAKEN = "all {most} sessions of this server are in use; close one, or try later"
OWN_TAKEN = "this client has {most} sessions, as many as one client may have; close one, or try later"
ALL_WAITING = (
    "{most} sessions of this client already wait for their WebSocket; attach or close one, or try again in "
    "{seconds:.0f} s"
)
UNKNOWN = "there is no session with this id; it may have ended. Use openenv/session/create to start another"
ATTACHED = "this session already has a WebSocket; close that, or open /ws without session_id"


class Full(Exception):
    """No slot is free for another session. The message says what to do."""


class NoSuchSession(Exception):
    """The session does not exist or cannot be attached. The message says what to do."""


@dataclass(eq=False, slots=True)
class SessionSlot:
    """A session.

    Attributes:
        leased: Whether the session outlives its connections for a while.
        client: Who started it.
        environment: The environment of the session.
        id: Whoever knows it may attach to the session, call its tools, and close it.
        connections: Number of connections that hold it.
        attached: Whether one of them is a `/ws`. There may be one at a time.
    """

    leased: bool
    client: str = ""
    environment: SafeActEnvironment = field(default_factory=SafeActEnvironment)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    connections: int = 0
    attached: bool = False


class SessionSlots:
    """All sessions of a process.

    Args:
        limit: Most sessions at a time.
        seconds: Seconds after which a leased session without a connection and without a request ends.
        max_waiting: Most leased sessions of one client without a connection.
        each: Most sessions of one client; by default as many as there may be.
    """

    def __init__(
        self, limit: int, seconds: float = 60.0, max_waiting: int = 64, *, each: int | None = None
    ) -> None:
        self.limit = limit
        self.each = limit if each is None else each
        self._of: dict[str, int] = {}
        self.seconds = seconds
        self.max_waiting = max_waiting
        self._slots: dict[str, SessionSlot] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """Number of sessions."""
        return len(self._slots)

    def has_room_for(self, client: str) -> bool:
        """Whether this client may have another session."""
        return self._of.get(client, 0) < self.each

    def take(self) -> SessionSlot:
        """Start a session for a connection, which has to hold it.

        Raises:
            Full: If all are in use.
        """
        return self._new(leased=False)

    def lease(self) -> SessionSlot:
        """Start a session that waits for its WebSocket.

        Raises:
            Full: If all are in use, or too many of this client wait.
        """
        client = ASKER.get().client
        if sum(self._slots[name].client == client for name in self._waiting) >= self.max_waiting:
            raise Full(ALL_WAITING.format(most=self.max_waiting, seconds=self.seconds))
        slot = self._new(leased=True)
        self._wait(slot)
        return slot

    def find(self, session_id: str) -> SessionSlot:
        """The session with this id. The request renews its lease.

        Raises:
            NoSuchSession: If there is none.
        """
        slot = self._slots.get(session_id)
        if slot is None:
            raise NoSuchSession(UNKNOWN)
        if session_id in self._waiting:
            self._wait(slot)
        return slot

    def to_attach(self, session_id: str) -> SessionSlot:
        """The session with this id, for its WebSocket.

        Raises:
            NoSuchSession: If there is none, or it already has a WebSocket.
        """
        slot = self.find(session_id)
        if slot.attached:
            raise NoSuchSession(ATTACHED)
        return slot

    @contextmanager
    def held(self, slot: SessionSlot, *, attached: bool) -> Iterator[None]:
        """Hold the session for the time of a connection.

        Args:
            slot: The session.
            attached: Whether the connection is a `/ws`.
        """
        self._stop_waiting(slot)
        slot.connections += 1
        slot.attached |= attached
        try:
            yield
        finally:
            slot.connections -= 1
            slot.attached &= not attached
            if slot.connections == 0:
                if slot.leased:
                    self._wait(slot)
                else:
                    self._remove(slot)

    def close(self, session_id: str) -> bool:
        """End a session as soon as no connection holds it. Returns whether it has ended.

        Raises:
            NoSuchSession: If there is none.
        """
        slot = self.find(session_id)
        slot.leased = False
        if slot.connections:
            return False
        self._end(slot)
        return True

    def _new(self, *, leased: bool) -> SessionSlot:
        client = ASKER.get().client
        if len(self._slots) >= self.limit:
            raise Full(ALL_TAKEN.format(most=self.limit))
        if not self.has_room_for(client):
            raise Full(OWN_TAKEN.format(most=self.each))
        slot = SessionSlot(leased, client)
        self._slots[slot.id] = slot
        self._of[client] = self._of.get(client, 0) + 1
        return slot

    def _remove(self, slot: SessionSlot) -> None:
        del self._slots[slot.id]
        self._of[slot.client] -= 1
        if not self._of[slot.client]:
            del self._of[slot.client]

    def _wait(self, slot: SessionSlot) -> None:
        self._stop_waiting(slot)
        self._waiting[slot.id] = asyncio.get_running_loop().call_later(self.seconds, self._end, slot)

    def _stop_waiting(self, slot: SessionSlot) -> None:
        if (timer := self._waiting.pop(slot.id, None)) is not None:
            timer.cancel()

    def _end(self, slot: SessionSlot) -> None:
        self._stop_waiting(slot)
        self._remove(slot)
