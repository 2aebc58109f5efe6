"""The chaos check can fail: sound stores pass, broken ones are caught. And its network does harm."""

import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.stores.sqlite import SQLiteStore
from safeact_env.tasks import get_task
from tools.chaos import faults as chaos
from tools.chaos import players as chaos_players
from tools.chaos.broken_stores import Believing, Leaky
from tools.chaos.players import Ledger, Network, ServiceBackend, judge
from tools.servers.local_servers import Proxy

LOOK = Call("list_directory", {}, "look")


@pytest.mark.parametrize(("store", "sound"), [(SQLiteStore, True), (Leaky, False), (Believing, False)])
def test_clocks_that_jump_show_a_broken_store(store: Any, sound: bool, tmp_path: Path) -> None:
    ledger = Ledger()
    faults = chaos.jumping_clocks(partial(store, str(tmp_path / "a.db")), 30, 1, ledger)
    assert faults["jumps"] > 0
    assert (not ledger.breaches) is sound
    assert ledger.steps > 0


def judged(service: SessionService, expected: Episode[Any]) -> list[str]:
    ledger = Ledger(episodes={"a": expected})
    judge(service, ledger)
    return ledger.breaches


def test_the_judge_sees_what_is_lost_doubled_or_left_open() -> None:
    service = SessionService()
    expected: Episode[Any] = Episode(get_task("easy"), "train", 1)
    service.open("easy", "train", 1, episode_id="a")
    assert judged(service, expected)[0].startswith("1 slots are taken")
    service.step("a", LOOK)
    service.grade("a", finish=True)
    (lost,) = judged(service, expected)
    assert "another record" in lost
    expected.step(LOOK)
    expected.step(chaos_players.HANDED_IN)
    assert judged(service, expected) == []
    service.delete("a")
    (gone,) = judged(service, expected)
    assert "unknown_episode" in gone


class Doubling:
    """A backend that takes every step twice."""

    def __init__(self, backend: ServiceBackend) -> None:
        self.kept_as, self.reset, self.report = backend.kept_as, backend.reset, backend.report
        self._backend = backend

    def step(self, name: str, call: Call) -> dict[str, Any]:
        self._backend.step(name, call)
        return self._backend.step(name, call)


def test_a_player_sees_a_step_that_was_taken_twice() -> None:
    backend = Doubling(ServiceBackend([SessionService()], 1, lambda: None))
    ledger = Ledger()
    for thread in chaos_players.run_players([backend], ledger, 1):
        thread.join(30)
    assert "shows 2 steps" in ledger.breaches[0]


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(1_024):
                    connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_proxy_passes_on_and_cuts_when_it_is_told_to(echo: int) -> None:
    proxy = Proxy(echo, 1)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall(b"hello")
        assert connection.recv(1_024) == b"hello"
        proxy.cut_chance = 1.0
        connection.sendall(b"hello")
        assert connection.recv(1_024) == b""
    assert proxy.cuts == 1
    proxy.close()


def test_the_network_loses_doubles_and_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = []

    def handle(request: httpx.Request) -> httpx.Response:
        arrived.append(request.content)
        return httpx.Response(200, json={})

    ledger = Ledger()
    network = Network([1, 2], 1, ledger)
    monkeypatch.setattr(network, "_inner", httpx.MockTransport(handle))
    lost = 0
    with httpx.Client(transport=network, base_url="http://replicas") as client:
        for number in range(300):
            try:
                client.post("/step", json={"number": number})
            except httpx.TransportError:
                lost += 1
    counts = ledger.counts
    assert lost == counts["requests lost"] + counts["answers lost"] > 10
    assert (
        len(arrived) == 300 - counts["requests lost"] + counts["requests doubled"] + counts["requests late"]
    )
    assert min(counts["requests lost"], counts["requests doubled"], counts["requests late"]) > 3
