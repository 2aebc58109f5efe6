"""The middleware stack: everything that happens to a request whatever its route.

Owns the order of the middleware. Must not know routes.
"""

from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from safeact_env.server.http.openapi import completed
from safeact_env.server.middleware.access import AccessMiddleware
from safeact_env.server.middleware.access_log import AccessLogMiddleware
from safeact_env.server.middleware.overload import Lateness, OverloadMiddleware
from safeact_env.server.middleware.rate_limit import RateLimitMiddleware
from safeact_env.server.middleware.slow_body import SlowBodyMiddleware
from safeact_env.server.operations.counters import Counters
from safeact_env.server.operations.drain import Drain, DrainMiddleware
from safeact_env.server.operations.tracing import tracing, tracing_wanted
from safeact_env.server.settings import Settings, listed
from safeact_env.sessions.service import SessionService

CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "DELETE"],
    "allow_headers": [
        *("Authorization", "Content-Type", "X-Episode-Id", "X-Request-Id"),
        *("Last-Event-ID", "MCP-Protocol-Version", "Mcp-Session-Id"),  # as MCP clients send them
    ],
    "expose_headers": ["Mcp-Session-Id", "Retry-After", "WWW-Authenticate", "X-Request-Id"],
}
"""What pages of admitted sites may do. They get no cookies: each request names its episode."""


def add_middleware_stack(
    app: FastAPI, settings: Settings, service: SessionService, counters: Counters, drain: Drain
) -> None:
    """Add the middleware. A request meets them in the opposite order: the last one added comes first.

    Args:
        app: The app, with everything that serves requests.
        settings: The operator's settings.
        service: The session service.
        counters: The counters of this process.
        drain: The shutdown of this process.
    """
    token = None if settings.api_token is None else settings.api_token.get_secret_value()
    origins, lateness = listed(settings.cors_origins), Lateness()
    app.add_middleware(SlowBodyMiddleware, seconds=settings.request_seconds)
    app.add_middleware(DrainMiddleware, drain=drain)
    app.add_middleware(AccessMiddleware, token=token, origins=origins)
    if settings.rate_limit is not None:
        app.add_middleware(RateLimitMiddleware, limit=settings.rate_limit)
    app.add_middleware(
        OverloadMiddleware,
        max_requests=settings.max_requests,
        max_late_seconds=settings.overload_seconds,
        lateness=lateness,
    )
    if origins:
        app.add_middleware(CORSMiddleware, **CORS, allow_origins=origins)
    if tracing_wanted():
        traced, end = tracing()
        app.add_middleware(traced)
        app.router.on_shutdown.append(end)
    app.add_middleware(
        AccessLogMiddleware,
        counters=counters,
        runtime=drain.runtime,
        lines=settings.log_format == "json",
        shared=bool(origins),
    )
    if not service.store.blocking:
        # Episodes in this process's memory end with it; those in a shared store go on elsewhere.
        drain.others = lambda: service.live
    app.router.on_startup += [lateness.start, counters.start, drain.install]
    app.router.on_shutdown[:0] = [drain.uninstall, counters.stop, lateness.stop]
    app.openapi = completed(app, token is not None)  # type: ignore[method-assign]  # as FastAPI documents it
