"""Limits per client: who is one, what is answered, what waits."""

import sys
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from safeact_env.server.app import create_app
from safeact_env.server.middleware import rate_limit
from safeact_env.server.middleware.rate_limit import RateLimitMiddleware, client_of
from safeact_env.server.settings import Settings


def limited(limit, **settings):
    return create_app(Settings(rate_limit=limit, **settings))


def asking(app, address):
    return TestClient(app, client=(address, 1))


def test_who_asks_too_often_is_told_when_to_ask_again():
    client = asking(limited("3/hour"), "192.0.2.1")
    assert [client.get("/tasks").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = client.get("/tasks")
    assert answer.json()["detail"]["code"] == "rate_limited"
    assert 0 < int(answer.headers["Retry-After"]) <= 3_600


def test_another_client_is_not_held_up_and_probes_never():
    app = limited("1/hour")
    first = asking(app, "192.0.2.1")
    assert [first.get("/tasks").status_code for _ in range(2)] == [200, 429]
    assert asking(app, "192.0.2.2").get("/tasks").status_code == 200
    assert {first.get(path).status_code for path in ("/health", "/ready", "/demo") for _ in range(3)} == {200}


def test_every_limit_holds_and_a_refused_request_uses_up_none():
    client = asking(limited("1/second;2/hour"), "192.0.2.1")
    assert client.get("/tasks").status_code == 200
    answers = [client.get("/tasks") for _ in range(20)]
    while answers[-1].status_code == 429 and int(answers[-1].headers["Retry-After"]) <= 2:
        answers.append(client.get("/tasks"))
    assert [answer.status_code for answer in answers].count(200) <= 1


def test_wrong_tokens_are_counted_too():
    client = asking(limited("2/hour", api_token="right"), "192.0.2.1")
    assert [client.get("/tasks").status_code for _ in range(3)] == [401, 401, 429]


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", "testclient"),
    ],
)
def test_who_is_one_client(address, client):
    assert client_of({"client": (address, 1)}) == client
    assert client_of({"client": None}) == "unknown"


async def test_frames_over_the_limit_wait_for_their_turn(monkeypatch):
    frames = [{"type": "websocket.receive", "text": "x"}] * 2 + [{"type": "websocket.disconnect"}]
    pauses, got = [], []

    async def app(_scope, receive, _send):
        for _ in range(3):
            got.append(await receive())

    async def receive():
        return frames[len(got)]

    async def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            monkeypatch.setattr(middleware, "wait_for", lambda _client: 0.0)

    # In this module only: servers of other tests run on in this process.
    monkeypatch.setattr(rate_limit, "asyncio", SimpleNamespace(sleep=sleep))
    middleware = RateLimitMiddleware(app, "2/hour")
    await middleware({"type": "websocket", "client": ("192.0.2.1", 1), "headers": []}, receive, None)
    assert [frame["type"] for frame in got] == [frame["type"] for frame in frames]
    # The handshake and the first frame were within the limit; the second one waited.
    assert len(pauses) == 3
    assert all(0 < pause <= rate_limit.LONGEST_PAUSE_S for pause in pauses)


@pytest.mark.parametrize("limit", ["often", "3 per", "-1/second", "3/fortnight"])
def test_what_is_no_limit_is_refused_at_the_start(limit):
    with pytest.raises(ValidationError, match="20/second"):
        Settings(rate_limit=limit)


def test_without_a_limit_nothing_is_counted_nor_imported(client):
    assert {client.get("/tasks").status_code for _ in range(50)} == {200}
    import subprocess

    code = (
        "import sys, safeact_env.server.app as a; a.create_app(a.Settings()); print('limits' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
