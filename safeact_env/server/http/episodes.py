"""The routes of an episode: reset, step, state, grade, report, delete.

Owns which episode a request means. Must not know rules.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Cookie, Header, Request, Response

from safeact_env.models import (
    Answer,
    EpisodeId,
    GradeResponse,
    GraderRequest,
    ResetRequest,
    SafeActState,
    StepRequest,
)
from safeact_env.server.http.errors import error_docs
from safeact_env.server.responses import answer_json, grade_of, state_of
from safeact_env.sessions.executor import EPISODE, Lanes
from safeact_env.sessions.service import Session, SessionService

__all__ = ["COOKIE", "episode_routes"]

COOKIE = "safeact_episode"

HeaderId = Annotated[EpisodeId | None, Header(alias="X-Episode-Id")]
CookieId = Annotated[EpisodeId | None, Cookie(alias=COOKIE)]
BODY_ERRORS = ("malformed_json", "body_too_large")
STORE_ERRORS = ("store_unavailable",)
KEPT_ERRORS = ("unknown_episode", "version_changed", *STORE_ERRORS)
WHICH_ERRORS = ("ambiguous_episode", *KEPT_ERRORS)


def episode_routes(service: SessionService, lanes: Lanes) -> APIRouter:
    """The routes, over this service. Its work is done in lanes: no two requests interleave in an episode."""
    router = APIRouter(tags=["Episode"])

    async def meant(*candidates: str | None) -> str:
        """The episode a request means: by body or query, header, cookie, or the only one there is."""
        named = next((one for one in candidates if one is not None), None)
        return await lanes.run(None, service.sole) if named is None else named

    @router.post(
        "/reset",
        response_model=Answer,
        responses=error_docs(*BODY_ERRORS, "episode_exists", "at_capacity", "version_changed", *STORE_ERRORS),
    )
    async def reset(http: Request, request: Annotated[ResetRequest | None, Body()] = None) -> Response:
        """Start an episode. An empty body starts the task `easy` with a fresh seed.

        Sets a cookie that names the episode. A repeat with the same `episode_id` and parameters, before any
        step, returns the same start.
        """
        wanted = request or ResetRequest()

        def work() -> tuple[str, Response]:
            session = service.open(
                wanted.task_name, wanted.split, wanted.seed, index=wanted.index, episode_id=wanted.episode_id
            )
            return session.id, _answer(session)

        name, response = await lanes.run(wanted.episode_id, work)
        EPISODE.set(name)
        secure = http.url.scheme == "https"
        response.set_cookie(COOKIE, name, httponly=True, samesite="lax", secure=secure)
        return response

    @router.post(
        "/step",
        response_model=Answer,
        responses=error_docs(*BODY_ERRORS, *WHICH_ERRORS, "episode_done", "request_id_reused"),
    )
    async def step(request: StepRequest, header: HeaderId = None, cookie: CookieId = None) -> Response:
        """Take a step. An agent's mistake is not an error: it costs a step and shows in result and reward.

        The episode is the one named by `episode_id`, else by the header `X-Episode-Id`, else by the cookie
        of `/reset`, else the only unfinished one of this server.
        """
        episode_id = await meant(request.episode_id, header, cookie)
        call, request_id = request.action.call(), request.request_id
        return await lanes.run(episode_id, lambda: _answer(service.step(episode_id, call, request_id)))

    @router.get("/state", responses=error_docs(*WHICH_ERRORS))
    async def state(
        episode_id: EpisodeId | None = None, header: HeaderId = None, cookie: CookieId = None
    ) -> SafeActState:
        """The agent-safe state of an episode: task, split and seed replay it. Nothing hidden is in it."""
        name = await meant(episode_id, header, cookie)
        return await lanes.run(name, lambda: state_of(name, service.get(name).episode))

    @router.post(
        "/grader",
        response_model=GradeResponse,
        responses=error_docs(*BODY_ERRORS, *WHICH_ERRORS, "episode_running"),
    )
    async def grader(
        request: Annotated[GraderRequest | None, Body()] = None,
        header: HeaderId = None,
        cookie: CookieId = None,
    ) -> Any:
        """Grade a finished episode, or a trajectory, which is replayed. Nothing a client says is believed."""
        wanted = request or GraderRequest()
        if wanted.task_name is not None and wanted.seed is not None and wanted.actions is not None:
            calls = [action.call() for action in wanted.actions]
            return grade_of(service.replay(wanted.task_name, wanted.split, wanted.seed, calls))
        name = await meant(wanted.episode_id, header, cookie)
        return await lanes.run(name, lambda: grade_of(service.grade(name, finish=wanted.finish)))

    @router.get(
        "/episodes/{episode_id}/observation",
        response_model=Answer,
        responses=error_docs(*KEPT_ERRORS),
    )
    async def observation(episode_id: EpisodeId) -> Response:
        """The last answer of an episode once more, as `/reset` or `/step` gave it."""
        return await lanes.run(episode_id, lambda: _answer(service.get(episode_id)))

    @router.get("/episodes/{episode_id}/report", responses=error_docs("episode_running", *KEPT_ERRORS))
    async def report(episode_id: EpisodeId, states: bool = False) -> dict[str, Any]:
        """The annotated record of a finished episode, for trainers: per step the risk class and progress.

        With `states`, also what was shown: the first observation, and `current_state` after every step.
        """
        found = await lanes.run(episode_id, lambda: service.report(episode_id, states=states))
        return {"episode_id": episode_id, **found}

    @router.delete("/episodes/{episode_id}", responses=error_docs("unknown_episode", *STORE_ERRORS))
    async def delete(episode_id: EpisodeId) -> dict[str, str]:
        """End an episode and forget it."""
        await lanes.run(episode_id, lambda: service.delete(episode_id))
        return {"deleted": episode_id}

    return router


def _answer(session: Session) -> Response:
    return Response(answer_json(session.episode, session.id), media_type="application/json")
