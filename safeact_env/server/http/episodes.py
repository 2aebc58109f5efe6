"""The routes of an episode: reset, step, state, grade, report, delete.

Owns how a request names its episode. Must not know rules.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Cookie, Header, Request, Response

from safeact_env.core.observation import View
from safeact_env.core.variant import Variant
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
from safeact_env.sessions.executor import EPISODE, Executor
from safeact_env.sessions.service import Session, SessionService

COOKIE = "safeact_episode"

HeaderId = Annotated[EpisodeId | None, Header(alias="X-Episode-Id")]
CookieId = Annotated[EpisodeId | None, Cookie(alias=COOKIE)]
BODY_ERRORS = ("malformed_json", "body_too_large")
STORE_ERRORS = ("store_unavailable",)
KEPT_ERRORS = ("unknown_episode", "version_changed", *STORE_ERRORS)
WHICH_ERRORS = ("ambiguous_episode", *KEPT_ERRORS)


def episode_routes(service: SessionService, executor: Executor) -> APIRouter:
    """The routes over this service. The executor runs the requests of one episode one at a time."""
    handlers = _Handlers(service, executor)
    router = APIRouter(tags=["Episode"])
    router.post(
        "/reset",
        response_model=Answer,
        responses=error_docs(*BODY_ERRORS, "episode_exists", "at_capacity", "version_changed", *STORE_ERRORS),
    )(handlers.reset)
    router.post(
        "/step",
        response_model=Answer,
        responses=error_docs(*BODY_ERRORS, *WHICH_ERRORS, "episode_done", "request_id_reused"),
    )(handlers.step)
    router.get("/state", responses=error_docs(*WHICH_ERRORS))(handlers.state)
    router.post(
        "/grader",
        response_model=GradeResponse,
        responses=error_docs(*BODY_ERRORS, *WHICH_ERRORS, "episode_running"),
    )(handlers.grader)
    router.get(
        "/episodes/{episode_id}/observation", response_model=Answer, responses=error_docs(*KEPT_ERRORS)
    )(handlers.observation)
    router.get("/episodes/{episode_id}/report", responses=error_docs("episode_running", *KEPT_ERRORS))(
        handlers.report
    )
    router.delete("/episodes/{episode_id}", responses=error_docs("unknown_episode", *STORE_ERRORS))(
        handlers.delete
    )
    return router


class _Handlers:
    def __init__(self, service: SessionService, executor: Executor) -> None:
        self._service = service
        self._run = executor.run

    async def reset(self, http: Request, request: Annotated[ResetRequest | None, Body()] = None) -> Response:
        """Start an episode. An empty body starts the task `easy` with a fresh seed.

        Sets a cookie that names the episode. If you repeat the request with the same `episode_id` and
        parameters before any step, you get the same start. With the view `changes`, the answers to steps hold
        only what the step changed; the first is whole in either view.
        """
        wanted = request or ResetRequest()

        def work() -> tuple[str, Response]:
            session = self._service.open(
                wanted.task_name,
                wanted.split,
                wanted.seed,
                index=wanted.index,
                variant=Variant(wanted.level, wanted.framing),
                episode_id=wanted.episode_id,
            )
            self._service.views.choose(session.id, wanted.view)
            return session.id, _answer(session)

        name, response = await self._run(wanted.episode_id, work)
        EPISODE.set(name)
        secure = http.url.scheme == "https"
        response.set_cookie(COOKIE, name, httponly=True, samesite="lax", secure=secure)
        return response

    async def step(self, request: StepRequest, header: HeaderId = None, cookie: CookieId = None) -> Response:
        """Take a step. An agent's mistake is not an error: it costs a step and shows in result and reward.

        `episode_id` names the episode; without it the header `X-Episode-Id`, then the cookie of `/reset`. If
        none is given, the server uses its only unfinished episode.

        The view is that of the reset unless `view` names one for this answer. A server that does not know the
        session, as after a failover, answers in full.
        """
        episode_id = await self._named(request.episode_id, header, cookie)
        call, request_id = request.action.call(), request.request_id

        def work() -> Response:
            session = self._service.step(episode_id, call, request_id)
            return _answer(session, self._service.views.of(episode_id, request.view))

        return await self._run(episode_id, work)

    async def state(
        self, episode_id: EpisodeId | None = None, header: HeaderId = None, cookie: CookieId = None
    ) -> SafeActState:
        """The agent-safe state of an episode. Task, split, seed, level and framing replay it."""
        name = await self._named(episode_id, header, cookie)
        return await self._run(name, lambda: state_of(name, self._service.get(name).episode))

    async def grader(
        self,
        request: Annotated[GraderRequest | None, Body()] = None,
        header: HeaderId = None,
        cookie: CookieId = None,
    ) -> Any:
        """Grade a finished episode, or a trajectory, which the server replays. It trusts no claimed state."""
        wanted = request or GraderRequest()
        if wanted.task_name is not None and wanted.seed is not None and wanted.actions is not None:
            calls = [action.call() for action in wanted.actions]
            variant = Variant(wanted.level, wanted.framing)
            return grade_of(self._service.replay(wanted.task_name, wanted.split, wanted.seed, calls, variant))
        name = await self._named(wanted.episode_id, header, cookie)
        return await self._run(name, lambda: grade_of(self._service.grade(name, finish=wanted.finish)))

    async def observation(self, episode_id: EpisodeId) -> Response:
        """The latest answer of an episode, as `/reset` or `/step` gave it in the view `full`."""
        return await self._run(episode_id, lambda: _answer(self._service.get(episode_id)))

    async def report(self, episode_id: EpisodeId, states: bool = False) -> dict[str, Any]:
        """The annotated record of a finished episode, for trainers: risk class and progress of every step.

        With `states`, it also holds what was shown: the first observation, and `current_state` after every
        step.
        """
        found = await self._run(episode_id, lambda: self._service.report(episode_id, states=states))
        return {"episode_id": episode_id, **found}

    async def delete(self, episode_id: EpisodeId) -> dict[str, str]:
        """End an episode and forget it."""
        await self._run(episode_id, lambda: self._service.delete(episode_id))
        self._service.views.choose(episode_id, "full")
        return {"deleted": episode_id}

    async def _named(self, *candidates: str | None) -> str:
        """The first id that is given: body or query, header, cookie. Without one, the only live episode."""
        named = next((one for one in candidates if one is not None), None)
        return await self._run(None, self._service.sole) if named is None else named


def _answer(session: Session, view: View = "full") -> Response:
    return Response(answer_json(session.episode, session.id, view), media_type="application/json")
