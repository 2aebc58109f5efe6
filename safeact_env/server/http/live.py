"""An episode as it is played, for who follows it: the steps so far with their reasons, and what is known.

Owns what a follower is told. Must not tell a risk class, a reward or a grade: the episode runs.
"""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from safeact_env.core.episode import Episode
from safeact_env.models import EpisodeId
from safeact_env.server.asking import ASKER, Asker, own_id
from safeact_env.server.http.episodes import KEPT_ERRORS
from safeact_env.server.http.errors import error_docs
from safeact_env.server.websocket.runtime import RUNTIME
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import SessionService


def live_routes(service: SessionService, executor: Executor) -> APIRouter:
    """The route over this service, and over the WebSocket sessions of this process."""
    router = APIRouter(tags=["Episode"])

    async def live(episode_id: EpisodeId) -> dict[str, Any]:
        """An episode as it stands, with the reasons that its agent gave. For the trainer: an agent gets 403.

        Whoever plays it, over HTTP, WebSocket or MCP: its steps are here once they have been taken. An
        episode of a WebSocket is here as long as its connection. Risk, rewards and the grade are told by the
        report, after the end.
        """
        name, seed_of = own_id(episode_id), _seed_teller(service, ASKER.get())
        held = RUNTIME.get().episode_with(name)
        if held is not None:
            return {"episode_id": episode_id, "seed": seed_of(held), **_told(held)}

        def told() -> dict[str, Any]:
            episode = service.get(name).episode
            return {"episode_id": episode_id, "seed": seed_of(episode), **_told(episode)}

        return await executor.run(name, told)

    router.get("/episodes/{episode_id}/live", responses=error_docs(*KEPT_ERRORS))(live)
    return router


def _seed_teller(service: SessionService, asker: Asker) -> Callable[[Episode[Any]], int | None]:
    """Tells the seed of an episode, as `/state` does: not that of a drawn scenario, without the token."""

    def seed_of(episode: Episode[Any]) -> int | None:
        drawn = service.closed_test and episode.split == "test"
        return episode.seed if asker.token or not drawn else None

    return seed_of


def _told(episode: Episode[Any]) -> dict[str, Any]:
    shown = episode.observation()
    return {
        "task_name": episode.task.name,
        "split": episode.split,
        **episode.variant.to_json(),
        "done": episode.done,
        "steps_remaining": shown["steps_remaining"],
        "current_state": shown["current_state"],
        "steps": [{**turn.call.to_json(), "result": turn.result} for turn in episode.turns],
    }
