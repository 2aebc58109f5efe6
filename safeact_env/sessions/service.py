"""The session service: opens, steps, grades and forgets episodes by their ids.

Owns ids, retries, and the order of steps. Must not know HTTP, or how logs are stored. The store decides: a
step has been taken once it is in the log. No method waits for anything but the store; the `Executor` keeps
methods off an event loop if the store may block.
"""

import contextlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import InitVar, dataclass, field
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.report import report
from safeact_env.core.task import Split, Task
from safeact_env.core.trajectory import TrajectoryError, replay
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.ids import fresh_id
from safeact_env.sessions.errors import SessionError, StoreUnavailable
from safeact_env.sessions.observer import Observer
from safeact_env.sessions.session import RESET, Session, SessionCache, encode_step
from safeact_env.sessions.stores.base import (
    Full,
    Limits,
    Log,
    NoSuchEpisode,
    OwnFull,
    Start,
    Store,
    StoreMaker,
    Wanted,
    new_head,
)
from safeact_env.sessions.stores.memory import MemoryStore
from safeact_env.sessions.task_index import locate
from safeact_env.sessions.views import SessionViews
from safeact_env.tasks import UnknownTask, get_task
from safeact_env.version import VERSION

__all__ = ["CLOSED", "Session", "SessionError", "SessionService", "fresh_seed", "known_task", "start_episode"]

CLOSED = (
    "this server draws the scenarios of the split test itself: leave seed and index out, and have an episode "
    "graded by its episode_id; trajectories, baselines and chosen seeds are for the split train"
)
NO_KEY = "this agent key opens no episode of this server; send the agent_key that /reset returned"
OTHER_EPISODE = "this agent key is of another episode than the request names; send the key alone"
HANDED_IN = Call("finish", {"summary": "Ended by the grader's request."}, "The trainer ended the episode.")
MAX_LOST_RACES = 1_000
"""Each lost race is another client's step. No budget is so large: beyond it, the store is faulty."""


def fresh_seed() -> int:
    """A random seed, small enough for every JSON reader."""
    return secrets.randbelow(2**31)


def start_episode(
    task: str,
    split: Split,
    seed: int | None = None,
    index: int | None = None,
    variant: Variant = DEFAULT,
    *,
    closed: bool = False,
) -> Episode[Any]:
    """Start an episode by task and seed, or by index into a split.

    Args:
        task: Name of the task.
        split: `train` or `test`.
        seed: The seed; without it and `index` a fresh one is drawn.
        index: Index into the split, instead of task and seed.
        variant: Level and framing.
        closed: Whether nobody may choose a scenario of `test`.

    Raises:
        SessionError: `unknown_task`, `unknown_variant`, `index_out_of_range`, or `held_out`.
    """
    if closed and split == "test" and (seed is not None or index is not None):
        raise SessionError("held_out", CLOSED)
    if index is not None:
        try:
            task, seed = locate(split, index)
        except IndexError as error:
            raise SessionError("index_out_of_range", str(error)) from None
    found = known_task(task, variant)
    return Episode(found, split, fresh_seed() if seed is None else seed, variant=variant)


def known_task(name: str, variant: Variant = DEFAULT) -> Task[Any]:
    """The task with this name, if it has this variant.

    Raises:
        SessionError: `unknown_task`, or `unknown_variant`.
    """
    try:
        task = get_task(name)
        task.level(variant)
    except UnknownTask as error:
        raise SessionError("unknown_task", str(error)) from None
    except ValueError as error:
        raise SessionError("unknown_variant", str(error)) from None
    return task


