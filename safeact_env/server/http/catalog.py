"""The routes about the server and its tasks: health, task list, baseline runs.

Owns the limit on baseline runs: one at a time among all processes that share a store. Must not know clients'
episodes.
"""

import asyncio
import gzip
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic_core import to_json

from safeact_env.core.variant import Variant
from safeact_env.models import BaselineRequest, BaselineResponse, SafeActAction
from safeact_env.server.http.baseline import MODEL_AGENT, check_agent, run_baseline, run_model
from safeact_env.server.http.errors import error_docs
from safeact_env.server.middleware.access import from_this_machine
from safeact_env.server.packing import takes_gzip
from safeact_env.server.responses import task_cards
from safeact_env.server.settings import Settings
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import CLOSED, SessionError, SessionService, known_task
from safeact_env.tasks import task_names
from safeact_env.version import VERSION

HEALTH_SECONDS = 0.25
"""Longest wait for the store: a health check asks about this process."""

NOT_FOR_EVERYBODY = (
    "a run of this server's model costs its operator money: send the token that the operator sets as "
    "SAFEACT_API_TOKEN, or send the request to localhost from the server's own machine"
)


def catalog_routes(service: SessionService, executor: Executor, settings: Settings) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["Server"])
    cards = task_cards()

    @router.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the server is up. `live_episodes` is null while the store does not answer."""
        live = await executor.peek(lambda: service.live, HEALTH_SECONDS)
        return {"status": "healthy", "version": VERSION, "live_episodes": live}

    listed = {"tasks": cards, "action_schema": SafeActAction.model_json_schema()}
    packed = gzip.compress(to_json(listed), mtime=0)

    @router.get("/tasks", response_model=dict[str, Any])
    async def tasks(http: Request) -> Any:
        """Every task with its levels, framings, fixed actions and grader components.

        An episode lists its own actions, with its look-alikes.
        """
        if not takes_gzip(http.headers):
            return listed
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(packed, media_type="application/json", headers=headers)

    @router.post(
        "/baseline",
        responses=error_docs(
            "malformed_json", "held_out", "token_required", "body_too_large", "busy", "store_unavailable"
        ),
    )
    async def baseline(
        http: Request, request: Annotated[BaselineRequest | None, Body()] = None
    ) -> BaselineResponse:
        """Run a reference policy, by default the rule-based `expert`, on one task or on all.

        The agent `llm` is the model that the server is configured with. If the deadline passes first, the
        answer lacks the episodes that the model has not finished, and `errors` says so. Only one run happens
        at a time. A request for `llm` that comes over a network needs the server's token.
        """
        wanted = request or BaselineRequest()
        check_agent(wanted.agent)
        if service.closed_test and wanted.split == "test":
            raise SessionError("held_out", CLOSED)
        names = [wanted.task_name] if wanted.task_name is not None else list(task_names())
        chosen = [known_task(name, Variant(wanted.level, wanted.framing)) for name in names]
        # If there is a token, the request has already shown it.
        if wanted.agent == MODEL_AGENT and settings.api_token is None and not from_this_machine(http.scope):
            raise SessionError("token_required", NOT_FOR_EVERYBODY)
        async with executor.lease("baseline") as taken:
            if not taken:
                raise SessionError("busy", "another baseline run is in progress; try again when it has ended")
            if wanted.agent == MODEL_AGENT:
                return await run_model(wanted, chosen, settings)
            return await asyncio.to_thread(run_baseline, wanted, chosen)

    return router
