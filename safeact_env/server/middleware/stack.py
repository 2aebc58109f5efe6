"""What stands around the app: what lets in, refuses, counts and notes, whatever is asked.

Owns the order in which that is done. Must not know routes.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from safeact_env.server.http.openapi import completed
from safeact_env.server.middleware.access import Access
from safeact_env.server.middleware.access_log import Observed
from safeact_env.server.middleware.overload import Lateness, Overload
from safeact_env.server.middleware.rate_limit import Rates
from safeact_env.server.operations.counters import Meter
from safeact_env.server.operations.drain import Drain, Draining
from safeact_env.server.operations.tracing import tracing, tracing_wanted
from safeact_env.server.settings import Settings, listed
from safeact_env.sessions.service import SessionService

__all__ = ["put_around"]

CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "DELETE"],
    "allow_headers": ["Authorization", "Content-Type", "X-Episode-Id", "X-Request-Id"],
    "expose_headers": ["Retry-After", "X-Request-Id"],
}
"""What pages of other sites may do, where they may. They have no cookies: each request names its episode."""


def put_around(app: FastAPI, settings: Settings, service: SessionService, meter: Meter, drain: Drain) -> None:
    """Add the middleware, which is asked in the opposite order: what is added last comes first.

    Args:
        app: The app, with all that serves requests in it.
        settings: What the operator set.
        service: The session service.
        meter: What counts.
        drain: Whether this process is about to stop.
    """
    token = None if settings.api_token is None else settings.api_token.get_secret_value()
    origins, lateness = listed(settings.cors_origins), Lateness()
    app.add_middleware(Draining, drain=drain)
    app.add_middleware(Access, token=token, origins=origins)
    if settings.rate_limit is not None:
        app.add_middleware(Rates, limit=settings.rate_limit)
    app.add_middleware(
        Overload, most=settings.max_requests, seconds=settings.overload_seconds, lateness=lateness
    )
    if origins:
        app.add_middleware(CORSMiddleware, **CORS, allow_origins=origins)
    if tracing_wanted():
        traced, end = tracing()
        app.add_middleware(traced)
        app.router.on_shutdown.append(end)
    app.add_middleware(
        Observed,
        meter=meter,
        playing=drain.playing,
        lines=settings.log_format == "json",
        shared=bool(origins),
    )
    if not service.store.blocking:
        # Episodes in this process's memory end with it; those in a store go on elsewhere.
        drain.others = lambda: service.live
    app.router.on_startup += [lateness.start, meter.start, drain.install]
    app.router.on_shutdown[:0] = [drain.uninstall, meter.stop, lateness.stop]
    app.openapi = completed(app, token is not None)  # type: ignore[method-assign]  # as FastAPI documents it