@dataclass(slots=True)
class SessionService:
    """Episodes by id.

    Attributes:
        max_live: Most unfinished episodes at a time.
        max_finished: Most finished ones kept.
        max_live_each: Most unfinished ones of one client; by default as many as there may be.
        max_finished_each: Most finished ones of one client; beyond that its own oldest are deleted.
        idle_seconds: Seconds after which an unused, unfinished episode is deleted.
        keep_finished_seconds: Seconds for which a finished one is kept for grading.
        clock: Monotonic seconds.
        cached: Most episodes in the cache; the others are replayed when they are used.
        store: The store of the logs.
        observer: Is notified of every start and step.
        views: What the sessions of this process want to be sent.
        closed_test: Whether nobody may choose a scenario of the split `test`.
    """

    max_live: int = 10_000
    max_finished: int = 10_000
    max_live_each: int | None = None
    max_finished_each: int | None = None
    idle_seconds: float = 3_600
    keep_finished_seconds: float = 3_600
    clock: Callable[[], float] = time.monotonic
    cached: int = 4_096
    make_store: InitVar[StoreMaker] = MemoryStore
    observer: Observer = field(default_factory=Observer)
    closed_test: bool = False
    store: Store = field(init=False)
    views: SessionViews = field(init=False)
    _cache: SessionCache = field(init=False)
    _clients: set[str] = field(init=False)

    def __post_init__(self, make_store: StoreMaker) -> None:
        """Make the store with these limits."""
        limits = Limits(
            self.max_live,
            self.max_finished,
            self.idle_seconds,
            self.keep_finished_seconds,
            self.max_live_each or self.max_live,
            self.max_finished_each or self.max_finished,
        )
        self.store = make_store(limits, self.clock)
        self._cache = SessionCache(self.cached)
        self.views = SessionViews(self.max_live + self.max_finished)
        self._clients = set()

    def open(
        self,
        task: str,
        split: Split,
        seed: int | None = None,
        *,
        index: int | None = None,
        variant: Variant = DEFAULT,
        episode_id: str | None = None,
        client: str = "",
        name: str = "",
    ) -> Session:
        """Start an episode. A retry with the same id and parameters before any step returns the same start.

        Args:
            task: Name of the task.
            split: `train` or `test`.
            seed: The seed; without it and `index` a fresh one is drawn.
            index: Index into the split, instead of task and seed.
            variant: Level and framing.
            episode_id: The id; by default a random one.
            client: Who asks.
            name: The id by which the client knows the episode, if it is another one.

        Raises:
            SessionError: `unknown_task`, `unknown_variant`, `index_out_of_range`, `held_out`,
                `episode_exists` or `at_capacity`.
        """
        wanted = Wanted(task, split, seed, index, variant)
        episode = start_episode(task, split, seed, index, variant, closed=self.closed_test)
        found = episode.task
        start = Start(
            episode_id or fresh_id(),
            VERSION,
            found.name,
            found.version,
            split,
            episode.seed,
            wanted,
            client,
            secrets.token_urlsafe(24),
            name,
        )
        if len(self._clients) < 2:
            self._clients.add(client)
        session = Session(start, episode, new_head())
        try:
            there = self.store.create(start, session.head)
        except OwnFull:
            raise SessionError(
                "client_at_capacity",
                "this client has as many unfinished episodes as one client may have; finish or delete some, "
                "or try later",
            ) from None
        except Full:
            raise SessionError(
                "at_capacity",
                f"all {self.max_live} episodes of this server are in use, or it keeps as many finished ones "
                "as it can; finish or delete one, or try later",
            ) from None
        if there is None:
            self._cache.put(session)
            self.observer.started(session.episode)
            return session
        if there.start.wanted == wanted and not there.entries:
            return self.get(start.id)
        raise SessionError(
            "episode_exists",
            "there already is an episode with this id; choose another id, or delete that episode first",
        )

    def step(self, episode_id: str, call: Call, request_id: str | None = None) -> Session:
        """Take a step. With the `request_id` of the latest step, return its outcome without acting.

        Raises:
            SessionError: `unknown_episode`, `episode_done`, `request_id_reused` or `version_changed`.
        """
        session = self._cache.take(episode_id)
        if session is None or session.episode.done or session.step_of(request_id) is not None:
            # The store checks only what is appended. Any other answer must not rest on an old copy.
            session = self._current(episode_id, session)
        return self._append(session, call, request_id)

    def get(self, episode_id: str) -> Session:
        """The session with this id.

        Raises:
            SessionError: `unknown_episode`, or `version_changed`.
        """
        session = self._current(episode_id, self._cache.take(episode_id))
        self._cache.put(session)
        return session

    def admit(self, episode_id: str, secret: str, *named: str | None) -> None:
        """Let in the agent of an episode. One that does not exist is refused in the same words.

        Args:
            episode_id: The episode.
            secret: What the agent shows.
            named: The names that its request gives the episode, if any.

        Raises:
            SessionError: `unauthorized`, if this is not its secret, or the request names
                another one; `version_changed`.
        """
        try:
            session = self.get(episode_id)
        except SessionError as error:
            if error.code != "unknown_episode":
                raise
            raise SessionError("unauthorized", NO_KEY) from None
        if not hmac.compare_digest(session.start.secret.encode(), secret.encode()):
            raise SessionError("unauthorized", NO_KEY)
        if {*named} - {None, session.name}:
            raise SessionError("unauthorized", OTHER_EPISODE)

    def sole(self, client: str = "") -> str:
        """The id of the only episode that a request without an id can mean.

        Raises:
            SessionError: `ambiguous_episode`, unless exactly one is unfinished, it was started last, and no
                other client than this one has started any.
        """
        episode_id = self.store.sole() if self._clients <= {client} else None
        # Another process may have served another client.
        if episode_id is None or self.get(episode_id).start.client != client:
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

    def grade(self, episode_id: str, *, finish: bool = False) -> Episode[Any]:
        """The finished episode with this id; with `finish`, it is ended first.

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
                # Another request ended it in the meantime.
                session = self.get(episode_id)
        return session.episode

    def report(self, episode_id: str, *, states: bool = False) -> dict[str, Any]:
        """The annotated record of a finished episode; with `states`, also what was shown after every step.

        Raises:
            SessionError: `unknown_episode`, `episode_running` or `version_changed`.
        """
        return report(self.grade(episode_id), states=states)

    def replay(
        self, task: str, split: Split, seed: int, calls: Iterable[Call], variant: Variant = DEFAULT
    ) -> Episode[Any]:
        """Replay a trajectory that a client sent.

        Raises:
            SessionError: `unknown_task`, `unknown_variant`, `not_replayable`, or `held_out`.
        """
        if self.closed_test and split == "test":
            raise SessionError("held_out", CLOSED)
        try:
            return replay(known_task(task, variant), split, seed, calls, variant)
        except TrajectoryError as error:
            raise SessionError("not_replayable", str(error)) from None

    @property
    def live(self) -> int:
        """Number of unfinished episodes."""
        return self.store.live()

    def tick(self) -> None:
        """Delete expired episodes. With a shared store, call this every few seconds."""
        self.store.tick()

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _append(self, session: Session, call: Call, request_id: str | None) -> Session:
        """Take a step of a session that is not in the cache, and put it back once the log has the step.

        The step is taken in the session and then appended to the log, if the log is unchanged. If another
        process was first, the session is brought up to date and the step is taken again, as if it had come
        second.
        """
        for _race in range(MAX_LOST_RACES):
            if self._taken(session, call, request_id):
                break
            there = self._try(session, call, request_id)
            if there is None:
                break
            session = Session.of_log(there, None)
        else:
            raise StoreUnavailable(f"{MAX_LOST_RACES} appends in a row were refused")
        self._cache.put(session)
        return session

    @staticmethod
    def _taken(session: Session, call: Call, request_id: str | None) -> bool:
        """Whether the session already is the outcome of this step."""
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
        """Take a step and append it. If the log has changed, return it; the session is unusable then."""
        try:
            session.episode.step(call)
        except Exception:
            # Our own bug left the episode in an unknown state: no later step may build on it.
            with contextlib.suppress(StoreUnavailable):
                self.store.delete(session.id)
            raise
        entry, head = encode_step(call, request_id), new_head()
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
        """The session as the store has it now, replayed from a copy that may be old."""
        log = self.store.load(episode_id)
        if log is None:
            raise _unknown()
        return Session.of_log(log, copy)


def _unknown() -> SessionError:
    return SessionError("unknown_episode", f"there is no episode with this id; it may have expired. {RESET}")
