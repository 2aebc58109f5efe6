"""OpenEnv's page at /web, which shows this environment.

Owns the page's one episode, its routes, and which parts of gradio are reachable. Must not know rules, or how
an episode is rendered. Imports gradio, which takes seconds: import it only if the page is wanted.
"""

import asyncio
import os
import re
from importlib.metadata import PackageNotFoundError, metadata
from inspect import signature
from typing import Annotated, Any

import gradio as gr
from fastapi import APIRouter, Body, FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse
from openenv.core.env_server.gradio_theme import OPENENV_GRADIO_CSS, OPENENV_GRADIO_THEME
from openenv.core.env_server.gradio_ui import build_gradio_app
from openenv.core.env_server.types import EnvironmentMetadata
from openenv.core.env_server.web_interface import WebInterfaceManager
from pydantic import ValidationError
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.core.variant import DEFAULT, FRAMINGS, LEVELS, Framing, Variant
from safeact_env.models import ResetRequest, SafeActAction, SafeActObservation, SafeActState
from safeact_env.server.http.errors import error_docs, error_response, readable
from safeact_env.server.websocket.environment import SafeActEnvironment
from safeact_env.sessions.service import SessionError, start_episode
from safeact_env.tasks import task_names

DISTRIBUTION = "openenv-safeact-env"
PATH = "/web"
MAX_WAITING = 100
"""Most clicks that wait in the queue; gradio sets no limit of its own."""
MAX_VISITORS = 200
"""Most visitors whose log of clicks is kept; beyond that the oldest is deleted."""

SHARED = "Everybody who has this page open shares one episode: another visitor's step or reset is yours too."
GRADIO = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
}
"""Gradio's settings: no calls to other hosts, and no click statistics for its monitoring page."""

QUICK_START = """```python
from safeact_env.client import SafeActAction, SafeActEnv

with SafeActEnv(base_url="{url}").sync() as env:
    env.reset(task_name="easy", seed=42)
    look = SafeActAction(action_name="list_directory", parameters={{}}, reasoning="Look first.")
    print(env.step(look).observation.last_action_result)
```
Every client has its own episode, apart from the one on this page."""

# The paths that the page needs. Gradio has many more: uploads, files, a proxy, monitoring, an editor.
PAGE_PATHS = re.compile(
    r"/|/config|/theme\.css|/(assets|static)/.+|/gradio_api/(app_id|queue/(join|data)|heartbeat/\w+)"
)
NO_SUCH_PATH = "the page at /web has no such path"
NO_SUCH_EVENT = "the page has no such event; load it again"

# Gradio needs inline scripts and compiles templates. OpenEnv's theme wants fonts from another host; the page
# does without them.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'self'"
)


