"""The short way of an HTTP step: it answers as ASGI does, in order, and passes every check."""

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from safeact_env.core.episode import Episode
from safeact_env.network import options_for
from safeact_env.server.direct_http import DirectHttpProtocol
from tests.server.http.test_steps import LOOK, REQUESTS, answered
from tests.server.serving import serving

JSON = "application/json"
STEP = {"action": LOOK, "episode_id": "e"}
Taken = list[bool]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    """Which of the requests that might go the short way did so."""
    return watched(monkeypatch, DirectHttpProtocol)


def watched(monkeypatch: pytest.MonkeyPatch, protocol: Any) -> Taken:
    """Whether each attempt of a protocol to answer directly succeeds, from now on."""
    seen: Taken = []
    is_answered = protocol._is_answered

    def watch(self: Any, data: bytes) -> bool:
        seen.append(is_answered(self, data))
        return seen[-1]

    monkeypatch.setattr(protocol, "_is_answered", watch)
    return seen


@contextmanager
def client_of(port: int, **headers: str) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, headers=headers, timeout=30, **options_for(url)) as client:
        yield client
        client.cookies.clear()
        client.delete("/episodes/e")


def post(body: Any, *headers: bytes) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = (b"Host: x", b"Content-Type: application/json", b"Content-Length: %d" % len(content), *headers)
    return b"POST /step HTTP/1.1\r\n%b\r\n\r\n%b" % (b"\r\n".join(lines), content)


