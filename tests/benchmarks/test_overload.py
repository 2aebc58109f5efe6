"""The programs that load a server: they pass on a sound one, and say what is wrong with a broken one."""

import json
import os
import socketserver
import threading
import tomllib
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from benchmarks import overload as load
from benchmarks import soak
from benchmarks.plain_http import Connection
from safeact_env.server.settings import Settings
from tests.conftest import running
from tools.servers import fuzz_api
from tools.servers.replicas import CheckFailed


class Scripted(socketserver.ThreadingTCPServer):
    """A server on loopback that answers every request with the same bytes."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while line := self.rfile.readline():
                    length = 0
                    while line.strip():
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                        line = self.rfile.readline()
                    self.rfile.read(length)
                    if answer is None:
                        threading.Event().wait(5)
                        return
                    self.wfile.write(answer)

        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


def answer(status, body, *headers):
    sent = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(sent)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + sent


@pytest.fixture
def scripted():
    made = []

    def make(reply):
        made.append(Scripted(reply))
        return made[-1]

    yield make
    for one in made:
        one.shutdown()
        one.server_close()


REFUSED = {"detail": {"code": "overloaded", "message": "later"}}


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(200, {"score": 1.0}), "right"),
        (answer(200, {"score": 0.5}), "status 200"),
        (answer(503, REFUSED, "Retry-After: 1"), "503 with Retry-After"),
        (answer(503, REFUSED), "503 without Retry-After"),
        (answer(503, {"detail": {"code": "other", "message": "x"}}, "Retry-After: 1"), "status 503"),
        (answer(500, {"detail": {"code": "internal_error", "message": "x"}}), "status 500"),
    ],
)
async def test_what_an_answer_under_overload_is(scripted, reply, kind):
    async with Connection(scripted(reply).port) as connection:
        assert load.kind_of(await connection.ask("POST", "/grader", {})) == kind


async def test_an_answer_that_does_not_come_is_late(scripted):
    with pytest.raises(TimeoutError):
        await Connection(scripted(None).port, 0.2).ask("GET", "/tasks")


async def test_a_connection_is_reused_and_reopened(scripted):
    async with Connection(scripted(answer(200, {"n": 1})).port) as connection:
        assert [(await connection.ask("GET", "/x")).json() for _ in range(3)] == [{"n": 1}] * 3
        connection.close()
        assert (await connection.ask("GET", "/x")).status == 200


def test_ten_episodes_are_held_and_one_more_is_refused(tmp_path):
    found = load.ten_thousand(tmp_path, 10)
    assert found["episodes"] == 10
    assert found["process, MB"] > found["without episodes, MB"] > 10


def in_this_process(**settings):
    """Instead of a replica: a server with these settings in a thread, which starts at once."""

    @contextmanager
    def started(_store, log, *_options):
        log.touch()
        with running(Settings(**settings)) as url:
            yield SimpleNamespace(port=int(url.rpartition(":")[2]), process=SimpleNamespace(pid=os.getpid()))

    return started


def test_too_much_memory_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "Replica", in_this_process(max_episodes=10))
    monkeypatch.setattr(load, "MOST_BYTES", 1_000_000)
    with pytest.raises(CheckFailed, match="10 episodes take"):
        load.ten_thousand(tmp_path, 10)


def test_a_server_without_a_bound_is_noticed(tmp_path, monkeypatch):
    """One that takes one more than it was told to."""
    monkeypatch.setattr(load, "Replica", in_this_process(max_episodes=11))
    with pytest.raises(CheckFailed, match="one more was answered 200"):
        load.ten_thousand(tmp_path, 10)


def test_a_load_that_is_none_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "Replica", in_this_process())
    with pytest.raises(CheckFailed, match="there was no overload"):
        load.overload(tmp_path, 1, 0.3)


# Soak ----------------------------------------------------------------------------------------------------


def test_the_slope_of_a_line():
    assert soak.slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
    assert soak.slope([(0, 5), (1, 5.1), (2, 4.9), (3, 5)]) == pytest.approx(0, abs=0.05)
    with pytest.raises(ValueError, match="two points"):
        soak.slope([(0, 1)])


def test_a_soak_says_what_was_wrong(tmp_path, monkeypatch, capsys):
    record = tmp_path / "soak.json"
    monkeypatch.setattr(soak, "MOST_SLOPE", 1e9)
    monkeypatch.setattr(soak, "EVERY_SECONDS", 0.05)
    arguments = ["--minutes", "0.01", "--json", str(record)]
    assert soak.main(arguments) == 0
    found = json.loads(record.read_text())
    assert found["steps"] > 10
    assert found["wrong answers"] == 0
    monkeypatch.setattr(soak, "Replica", in_this_process())
    monkeypatch.setattr(soak, "MOST_SLOPE", -1e9)
    assert soak.main(arguments) == 1
    monkeypatch.setattr(soak, "MOST_SLOPE", 1e9)
    monkeypatch.setattr(soak, "Replica", in_this_process(api_token="x"))
    with pytest.raises(KeyError):
        soak.main(arguments)
    capsys.readouterr()


# Schemathesis --------------------------------------------------------------------------------------------


def test_every_exception_for_schemathesis_names_a_path_that_there_is(client):
    config = tomllib.loads(fuzz_api.CONFIG)
    paths = set(client.app.openapi()["paths"])
    named = {
        path
        for one in config["operations"]
        for path in ([one["include-path"]] if isinstance(one["include-path"], str) else one["include-path"])
    }
    assert named <= paths
    assert named == {"/baseline", "/grader", "/reset", "/watch", "/{env_name}/task"}
