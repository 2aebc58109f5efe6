"""Traces by OpenTelemetry, if the operator has said where they go.

Owns whether there are any. Must not know what is traced. The libraries, an optional part of this package, are
imported only then.
"""

from __future__ import annotations

import os

from starlette.types import ASGIApp

from safeact_env.version import VERSION

__all__ = ["ENDPOINTS", "traced", "tracing_wanted"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables: where traces are sent to."""
UNTRACED = "/health,/ready,/metrics,/demo"
NOT_INSTALLED = (
    "{variable} asks for traces, which need OpenTelemetry: pip install 'openenv-safeact-env[otel]', or unset "
    "that variable."
)


def tracing_wanted() -> bool:
    """Whether traces are asked for."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and any(os.environ.get(name) for name in ENDPOINTS)


def traced(app: ASGIApp) -> ASGIApp:
    """The app, with a span for every request and connection.

    Raises:
        SystemExit: If the libraries are not installed.
    """
    try:
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
    names = {"service.name": "safeact-env", "service.version": VERSION}
    # What the operator says by OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES comes first.
    provider = TracerProvider(resource=Resource(names).merge(Resource.create()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    whole: ASGIApp = OpenTelemetryMiddleware(
        app, excluded_urls=UNTRACED, tracer_provider=provider, exclude_spans=["receive", "send"]
    )
    return whole
