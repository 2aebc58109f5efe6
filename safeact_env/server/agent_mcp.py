"""The MCP endpoint of one episode, for ordinary MCP clients: `/episodes/{episode_id}/mcp`.

Owns the streamable HTTP transport, by fastmcp. Must not know rules. It keeps nothing between requests: the
episode is named by the path, so any replica answers. A trainer starts the episode and grades it; whoever has
this address plays it.

fastmcp's server takes 0.4 s and 14 MiB to import, so that is done for the first request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import from_json, to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.server.tools import call_tool, observation_json, tools_of
from safeact_env.sessions.lanes import Lanes
from safeact_env.sessions.service import SessionService
from safeact_env.version import VERSION

if TYPE_CHECKING:
    from fastmcp import FastMCP

__all__ = ["PATH", "AgentMcp"]

T = TypeVar("T")

PATH = "/episodes/{episode_id}/mcp"
INTRODUCTION = (
    "Each tool is an action of this job. The resource safeact://observation shows the state as far as it is "
    "known; every tool's answer shows it as well. {job}"
)


class AgentMcp:
    """ASGI app at `PATH`.

    Args:
        service: The session service.
        lanes: Where its work is done.
    """

    def __init__(self, service: SessionService, lanes: Lanes) -> None:
        self._service = service
        self._lanes = lanes
        self._app: ASGIApp | None = None
        self._lock = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request about an episode that exists."""
        episode_id = scope["path_params"]["episode_id"]

        def job() -> str:
            description: str = self._service.get(episode_id).episode.observation()["task_description"]
            return description

        await self._lanes.run(episode_id, lambda: self._service.get(episode_id))
        async with self._lock:
            if self._app is None:
                self._app = await self._start()
        await self._app(scope, receive, _introducing(lambda: self._lanes.run(episode_id, job), send))

    async def _start(self) -> ASGIApp:
        server = await asyncio.to_thread(_server, self._service, self._lanes)
        app = server.http_app(path=PATH, stateless_http=True, json_response=True)
        started = asyncio.Event()

        async def run() -> None:
            # A task of its own, as a lifespan has to end in the task in which it began.
            async with app.router.lifespan_context(app):
                started.set()
                await asyncio.Event().wait()

        self._running = asyncio.create_task(run())
        await started.wait()
        return app

    async def close(self) -> None:
        """Stop; the next request would start it again."""
        running, self._running, self._app = self._running, None, None
        if running is not None:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def _introducing(job: Callable[[], Awaitable[str]], send: Send) -> Send:
    """Write the job into the answer to `initialize`; fastmcp knows one text for all requests."""
    start: Message | None = None
    body = b""

    async def introducing(event: Message) -> None:
        nonlocal start, body
        if event["type"] == "http.response.start":
            start = event
            return
        body += event.get("body", b"")
        if event.get("more_body", False) or start is None:
            return
        if b'"protocolVersion"' in body:
            body = _introduced(await job(), body)
            headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
            start["headers"] = [*headers, (b"content-length", b"%d" % len(body))]
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return introducing


def _introduced(job: str, body: bytes) -> bytes:
    answer = from_json(body)
    if isinstance(answer.get("result"), dict) and "serverInfo" in answer["result"]:
        answer["result"]["instructions"] = INTRODUCTION.format(job=job)
    return to_json(answer)


def _server(service: SessionService, lanes: Lanes) -> FastMCP[Any]:
    """An MCP server whose tools are those of the episode that a request names."""
    from fastmcp import FastMCP
    from fastmcp.server.dependencies import get_http_request
    from fastmcp.server.middleware import Middleware
    from fastmcp.tools.base import Tool, ToolResult

    async def on_episode(work: Callable[[Episode[Any]], T]) -> T:
        name = named()
        return await lanes.run(name, lambda: work(service.get(name).episode))

    def named() -> str:
        name: str = get_http_request().path_params["episode_id"]
        return name

    class Tools(Middleware):
        async def on_list_tools(self, context: Any, call_next: Any) -> Any:
            return [
                Tool(name=tool["name"], description=tool["description"], parameters=tool["inputSchema"])
                for tool in await on_episode(tools_of)
            ]

        async def on_call_tool(self, context: Any, call_next: Any) -> Any:
            name, wanted = named(), context.message

            def step(call: Call) -> Episode[Any]:
                return service.step(name, call).episode

            result = await on_episode(
                lambda episode: call_tool(episode, step, wanted.name, wanted.arguments or {})
            )
            return ToolResult(
                content=result["content"][0]["text"],
                structured_content=result.get("structuredContent"),
                is_error=result["isError"],
            )

    server: FastMCP[Any] = FastMCP("safeact-env", version=VERSION, middleware=[Tools()])

    @server.resource("safeact://observation", mime_type="application/json")
    async def observation() -> str:
        """The job, the state as far as it is known, the actions and the steps so far."""
        return await on_episode(observation_json)

    return server
