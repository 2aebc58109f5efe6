"""OpenTelemetry traces, if the operator has set an endpoint.

Owns whether requests are traced. Must not know what they do. The libraries are an optional extra of this
package, and imported only if they are needed.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.server.middleware.access_log import REQUEST, route_of
from safeact_env.sessions.executor import EPISODE
from safeact_env.version import VERSION

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables for the endpoint."""
UNTRACED = "/health,/ready,/metrics,/demo"
NOT_INSTALLED = (
    "{variable} turns on traces, which need OpenTelemetry: pip install 'openenv-safeact-env[otel]', or unset "
    "that variable."
)


def tracing_wanted() -> bool:
    """Whether the operator wants traces."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and any(os.environ.get(name) for name in ENDPOINTS)


def tracing() -> tuple[Callable[[ASGIApp], ASGIApp], Callable[[], Awaitable[None]]]:
    """Middleware that gives every request and connection a span, and a function that sends the last spans.

    Raises:
        SystemExit: If the libraries are not installed.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        variable = next(name for name in ENDPOINTS if os.environ.get(name))
        raise SystemExit(NOT_INSTALLED.format(variable=variable)) from None
    provider = TracerProvider(resource=Resource.create(_names()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    def traced(app: ASGIApp) -> ASGIApp:
        async def named(scope: Scope, receive: Receive, send: Send) -> None:
            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    # Only now are the route and the episode known.
                    _name(trace.get_current_span(), scope)
                await send(message)

            await app(scope, receive, sending)

        whole: ASGIApp = OpenTelemetryMiddleware(
            named, excluded_urls=UNTRACED, tracer_provider=provider, exclude_spans=["receive", "send"]
        )
        return whole

    async def end() -> None:
        await asyncio.to_thread(provider.shutdown)

    return traced, end


def _names() -> dict[str, str]:
    """Attributes of this server; its name only if the operator sets none."""
    given = os.environ.get("OTEL_SERVICE_NAME", "") + os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {"service.version": VERSION}
    return own if given else {**own, "service.name": "safeact-env"}


def _name(span: Any, scope: Scope) -> None:
    route = route_of(scope)
    span.update_name(f"{scope['method']} {route}")
    span.set_attribute("http.route", route)
    for name, value in (("safeact.request_id", REQUEST.get()), ("safeact.episode_id", EPISODE.get())):
        if value is not None:
            span.set_attribute(name, value)
