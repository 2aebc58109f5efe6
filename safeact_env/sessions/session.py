"""A session: the episode that a log records, and the cache of sessions that were used last.

Owns the entries of a log, and how a log is replayed. Must not know stores, or who uses a session.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json, to_json

from safeact_env.call import Call
from safeact_env.core.episode import Episode, EpisodeDone
from safeact_env.sessions.errors import SessionError
from safeact_env.sessions.stores.base import Log, Start
from safeact_env.tasks import UnknownTask, get_task
from safeact_env.version import VERSION

__all__ = ["RESET", "Session", "SessionCache", "encode_step"]

RESET = "POST /reset starts another"


@dataclass(slots=True)
class Session:
    """One episode of the service, as its log records it.

    Attributes:
        start: What determines the episode before its first step.
        episode: The episode.
        head: The head of the log.
        entries: The entries of the log.
        request_ids: Per step the `request_id` that came with it.
    """

    start: Start
    episode: Episode[Any]
    head: str
    entries: list[bytes] = field(default_factory=list)
    request_ids: list[str | None] = field(default_factory=list)

    @classmethod
    def of_log(cls, log: Log, copy: Session | None) -> Session:
        """The session of a log, replayed from a copy if the log begins like it.

        Raises:
            SessionError: `version_changed`, if this server would replay the log by other rules.
        """
        if copy is None or copy.start != log.start or log.entries[: len(copy.entries)] != tuple(copy.entries):
            copy = cls(log.start, _first(log.start), "")
        for entry in log.entries[len(copy.entries) :]:
            try:
                call, request_id = decode_step(entry)
                copy.episode.step(call)
            except (EpisodeDone, TypeError, ValueError):
                raise SessionError(
                    "version_changed", f"the record of the episode does not fit this server's rules. {RESET}"
                ) from None
            copy.entries.append(entry)
            copy.request_ids.append(request_id)
        copy.head = log.head
        return copy

    @property
    def id(self) -> str:
        """The id of the episode."""
        return self.start.id

    @property
    def name(self) -> str:
        """The id of the episode as its client knows it."""
        return self.start.name or self.id

    def step_of(self, request_id: str | None) -> int | None:
        """Index of the step with this request id, among the latest steps that all came with an id."""
        if request_id is not None:
            for index in range(len(self.request_ids) - 1, -1, -1):
                if self.request_ids[index] == request_id:
                    return index
                if self.request_ids[index] is None:
                    break
        return None


class SessionCache:
    """The sessions that were used last, so that a step needs no replay.

    Threads may share the cache, but not a session.

    Args:
        limit: Most sessions in it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def take(self, episode_id: str) -> Session | None:
        """Take a session out, to change it."""
        with self._lock:
            return self._sessions.pop(episode_id, None)

    def put(self, session: Session) -> None:
        """Put a session in, as the one used last."""
        with self._lock:
            self._sessions.pop(session.id, None)
            self._sessions[session.id] = session
            if len(self._sessions) > self._limit:
                del self._sessions[next(iter(self._sessions))]


def encode_step(call: Call, request_id: str | None) -> bytes:
    """The entry of a step."""
    return to_json([call.action_name, call.parameters, call.reasoning, request_id])


def decode_step(entry: bytes) -> tuple[Call, str | None]:
    """Read what `encode_step` wrote."""
    action_name, parameters, reasoning, request_id = from_json(entry)
    return Call(action_name, parameters, reasoning), request_id


def _first(start: Start) -> Episode[Any]:
    """The episode before its first step.

    Raises:
        SessionError: `version_changed`, as other rules would give other answers.
    """
    try:
        task = get_task(start.task)
    except UnknownTask:
        task = None
    if task is None or (start.version, start.task_version) != (VERSION, task.version):
        here = "without that task" if task is None else f"with its version {task.version}"
        raise SessionError(
            "version_changed",
            f"the episode was started by version {start.version}, task {start.task} version "
            f"{start.task_version}; this server has version {VERSION}, {here}, and would play it by other "
            f"rules. {RESET}",
        )
    return Episode(task, start.split, start.seed, variant=start.variant)
