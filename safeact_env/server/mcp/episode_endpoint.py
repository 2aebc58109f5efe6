"""The MCP endpoint of one episode, for ordinary MCP clients: `/episodes/{episode_id}/mcp`.

Owns the streamable HTTP transport, by fastmcp. Must not know rules. It keeps nothing between requests: the
path names the episode, and `?view=changes` the view, so any replica can answer. A trainer starts the episode
and grades it; whoever has its agent key plays it. The view of the trainer's reset is the trainer's.

fastmcp's server takes 0.4 s and 14 MiB to import, so the first request imports it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.observation import View
from safeact_env.server.asking import ASKER, NEEDS_KEY, own_id
from safeact_env.server.http.errors import FAULT
from safeact_env.server.mcp.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SERVER_ERROR,
    RpcError,
    failure,
    request_in,
)
from safeact_env.server.mcp.tools import (
    Play,
    call_tool,
    for_agent,
    observation_json,
    state_text,
    text_result,
    tools_of,
)
from safeact_env.server.responses import view_in
from safeact_env.server.strict_json import MALFORMED
from safeact_env.sessions.errors import SessionError
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import SessionService
from safeact_env.version import VERSION

if TYPE_CHECKING:
    from fastmcp import FastMCP
    from starlette.applications import Starlette

T = TypeVar("T")
OnEpisode = Callable[[Callable[[Episode[Any], Play, View], Any]], Awaitable[Any]]
"""Runs work on the episode that the present request names, on what takes its steps, and on the view."""

PATH = "/episodes/{episode_id}/mcp"
OWN = "own"
"""In the path, it stands for the episode of the key, so that an agent needs no name."""
EPISODE_ID = "safeact_env.episode_id"
"""Where the scope of a request keeps the id of its episode, as the service knows it."""
INTRODUCTION = (
    "Each tool is an action of this job. Every tool's answer shows the state as far as it is known, and so "
    "does the resource safeact://observation.\n\n{job}\n\n{state}"
)
HEADERS = ((b"accept", b"application/json, text/event-stream"), (b"content-type", b"application/json"))
"""What fastmcp insists on. Every answer is JSON, whatever a client accepts, and every body was read as it."""
METHODS = {
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "tools/call",
    "tools/list",
}
NULL_ID = "id must be a string or an integer; a notification has none"
NO_METHOD = "there is no such method; an agent needs initialize, tools/list, tools/call and resources/read"
NOTHING = "there is nothing but the tools that tools/list returns and the resource safeact://observation"
NOT_STARTED = "the MCP endpoint could not start, the server's log says why; POST /mcp has the same tools"

log = logging.getLogger(__name__)


class EpisodeMcpEndpoint:
    """ASGI app at `PATH`.

    Args:
        service: The session service.
        executor: Runs the service's work.
    """

    def __init__(self, service: SessionService, executor: Executor) -> None:
        self._service = service
        self._executor = executor
        self._running: _RunningApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of the agent of an episode, or of the trainer who shows the server's token.

        Raises:
            SessionError: `unauthorized`, or as the service does.
        """
        asker, named = ASKER.get(), scope["path_params"]["episode_id"]
        if asker.token:
            episode_id = own_id(named)
            await self._executor.run(episode_id, lambda: self._service.get(episode_id))
        else:
            if asker.agent is None:
                raise SessionError("unauthorized", NEEDS_KEY)
            episode_id, secret = asker.agent.episode_id, asker.agent.secret
            name = None if named == OWN else named
            await self._executor.run(episode_id, lambda: self._service.admit(episode_id, secret, name))
        scope[EPISODE_ID] = episode_id

        def introduction() -> str:
            shown = self._service.get(episode_id).episode.observation()
            return INTRODUCTION.format(job=shown["task_description"], state=state_text(shown))

        try:
            view_in(Request(scope).query_params.get("view"), "full")
        except ValueError as error:
            await _refuse(RpcError(INVALID_PARAMS, str(error)), 422)(scope, receive, send)
            return
        if scope["method"] == "POST":
            body = await Request(scope, receive).body()
            answer, receive = _answered(body), _replayed(body, receive)
            if answer is not None:
                await answer(scope, receive, send)
                return
        if self._running is None or not self._running.alive:
            self._running = _RunningApp(self._make)
        try:
            app = await self._running.app()
        except Exception:
            log.exception("the MCP endpoint of episodes could not start")
            await _refuse(RpcError(INTERNAL_ERROR, NOT_STARTED), 503)(scope, receive, send)
            return
        others = [pair for pair in scope["headers"] if pair[0] not in dict(HEADERS)]
        scope = {**scope, "headers": [*others, *HEADERS]}
        await app(scope, receive, _introducing(lambda: self._executor.run(episode_id, introduction), send))

    async def _make(self) -> Starlette:
        server = await asyncio.to_thread(_server, self._service, self._executor)
        return server.http_app(path=PATH, stateless_http=True, json_response=True)

    async def close(self) -> None:
        """Stop; the next request would start it again."""
        running, self._running = self._running, None
        if running is not None:
            await running.stop()


