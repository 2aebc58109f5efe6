"""The application: settings in, one FastAPI application out.

Owns how its parts are assembled. Must not know what any route does.
"""

import inspect
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route

from safeact_env._openenv import lightly, web_interface_wanted
from safeact_env.models import SafeActAction, SafeActObservation, SafeActState
from safeact_env.server.http.catalog import catalog_routes
from safeact_env.server.http.demonstrations import demonstration_routes
from safeact_env.server.http.docs import docs_routes
from safeact_env.server.http.episodes import episode_routes
from safeact_env.server.http.errors import install_error_handlers
from safeact_env.server.http.live import live_routes
from safeact_env.server.http.steps import FastStepMiddleware
from safeact_env.server.http.task_api import ENV_NAME, PATHS, task_routes
from safeact_env.server.mcp.episode_endpoint import PATH, EpisodeMcpEndpoint
from safeact_env.server.mcp.routes import mcp_routes
from safeact_env.server.middleware.body import BodyLimitMiddleware
from safeact_env.server.middleware.stack import add_middleware_stack
from safeact_env.server.operations.counters import Counters
from safeact_env.server.operations.drain import Drain
from safeact_env.server.operations.metrics import metrics_routes
from safeact_env.server.operations.probes import probe_routes
from safeact_env.server.page.static_files import instead_of_web, page_routes
from safeact_env.server.reset_limit import ResetLimit
from safeact_env.server.settings import Settings
from safeact_env.server.websocket.environment import DESCRIPTION, SafeActEnvironment
from safeact_env.server.websocket.routes import WebSocketMiddleware
from safeact_env.server.websocket.runtime import Runtime
from safeact_env.server.websocket.session_slots import SessionSlots
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.stores import store_maker
from safeact_env.version import VERSION

with lightly():
    from openenv.core.env_server.http_server import HTTPEnvServer
    from openenv.core.env_server.types import ConcurrencyConfig

OURS = ("/health", "/ws", "/mcp", *PATHS)
"""Paths of OpenEnv's server that this package serves itself."""

NO_GRADIO = (
    "ENABLE_WEB_INTERFACE turns on the page at /web, which needs gradio: install it (pip install gradio), or "
    "unset ENABLE_WEB_INTERFACE to serve without the page."
)


def create_app(settings: Settings | None = None, service: SessionService | None = None) -> FastAPI:
    """Assemble the application.

    Args:
        settings: The operator's settings; by default read from the environment.
        service: The session service; by default a new one on the store of the settings. The application
            closes it.

    Raises:
        StoreUnavailable: If the store cannot be opened.
    """
    settings = settings or Settings()
    service = service or _service(settings)
    executor = Executor(service)
    counters = service.observer = Counters.for_this_process()
    resets = ResetLimit(settings.client_resets)
    runtime = Runtime(counters, closed_test=service.closed_test, resets=resets)
    drain = Drain(settings.drain_seconds, runtime)
    slots = SessionSlots(settings.max_sessions, each=settings.client_sessions)
    app = FastAPI(
        title="SafeAct-Env",
        version=VERSION,
        description=DESCRIPTION,
        license_info={"name": "MIT"},
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    install_error_handlers(app)
    app.include_router(episode_routes(service, executor))
    app.include_router(catalog_routes(service, executor, settings))
    app.include_router(probe_routes(service, executor, drain))
    app.include_router(metrics_routes(counters, service, executor, drain))
    app.include_router(demonstration_routes(service, executor))
    app.include_router(live_routes(service, executor))
    # Not by include_router: the oldest supported FastAPI does not include mounts.
    app.router.routes.extend([*docs_routes(app.title), *page_routes().routes])
    app.include_router(task_routes())
    _add_openenv_routes(app, settings)
    app.include_router(mcp_routes(service, executor, slots))
    endpoint = EpisodeMcpEndpoint(service, executor)
    app.router.routes.append(Route(PATH, endpoint, methods=["POST", "DELETE"], include_in_schema=False))
    app.router.on_startup.append(executor.start)
    app.router.on_shutdown += [endpoint.close, executor.stop]
    if web_interface_wanted():
        _add_web_interface(app, settings)
    else:
        app.router.routes += instead_of_web()
    limit = settings.max_body_bytes
    app.add_middleware(BodyLimitMiddleware, limit=limit)
    app.add_middleware(FastStepMiddleware, service=service, executor=executor, limit=limit)
    app.add_middleware(WebSocketMiddleware, slots=slots, limit=limit)
    add_middleware_stack(app, settings, service, counters, drain)
    return app


def _service(settings: Settings) -> SessionService:
    return SessionService(
        max_live=settings.max_episodes,
        max_finished=settings.max_finished_episodes,
        max_live_each=settings.client_episodes,
        max_finished_each=settings.client_finished_episodes,
        idle_seconds=settings.idle_seconds,
        keep_finished_seconds=settings.keep_finished_seconds,
        cached=settings.cached_episodes,
        make_store=store_maker(settings.store),
        closed_test=settings.test_seeds == "drawn",
    )


def _add_web_interface(app: FastAPI, settings: Settings) -> None:
    """Add OpenEnv's page at /web.

    Raises:
        SystemExit: If gradio is not installed.
    """
    try:
        from safeact_env.server.page.openenv_web import add_web_interface
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise SystemExit(NO_GRADIO) from None
    add_web_interface(app, settings.port)


def _operation_id(route: APIRoute) -> str:
    path = route.path_format.strip("/").replace("/", "_").replace("{", "").replace("}", "")
    return f"{min(route.methods or {'GET'}).lower()}_{path}"


class _Server(HTTPEnvServer):
    """OpenEnv's server. It would import its LLM harness only to learn that this environment is none."""

    def _factory_produces_harness_env(self) -> bool:
        return False


def _add_openenv_routes(app: FastAPI, settings: Settings) -> None:
    """Add OpenEnv's own routes, except those that this package serves itself."""
    options: dict[str, Any] = {"env_name": ENV_NAME, "state_cls": SafeActState}
    known = inspect.signature(HTTPEnvServer.__init__).parameters
    server = _Server(
        SafeActEnvironment,
        SafeActAction,
        SafeActObservation,
        concurrency_config=ConcurrencyConfig(max_concurrent_envs=settings.max_sessions),
        **{name: value for name, value in options.items() if name in known},
    )
    before = len(app.router.routes)
    server.register_routes(app, mode="production")
    # A second route for the same path would show up in the OpenAPI document.
    app.router.routes[before:] = [
        route for route in app.router.routes[before:] if getattr(route, "path", "") not in OURS
    ]
