"""The session service: opens, steps, grades and forgets episodes by their ids.

Owns ids, retries, and which episodes are at hand without a replay. Must not know HTTP, nor how logs are kept.
A store decides: a step has been taken when it is in the log, and not before. Methods run to their end without
waiting for anything but the store; `Executor` keeps them off an event loop if the store may wait.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import InitVar, dataclass, field
from typing import Any

from pydantic_core import from_json, to_json

from safeact_env.call import Call
from safeact_env.core.episode import Episode, EpisodeDone
from safeact_env.core.report import report
from safeact_env.core.task import Split, Task
from safeact_env.core.trajectory import TrajectoryError, replay
from safeact_env.sessions.errors import SessionError, StoreUnavailable
from safeact_env.sessions.observer import Observer
from safeact_env.sessions.stores.base import (
    Full,
    Limits,
    Log,
    NoSuchEpisode,
    Start,
    Store,
    StoreMaker,
    Wanted,
    new_head,
)
from safeact_env.sessions.stores.memory import MemoryStore
from safeact_env.sessions.task_index import locate
from safeact_env.tasks import UnknownTask, get_task
from safeact_env.version import VERSION

__all__ = ["Session", "SessionError", "SessionService", "fresh_seed", "known_task", "start_episode"]

HANDED_IN = Call("finish", {"summary": "Ended by the grader's request."}, "The trainer ended the episode.")
AGAIN = "POST /reset starts another"
MAX_LOST_RACES = 1_000
"""A lost race is another's step, and no budget is so large: beyond it the store is at fault."""


def fresh_seed() -> int:
    """A seed from the operating system, small enough for every JSON reader."""
    return secrets.randbelow(2**31)


def start_episode(task: str, split: Split, seed: int | None = None, index: int | None = None) -> Episode[Any]:
    """Start an episode by task and seed, or by the index of a split.

    Raises:
        SessionError: `unknown_task`, or `index_out_of_range`.
    """
    found, number = _task_and_seed(task, split, seed, index)
    return Episode(found, split, number)


def _task_and_seed(task: str, split: Split, seed: int | None, index: int | None) -> tuple[Task[Any], int]:
    if index is not None:
        try:
            task, seed = locate(split, index)
        except IndexError as error:
            raise SessionError("index_out_of_range", str(error)) from None
    return known_task(task), fresh_seed() if seed is None else seed


def known_task(name: str) -> Task[Any]:
    """The task of this name.

    Raises:
        SessionError: `unknown_task`.
    """
    try:
        return get_task(name)
    except UnknownTask as error:
        raise SessionError("unknown_task", str(error)) from None


@dataclass(slots=True)
class Session:
    """One episode of the service, as its log says.

    Attributes:
        start: What determines it before its first step.
        episode: The episode.
        head: The head of the log that it is.
        entries: The log's entries.
        request_ids: Per step the `request_id` it came with.
    """

    start: Start
    episode: Episode[Any]
    head: str
    entries: list[bytes] = field(default_factory=list)
    request_ids: list[str | None] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Its id."""
        return self.start.id

    def step_of(self, request_id: str | None) -> int | None:
        """Index of the step that came with this id, back to the last step that came with none."""
        if request_id is not None:
            for index in range(len(self.request_ids) - 1, -1, -1):
                if self.request_ids[index] == request_id:
                    return index
                if self.request_ids[index] is None:
                    break
        return None


class _SessionCache:
    """The sessions used last, so that a step needs no replay. Threads may share it; a session they may not.

    Args:
        most: Most of them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def take(self, episode_id: str) -> Session | None:
        """Take a session out, to change it."""
        with self._lock:
            return self._sessions.pop(episode_id, None)

    def put(self, session: Session) -> None:
        """Put a session in, as the last used one."""
        with self._lock:
            self._sessions.pop(session.id, None)
            self._sessions[session.id] = session
            if len(self._sessions) > self._most:
                del self._sessions[next(iter(self._sessions))]