def responses(port: int, number: int, *packets: bytes) -> list[tuple[bytes, Any]]:
    """The heads and bodies of so many answers on one connection to which these packets are sent."""
    found, data = [], b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in packets:
            connection.sendall(packet)
            time.sleep(0.08 if len(packets) < 5 else 0.002)
        while len(found) < number:
            head, mark, rest = data.partition(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", head) if mark else None
            if size is not None and len(rest) >= int(size[1]):
                found.append((head, json.loads(rest[: int(size[1])])))
                data = rest[int(size[1]) :]
            else:
                data += connection.recv(65_536) or pytest.fail(f"closed after {found}")
    return found


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_answer_alike(port: int, monkeypatch: pytest.MonkeyPatch, taken: Taken, name: str) -> None:
    body, headers = REQUESTS[name]
    content = body.encode(errors="surrogatepass")
    with client_of(port) as client:
        short = answered(client, content, headers)
    with client_of(port) as client:
        monkeypatch.setattr(DirectHttpProtocol, "_is_answered", lambda *_: False)
        usual = answered(client, content, headers)
    for _status, told, *_rest in (short, usual):
        told.pop("date")
    assert short == usual
    assert len(taken) <= 1


@pytest.mark.parametrize("name", ["usual", "by header", "by cookie", "with a request id", "an unknown id"])
def test_usual_steps_go_the_short_way(port: int, taken: Taken, name: str) -> None:
    body, headers = REQUESTS[name]
    with client_of(port) as client:
        answered(client, body.encode(), headers)
    assert taken == [True]


def steps_of(found: list[tuple[bytes, Any]]) -> list[int]:
    return [len(body["observation"]["action_history"]) for _head, body in found]


def test_requests_sent_at_once_are_answered_in_their_order(port: int, taken: Taken) -> None:
    with client_of(port) as client:
        client.post("/reset", json={"seed": 1, "episode_id": "e"})
        usual, odd = post(STEP), post({**STEP, "timeout_s": 15})
        assert steps_of(responses(port, 4, usual + odd + usual + usual)) == [1, 2, 3, 4]
        assert steps_of(responses(port, 2, odd + usual[:150], usual[150:])) == [5, 6]
    assert True in taken
    assert False in taken


@pytest.mark.parametrize("size", [1, 60, 190, 240])
def test_a_step_in_pieces_is_taken_once(port: int, size: int) -> None:
    request = post(STEP)
    """The pause between some of them is longer than a request waits for its body."""
    with client_of(port) as client:
        client.post("/reset", json={"seed": 1, "episode_id": "e"})
        pieces = [request[at : at + size] for at in range(0, len(request), size)]
        assert steps_of(responses(port, 2, *pieces, request)) == [1, 2]


SLOW = (
    b"POST /grader HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n"
    b'{"episode_id": "none"}'
)


@pytest.mark.parametrize("arrived", [20, len(SLOW) - 5], ids=["half a head", "half a body"])
def test_what_follows_a_step_may_take_its_time(arrived: int) -> None:
    """It began in the step's packet, so the pause after which a resting connection is closed is none."""
    with (
        serving(keep_alive=1) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
        connection.sendall(post(STEP) + SLOW[:arrived])
        time.sleep(1.5)
        connection.sendall(SLOW[arrived:])
        found = b""
        while found.count(b"HTTP/1.1 404 ") < 2:
            found += connection.recv(65_536) or pytest.fail(f"closed after {found!r}")


def test_a_websocket_may_follow_a_step() -> None:
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: c2FmZWFjdC1lbnYtbG9hZA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with (
        serving(keep_alive=1) as port,
        socket.create_connection(("127.0.0.1", port), timeout=2) as connection,
    ):
        connection.sendall(post(STEP) + upgrade)
        time.sleep(0.5)
        assert b" 101 " in connection.recv(65_536)
        with pytest.raises(TimeoutError):
            pytest.fail(f"closed: {connection.recv(65_536)!r}")


def test_what_is_asked_of_the_server_goes_the_usual_way(port: int, taken: Taken) -> None:
    with client_of(port) as client:
        client.post("/reset", json={"seed": 1, "episode_id": "e"})
        closing = responses(port, 1, post(STEP, b"Connection: close"))
        assert b"connection: close" in closing[0][0]
        expecting = post(STEP, b"Expect: 100-continue")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(expecting[:-10])
            assert connection.recv(65_536).startswith(b"HTTP/1.1 100 Continue")
        assert client.get("/step").status_code == 405
    assert taken == []


def test_every_answer_is_counted_and_has_its_headers(port: int) -> None:
    def counted() -> float:
        text = client.get("/metrics").text
        found = re.search(r'safeact_requests_total{method="POST",route="/step",status="200"} (\S+)', text)
        return float(found[1]) if found else 0.0

    with client_of(port) as client:
        client.post("/reset", json={"seed": 1, "episode_id": "e"})
        before = counted()
        answers = [client.post("/step", json=STEP) for _ in range(3)]
        given = client.post("/step", json=STEP, headers={"X-Request-Id": "mine.1"})
        assert counted() == before + 4
    assert given.headers["x-request-id"] == "mine.1"
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    for name, value in (("cache-control", "no-store"), ("x-content-type-options", "nosniff")):
        assert given.headers[name] == value
    assert "date" in given.headers


@pytest.mark.parametrize("settings", [{"log_format": "json"}, {}])
def test_every_answer_has_its_line(caplog: pytest.LogCaptureFixture, settings: Any, taken: Taken) -> None:
    name = "safeact_env.access" if settings else "uvicorn.access"
    with serving(**settings) as port, client_of(port) as client:
        client.post("/reset", json={"seed": 1, "episode_id": "e"})
        logger = logging.getLogger(name)
        logger.addHandler(caplog.handler)
        logger.setLevel(logging.INFO)
        try:
            client.post("/step", json=STEP)
        finally:
            logger.removeHandler(caplog.handler)
    (line,) = [record.getMessage() for record in caplog.records if "/step" in record.getMessage()]
    assert line.endswith("200")
    assert taken == [True]


def test_a_fault_is_answered_and_logged_and_drops_the_episode(
    port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    logging.getLogger("safeact_env").addHandler(caplog.handler)
    with client_of(port) as client:
        client.post("/reset", json={"seed": 1, "episode_id": "e"})
        with monkeypatch.context() as patched:
            patched.setattr(Episode, "step", broken)
            answer = client.post("/step", json=STEP)
        assert answer.status_code == 500
        assert answer.json()["detail"]["code"] == "internal_error"
        assert answer.headers["x-request-id"]
        assert client.post("/step", json=STEP).status_code == 404
    logging.getLogger("safeact_env").removeHandler(caplog.handler)
    assert "internal error in POST /step" in caplog.text


def test_the_token_is_asked_for(taken: Taken) -> None:
    with (
        serving(api_token="secret-token") as port,
        client_of(port, Authorization="Bearer secret-token") as one,
    ):
        key = one.post("/reset", json={"seed": 1, "episode_id": "e"}).json()["agent_key"]
        for given, status in (("", 401), ("Bearer wrong-token", 401), ("Bearer secret-token", 200)):
            assert one.post("/step", json=STEP, headers={"Authorization": given}).status_code == status
        foreign = {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
        assert one.post("/step", json=STEP, headers=foreign).status_code == 403
        assert taken == [True] * 4
        agent = one.post("/step", json={"action": LOOK}, headers={"Authorization": f"Bearer {key}"})
        assert "reward" not in agent.json()
    assert taken[4:] == [False]


def test_what_follows_a_body_says_nothing(taken: Taken) -> None:
    """Who merges trailers with headers lets a client overrule what a proxy in between has set."""
    content = json.dumps(STEP).encode()
    head = post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    trailers = b"Authorization: Bearer secret-token\r\nX-Request-Id: mine\r\n\r\n"
    with serving(api_token="secret-token") as port:
        chunked = head + b"%x\r\n%b\r\n0\r\n" % (len(content), content) + trailers
        for request in (chunked, chunked.replace(b"/step", b"/grader")):
            ((found, _body),) = responses(port, 1, request)
            assert found.startswith(b"HTTP/1.1 401 ")
            assert b"x-request-id: mine" not in found
    assert taken == [True]


@pytest.mark.parametrize(
    "settings", [{"rate_limit": "1000/second"}, {"cors_origins": "http://a.example"}, {"store": "sqlite"}]
)
def test_the_short_way_is_closed_where_it_would_pass_by_a_layer(
    settings: dict[str, str], taken: Taken, tmp_path: Any
) -> None:
    if "store" in settings:
        settings = {"store": f"sqlite:///{tmp_path / 'e.db'}"}
    page = {"Origin": "http://a.example", "Host": "a.example"}
    with serving(**settings) as port, client_of(port, **page) as client:
        client.post("/reset", json={"seed": 1, "episode_id": "e"})
        answer = client.post("/step", json=STEP)
    assert answer.status_code == 200
    assert ("access-control-allow-origin" in answer.headers) == ("cors_origins" in settings)
    assert taken == []


@pytest.mark.parametrize("proxies", ["127.0.0.1", "10.0.0.0/8"])
def test_a_step_that_a_proxy_passes_on_is_its_clients(taken: Taken, proxies: str) -> None:
    with serving(trusted_proxies=proxies) as port, client_of(port, **{"X-Forwarded-For": "9.9.9.9"}) as one:
        one.post("/reset", json={"seed": 1, "episode_id": "e"})
        assert one.post("/step", json=STEP).status_code == 200
        other = one.post("/step", json=STEP, headers={"X-Forwarded-For": "8.8.8.8"})
        believed = proxies == "127.0.0.1"
        assert other.status_code == (404 if believed else 200), "an episode's name is its own client's"
    assert taken == ([] if believed else [True] * 2)


def test_a_step_that_has_arrived_in_part_is_answered_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safeact_env.server.direct_http.HELD_SECONDS", 60)
    request = post(STEP)
    with ExitStack() as stack:
        port = stack.enter_context(serving())
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(request[:-1])
            time.sleep(0.2)
            ending = threading.Thread(target=stack.pop_all().close)
            ending.start()
            time.sleep(0.5)
            connection.sendall(request[-1:])
            assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")
        ending.join()


def test_an_overloaded_server_refuses_steps(taken: Taken) -> None:
    with serving(overload_seconds=1e-9) as port, client_of(port) as client:
        client.post("/reset", json={"seed": 1, "episode_id": "e"})
        statuses = set()
        for _ in range(200):
            statuses.add(client.post("/step", json=STEP).status_code)
            time.sleep(0.01)
            if 503 in statuses:
                break
    assert 503 in statuses
    assert False in taken


def test_a_connection_outlives_the_deadline_for_a_head() -> None:
    with serving(request_seconds=0.6) as port, client_of(port) as client:
        client.post("/reset", json={"seed": 1, "episode_id": "e"})
        request = post(STEP)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            for _ in range(3):
                connection.sendall(request)
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK")
                time.sleep(1)
            # The deadline holds for a head that has begun.
            connection.sendall(request[:40])
            time.sleep(1)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 408")