class SharedEpisode(WebInterfaceManager):
    """The page's episode: one, shared by all visitors.

    Attributes:
        start: Task, seed as typed, level and framing of the episode that the page's buttons start. An empty
            seed draws a fresh one. If it cannot be started, the last choice that could is restored: visitors
            share it.
    """

    def __init__(self) -> None:
        env = SafeActEnvironment()
        about = env.get_metadata()
        about.readme_content = readme()
        super().__init__(env, SafeActAction, SafeActObservation, about)
        self.start = self._started = (task_names()[0], "", DEFAULT.level, DEFAULT.framing)
        self._turn = asyncio.Lock()

    async def reset_environment(self, reset_kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
        """Start an episode, as requested or as chosen on the page, once no step is in progress.

        Raises:
            ValueError: If it cannot be started; the current episode goes on.
        """
        async with self._turn:
            if reset_kwargs is not None:
                return await self._reset(reset_kwargs)
            try:
                answer = await self._reset(self._start())
            except Exception:
                self.start = self._started
                raise
            self._started = self.start
            return answer

    async def step_environment(self, action_data: dict[str, Any]) -> dict[str, Any]:
        """Take a step, one at a time.

        Raises:
            ValueError: If the action is not well-formed.
            RuntimeError: If there is no episode, or it is over.
        """
        async with self._turn:
            try:
                answer: dict[str, Any] = await super().step_environment(action_data)
            except ValidationError as error:
                raise ValueError(f"not a well-formed action: {readable(error)}") from None
            return answer

    async def _reset(self, wanted: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await super().reset_environment(wanted)
        return answer

    def _start(self) -> dict[str, Any]:
        task, seed, level, framing = self.start
        wanted = {"task_name": task, "level": level, "framing": framing}
        if not seed.strip():
            return wanted
        if not re.fullmatch(r"[0-9]{1,19}", seed.strip()):
            raise ValueError("the seed must be a whole number from 0 to 2^63 - 1, or empty for a fresh one")
        return {**wanted, "seed": int(seed)}


def readme() -> str | None:
    """The README of the installed package. It tells no action's risk: who plays has to find those out."""
    try:
        return metadata(DISTRIBUTION)["Description"]
    except PackageNotFoundError:
        return None


def web_routes(shared: SharedEpisode) -> APIRouter:
    """The routes of the page's episode."""
    router = APIRouter(prefix=PATH, tags=["Page at /web"])

    @router.get("", include_in_schema=False)
    async def page() -> RedirectResponse:
        return RedirectResponse(f"{PATH}/")

    @router.get("/metadata")
    async def about() -> EnvironmentMetadata:
        """What the page says about the environment."""
        return shared.metadata

    @router.post("/reset", responses=error_docs("malformed_json", "body_too_large"))
    async def reset(request: Annotated[ResetRequest | None, Body()] = None) -> dict[str, Any]:
        """Restart the page's episode, for all its visitors."""
        wanted = request or ResetRequest()
        # Refuses with an error code; the manager would raise a sentence only.
        start_episode(
            wanted.task_name,
            wanted.split,
            wanted.seed,
            wanted.index,
            Variant(wanted.level, wanted.framing),
        )
        return await shared.reset_environment(wanted.model_dump(exclude_none=True, exclude_unset=True))

    @router.post(
        "/step", responses=error_docs("malformed_json", "body_too_large", "unknown_episode", "episode_done")
    )
    async def step(action: Annotated[SafeActAction, Body(embed=True)]) -> dict[str, Any]:
        """Take a step in the page's episode, whoever started it."""
        try:
            return await shared.step_environment(action.model_dump(exclude={"metadata"}))
        except RuntimeError as error:
            code = "episode_done" if shared.env.state.done else "unknown_episode"
            raise SessionError(code, str(error)) from None

    @router.get("/state")
    async def state() -> SafeActState:
        """The agent-safe state of the page's episode; empty before the first reset."""
        found: SafeActState = shared.env.state
        return found

    return router


class PageOnlyMiddleware:
    """ASGI middleware that blocks gradio's other paths, and content from other hosts."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 404."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "lifespan" and not PAGE_PATHS.fullmatch(path):
            await error_response("not_found", NO_SUCH_PATH)(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = POLICY
            await send(message)

        await self.app(scope, receive, answer)


def add_web_interface(app: FastAPI, port: int) -> SharedEpisode:
    """Add the page and its routes to the app.

    Args:
        app: The app, with its error handlers installed.
        port: The server's port, for the example on the page.

    Returns:
        The page's episode.
    """
    for name, value in GRADIO.items():
        os.environ.setdefault(name, value)
    # Set on Hugging Face Spaces.
    space = os.environ.get("SPACE_HOST")
    url = f"https://{space}" if space else f"http://localhost:{port}"
    shared = SharedEpisode()
    app.include_router(web_routes(shared))
    # Gradio raises KeyError if a client sends the number of an unknown event.
    handlers = {**app.exception_handlers, KeyError: _no_such_event}
    gr.mount_gradio_app(
        app,
        _page(shared, QUICK_START.format(url=url)),
        PATH,
        app_kwargs={"exception_handlers": handlers, "middleware": [Middleware(PageOnlyMiddleware)]},
        **({"run_history": False} if "run_history" in signature(gr.mount_gradio_app).parameters else {}),
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        theme=OPENENV_GRADIO_THEME,
        css=OPENENV_GRADIO_CSS,
    )
    return shared


async def _no_such_event(_request: Request, _error: Exception) -> JSONResponse:
    return error_response("not_found", NO_SUCH_EVENT)


def _page(shared: SharedEpisode, quick_start: str) -> gr.Blocks:
    """OpenEnv's page, with a choice of task and seed between its header and its cards."""
    page: gr.Blocks = build_gradio_app(
        shared, [], shared.metadata, is_chat_env=False, quick_start_md=quick_start
    )
    known: dict[Any, Any] = {listener.name: listener for listener in page.fns.values()}
    reset, show_state = known["reset_env"], known["show_state"]
    with page:
        with gr.Column(elem_classes="oe-card") as choice:
            gr.HTML(f'<div class="oe-step"><h2>Which episode</h2><p>{SHARED}</p></div>')
            with gr.Row(elem_classes="oe-row"):
                task = gr.Dropdown(list(task_names()), value=shared.start[0], label="task")
                seed = gr.Textbox(label="seed", placeholder="empty for a fresh one", max_length=19)
                level = gr.Dropdown(list(LEVELS), value=DEFAULT.level, label="level")
                framing = gr.Dropdown(list(FRAMINGS), value=DEFAULT.framing, label="framing")
                start = gr.Button("Start", variant="primary", scale=0, min_width=110)

        async def start_chosen(task_name: str, seed: str, level: int, framing: Framing, *given: Any) -> Any:
            shared.start = (task_name, seed, level, framing)
            return await reset.fn(*given)

        gr.on(
            [start.click, seed.submit],
            start_chosen,
            [task, seed, level, framing, *reset.inputs],
            reset.outputs,
            concurrency_id=reset.concurrency_id,
        ).then(show_state.fn, outputs=show_state.outputs)
    page.children.insert(2, page.children.pop(page.children.index(choice)))
    page.queue(max_size=MAX_WAITING)
    page.state_session_capacity = MAX_VISITORS
    return page
