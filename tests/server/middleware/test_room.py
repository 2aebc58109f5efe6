"""Room is shared: what one client may take, what it is told beyond that, and that nobody else pays for it."""

from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from safeact_env.server.app import create_app
from safeact_env.server.asking import client_at
from safeact_env.server.reset_limit import ResetLimit
from safeact_env.server.settings import Settings
from safeact_env.sessions.errors import SessionError
from safeact_env.sessions.service import SessionService
from tests.server.serving import serving
from tests.sessions.conftest import HandClock

FINISH = {"action_name": "finish", "parameters": {"summary": "s"}, "reasoning": "r"}
GENERATIONS = 256
"""Rollouts of one training step, all from one host."""


def at(app: Any, address: str) -> TestClient:
    return TestClient(app, client=(address, 1), raise_server_exceptions=False)


def two(**settings: Any) -> tuple[TestClient, TestClient]:
    """A client who floods a server, and another one."""
    app = create_app(Settings(**settings))
    return at(app, "192.0.2.66"), at(app, "192.0.2.1")


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["detail"]["code"]) == (status, code)
    assert len(answer.json()["detail"]["message"]) > 40
    assert int(answer.headers["Retry-After"]) > 0


def played(client: TestClient) -> str:
    """A finished episode."""
    name: str = client.post("/reset", json={"seed": 1}).json()["episode_id"]
    client.post("/step", json={"action": FINISH, "episode_id": name})
    return name


def kept(client: TestClient, name: str) -> bool:
    return client.post("/grader", json={"episode_id": name}).status_code == 200


