"""What comes from elsewhere than a SafeAct-Env server: one error that says what came and what to check."""

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http import HTTPStatus
from inspect import signature

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.server import serve

from safeact_env._openenv import EnvClient
from safeact_env.client import (
    AsyncSafeActHTTPClient,
    SafeActAction,
    SafeActEnv,
    SafeActError,
    SafeActHTTPClient,
)
from safeact_env.client.websocket import PINGS
from safeact_env.core.episode import Episode
from safeact_env.server.main import config_of
from safeact_env.server.settings import Settings
from safeact_env.tasks import get_task

LOOK = SafeActAction(action_name="list_directory", parameters={}, reasoning="Look first.")
JSON, HTML = "application/json", "text/html; charset=utf-8"
LOGIN = "<!doctype html><title>Sign in</title>" + "x" * 9_000
LIKE_OURS = {"episode_id": "e", "observation": {}, "reward": 0.0, "done": False}
OURS = {**LIKE_OURS, "observation": Episode(get_task("easy"), "train", 1).observation()}
"""An answer of ours, to which something was done on the way."""
CHANGED = {
    "an id that is a number": {"episode_id": 7},
    "an id that is a path": {"episode_id": "../x?y"},
    "a key that is a list": {"agent_key": []},
    "done as text": {"done": "false"},
    "no done": {"done": None},
    "a reward that is true": {"reward": True},
    "no reward": {"reward": None},
    "a reward that is none": {"reward": float("nan")},
    "a reward out of bounds": {"reward": 1e9},
}
OTHERS = [
    *({"status": "ok"}, {}, [], [1], None, "ok", 7, {"episode_id": "e"}, LIKE_OURS),
    *({**LIKE_OURS, "observation": other} for other in (None, [], "x", {"task_description": "t"})),
]
ANSWERS = {
    "a login page": (200, HTML, LOGIN, "text/html"),
    "a login page, unlabelled": (200, None, LOGIN, "no content type"),
    "an empty body": (200, JSON, "", "an empty body"),
    "no content": (204, None, "", "204"),
    "the wrong type": (200, "text/plain", json.dumps(LIKE_OURS), "text/plain"),
    "a redirect": (302, HTML, "", "redirect to https://login.example/in"),
    "a permanent redirect": (308, None, "", "308"),
    "an error page": (404, HTML, "<h1>Not found</h1>", "404"),
    "an error of another service": (403, JSON, '{"error": "no"}', "403"),
    "an error with another detail": (418, JSON, '{"detail": [{"a": 1}]}', "418"),
    "an error with a text": (400, JSON, '{"detail": "bad"}', "bad"),
    "an error without one": (422, JSON, '{"detail": []}', "422"),
    "an error with a number": (400, JSON, '{"detail": {"code": 1, "message": 2}}', "400"),
    "an endless error": (400, JSON, json.dumps({"detail": {"code": "c", "message": "m" * 9_999}}), "400"),
    "JSON without end": (200, JSON, "[" * 99_999 + "]" * 99_999, "[[[["),
    "an error without end": (404, JSON, '{"detail":' * 99_999 + "1" + "}" * 99_999, "404"),
    "a long number": (200, JSON, "1" * 5_000, "1111"),
    "a charset that is none": (200, "text/html; charset=base64", "<html>", "<html>"),
    "JSON in a charset that is none": (200, "application/json; charset=zlib", "[1]", "[1]"),
    "a charset that cannot replace": (500, "text/html; charset=idna", "<html>", "500"),
    **{f"another service: {body!r}": (200, JSON, json.dumps(body), json.dumps(body)[:9]) for body in OTHERS},
}
METHODS = ("reset", "step", "state", "grade", "report", "delete", "tasks")


def transport(status, kind, body):
    def answer(_request):
        headers = {} if kind is None else {"Content-Type": kind}
        if status in (302, 308):
            headers["Location"] = "https://login.example/in?secret=hush"
        return httpx.Response(status, headers=headers, content=body.encode())

    return httpx.MockTransport(answer)


