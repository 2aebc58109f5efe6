"""Traces: spans arrive where the operator says, under few names; without that nothing is imported."""

import gzip
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fastapi.testclient import TestClient

from safeact_env.server.app import create_app
from safeact_env.server.operations.tracing import ENDPOINTS, tracing_wanted
from safeact_env.server.settings import Settings


@pytest.fixture
def collected(monkeypatch):
    """A collector on loopback that traces are sent to; what it got: resource and spans."""
    service = pytest.importorskip(
        "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the extra otel is not installed"
    )
    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            got.extend(service.ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(ENDPOINTS[0], f"http://127.0.0.1:{server.server_port}")
    yield got
    server.shutdown()
    server.server_close()


def attributes(of):
    return {one.key: one.value.string_value for one in of.attributes}


def test_spans_arrive_under_the_names_of_routes(collected):
    with TestClient(create_app(Settings())) as client:
        name = client.post("/reset", json={"seed": 1}, headers={"X-Request-Id": "mine"}).json()["episode_id"]
        client.get(f"/episodes/{name}/report")
        client.get("/no/such/path")
        client.get("/health")
        client.get("/metrics")
    # The end of the server has sent them.
    spans = [span for one in collected for scope in one.scope_spans for span in scope.spans]
    assert sorted(span.name for span in spans) == [
        "GET /episodes/{episode_id}/report",
        "GET other",
        "POST /reset",
    ]
    reset = attributes(next(span for span in spans if span.name == "POST /reset"))
    assert (reset["safeact.request_id"], reset["safeact.episode_id"]) == ("mine", name)
    assert attributes(collected[0].resource)["service.name"] == "safeact-env"


def test_a_websocket_is_one_span(collected):
    with TestClient(create_app(Settings())) as client, client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "state"})
        socket.receive_json()
    (span,) = [span for one in collected for scope in one.scope_spans for span in scope.spans]
    assert "/ws" in span.name


def test_the_operators_own_name_comes_first(collected, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    with TestClient(create_app(Settings())) as client:
        client.get("/tasks")
    assert attributes(collected[0].resource)["service.name"] == "mine"


def test_without_the_libraries_the_server_says_what_to_install(monkeypatch):
    monkeypatch.setenv(ENDPOINTS[1], "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.asgi", None)
    with pytest.raises(SystemExit, match=r"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT turns on .*\[otel\]"):
        create_app(Settings())


def test_traces_are_off_unless_asked_for(monkeypatch):
    for name in (*ENDPOINTS, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    assert not tracing_wanted()
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:4318")
    assert tracing_wanted()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not tracing_wanted()