def test_a_flood_of_episodes_leaves_room_for_others() -> None:
    flood, other = two(max_episodes=4, client_episodes=2)
    answers = [flood.post("/reset", json={}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429]
    refused(answers[-1], 429, "client_at_capacity")
    assert other.post("/reset", json={}).status_code == 200
    flood.delete(f"/episodes/{answers[0].json()['episode_id']}")
    assert flood.post("/reset", json={}).status_code == 200
    assert other.post("/reset", json={}).status_code == 200
    refused(other.post("/reset", json={}), 503, "at_capacity")


def test_a_flood_of_finished_episodes_evicts_nobody_elses() -> None:
    flood, other = two(max_finished_episodes=4, client_finished_episodes=2)
    mine = played(other)
    theirs = [played(flood) for _ in range(8)]
    assert kept(other, mine), "finished first, and kept for as long as the setting says"
    assert [kept(flood, name) for name in theirs] == [False] * 6 + [True] * 2


def test_a_server_that_is_full_of_finished_ones_keeps_them() -> None:
    app = create_app(Settings(max_finished_episodes=3))
    first = at(app, "192.0.2.1")
    mine = played(first)
    for number in range(2, 4):
        played(at(app, f"192.0.2.{number}"))
    refused(at(app, "192.0.2.99").post("/reset", json={}), 503, "at_capacity")
    again = played(first)
    assert kept(first, again)
    assert not kept(first, mine), "its own makes way"


def refusal_of_socket(client: TestClient, path: str) -> httpx.Response:
    with (
        pytest.raises((WebSocketDenialResponse, WebSocketDisconnect)) as caught,
        client.websocket_connect(path),
    ):
        pass
    assert isinstance(caught.value, WebSocketDenialResponse)
    return caught.value


@pytest.mark.parametrize("path", ["/ws", "/mcp"])
def test_a_flood_of_sockets_leaves_room_for_others(path: str) -> None:
    flood, other = two(max_sessions=3, client_sessions=2)
    with flood.websocket_connect("/ws"), flood.websocket_connect("/mcp"):
        refused(refusal_of_socket(flood, path), 429, "client_at_capacity")
        create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create", "params": {}}
        assert "as many as one client" in flood.post("/mcp", json=create).json()["error"]["message"]
        with other.websocket_connect(path):
            pass
    with flood.websocket_connect(path):
        pass


def test_a_flood_of_waiting_sessions_leaves_room_for_others() -> None:
    flood, other = two()
    create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create", "params": {}}
    with flood:
        other.portal = flood.portal
        answers = [flood.post("/mcp", json=create).json() for _ in range(70)]
        assert "of this client already wait" in answers[-1]["error"]["message"]
        assert other.post("/mcp", json=create).json()["result"]["session_id"]


@pytest.mark.parametrize("proxies", ["*", "10.0.0.1/8", "proxy.example", "127.0.0.1, *"])
def test_a_proxy_is_named_by_its_address(proxies: str) -> None:
    with pytest.raises(ValidationError, match=r"such as 10\.0\.0\.0/8"):
        Settings(trusted_proxies=proxies)


@pytest.mark.parametrize(
    "hosts",
    [
        ["1.2.3.4", "1.2.3.4:5678", "::ffff:1.2.3.4", "[::ffff:1.2.3.4]:443", "::ffff:102:304"],
        ["2001:db8::1", "2001:DB8:0:0:f::2", "[2001:db8::3]:443", "[2001:db8::4]", "2001:db8::5%eth0"],
    ],
)
def test_a_client_is_one_however_its_address_is_written(hosts: list[str]) -> None:
    assert len({client_at(host) for host in hosts}) == 1
    assert client_at("2001:db8:0:1::1") != client_at(hosts[0]) != client_at("1.2.3.5")


def test_a_session_that_waits_for_its_socket_counts_once() -> None:
    client, _other = two(client_sessions=1)
    create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create", "params": {}}
    with client:
        session = client.post("/mcp", json=create).json()["result"]["session_id"]
        with client.websocket_connect(f"/ws?session_id={session}") as socket:
            socket.send_json({"type": "reset", "data": {}})
            assert socket.receive_json()["type"] == "observation"


def test_a_flood_of_resets_is_told_to_wait_at_every_door() -> None:
    flood, other = two(client_resets=3)
    name = {"episode_id": "mine"}
    assert flood.post("/reset", json=name).status_code == 200
    assert flood.post("/watch", json={"seed": 1}).status_code == 200
    with flood.websocket_connect("/ws") as socket:
        socket.send_json({"type": "reset", "data": {}})
        assert socket.receive_json()["type"] == "observation"
        refused(flood.post("/reset", json={}), 429, "too_many_resets")
        refused(flood.post("/watch", json={"seed": 1}), 429, "too_many_resets")
        socket.send_json({"type": "reset", "data": {}})
        assert "per minute" in socket.receive_json()["data"]["message"]
    assert other.post("/reset", json={}).status_code == 200
    assert flood.post("/step", json={"action": FINISH, **name}).status_code == 200, "a step is no reset"


def taken(limit: ResetLimit, client: str, times: int) -> int:
    """How many of these resets are let through."""
    done = 0
    for _ in range(times):
        with suppress(SessionError):
            limit.take(client)
            done += 1
    return done


def test_a_minute_holds_as_many_resets_as_the_setting_says() -> None:
    clock = HandClock()
    limit = ResetLimit(60, clock)
    assert taken(limit, "a", 100) == 60
    assert taken(limit, "b", 1) == 1
    clock.now = 10
    assert taken(limit, "a", 100) == 10, "one a second comes back; refused ones cost nothing"
    clock.now = 1_000
    assert taken(limit, "a", 100) == 60
    assert list(limit._left) == ["a"], "who has been away is forgotten"


def test_a_training_run_from_one_host_meets_no_limit() -> None:
    """Ten steps of training in a minute, every rollout left unfinished; sockets for two and a test."""
    settings = Settings()
    assert taken(ResetLimit(settings.client_resets, HandClock()), "trainer", 10 * GENERATIONS) == 2_560
    assert settings.client_sessions >= 3 * GENERATIONS
    assert settings.client_episodes >= 19 * GENERATIONS
    service = SessionService(max_live_each=settings.client_episodes)
    for number in range(2 * GENERATIONS):
        service.open("easy", "train", number % 4, client="trainer")
    assert service.live == 2 * GENERATIONS


def test_an_address_that_a_client_makes_up_counts_only_from_a_proxy_that_was_named() -> None:
    def second(**settings: Any) -> int:
        """Status of a second client's reset, if the only sign of it is a header."""
        with serving(client_episodes=1, **settings) as port:
            url = f"http://127.0.0.1:{port}/reset"
            answers = [
                httpx.post(url, json={}, headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in (1, 2, 2)
            ]
        assert (answers[0].status_code, answers[2].status_code) == (200, 429)
        return answers[1].status_code

    assert second() == 429, "a flood of made-up addresses is one client"
    assert second(trusted_proxies="127.0.0.1") == 200
    assert second(trusted_proxies="10.0.0.0/8") == 429