def check(error, status, part):
    assert (error.code, error.status) == ("http_error", status)
    assert part in error.message.replace("'", '"') or part in error.message
    assert f"HTTP status {status}" in error.message
    assert "check base_url" in error.message
    assert "hush" not in error.message
    assert len(error.message) < 500
    assert error.__cause__ is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_foreign_answer_is_one_error_in_both_clients(answer, method):
    *sent, part = ANSWERS[answer]
    arguments = (LOOK,) if method == "step" else ()
    with SafeActHTTPClient("http://there", transport=transport(*sent)) as env:
        env.episode_id = "e"
        with pytest.raises(SafeActError) as caught:
            getattr(env, method)(*arguments)
        check(caught.value, sent[0], part)
        assert env.episode_id == "e", "a failed request changes nothing"
    async with AsyncSafeActHTTPClient("http://there", transport=transport(*sent)) as env:
        env.episode_id = "e"
        with pytest.raises(SafeActError) as again:
            await getattr(env, method)(*arguments)
        assert str(again.value) == str(caught.value)


@pytest.mark.parametrize("change", CHANGED)
@pytest.mark.parametrize("method", ["reset", "step"])
async def test_an_answer_like_ours_is_read_as_it_is_or_not_at_all(change, method):
    arguments = (LOOK,) if method == "step" else ()
    body = json.dumps({**OURS, **CHANGED[change]})
    with SafeActHTTPClient("http://there", transport=transport(200, JSON, body)) as env:
        env.episode_id = "e"
        with pytest.raises(SafeActError, match="check base_url"):
            getattr(env, method)(*arguments)
    if not CHANGED[change].keys() <= {"reward", "done"}:
        return
    with Elsewhere(json.dumps({"type": "observation", "data": json.loads(body)})) as url:
        async with SafeActEnv(base_url=url) as env:
            with pytest.raises(SafeActError, match="check base_url"):
                await getattr(env, method)(*arguments)


def test_a_body_that_cannot_be_decoded_is_the_same_error():
    def answer(request):
        raise httpx.DecodingError("not gzip", request=request)

    env = SafeActHTTPClient("http://there", transport=httpx.MockTransport(answer))
    with pytest.raises(SafeActError, match="check base_url"):
        env.tasks()