class _RunningApp:
    """fastmcp's app and its lifespan, in its own task: a lifespan must end in the task in which it began.

    Args:
        make: Makes the app.
    """

    def __init__(self, make: Callable[[], Awaitable[Starlette]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._app: asyncio.Future[Starlette] = self._loop.create_future()
        self._task = self._loop.create_task(self._run(make))
        self._task.add_done_callback(self._ended)

    @property
    def alive(self) -> bool:
        """Whether it is starting or running, on the current event loop."""
        return self._loop is asyncio.get_running_loop() and not self._task.done()

    async def app(self) -> Starlette:
        """The app, once it runs. Raises the error that kept it from starting."""
        return await asyncio.shield(self._app)

    async def stop(self) -> None:
        """End the lifespan."""
        if self.alive:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, make: Callable[[], Awaitable[Starlette]]) -> None:
        app = await make()
        async with app.router.lifespan_context(app):
            self._app.set_result(app)
            await asyncio.Event().wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if not self._app.done():
            self._app.set_exception(error or RuntimeError("the app was stopped before it had started"))
        elif error is not None:
            log.error("the MCP endpoint of episodes failed; the next request starts it again", exc_info=error)


def _answered(body: bytes) -> Response | None:
    """The answer to a request that fastmcp need not see; `None` if fastmcp has to answer.

    fastmcp would log every line of a body that it cannot parse. It has no use for notifications, as it keeps
    nothing between requests.
    """
    try:
        request = request_in(from_json(body))
    except ValueError:
        return _refuse(RpcError(PARSE_ERROR, MALFORMED), 400)
    except RpcError as error:
        return _refuse(error, 400)
    if request.notification:
        return Response(status_code=202)
    if request.id is None:
        return _refuse(RpcError(INVALID_REQUEST, NULL_ID), 400)
    if request.method not in METHODS:
        return _refuse(RpcError(METHOD_NOT_FOUND, NO_METHOD, request.id), 200)
    return None


def _refuse(error: RpcError, status: int) -> JSONResponse:
    return JSONResponse(failure(error, error.request_id), status)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns this body, which was already read, and then the rest."""
    parts = [body]

    async def again() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await receive()

    return again


def _introducing(introduction: Callable[[], Awaitable[str]], send: Send) -> Send:
    """A `send` that adds job and state to the answer to `initialize`; fastmcp has one text for all."""
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
            body = _introduced(await introduction(), body)
            headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
            start["headers"] = [*headers, (b"content-length", b"%d" % len(body))]
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return introducing


def _introduced(introduction: str, body: bytes) -> bytes:
    answer = from_json(body)
    if isinstance(answer.get("result"), dict) and "serverInfo" in answer["result"]:
        answer["result"]["instructions"] = introduction
    return to_json(answer)


def _server(service: SessionService, executor: Executor) -> FastMCP[Any]:
    """An MCP server whose tools are those of the episode that a request names."""
    from fastmcp import FastMCP
    from fastmcp.server.dependencies import get_http_request

    async def on_episode(work: Callable[[Episode[Any], Play, View], T]) -> T:
        request = get_http_request()
        name: str = request.scope[EPISODE_ID]
        view = view_in(request.query_params.get("view"), "full")

        def step(call: Call) -> Episode[Any]:
            return service.step(name, call).episode

        return await executor.run(name, lambda: work(service.get(name).episode, step, view))

    server: FastMCP[Any] = FastMCP("safeact-env", version=VERSION, middleware=[_episode_tools(on_episode)])

    @server.resource("safeact://observation", mime_type="application/json")
    async def observation() -> str:
        """The job, the state as far as it is known, the actions and the steps so far."""
        return await on_episode(lambda episode, *_rest: observation_json(episode))

    return server


def _episode_tools(on_episode: OnEpisode) -> Any:
    """Middleware for fastmcp that lists and calls the tools of the requested episode."""
    from fastmcp.exceptions import NotFoundError
    from fastmcp.server.middleware import Middleware
    from fastmcp.tools.base import Tool, ToolResult
    from mcp import McpError
    from mcp.types import ErrorData

    class EpisodeTools(Middleware):
        async def on_message(self, context: Any, call_next: Any) -> Any:
            # fastmcp would send the text of any other exception to the client.
            try:
                return await call_next(context)
            except SessionError as error:
                raise McpError(ErrorData(code=SERVER_ERROR, message=error.message)) from None
            except NotFoundError:
                raise McpError(ErrorData(code=INVALID_PARAMS, message=NOTHING)) from None
            except Exception:
                log.exception("internal error at the MCP endpoint of an episode")
                raise McpError(ErrorData(code=INTERNAL_ERROR, message=FAULT)) from None

        async def on_list_tools(self, context: Any, call_next: Any) -> Any:
            return [
                Tool(name=tool["name"], description=tool["description"], parameters=tool["inputSchema"])
                for tool in await on_episode(lambda episode, *_rest: tools_of(episode))
            ]

        async def on_call_tool(self, context: Any, call_next: Any) -> Any:
            wanted = context.message
            result = await on_episode(
                lambda episode, step, view: call_tool(
                    episode, step, wanted.name, wanted.arguments or {}, view
                )
            )
            shown = for_agent(result.get("structuredContent"))
            if not result["content"]:
                # In the view `changes`, which is said once: here to a model, as text.
                result, shown = text_result(result["structuredContent"]), None
            return ToolResult(
                content=result["content"][0]["text"], structured_content=shown, is_error=result["isError"]
            )

    return EpisodeTools()
