"""The sessions of OpenEnv's clients: an environment each, under an id.

Owns how many there may be, and when one ends. Must not know what is sent in it.

A session that a connection opens ends with that. One of `openenv/session/create` has no connection of its
own, and nothing in the protocol ends it when its client is gone; so it is leased: without a WebSocket and
without a request it ends after a while, and only so many may be without one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from safeact_env.server.websocket.environment import SafeActEnvironment

__all__ = ["Full", "NoSuchSession", "SessionSlot", "SessionSlots"]

ALL_TAKEN = "all {most} sessions of this server are in use; close one, or try later"
ALL_WAITING = (
    "{most} sessions wait for their WebSocket already; attach or close one, or try again in {seconds:.0f} s"
)
UNKNOWN = "there is no session of this id; it may have ended. openenv/session/create makes another"
ATTACHED = "this session has a WebSocket already; close that, or open /ws without session_id"


class Full(Exception):
    """There is no room for another session. The message says what to do."""


class NoSuchSession(Exception):
    """There is no such session to be had. The message says what to do."""


@dataclass(eq=False, slots=True)
class SessionSlot:
    """A session.

    Attributes:
        leased: Whether it outlives its connections for a while.
        environment: What is played in it.
        id: Whoever knows it may attach to the session, call tools in it, and close it.
        connections: How many hold it.
        attached: Whether one of them is a `/ws`, of which there may be one.
    """

    leased: bool
    environment: SafeActEnvironment = field(default_factory=SafeActEnvironment)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    connections: int = 0
    attached: bool = False


class SessionSlots:
    """All sessions of a process.

    Args:
        most: How many there may be.
        seconds: How long a leased one may be without a connection and without a request.
        max_waiting: How many leased ones may be without a connection.
    """

    def __init__(self, most: int, seconds: float = 60.0, max_waiting: int = 64) -> None:
        self.most = most
        self.seconds = seconds
        self.max_waiting = max_waiting
        self._slots: dict[str, SessionSlot] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._slots)

    def take(self) -> SessionSlot:
        """A session for a connection, which has to hold it.

        Raises:
            Full: If all are in use.
        """
        return self._new(leased=False)

    def lease(self) -> SessionSlot:
        """A session that waits for its WebSocket.

        Raises:
            Full: If all are in use, or too many wait.
        """
        if len(self._waiting) >= self.max_waiting:
            raise Full(ALL_WAITING.format(most=self.max_waiting, seconds=self.seconds))
        slot = self._new(leased=True)
        self._wait(slot)
        return slot

    def find(self, session_id: str) -> SessionSlot:
        """The session of an id. To ask for it is a sign of life.

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
        """The session of an id, for a WebSocket of its own.

        Raises:
            NoSuchSession: If there is none, or it has a WebSocket.
        """
        slot = self.find(session_id)
        if slot.attached:
            raise NoSuchSession(ATTACHED)
        return slot

    @contextmanager
    def held(self, slot: SessionSlot, *, attached: bool) -> Iterator[None]:
        """While a connection holds the session.

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
                    del self._slots[slot.id]

    def close(self, session_id: str) -> bool:
        """End a session as soon as no connection holds it; whether it has ended.

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
        if len(self._slots) >= self.most:
            raise Full(ALL_TAKEN.format(most=self.most))
        slot = SessionSlot(leased)
        self._slots[slot.id] = slot
        return slot

    def _wait(self, slot: SessionSlot) -> None:
        self._stop_waiting(slot)
        self._waiting[slot.id] = asyncio.get_running_loop().call_later(self.seconds, self._end, slot)

    def _stop_waiting(self, slot: SessionSlot) -> None:
        if (timer := self._waiting.pop(slot.id, None)) is not None:
            timer.cancel()

    def _end(self, slot: SessionSlot) -> None:
        self._stop_waiting(slot)
        del self._slots[slot.id]
