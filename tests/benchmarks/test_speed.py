"""The load generator speaks both protocols, and notices answers that are not the engine's."""

import json
import os
import socket
import sys
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from benchmarks.engine import against_release
from benchmarks.load_client import Connection, _http_length, _ws_length, ws_frame
from benchmarks.speed import AGAINST, compared
from benchmarks.wire import OWN, Cost, Costs, Run, cpu_seconds, scripts
from safeact_env.core.observation import VIEWS


@pytest.fixture(scope="module", params=VIEWS)
def played(request):
    return scripts(request.param)[:2]


@pytest.fixture
def server(live_url):
    return SimpleNamespace(port=urlsplit(live_url).port, process=SimpleNamespace(pid=os.getpid()))


@pytest.mark.parametrize("size", [0, 5, 125, 126, 300, 4_000])
def test_frames_are_those_of_the_protocol(size):
    reader = StreamReader()
    reader.feed_data(ws_frame(b"x" * size))
    parsing = Frame.parse(reader.read_exact, mask=True, max_size=None)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    assert bytes(parsed.value.value.data) == b"x" * size


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_the_length_of_a_frame_is_read(size):
    frame = Frame(1, b"x" * size).serialize(mask=False)
    start, end = _ws_length(frame)
    assert (end, frame[start:end]) == (len(frame), b"x" * size)
    assert _ws_length(frame[:1]) is None


@pytest.mark.parametrize("pieces", [1, 3, 7, 20])
def test_pings_are_answered_and_are_no_answers(pieces):
    server = socket.create_server(("127.0.0.1", 0))
    connection = Connection.__new__(Connection)
    connection.socket = socket.create_connection(server.getsockname())
    connection._length, connection._data, connection._end = _ws_length, b"", 0
    peer, _ = server.accept()
    for one in (connection.socket, peer):
        one.settimeout(30)
    frames = b"".join(
        [*[Frame(9, b"ping").serialize(mask=False)] * 2, Frame(1, b"answer").serialize(mask=False)]
    )
    size = -(-len(frames) // pieces)
    for start in range(0, len(frames), size):
        peer.sendall(frames[start : start + size])
        arrived = connection.arrived()
    assert arrived
    assert connection.payload == b"answer"
    pongs = b""
    while len(pongs) < 2 * len(ws_frame(b"ping", 0xA)):
        pongs += peer.recv(100)
    assert pongs == 2 * ws_frame(b"ping", 0xA)
    for one in (connection.socket, peer, server):
        one.close()


def test_the_length_of_a_response_is_read():
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: y\r\n\r\nabc"
    assert _http_length(response) == (len(response) - 3, len(response))
    assert _http_length(response[:20]) is None


@pytest.mark.parametrize("ws", [True, False])
def test_a_round_counts_steps_and_checks_answers(server, played, ws):
    costs = Costs()
    with ExitStack() as stack:
        Run(server, stack, 3, played, ws=ws).round(costs, own=True)
    assert (costs.resets.number, costs.steps.number) == (3, 45)
    assert costs.steps.cpu > 0
    assert costs.steps.rate > 0


@pytest.mark.parametrize("ws", [True, False])
def test_another_answer_than_the_engines_is_noticed(server, played, ws):
    broken = [replace(one, answers=[*one.answers[:-1], one.answers[0]]) for one in played]
    with ExitStack() as stack, pytest.raises(RuntimeError, match="does not answer as the engine"):
        Run(server, stack, 2, broken, ws=ws).round(Costs(), own=True)


def test_processor_time_is_that_of_the_process(server):
    before = cpu_seconds(server)
    sum(range(2_000_000))
    assert cpu_seconds(server) > before


def test_ratios_are_medians_of_pairs():
    def run(own, bare):
        bare = Costs(steps=Cost(10, bare, 0.5))
        full = Costs(steps=Cost(10, 9.0, 1.0)), Costs(steps=Cost(10, 18.0, 1.0))
        named = (f"{OWN}, changes", f"{OWN}, full", "OpenEnv echo", "bare Starlette")
        return dict(zip(named, (Costs(steps=Cost(10, own, 1.0)), *full, bare), strict=True))

    every = compared([run(4, 1), run(8, 4), run(100, 25)])
    assert every[f"{OWN}, full"]["ratio"] == 2
    assert every["bare Starlette"]["ratio"] == 1
    found = every[f"{OWN}, changes"]
    assert found["ratio"] == 0.25
    assert found["us/step"] == 8 / 10 * 1e6
    assert found["ratio by wall clock"] == 0.5


def test_versions_are_measured_in_pairs(monkeypatch):
    costs_of = {"old": [30, 60, 10], sys.executable: [10, 30, 10]}

    def run(command, **_options):
        return SimpleNamespace(stdout=json.dumps(dict.fromkeys(AGAINST, costs_of[command[0]].pop())))

    monkeypatch.setattr("benchmarks.engine.subprocess.run", run)
    monkeypatch.setattr("benchmarks.engine.RUNS", 3)
    assert against_release("old") == dict.fromkeys(AGAINST, 2)
