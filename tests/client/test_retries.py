"""Requests that get lost, and what the clients do about it."""

import random
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest
from fastapi.testclient import TestClient

from safeact_env.client import AsyncSafeActHTTPClient, SafeActAction, SafeActError, SafeActHTTPClient
from safeact_env.client import http as module

LOOK = SafeActAction(action_name="list_directory", parameters={}, reasoning="Look first.")


class Lossy:
    """A server behind a network that loses requests, or the answers to them, as `fates` say.

    Args:
        server: The server.
        fates: Per attempt `ok`, `request lost`, `answer lost`, or a status that a proxy answers with.
    """

    def __init__(self, server: TestClient, fates: Iterator[str | int]) -> None:
        self.server = server
        self.fates = fates
        self.seen: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        fate = next(self.fates)
        self.seen.append(request.url.path)
        if fate == "request lost":
            raise httpx.ConnectError("refused", request=request)
        if isinstance(fate, int):
            return httpx.Response(fate, headers={"Retry-After": "7"}, json={"detail": "proxy"})
        answer = self.server.request(
            request.method, str(request.url), content=request.read(), headers=request.headers
        )
        if fate == "answer lost":
            raise httpx.ReadTimeout("no answer", request=request)
        return httpx.Response(answer.status_code, content=answer.content)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=waited.append))
    return waited


def lossy(server: TestClient, *fates: str | int) -> tuple[SafeActHTTPClient, Lossy]:
    network = Lossy(server, iter(fates))
    return SafeActHTTPClient("http://testserver", transport=httpx.MockTransport(network)), network


def test_nothing_acts_twice_whatever_gets_lost(client: TestClient, pauses: list[float]) -> None:
    seeded = random.Random(4)

    def fates() -> Iterator[str]:
        lost = 0
        while True:
            fate = seeded.choice(["ok", "request lost", "answer lost"]) if lost < 3 else "ok"
            lost = 0 if fate == "ok" else lost + 1
            yield fate

    network = Lossy(client, fates())
    with SafeActHTTPClient("http://testserver", transport=httpx.MockTransport(network)) as env:
        shown = [env.reset("easy", seed=3)] + [env.step(LOOK) for _ in range(12)]
        assert env.state().step_count == 12
        assert env.grade(finish=True).steps == 13
        env.delete()
    assert len(network.seen) > 16, "nothing got lost, so the test shows nothing"
    assert [len(result.observation.action_history) for result in shown] == list(range(13))


def test_a_step_without_its_request_id_would_act_twice(client: TestClient) -> None:
    """The broken twin: the same loss, without what makes a repeat safe."""
    episode = client.post("/reset", json={"seed": 3}).json()["episode_id"]
    body = {"action": LOOK.model_dump(include={"action_name", "parameters", "reasoning"})}
    for _attempt in range(2):
        client.post("/step", json={**body, "episode_id": episode})
    assert client.get("/state", params={"episode_id": episode}).json()["step_count"] == 2


def test_it_waits_as_long_as_the_server_asks(client: TestClient, pauses: list[float]) -> None:
    env, _ = lossy(client, 503, 429, "ok")
    env.reset()
    assert pauses == [7.0, 7.0]


def test_pauses_grow(client: TestClient, pauses: list[float]) -> None:
    env, _ = lossy(client, *["request lost"] * 4, "ok")
    env.reset()
    for attempt, pause in enumerate(pauses):
        assert 0.1 * 2**attempt <= pause <= 0.3 * 2**attempt
    assert len(pauses) == 4


def test_a_server_that_cannot_be_reached_is_one_clear_error(client: TestClient, pauses: list[float]) -> None:
    env, network = lossy(client, *["request lost"] * 5)
    with pytest.raises(SafeActError, match="no answer: ConnectError refused") as caught:
        env.reset()
    assert (caught.value.code, caught.value.status, len(network.seen)) == ("unreachable", None, 5)
    assert env.episode_id is None


def test_a_busy_server_is_an_error_in_the_end(client: TestClient, pauses: list[float]) -> None:
    env, network = lossy(client, *[503] * 5)
    with pytest.raises(SafeActError) as caught:
        env.reset()
    assert (caught.value.status, len(network.seen)) == (503, 5)


def test_an_error_of_the_caller_is_not_repeated(client: TestClient, pauses: list[float]) -> None:
    env, network = lossy(client, "ok")
    with pytest.raises(SafeActError, match="unknown_task"):
        env.reset("nonsense")
    assert (len(network.seen), pauses) == (1, [])


def test_a_page_that_is_no_json_is_an_error_with_its_status(client: TestClient) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(418, text="<html>"))
    with (
        SafeActHTTPClient("http://testserver", transport=transport) as env,
        pytest.raises(SafeActError, match="HTTP status 418"),
    ):
        env.reset()


async def test_the_asynchronous_client_repeats_too(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    # The name in the client only: a live server of another test may sleep in this process too.
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=note))
    network = Lossy(client, iter(["answer lost", "request lost", "ok", "answer lost", "ok", "ok"]))
    transport = httpx.MockTransport(network)
    async with AsyncSafeActHTTPClient("http://testserver", transport=transport) as env:
        await env.reset("easy", seed=3)
        await env.step(LOOK)
        assert (await env.state()).step_count == 1
    assert len(waited) == 3


@pytest.mark.parametrize("url", ["localhost:7860", "ws://localhost:7860", ""])
def test_a_base_url_without_its_scheme_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://"):
        SafeActHTTPClient(url)


def test_a_negative_number_of_retries_is_refused() -> None:
    with pytest.raises(ValueError, match="retries"):
        SafeActHTTPClient("http://localhost", retries=-1)
