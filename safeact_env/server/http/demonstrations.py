"""The routes that play for a visitor: a policy to watch, and the expert's way through a finished episode.

Owns which episodes are played for whom. Must not know how policies play.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.record import Grade
from safeact_env.core.report import report
from safeact_env.core.task import Task
from safeact_env.models import EpisodeId, PolicyInfo, WatchRequest, WatchResponse
from safeact_env.policies.reference import POLICIES, make_policy, play
from safeact_env.server.http.episodes import KEPT_ERRORS, STORE_ERRORS
from safeact_env.server.http.errors import error_docs
from safeact_env.sessions.executor import EPISODE, Lanes
from safeact_env.sessions.service import SessionError, SessionService, fresh_seed, known_task

__all__ = ["visit_routes"]

MOST_WAITING = 16
"""Visitors that may wait for their turn, which takes some milliseconds."""

HELD_OUT = "the test split is held out: {what} only for seeds of the split train; ask for one of these"


def visit_routes(service: SessionService, lanes: Lanes) -> APIRouter:
    """The routes, over this service. They play one episode at a time, beside the event loop."""
    router = APIRouter(tags=["Server"])
    playing = asyncio.Lock()
    waiting = 0

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        nonlocal waiting
        if waiting >= MOST_WAITING:
            raise SessionError("busy", "too many others are waiting for a policy to play; try again soon")
        waiting += 1
        try:
            async with playing:
                yield
        finally:
            waiting -= 1

    @router.get("/policies")
    async def policies() -> dict[str, list[PolicyInfo]]:
        """The reference policies, the ceiling first."""
        return {"policies": [PolicyInfo(name=name, description=one.about) for name, one in POLICIES.items()]}

    @router.post(
        "/watch",
        responses=error_docs(
            "malformed_json", "body_too_large", "held_out", "busy", "at_capacity", *STORE_ERRORS
        ),
    )
    async def watch(request: Annotated[WatchRequest | None, Body()] = None) -> WatchResponse:
        """Have a reference policy play an episode of its own to the end; its report tells how it went.

        Only seeds of the split `train` are played, so that nobody is handed the way through a held-out one.
        """
        wanted = request or WatchRequest()
        if wanted.policy not in POLICIES:
            raise SessionError("unknown_policy", f"unknown policy; the policies are {', '.join(POLICIES)}")
        task = known_task(wanted.task_name)
        if wanted.split != "train":
            raise SessionError("held_out", HELD_OUT.format(what="a policy plays"))
        seed = fresh_seed() if wanted.seed is None else wanted.seed
        async with turn():
            calls = await asyncio.to_thread(_calls, task, seed, wanted.policy)

        def played() -> tuple[str, Grade]:
            session = service.open(task.name, wanted.split, seed)
            for call in calls:
                service.step(session.id, call)
            return session.id, service.grade(session.id).grade()

        name, grade = await lanes.run(None, played)
        EPISODE.set(name)
        return WatchResponse(
            episode_id=name,
            task_name=task.name,
            split=wanted.split,
            seed=seed,
            policy=wanted.policy,
            score=grade.score,
            outcome=grade.outcome,
            steps=grade.steps,
        )

    @router.get(
        "/episodes/{episode_id}/expert",
        tags=["Episode"],
        responses=error_docs("episode_running", "held_out", *KEPT_ERRORS),
    )
    async def expert(episode_id: EpisodeId) -> dict[str, Any]:
        """The expert's way through the scenario of a finished episode, in the form of a report.

        Only for the split `train`: a held-out scenario keeps its solution to itself.
        """
        episode = await lanes.run(episode_id, lambda: service.grade(episode_id))
        if episode.split != "train":
            raise SessionError("held_out", HELD_OUT.format(what="the expert's way is told"))
        async with turn():
            return await asyncio.to_thread(_expert_report, episode.task, episode.seed)

    return router


def _calls(task: Task[Any], seed: int, policy: str) -> list[Call]:
    """What a policy calls, within the budget that every episode of the server has."""
    episode: Episode[Any] = Episode(task, "train", seed)
    player = make_policy(policy, task, seed)
    while not episode.done:
        episode.step(player.act(episode.observation()))
    return [turn.call for turn in episode.turns]


def _expert_report(task: Task[Any], seed: int) -> dict[str, Any]:
    return report(play(task, "train", seed, "expert"))
