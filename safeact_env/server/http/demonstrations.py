"""Demonstrations: a reference policy that plays an episode, the expert's way, and what a mistake was.

Owns which episodes may be shown to whom. Must not know how policies play.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.record import Grade
from safeact_env.core.report import report
from safeact_env.core.task import Task
from safeact_env.core.variant import Variant
from safeact_env.explain import explanation
from safeact_env.ids import fresh_id
from safeact_env.models import EpisodeId, PolicyInfo, WatchRequest, WatchResponse
from safeact_env.policies.reference import POLICIES, make_policy, play
from safeact_env.server.asking import ASKER, own_id
from safeact_env.server.http.episodes import KEPT_ERRORS, STORE_ERRORS
from safeact_env.server.http.errors import error_docs
from safeact_env.server.websocket.runtime import RUNTIME
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import SessionError, SessionService, fresh_seed, known_task

MAX_WAITING = 16
"""Requests of one client that may wait for their turn, which takes some milliseconds."""

HELD_OUT = "the test split is held out: {what} only for seeds of the split train; ask for one of those"


def demonstration_routes(service: SessionService, executor: Executor) -> APIRouter:
    """The routes over this service. They play one episode at a time, in a thread."""
    handlers = _Handlers(service, executor)
    router = APIRouter(tags=["Server"])
    router.get("/policies")(handlers.policies)
    router.post(
        "/watch",
        responses=error_docs(
            "malformed_json", "body_too_large", "held_out", "busy", "at_capacity", *STORE_ERRORS
        ),
    )(handlers.watch)
    router.get(
        "/episodes/{episode_id}/expert",
        tags=["Episode"],
        responses=error_docs("episode_running", "held_out", *KEPT_ERRORS),
    )(handlers.expert)
    router.get(
        "/episodes/{episode_id}/explanation",
        tags=["Episode"],
        responses=error_docs("episode_running", *KEPT_ERRORS),
    )(handlers.explanation)
    return router


class _Handlers:
    def __init__(self, service: SessionService, executor: Executor) -> None:
        self._service = service
        self._run = executor.run
        self._lock = asyncio.Lock()
        self._waiting: Counter[str] = Counter()

    async def policies(self) -> dict[str, list[PolicyInfo]]:
        """The reference policies, the best first."""
        return {"policies": [PolicyInfo(name=name, description=one.about) for name, one in POLICIES.items()]}

    async def watch(self, request: Annotated[WatchRequest | None, Body()] = None) -> WatchResponse:
        """Have a reference policy play a new episode to its end. The episode's report tells how it went.

        Only seeds of the split `train` can be watched: a demonstration would give away a held-out episode.
        """
        wanted = request or WatchRequest()
        if wanted.policy not in POLICIES:
            raise SessionError("unknown_policy", f"unknown policy; the policies are {', '.join(POLICIES)}")
        variant = Variant(wanted.level, wanted.framing)
        task = known_task(wanted.task_name, variant)
        if wanted.split != "train":
            raise SessionError("held_out", HELD_OUT.format(what="a policy plays"))
        seed, client = fresh_seed() if wanted.seed is None else wanted.seed, ASKER.get().client
        RUNTIME.get().count_reset()
        async with self._turn():
            calls = await asyncio.to_thread(_calls, task, seed, wanted.policy, variant)

        name = fresh_id()
        episode_id = own_id(name)

        def record() -> Grade:
            self._service.open(
                task.name,
                wanted.split,
                seed,
                variant=variant,
                episode_id=episode_id,
                client=client,
                name=name,
            )
            for call in calls:
                self._service.step(episode_id, call)
            return self._service.grade(episode_id).grade()

        grade = await self._run(episode_id, record)
        return WatchResponse(
            episode_id=name,
            task_name=task.name,
            split=wanted.split,
            seed=seed,
            level=wanted.level,
            framing=wanted.framing,
            policy=wanted.policy,
            score=grade.score,
            outcome=grade.outcome,
            steps=grade.steps,
        )

    async def expert(self, episode_id: EpisodeId) -> dict[str, Any]:
        """The expert's way through the scenario of a finished episode, in the form of a report.

        Only for the split `train`: the server does not give away the solution of a held-out scenario.
        """
        name = own_id(episode_id)
        episode = await self._run(name, lambda: self._service.grade(name))
        if episode.split != "train":
            raise SessionError("held_out", HELD_OUT.format(what="the expert's way is told"))
        async with self._turn():
            return await asyncio.to_thread(
                lambda: report(play(episode.task, "train", episode.seed, "expert", variant=episode.variant))
            )

    async def explanation(self, episode_id: EpisodeId) -> dict[str, Any]:
        """The mistake of a finished episode explained; `explanation` is null if it was ended by none.

        It tells what would have been lost, what told, and what there was to do instead. For an episode of the
        split `test` it tells only what that episode has shown.
        """
        name = own_id(episode_id)
        episode = await self._run(name, lambda: self._service.grade(name))
        async with self._turn():
            return {"episode_id": episode_id, "explanation": await asyncio.to_thread(explanation, episode)}

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        client = ASKER.get().client
        if self._waiting[client] >= MAX_WAITING:
            raise SessionError(
                "busy", "too many requests of this client wait for a policy to play; try again soon"
            )
        self._waiting[client] += 1
        try:
            async with self._lock:
                yield
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]


def _calls(task: Task[Any], seed: int, policy: str, variant: Variant) -> list[Call]:
    """The calls of a policy, within the budget that every episode of the server has."""
    episode: Episode[Any] = Episode(task, "train", seed, variant=variant)
    player = make_policy(policy, task, seed)
    while not episode.done:
        episode.step(player.act(episode.observation()))
    return [turn.call for turn in episode.turns]