@dataclass(slots=True)
class SessionService:
    """Episodes by id.

    Attributes:
        max_live: Most unfinished episodes at a time.
        max_finished: Most finished ones kept; beyond it the oldest are forgotten.
        idle_seconds: An unfinished episode unused for so long is forgotten.
        keep_finished_seconds: A finished one is kept so long for grading.
        clock: Seconds that never go back.
        cached: Most episodes held ready; the others are replayed when they are used.
        store: The store of their logs.
        observer: Is told of every start and step.
    """

    max_live: int = 10_000
    max_finished: int = 10_000
    idle_seconds: float = 3_600
    keep_finished_seconds: float = 3_600
    clock: Callable[[], float] = time.monotonic
    cached: int = 4_096
    make_store: InitVar[StoreMaker] = MemoryStore
    observer: Observer = field(default_factory=Observer)
    store: Store = field(init=False)
    _cache: _SessionCache = field(init=False)

    def __post_init__(self, make_store: StoreMaker) -> None:
        """Make the store with these limits."""
        limits = Limits(self.max_live, self.max_finished, self.idle_seconds, self.keep_finished_seconds)
        self.store = make_store(limits, self.clock)
        self._cache = _SessionCache(self.cached)

    # Episodes ------------------------------------------------------------------------------------------

    def open(
        self,
        task: str,
        split: Split,
        seed: int | None = None,
        *,
        index: int | None = None,
        episode_id: str | None = None,
    ) -> Session:
        """Start an episode. A retry with the same id and parameters, before any step, returns the same start.

        Raises:
            SessionError: `unknown_task`, `index_out_of_range`, `episode_exists` or `at_capacity`.
        """
        wanted = Wanted(task, split, seed, index)
        found, number = _task_and_seed(task, split, seed, index)
        start = Start(
            episode_id or uuid.uuid4().hex, VERSION, found.name, found.version, split, number, wanted
        )
        session = Session(start, Episode(found, split, number), new_head())
        try:
            there = self.store.create(start, session.head)
        except Full:
            raise SessionError(
                "at_capacity",
                f"all {self.max_live} episodes of this server are in use; finish or delete one, or try later",
            ) from None
        if there is None:
            self._cache.put(session)
            self.observer.started(session.episode)
            return session
        if there.start.wanted == wanted and not there.entries:
            return self.get(start.id)
        raise SessionError(
            "episode_exists",
            "there is an episode of this id; choose another id, or delete that one first",
        )

    def step(self, episode_id: str, call: Call, request_id: str | None = None) -> Session:
        """Take a step; with the last step's `request_id` again, return its outcome without acting.

        Raises:
            SessionError: `unknown_episode`, `episode_done`, `request_id_reused` or `version_changed`.
        """
        session = self._cache.take(episode_id)
        if session is None or session.episode.done or session.step_of(request_id) is not None:
            # What appends nothing is not checked by the store, so it must not rest on an old copy.
            session = self._current(episode_id, session)
        return self._append(session, call, request_id)

    def get(self, episode_id: str) -> Session:
        """The session of an id.

        Raises:
            SessionError: `unknown_episode`, or `version_changed`.
        """
        session = self._current(episode_id, self._cache.take(episode_id))
        self._cache.put(session)
        return session

    def sole(self) -> str:
        """The id of the one episode that a request without an id can mean.

        Raises:
            SessionError: `ambiguous_episode`, unless exactly one is unfinished and none was started later.
        """
        episode_id = self.store.sole()
        if episode_id is None:
            raise SessionError(
                "ambiguous_episode",
                "it is not clear which episode is meant; pass episode_id, as returned by /reset",
            )
        return episode_id

    def delete(self, episode_id: str) -> None:
        """End an episode and forget it.

        Raises:
            SessionError: `unknown_episode`.
        """
        self._cache.take(episode_id)
        if not self.store.delete(episode_id):
            raise _unknown()

    # Grading -------------------------------------------------------------------------------------------

    def grade(self, episode_id: str, *, finish: bool = False) -> Episode[Any]:
        """The finished episode of an id, ended first if `finish`.

        Raises:
            SessionError: `unknown_episode`, `episode_running` or `version_changed`.
        """
        session = self.get(episode_id)
        if not session.episode.done:
            if not finish:
                raise SessionError(
                    "episode_running",
                    "the episode is not over; finish it first, or send finish: true to the grader",
                )
            self._cache.take(episode_id)
            try:
                session = self._append(session, HANDED_IN, None)
            except SessionError as error:
                if error.code != "episode_done":
                    raise
                # Another request ended it meanwhile.
                session = self.get(episode_id)
        return session.episode

    def report(self, episode_id: str, *, states: bool = False) -> dict[str, Any]:
        """The annotated record of a finished episode, with what was shown after every step if `states`.

        Raises:
            SessionError: `unknown_episode`, `episode_running` or `version_changed`.
        """
        return report(self.grade(episode_id), states=states)

    @staticmethod
    def replay(task: str, split: Split, seed: int, calls: Iterable[Call]) -> Episode[Any]:
        """Replay a trajectory that a client sent.

        Raises:
            SessionError: `unknown_task`, or `not_replayable`.
        """
        try:
            return replay(known_task(task), split, seed, calls)
        except TrajectoryError as error:
            raise SessionError("not_replayable", str(error)) from None

    # Bookkeeping ---------------------------------------------------------------------------------------

    @property
    def live(self) -> int:
        """Number of unfinished episodes."""
        return self.store.live()

    def tick(self) -> None:
        """Forget what has expired. With a store that processes share, to be called every few seconds."""
        self.store.tick()

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    # Logs ----------------------------------------------------------------------------------------------

    def _append(self, session: Session, call: Call, request_id: str | None) -> Session:
        """Take a step of a session that is not at hand; it is again when the log has the step.

        The call is judged on the session, then appended to the log, if that is still the session's. If not,
        another process was first: the session is brought up to date and the call judged anew, as if it had
        come second.
        """
        for _race in range(MAX_LOST_RACES):
            if self._taken(session, call, request_id):
                break
            there = self._try(session, call, request_id)
            if there is None:
                break
            session = self._up_to_date(there, None)
        else:
            raise StoreUnavailable(f"{MAX_LOST_RACES} appends in a row were refused")
        self._cache.put(session)
        return session

    @staticmethod
    def _taken(session: Session, call: Call, request_id: str | None) -> bool:
        """Whether the step was taken before: the session is its outcome."""
        step = session.step_of(request_id)
        if step is not None:
            if step == len(session.entries) - 1 and session.episode.turns[step].call == call:
                return True
            raise SessionError(
                "request_id_reused",
                "this request_id was used for another action, or for an earlier step; nothing was done. Give "
                "every new step a new request_id",
            )
        if session.episode.done:
            raise SessionError("episode_done", "the episode is over; POST /reset to start another")
        return False

    def _try(self, session: Session, call: Call, request_id: str | None) -> Log | None:
        """Take a step and append it. If the log is another by now, returns it; the session is spoilt then."""
        try:
            session.episode.step(call)
        except Exception:
            # A fault of ours left the episode in an unknown state: no later step may build on it.
            with contextlib.suppress(StoreUnavailable):
                self.store.delete(session.id)
            raise
        entry, head = _encode(call, request_id), new_head()
        try:
            there = self.store.append(session.id, session.head, entry, head, last=session.episode.done)
        except NoSuchEpisode:
            raise _unknown() from None
        if there is None:
            session.head = head
            session.entries.append(entry)
            session.request_ids.append(request_id)
            self.observer.stepped(session.episode)
        return there

    def _current(self, episode_id: str, copy: Session | None) -> Session:
        """The session as the store has it now, from a copy that may be old."""
        log = self.store.load(episode_id)
        if log is None:
            raise _unknown()
        return self._up_to_date(log, copy)

    @staticmethod
    def _up_to_date(log: Log, copy: Session | None) -> Session:
        """The session of a log, played on from a copy if that is part of it.

        Raises:
            SessionError: `version_changed`, if this server would play the log by other rules.
        """
        if copy is None or copy.start != log.start or log.entries[: len(copy.entries)] != tuple(copy.entries):
            copy = Session(log.start, _first(log.start), "")
        for entry in log.entries[len(copy.entries) :]:
            try:
                call, request_id = _decode(entry)
                copy.episode.step(call)
            except (EpisodeDone, TypeError, ValueError):
                raise SessionError(
                    "version_changed", f"the record of the episode does not fit this server's rules. {AGAIN}"
                ) from None
            copy.entries.append(entry)
            copy.request_ids.append(request_id)
        copy.head = log.head
        return copy


def _encode(call: Call, request_id: str | None) -> bytes:
    return to_json([call.action_name, call.parameters, call.reasoning, request_id])


def _decode(entry: bytes) -> tuple[Call, str | None]:
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
            f"rules. {AGAIN}",
        )
    return Episode(task, start.split, start.seed)


def _unknown() -> SessionError:
    return SessionError("unknown_episode", f"there is no episode of this id; it may have expired. {AGAIN}")
