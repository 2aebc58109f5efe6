"""The session service: opens, steps, grades and forgets episodes by their ids.

Owns ids, capacity, expiry and retries. Must not know HTTP. Every method runs to its end without waiting, so
on one event loop two steps never interleave.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.report import report
from safeact_env.core.task import Split, Task
from safeact_env.core.trajectory import TrajectoryError, replay
from safeact_env.sessions.catalog import locate
from safeact_env.tasks import UnknownTask, get_task

__all__ = ["Session", "SessionError", "SessionService", "fresh_seed", "known_task", "start_episode"]

HANDED_IN = Call("finish", {"summary": "Ended by the grader's request."}, "The trainer ended the episode.")


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


def fresh_seed() -> int:
    """A seed from the operating system, small enough for every JSON reader."""
    return secrets.randbelow(2**31)


def start_episode(task: str, split: Split, seed: int | None = None, index: int | None = None) -> Episode[Any]:
    """Start an episode by task and seed, or by the index of a split.

    Raises:
        SessionError: `unknown_task`, or `index_out_of_range`.
    """
    if index is not None:
        try:
            task, seed = locate(split, index)
        except IndexError as error:
            raise SessionError("index_out_of_range", str(error)) from None
    return Episode(known_task(task), split, fresh_seed() if seed is None else seed)


def known_task(name: str) -> Task[Any]:
    """The task of this name.

    Raises:
        SessionError: `unknown_task`.
    """
    try:
        return get_task(name)
    except UnknownTask as error:
        raise SessionError("unknown_task", str(error)) from None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reset asked for; a retry of it is told by equality."""

    task: str
    split: Split
    seed: int | None
    index: int | None = None


@dataclass(slots=True)
class Session:
    """One episode of the service.

    Attributes:
        id: Its id.
        wanted: What the reset asked for.
        episode: The episode.
        touched: When it was last used, by the service's clock, in seconds.
        last_request: The last step's `request_id` and call, if it had an id.
    """

    id: str
    wanted: Wanted
    episode: Episode[Any]
    touched: float
    last_request: tuple[str, Call] | None = None


@dataclass(slots=True)
class SessionService:
    """Episodes by id, in memory.

    Attributes:
        max_live: Most unfinished episodes at a time.
        max_finished: Most finished ones kept; beyond it the oldest are forgotten.
        idle_seconds: An unfinished episode unused for so long is forgotten.
        keep_finished_seconds: A finished one is kept so long for grading.
        clock: Seconds that never go back.
    """

    max_live: int = 10_000
    max_finished: int = 10_000
    idle_seconds: float = 3_600
    keep_finished_seconds: float = 3_600
    clock: Callable[[], float] = time.monotonic
    _live: OrderedDict[str, Session] = field(default_factory=OrderedDict)
    _finished: OrderedDict[str, Session] = field(default_factory=OrderedDict)
    _newest: str | None = None

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
        self._expire()
        wanted = Wanted(task, split, seed, index)
        existing = self._find(episode_id) if episode_id else None
        if existing is not None:
            if existing.wanted == wanted and not existing.episode.turns:
                return self._touch(existing)
            raise SessionError(
                "episode_exists",
                "there is an episode of this id; choose another id, or delete that one first",
            )
        if len(self._live) >= self.max_live:
            raise SessionError(
                "at_capacity",
                f"all {self.max_live} episodes of this server are in use; finish or delete one, or try later",
            )
        episode = start_episode(task, split, seed, index)
        session = Session(episode_id or uuid.uuid4().hex, wanted, episode, self.clock())
        self._live[session.id] = session
        self._newest = session.id
        return session

    def step(self, episode_id: str, call: Call, request_id: str | None = None) -> Session:
        """Take a step; with the last step's `request_id` again, return its outcome without acting.

        Raises:
            SessionError: `unknown_episode`, `episode_done` or `request_id_reused`.
        """
        session = self.get(episode_id)
        if request_id is not None and session.last_request is not None:
            last_id, last_call = session.last_request
            if last_id == request_id:
                if last_call == call:
                    return session
                raise SessionError(
                    "request_id_reused",
                    "this request_id was used for another action; give every new step a new request_id",
                )
        if session.episode.done:
            raise SessionError("episode_done", "the episode is over; POST /reset to start another")
        self._play(session, call)
        session.last_request = None if request_id is None else (request_id, call)
        return session

    def _play(self, session: Session, call: Call) -> None:
        sound = False
        try:
            session.episode.step(call)
            sound = True
        finally:
            if not sound:
                # A fault of ours left the episode in an unknown state: no later step may build on it.
                del self._live[session.id]
        if session.episode.done:
            self._finished[session.id] = self._live.pop(session.id)
            while len(self._finished) > self.max_finished:
                self._finished.popitem(last=False)

    def get(self, episode_id: str) -> Session:
        """The session of an id.

        Raises:
            SessionError: `unknown_episode`.
        """
        self._expire()
        session = self._find(episode_id)
        if session is None:
            raise SessionError(
                "unknown_episode",
                "there is no episode of this id; it may have expired. POST /reset starts one",
            )
        return self._touch(session)

    def sole(self) -> str:
        """The id of the one episode that a request without an id can mean.

        Raises:
            SessionError: `ambiguous_episode`, unless exactly one is unfinished and none was started later.
        """
        self._expire()
        if self._newest is not None and self._newest in self._live and len(self._live) == 1:
            return self._newest
        raise SessionError(
            "ambiguous_episode",
            "it is not clear which episode is meant; pass episode_id, as returned by /reset",
        )

    def delete(self, episode_id: str) -> None:
        """End an episode and forget it.

        Raises:
            SessionError: `unknown_episode`.
        """
        session = self.get(episode_id)
        (self._finished if session.episode.done else self._live).pop(session.id)

    # Grading -------------------------------------------------------------------------------------------

    def grade(self, episode_id: str, *, finish: bool = False) -> Episode[Any]:
        """The finished episode of an id, ended first if `finish`.

        Raises:
            SessionError: `unknown_episode`, or `episode_running`.
        """
        session = self.get(episode_id)
        if not session.episode.done:
            if not finish:
                raise SessionError(
                    "episode_running",
                    "the episode is not over; finish it first, or send finish: true to the grader",
                )
            self._play(session, HANDED_IN)
        return session.episode

    def report(self, episode_id: str, *, states: bool = False) -> dict[str, Any]:
        """The annotated record of a finished episode, with what was shown after every step if `states`.

        Raises:
            SessionError: `unknown_episode`, or `episode_running`.
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
        self._expire()
        return len(self._live)

    def _find(self, episode_id: str) -> Session | None:
        return self._live.get(episode_id) or self._finished.get(episode_id)

    def _touch(self, session: Session) -> Session:
        # Live sessions are kept in the order of their last use, so that expiry looks at the first ones only.
        # A finished one expires by its end, not by its use.
        if session.id in self._live:
            session.touched = self.clock()
            self._live.move_to_end(session.id)
        return session

    def _expire(self) -> None:
        now = self.clock()
        for sessions, seconds in (
            (self._live, self.idle_seconds),
            (self._finished, self.keep_finished_seconds),
        ):
            while sessions:
                first = next(iter(sessions.values()))
                if now - first.touched < seconds:
                    break
                sessions.popitem(last=False)