@contextmanager
def redirecting(where):
    """The address of something that answers every handshake with a redirect."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve_forever():
            with suppress(OSError):
                while True:
                    connection, _address = listening.accept()
                    with connection:
                        connection.recv(65_536)
                        connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {where}\r\n\r\n".encode())

        threading.Thread(target=serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("https://login.example/in?secret=hush", "a redirect to https://login.example/in "),
        ("https://login.example/in#hush", "a redirect to https://login.example/in "),
        ("http://[::1?hush", "a redirect to http://[::1 "),
    ],
)
def test_a_redirect_in_place_of_a_websocket_is_told(where, said):
    with redirecting(where) as url:
        with pytest.raises(SafeActError, match="check base_url") as caught, SafeActEnv(base_url=url).sync():
            pass
        assert (caught.value.code, caught.value.status) == ("http_error", 302)
        assert said in caught.value.message
        assert "hush" not in caught.value.message


class Elsewhere:
    """A WebSocket server of something else: answers a frame with `frame`, or the handshake with a page."""

    def __init__(self, frame=None, page=None):
        def handler(socket):
            for _ in socket:
                socket.send(frame)

        def refuse(connection, _request):
            if page is None:
                return None
            status, kind, body = page
            answer = connection.respond(HTTPStatus(status), body)
            del answer.headers["Content-Type"]
            answer.headers["Content-Type"] = kind
            assert isinstance(answer, Response)
            return answer

        self._server = serve(handler, "127.0.0.1", 0, process_request=refuse)
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self.url

    def __exit__(self, *_error):
        self._server.shutdown()


@pytest.mark.parametrize(
    "frame",
    [
        *("<html>", "", "[]", "null", "7", "{}", '{"data": {}}', '{"data": []}'),
        *('{"data": {"observation": {}}}', "[" * 99_999 + "]" * 99_999, "1" * 5_000),
        json.dumps({"data": {**OURS, "observation": {**OURS["observation"], "task_description": "\ud800"}}}),
    ],
    ids=lambda frame: frame[:30],
)
async def test_a_foreign_frame_is_one_error(frame):
    with Elsewhere(frame) as url:
        with SafeActEnv(base_url=url).sync() as env:
            for ask in (env.reset, env.state, lambda: env.step(LOOK)):
                with pytest.raises(SafeActError, match="check base_url"):
                    ask()
        async with SafeActEnv(base_url=url) as env:
            with pytest.raises(SafeActError, match="check base_url"):
                await env.reset()


@pytest.mark.parametrize("page", [(200, HTML, LOGIN), (404, JSON, '{"error": "no"}'), (403, HTML, "")])
async def test_a_page_in_place_of_a_websocket_is_one_error(page):
    status, kind, _body = page
    with Elsewhere(page=page) as url:
        with pytest.raises(SafeActError, match="check base_url") as caught, SafeActEnv(base_url=url).sync():
            pass
        assert isinstance(caught.value, ConnectionError)
        assert kind in str(caught.value)
        assert caught.value.status == status
        with pytest.raises(SafeActError, match=str(status)):
            await SafeActEnv(base_url=url).reset()


# A busy event loop -----------------------------------------------------------------------------------------

BUSY = 1.5
"""Seconds for which the loop of a client is blocked."""


def pings(settings):
    config = config_of("app", settings)
    return config.ws_ping_interval, config.ws_ping_timeout


def test_the_setting_reaches_the_server_and_waits_long_by_default(monkeypatch):
    assert pings(Settings())[1] >= 600
    monkeypatch.setenv("SAFEACT_WS_TIMEOUT_SECONDS", "7")
    assert pings(Settings()) == (3.5, 7)
    assert pings(Settings(ws_timeout_seconds=4_000)) == (20, 4_000)
    for wrong in ("0", "-1", "86401", "inf", "nan"):
        monkeypatch.setenv("SAFEACT_WS_TIMEOUT_SECONDS", wrong)
        with pytest.raises(ValueError, match="ws_timeout_seconds"):
            Settings()


class Serving:
    """The server with its own configuration, on a free port."""

    def __init__(self, seconds):
        import uvicorn

        from safeact_env.server.app import create_app

        settings = Settings(ws_timeout_seconds=seconds, port=0)
        config = config_of(create_app(settings), settings)
        config.port = 0
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self):
        self._thread.start()
        while not self._server.started:
            time.sleep(0.02)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def __exit__(self, *_error):
        self._server.should_exit = True
        self._thread.join(timeout=10)


async def test_a_busy_client_keeps_its_episode_as_long_as_the_server_waits():
    with Serving(20 * BUSY) as url:
        async with SafeActEnv(base_url=url) as env:
            await env.reset(task_name="easy", seed=1)
            time.sleep(BUSY)
            await asyncio.sleep(0.1)
            assert len((await env.step(LOOK)).observation.action_history) == 1
    # The broken twin: a server that waits less.
    with Serving(BUSY / 5) as url:
        async with connect(url.replace("http", "ws") + "/ws", ping_interval=None) as socket:
            await socket.send('{"type": "reset", "data": {"seed": 1}}')
            await socket.recv()
            time.sleep(BUSY)
            await asyncio.sleep(0.1)
            with pytest.raises(ConnectionClosed):
                await socket.recv()


@pytest.mark.skipif(
    PINGS not in signature(EnvClient.__init__).parameters, reason="this OpenEnv's client always sends pings"
)
async def test_the_client_sends_no_pings_unless_asked(monkeypatch):
    from openenv.core import env_client

    asked = []

    async def noted(_url, **options):
        asked.append(options["ping_interval"])
        raise OSError

    monkeypatch.setattr(env_client, "ws_connect", noted)
    for options in ({}, {"websocket_ping_interval_s": 3.0}):
        with pytest.raises(SafeActError) as caught:
            await SafeActEnv(base_url="http://there", **options).reset()
        assert caught.value.code == "unreachable"
    assert asked == [None, 3.0]
