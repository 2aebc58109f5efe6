"""The routes about the server and its tasks: health, task list, baseline runs.

Owns the limit on baseline runs: one at a time, among all processes that share a store. Must not know episodes
of clients.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body

from safeact_env.core.task import Task
from safeact_env.models import BaselineEpisode, BaselineRequest, BaselineResponse, SafeActAction
from safeact_env.policies.reference import POLICIES, play
from safeact_env.server.errors import error_docs
from safeact_env.server.views import task_cards
from safeact_env.sessions.lanes import Lanes
from safeact_env.sessions.service import SessionError, SessionService, known_task
from safeact_env.tasks import task_names
from safeact_env.version import VERSION

__all__ = ["catalog_routes", "run_baseline"]

HEALTH_SECONDS = 0.25
"""Longest wait of a health check for the store: it asks about this process."""


def run_baseline(request: BaselineRequest, tasks: list[Task[Any]]) -> BaselineResponse:
    """Play a reference policy on every task and seed, one episode after the other."""
    episodes = []
    for task in tasks:
        for seed in request.seeds:
            grade = play(task, request.split, seed, request.agent).grade()
            episodes.append(
                BaselineEpisode(
                    task_name=task.name,
                    seed=seed,
                    split=request.split,
                    score=grade.score,
                    outcome=grade.outcome,
                    steps=grade.steps,
                )
            )
    scores: dict[str, float | None] = {}
    for task in tasks:
        own = [episode.score for episode in episodes if episode.task_name == task.name]
        scores[task.name] = round(sum(own) / len(own), 4)
    return BaselineResponse(agent=request.agent, scores=scores, episodes=episodes, errors={})


def catalog_routes(service: SessionService, lanes: Lanes) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["Server"])
    cards = task_cards()

    @router.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the server is up. `live_episodes` is null while their store does not answer."""
        live = await lanes.glimpse(lambda: service.live, HEALTH_SECONDS)
        return {"status": "healthy", "version": VERSION, "live_episodes": live}

    @router.get("/tasks")
    async def tasks() -> dict[str, Any]:
        """Every task with its fixed actions and grader components. An episode lists its look-alikes."""
        return {"tasks": cards, "action_schema": SafeActAction.model_json_schema()}

    @router.post(
        "/baseline", responses=error_docs("malformed_json", "body_too_large", "busy", "store_unavailable")
    )
    async def baseline(request: Annotated[BaselineRequest | None, Body()] = None) -> BaselineResponse:
        """Run a reference policy, by default the rule-based `expert`, on one task or on all.

        It runs beside the event loop, one run at a time.
        """
        wanted = request or BaselineRequest()
        if wanted.agent not in POLICIES:
            raise SessionError("unknown_agent", f"unknown agent; the agents are {', '.join(POLICIES)}")
        names = [wanted.task_name] if wanted.task_name is not None else list(task_names())
        chosen = [known_task(name) for name in names]
        async with lanes.lease("baseline") as taken:
            if not taken:
                raise SessionError("busy", "a baseline run is under way; try again when it is over")
            return await asyncio.to_thread(run_baseline, wanted, chosen)

    return router
