"""The end of a server: no new episodes, the running ones end, within a bound; not more than it can do."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import httpx
import pytest
from fastapi.testclient import TestClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from safeact_env.policies.reference import play
from safeact_env.server.app import create_app
from safeact_env.server.middleware import overload
from safeact_env.server.middleware.overload import Lateness, OverloadMiddleware
from safeact_env.server.operations.drain import Drain
from safeact_env.server.settings import Settings
from safeact_env.server.websocket.runtime import Runtime
from safeact_env.sessions.service import SessionService
from safeact_env.tasks import get_task
from tools.servers.local_servers import Replica

LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "What is there?"}


@contextmanager
def draining(app):
    """A client of an app that was told to stop, which ends only when the test does."""
    (drain,) = {one.kwargs["drain"] for one in app.user_middleware if "drain" in one.kwargs}
    with TestClient(app) as client:
        drain.seconds = 60.0
        drain.others = lambda: 1
        started = client.post("/reset", json={"seed": 1}).json()["episode_id"]
        client.portal.call(drain.begin, signal.SIGTERM, None)
        yield client, started


def test_new_episodes_are_refused_and_running_ones_go_on():
    with draining(create_app(Settings())) as (client, started):
        for path in ("/reset", "/watch", "/baseline"):
            answer = client.post(path, json={})
            assert (answer.status_code, answer.json()["detail"]["code"]) == (503, "draining"), path
            assert answer.headers["Retry-After"] == "5"
        step = client.post("/step", json={"action": LOOK, "episode_id": started})
        assert step.status_code == 200
        assert client.post("/grader", json={"episode_id": started, "finish": True}).status_code == 200
        with pytest.raises(Exception) as refused, client.websocket_connect("/ws"):  # noqa: PT011
            pass
        assert 503 in vars(refused.value).values() or 1008 in vars(refused.value).values()


def test_a_server_that_stops_is_alive_and_not_ready():
    app = create_app(Settings())
    with TestClient(app) as client:
        assert client.get("/ready").json() == {"status": "ready", "live_episodes": 0}
    with draining(create_app(Settings())) as (client, _started):
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 503
        assert "safeact_draining 1.0" in client.get("/metrics").text


def test_without_its_store_a_server_is_alive_and_not_ready(monkeypatch):
    service = SessionService()
    with TestClient(create_app(Settings(), service)) as client:
        # What a peek gives when a store fails or takes too long.
        async def nothing(*_args):
            return None

        monkeypatch.setattr("safeact_env.sessions.executor.Executor.peek", nothing)
        assert client.get("/health").json()["live_episodes"] is None
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["detail"]["code"]) == (503, "not_ready")
        text = client.get("/metrics").text
    assert "safeact_store_up 0.0" in text
    assert "safeact_live_episodes " not in text


def test_a_session_that_is_open_gets_no_new_episode():
    app = create_app(Settings())
    with TestClient(app) as client, client.websocket_connect("/ws") as socket:
        (drain,) = {one.kwargs["drain"] for one in app.user_middleware if "drain" in one.kwargs}
        drain.seconds, drain.others = 60.0, lambda: 1
        socket.send_json({"type": "reset", "data": {"seed": 1}})
        assert socket.receive_json()["type"] == "observation"
        client.portal.call(drain.begin, signal.SIGTERM, None)
        socket.send_json({"type": "reset", "data": {"seed": 2}})
        answer = socket.receive_json()
        assert answer["type"] == "error"
        assert "is stopping" in answer["data"]["message"]
        socket.send_json({"type": "step", "data": LOOK})
        assert socket.receive_json()["type"] == "observation"


async def test_the_wait_ends_with_the_last_episode_or_with_the_bound():
    told, running = [], [2]
    for seconds, ends in ((60.0, True), (0.2, False)):
        told.clear()
        running[0] = 2
        drain = Drain(seconds, Runtime())
        drain.others = lambda: running[0]
        drain._handler = lambda number, frame: told.append(number)
        drain.begin(signal.SIGTERM, None)
        await asyncio.sleep(0.1)
        assert not told
        running[0] = 0 if ends else 2
        until = asyncio.get_running_loop().time() + 30
        while not told and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
        assert told == [signal.SIGTERM]


async def test_asked_twice_it_stops_at_once():
    told = []
    drain = Drain(60.0, Runtime())
    drain.others = lambda: 1
    drain._handler = lambda number, frame: told.append(number)
    drain.begin(signal.SIGTERM, None)
    drain.begin(signal.SIGTERM, None)
    assert told == [signal.SIGTERM]
    await drain.uninstall()


# A real one ----------------------------------------------------------------------------------------------


def play_to_the_end(socket, started, told):
    """Play the expert's episode from its first step after the server is told to stop; whether it ends."""
    calls = [turn.call.to_json() for turn in play(get_task("easy"), "train", 5, "expert").turns]
    socket.send('{"type": "reset", "data": {"task_name": "easy", "seed": 5}}')
    socket.recv(timeout=60)
    started.set()
    assert told.wait(120)
    for call in calls:
        socket.send(json.dumps({"type": "step", "data": call}))
        answer = json.loads(socket.recv(timeout=60))
    return answer["data"]["done"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_lets_a_running_episode_end(tmp_path, workers):
    store = "memory" if workers == "1" else f"sqlite:///{tmp_path}/episodes.db"
    options = ("--workers", workers, "--drain-seconds", "120")
    replica = Replica(store, tmp_path / "log", *options)
    with replica:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                if httpx.get(f"{replica.url}/ready", timeout=10).status_code == 200:
                    break
            time.sleep(0.1)
        started, told, ended = threading.Event(), threading.Event(), []
        with connect(replica.url.replace("http", "ws") + "/ws", open_timeout=60) as socket:
            player = threading.Thread(target=lambda: ended.append(play_to_the_end(socket, started, told)))
            player.start()
            assert started.wait(60)
            replica.process.send_signal(signal.SIGTERM)
            until = time.monotonic() + 60
            while "Stopping: 1 running episodes" not in (tmp_path / "log").read_text():
                assert time.monotonic() < until
                time.sleep(0.05)
            told.set()
            player.join(120)
            assert ended == [True]
            assert replica.process.wait(120) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_server_that_drains_refuses_handshakes_with_503(tmp_path):
    with Replica("memory", tmp_path / "log", "--drain-seconds", "60") as replica:
        address = replica.url.replace("http", "ws") + "/ws"
        httpx.post(f"{replica.url}/reset", timeout=60)
        replica.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 60
        while httpx.get(f"{replica.url}/ready", timeout=60).status_code != 503:
            assert time.monotonic() < until
            time.sleep(0.02)
        with pytest.raises(InvalidStatus) as refused:
            connect(address, open_timeout=60)
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "5"
        replica.kill()


def test_in_a_thread_signals_are_left_alone():
    code = (
        "import signal, threading\nfrom safeact_env.server.app import create_app\n"
        "from fastapi.testclient import TestClient\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "with TestClient(create_app()) as client:\n    client.get('/health')\n"
        "    assert signal.getsignal(signal.SIGTERM) is before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Overload ----------------------------------------------------------------------------------------------


async def test_requests_over_the_bound_are_refused_at_once():
    gate = asyncio.Event()

    async def slow(_scope, _receive, send):
        await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    app = OverloadMiddleware(slow, max_requests=3, max_late_seconds=10, lateness=Lateness())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        waiting = [asyncio.create_task(http.get("/tasks")) for _ in range(3)]
        while app.in_progress < 3:
            await asyncio.sleep(0)
        answer = await http.get("/tasks")
        assert (answer.status_code, answer.json()["detail"]["code"]) == (503, "overloaded")
        assert answer.headers["Retry-After"] == "1"
        probe = asyncio.create_task(http.get("/health"))
        gate.set()
        assert {(await one).status_code for one in (*waiting, probe)} == {200}
        assert app.in_progress == 0
        assert (await http.get("/tasks")).status_code == 200


async def test_those_who_send_slowly_keep_nobody_out():
    async def reading(_scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    app = OverloadMiddleware(reading, max_requests=2, max_late_seconds=10, lateness=Lateness())
    never = asyncio.Event()

    async def slow():
        await never.wait()
        return {"type": "http.disconnect"}

    async def nowhere(_message):
        pass

    scope = {"type": "http", "method": "POST", "path": "/step", "headers": []}
    waiting = [asyncio.create_task(app(scope, slow, nowhere)) for _ in range(5)]
    await asyncio.sleep(0.05)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        assert (await http.post("/step")).status_code == 200
    never.set()
    await asyncio.gather(*waiting)
    assert app.in_progress == 0


def test_requests_are_refused_while_the_event_loop_is_late():
    app = create_app(Settings())
    with TestClient(app) as client:
        (overload,) = [one for one in app.user_middleware if "lateness" in one.kwargs]
        overload.kwargs["lateness"]._probing.cancel()
        assert client.get("/tasks").status_code == 200
        overload.kwargs["lateness"].seconds = 10.5
        assert client.get("/tasks").status_code == 503
        assert client.get("/health").status_code == 200
        overload.kwargs["lateness"].seconds = 0.0
        assert client.get("/tasks").status_code == 200


async def test_lateness_is_measured_and_one_pause_is_none(monkeypatch):
    lateness, now, seen = Lateness(), [0.0], []
    pauses = iter([0.0, 3.0, 0.0, 0.0, 2.0, 4.0, 0.5, 0.0])

    class Loop:
        def time(self):
            return now[0]

    async def sleep(seconds):
        seen.append(round(lateness.seconds, 6))
        pause = next(pauses, None)
        if pause is None:
            raise asyncio.CancelledError
        now[0] += seconds + pause

    # In this module only: servers of other tests run on in this process.
    monkeypatch.setattr(overload, "asyncio", SimpleNamespace(get_running_loop=Loop, sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        await lateness._probe()
    monkeypatch.undo()
    # Late at two looks in a row, by the lesser of both.
    assert seen == [0, 0, 0, 0, 0, 0, 2, 0.5, 0]
