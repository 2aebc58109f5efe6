"""GET /ready: whether this process should get new work. `/health` tells whether it is alive.

Owns what readiness means. Must not know who asks.
"""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from safeact_env.server.http.errors import error_docs
from safeact_env.server.operations.drain import STOPPING, Drain
from safeact_env.sessions.errors import SessionError
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import SessionService

STORE_SECONDS = 1.0
"""Longest wait for the store."""
NO_STORE = "the store of episodes does not answer; episodes over WebSockets go on"


class Ready(BaseModel):
    """A process that should get new work."""

    status: Literal["ready"] = "ready"
    live_episodes: int = Field(description="Unfinished HTTP episodes in the store.")


def probe_routes(service: SessionService, executor: Executor, drain: Drain) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["Server"])

    @router.get("/ready", responses=error_docs("draining", "not_ready"))
    async def ready() -> Ready:
        """Whether to send new work here: not while the server stops, or its store does not answer."""
        if drain.on:
            raise SessionError("draining", STOPPING)
        live = await executor.peek(lambda: service.live, STORE_SECONDS)
        if live is None:
            raise SessionError("not_ready", NO_STORE)
        return Ready(live_episodes=live)

    return router
