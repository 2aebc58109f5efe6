"""GET /metrics: what the server has counted, in the text format of Prometheus.

Owns the names of metrics. Must not know when a thing is counted. prometheus-client is imported when the
metrics are first asked for: it costs the start of the server nothing, and a step neither.
"""

from __future__ import annotations

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

__all__ = ["METRICS", "metrics_routes"]

STORE_SECONDS = 1.0
"""Longest wait for the store."""

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "resets": ("Episodes started.", ("task", "split")),
    "steps": ("Steps taken, each once, however often it was sent.", ("task",)),
    "outcomes": ("Episodes ended, by how.", ("task", "outcome")),
    "mistakes": ("Episodes ended by an irreversible mistake.", ("task",)),
    "requests": ("HTTP requests answered.", ("method", "route", "status")),
    "store_errors": ("Times that the store did not answer or could not write.", ()),
}
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "request_seconds": ("Time from the arrival of an HTTP request to the end of its answer.", ("route",)),
    "frame_seconds": (
        "Time from the arrival of a frame of a WebSocket to the end of its answer.",
        ("route",),
    ),
}
GAUGES: dict[str, str] = {
    "live_episodes": "Unfinished HTTP episodes in the store, of all servers that share it.",
    "sessions": "Open WebSockets of this process.",
    "session_episodes": "Unfinished episodes in sessions of this process.",
    "store_up": "Whether the store answered just now.",
    "draining": "Whether this process is about to stop and takes no new episodes.",
}
METRICS = {
    *(f"safeact_{name}_total" for name in COUNTERS),
    *(f"safeact_{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "count", "sum")),
    *(f"safeact_{name}" for name in GAUGES),
    "safeact_build_info",
}
"""The names of all series that are this server's own."""


def metrics_routes(
    counters: Counters, service: SessionService, executor: Executor, drain: Drain
) -> APIRouter:
    """The route.

    Args:
        counters: The numbers.
        service: The session service.
        executor: Where its work is done.
        drain: Whether this process is about to stop, and its running episodes.
    """
    router = APIRouter(tags=["Server"])

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """What has been counted since the start, for Prometheus."""
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

    class Ours(Collector):
        def collect(self) -> Iterator[Any]:
            return _families(counters.total(), gauges)

    registry = CollectorRegistry()
    registry.register(Ours())
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
        for key, (*classes, total) in _of(numbers.times, name):
            bounds = [*map(str, BOUNDS), "+Inf"]
            histogram.add_metric(list(key), list(zip(bounds, accumulate(classes), strict=True)), total)
        yield histogram
    for name, about in GAUGES.items():
        if name in gauges:
            yield GaugeMetricFamily(f"safeact_{name}", about, gauges[name])
    yield InfoMetricFamily("safeact_build", "The version that serves.", {"version": VERSION})


def _of(found: dict[tuple[str, ...], Any], name: str) -> list[tuple[tuple[str, ...], Any]]:
    # A copy first: other threads may add to it.
    return sorted((key[1:], value) for key, value in dict(found).items() if key[0] == name)
