"""GET /metrics: the counters in the text format of Prometheus.

Owns the names of metrics. Must not know when something is counted. prometheus-client is imported on the first
request, so that it costs neither the start of the server nor a step.
"""

import asyncio
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from fastapi import APIRouter, Response

from safeact_env.server.operations.counters import BOUNDS, Counters, Numbers
from safeact_env.server.operations.drain import Drain
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import SessionService
from safeact_env.version import VERSION

STORE_SECONDS = 1.0
"""Longest wait for the store."""

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "resets": ("Episodes started.", ("task", "split", "level", "framing")),
    "steps": ("Steps taken; a step that was sent again counts once.", ("task",)),
    "outcomes": ("Episodes that ended, by outcome.", ("task", "outcome")),
    "mistakes": ("Episodes ended by an irreversible mistake.", ("task",)),
    "requests": ("HTTP requests answered.", ("method", "route", "status")),
    "store_errors": ("Times the store did not answer or could not write.", ()),
}
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "request_seconds": ("Time from the arrival of an HTTP request to the end of its answer.", ("route",)),
    "frame_seconds": ("Time from the arrival of a WebSocket frame to the end of its answer.", ("route",)),
}
GAUGES: dict[str, str] = {
    "live_episodes": "Unfinished HTTP episodes in the store, over all servers that share it.",
    "sessions": "Open WebSockets of this process.",
    "session_episodes": "Unfinished episodes in sessions of this process.",
    "store_up": "Whether the store answers.",
    "draining": "Whether this process is stopping and takes no new episodes.",
}
METRICS = {
    *(f"safeact_{name}_total" for name in COUNTERS),
    *(f"safeact_{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "count", "sum")),
    *(f"safeact_{name}" for name in GAUGES),
    "safeact_build_info",
}
"""The names of this server's own series."""


def metrics_routes(
    counters: Counters, service: SessionService, executor: Executor, drain: Drain
) -> APIRouter:
    """The route.

    Args:
        counters: The counters of this process.
        service: The session service.
        executor: Runs the service's work.
        drain: The shutdown of this process, and its running episodes.
    """
    router = APIRouter(tags=["Server"])

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """The counters since the start of the server, for Prometheus."""
        live = await executor.peek(lambda: service.live, STORE_SECONDS)
        now: dict[str, float] = {
            "sessions": counters.connections,
            "session_episodes": drain.runtime.running,
            "store_up": live is not None,
            "draining": drain.on,
        }
        if live is not None:
            now["live_episodes"] = live
        text, kind = await asyncio.to_thread(_exposition, counters, now)
        return Response(text, media_type=kind)

    return router


def _exposition(counters: Counters, gauges: dict[str, float]) -> tuple[bytes, str]:
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.registry import Collector

    class ServerCollector(Collector):
        def collect(self) -> Iterator[Any]:
            return _families(counters.total(), gauges)

    registry = CollectorRegistry()
    registry.register(ServerCollector())
    ProcessCollector(registry=registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _families(numbers: Numbers, gauges: dict[str, float]) -> Iterator[Any]:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
    )

    for name, (about, labels) in COUNTERS.items():
        counter = CounterMetricFamily(f"safeact_{name}", about, labels=labels)
        for key, count in _of(numbers.counts, name) or ([] if labels else [((), 0)]):
            counter.add_metric(list(key), count)
        yield counter
    for name, (about, labels) in HISTOGRAMS.items():
        histogram = HistogramMetricFamily(f"safeact_{name}", about, labels=labels)
        for key, (*buckets, total) in _of(numbers.times, name):
            bounds = [*map(str, BOUNDS), "+Inf"]
            histogram.add_metric(list(key), list(zip(bounds, accumulate(buckets), strict=True)), total)
        yield histogram
    for name, about in GAUGES.items():
        if name in gauges:
            yield GaugeMetricFamily(f"safeact_{name}", about, gauges[name])
    yield InfoMetricFamily("safeact_build", "The version that serves.", {"version": VERSION})


def _of(found: dict[tuple[str, ...], Any], name: str) -> list[tuple[tuple[str, ...], Any]]:
    # Copied first: other threads may add to it.
    return sorted((key[1:], value) for key, value in dict(found).items() if key[0] == name)
