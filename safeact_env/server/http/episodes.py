"""The routes of an episode: reset, step, state, grade, report, delete.

Owns how a request names its episode. Must not know rules.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Cookie, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic_core import to_json

from safeact_env.core.observation import View
from safeact_env.core.variant import Variant
from safeact_env.ids import fresh_id
from safeact_env.models import (
    Answer,
    EpisodeId,
    GradeResponse,
    GraderRequest,
    ResetRequest,
    Role,
    SafeActState,
    StepRequest,
)
from safeact_env.server.asking import ASKER, NEEDS_KEY, agent_key, own_id, without_trainers_part
from safeact_env.server.http.errors import error_docs
from safeact_env.server.responses import answer_json, grade_of, state_of
from safeact_env.server.websocket.runtime import RUNTIME
from safeact_env.sessions.errors import SessionError
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import Session, SessionService

COOKIE = "safeact_episode"

HeaderId = Annotated[EpisodeId | None, Header(alias="X-Episode-Id")]
CookieId = Annotated[EpisodeId | None, Cookie(alias=COOKIE)]
BODY_ERRORS = ("malformed_json", "body_too_large")
STORE_ERRORS = ("store_unavailable",)
KEPT_ERRORS = ("unknown_episode", "version_changed", *STORE_ERRORS)
WHICH_ERRORS = ("ambiguous_episode", *KEPT_ERRORS)
AGENT_ERRORS = ("unauthorized", "trainer_only")
NO_ID = "pass episode_id, as returned by /reset: on a server with a token no request may leave it out"
NOT_THE_TRAINER = "role is trainer, but the request shows an agent's key; show the one that fits"


def episode_routes(service: SessionService, executor: Executor) -> APIRouter:
    """The routes over this service. The executor runs the requests of one episode one at a time."""
    handlers = _Handlers(service, executor)
    router = APIRouter(tags=["Episode"])
    router.post(
        "/reset",
        response_model=Answer,
        responses=error_docs(
            *BODY_ERRORS,
            *("held_out", "episode_exists", "client_at_capacity", "too_many_resets", "at_capacity"),
            *("version_changed", *STORE_ERRORS),
        ),
    )(handlers.reset)
    router.post(
        "/step",
        response_model=Answer,
        responses=error_docs(*BODY_ERRORS, *WHICH_ERRORS, *AGENT_ERRORS, "episode_done", "request_id_reused"),
    )(handlers.step)
    router.get("/state", response_model=SafeActState, responses=error_docs(*WHICH_ERRORS, *AGENT_ERRORS))(
        handlers.state
    )
    router.post(
        "/grader",
        response_model=GradeResponse,
        responses=error_docs(*BODY_ERRORS, *WHICH_ERRORS, "held_out", "episode_running"),
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
        only what the step changed; the first is whole in either view. `agent_key` is for the agent that is to
        play it.
        """
        wanted, asker = request or ResetRequest(), ASKER.get()
        RUNTIME.get().count_reset()
        name = wanted.episode_id or fresh_id()
        episode_id = own_id(name)

        def work() -> Response:
            session = self._service.open(
                wanted.task_name,
                wanted.split,
                wanted.seed,
                index=wanted.index,
                variant=Variant(wanted.level, wanted.framing),
                episode_id=episode_id,
                client=asker.client,
                name=name,
            )
            self._service.views.choose(session.id, wanted.view)
            return _started(session)

        response = await self._run(episode_id, work)
        secure = http.url.scheme == "https"
        response.set_cookie(COOKIE, name, httponly=True, samesite="lax", secure=secure)
        return response

    async def step(self, request: StepRequest, header: HeaderId = None, cookie: CookieId = None) -> Response:
        """Take a step. An agent's mistake is not an error: it costs a step and shows in result and reward.

        `episode_id` names the episode; without it the header `X-Episode-Id`, then the cookie of `/reset`. If
        none is given, the server uses its only unfinished episode, as long as only one client has started any
        and there is no token. An agent shows its key, which names the episode, and gets no reward.

        The view is that of the reset unless `view` names one for this answer; an agent, which saw no reset,
        is answered in full. So is who asks a server that does not know the session, as after a failover.
        """
        call, request_id = request.action.call(), request.request_id
        agent = await self._agent(request.role, request.episode_id, header)
        if agent is None:
            name = await self._named(request.episode_id, header, cookie)

            def work() -> Response:
                session = self._service.step(name, call, request_id)
                return _answer(session, self._service.views.of(name, request.view))

            return await self._run(name, work)

        def step() -> Response:
            answer = _answer(self._service.step(agent, call, request_id), request.view or "full")
            return Response(without_trainers_part(bytes(answer.body)), media_type="application/json")

        return await self._run(agent, step)

    async def state(
        self,
        episode_id: EpisodeId | None = None,
        role: Role | None = None,
        header: HeaderId = None,
        cookie: CookieId = None,
    ) -> Any:
        """The state of an episode. Task, split, seed, level and framing replay it.

        An agent, which shows its key, is told no reward, and no seed while the episode runs.
        """
        agent = await self._agent(role, episode_id, header)
        name = await self._named(episode_id, header, cookie) if agent is None else agent
        told = ASKER.get()

        def work() -> SafeActState:
            session = self._service.get(name)
            episode = session.episode
            drawn = self._service.closed_test and episode.split == "test"
            return state_of(session.name, episode, seed=agent is None and (told.token or not drawn))

        state = await self._run(name, work)
        return (
            state if agent is None else JSONResponse(state.model_dump(exclude={"episode_id", "total_reward"}))
        )

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
        name = own_id(episode_id)
        return await self._run(name, lambda: _answer(self._service.get(name)))

    async def report(self, episode_id: EpisodeId, states: bool = False) -> dict[str, Any]:
        """The annotated record of a finished episode, for trainers: risk class and progress of every step.

        With `states`, it also holds what was shown: the first observation, and `current_state` after every
        step.
        """
        name = own_id(episode_id)
        found = await self._run(name, lambda: self._service.report(name, states=states))
        return {"episode_id": episode_id, **found}

    async def delete(self, episode_id: EpisodeId) -> dict[str, str]:
        """End an episode and forget it."""
        name = own_id(episode_id)
        await self._run(name, lambda: self._service.delete(name))
        self._service.views.choose(name, "full")
        return {"deleted": episode_id}

    async def _named(self, *candidates: str | None) -> str:
        """The first id that is given: body or query, header, cookie. Without one, the only live episode."""
        named = next((one for one in candidates if one is not None), None)
        return await sole(self._service, self._run) if named is None else own_id(named)

    async def _agent(self, role: Role | None, *named: str | None) -> str | None:
        """The episode of the agent that asks; `None` if the trainer does.

        Raises:
            SessionError: `unauthorized` or `trainer_only`, if the key does not fit the request.
        """
        agent = ASKER.get().agent
        if agent is None:
            if role == "agent":
                raise SessionError("unauthorized", NEEDS_KEY)
            return None
        if role == "trainer":
            raise SessionError("trainer_only", NOT_THE_TRAINER)
        await self._run(agent.episode_id, lambda: self._service.admit(agent.episode_id, agent.secret, *named))
        return agent.episode_id


async def sole(service: SessionService, run: Callable[..., Awaitable[str]]) -> str:
    """The id of the only episode that a request without an id can mean.

    Raises:
        SessionError: `ambiguous_episode`.
    """
    asker = ASKER.get()
    if asker.token:
        raise SessionError("ambiguous_episode", NO_ID)
    return await run(None, lambda: service.sole(asker.client))


def _answer(session: Session, view: View = "full") -> Response:
    return Response(answer_json(session.episode, session.name, view), media_type="application/json")


def _started(session: Session) -> Response:
    body, end, rest = bytes(_answer(session).body).rpartition(b"}")
    key = b',"agent_key":' + to_json(agent_key(session))
    return Response(body + key + end + rest, media_type="application/json")
