"""Players that know the right answer to every call, and a network that loses, doubles and delays requests.

Owns the comparison with an undisturbed run. Must not know the faults or the store.
"""

import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from safeact_env.client import SafeActAction, SafeActError, SafeActHTTPClient
from safeact_env.core.episode import Episode
from safeact_env.core.report import report
from safeact_env.ids import fresh_id
from safeact_env.policies.reference import play
from safeact_env.server.asking import ASKER, Asker, own_id
from safeact_env.sessions.errors import SessionError
from safeact_env.sessions.service import HANDED_IN, SessionService
from safeact_env.tasks import OFFICIAL, get_task

POLICIES = ("expert", "random", "guesser", "naive")
RETRIES = 200
TIMEOUT_SECONDS = 5.0


class Backend(Protocol):
    """A way to play episodes."""

    def kept_as(self, name: str) -> str:
        """The id under which the store keeps an episode of this name."""

    def reset(self, name: str, task: str, seed: int) -> dict[str, Any]:
        """Start an episode; the observation."""

    def step(self, name: str, call: Any) -> dict[str, Any]:
        """Take a step; the observation."""

    def report(self, name: str) -> dict[str, Any]:
        """End the episode if it runs; its record."""


@dataclass
class Ledger:
    """Counts and findings of all players."""

    episodes: dict[str, Episode[Any]] = field(default_factory=dict)
    steps: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def breach(self, what: str) -> None:
        """Record a broken promise, and stop the players."""
        with self.lock:
            self.breaches.append(what)
        self.over.set()

    def count(self, what: str) -> None:
        """Count an event."""
        with self.lock:
            self.counts[what] += 1


# Backends ---------------------------------------------------------------------------------------------------


class Network(httpx.BaseTransport):
    """Sends each request to a random replica; some get lost, some arrive twice, some late.

    Args:
        ports: Ports of the replicas on loopback.
        seed: Of its random draws.
        ledger: Counts answers and faults.
    """

    def __init__(self, ports: Sequence[int], seed: int, ledger: Ledger) -> None:
        self._ports = list(ports)
        self._rng = random.Random(seed)
        self._ledger = ledger
        self._earlier: list[httpx.Request] = []
        self._inner = httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=8))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, perhaps with a fault."""
        request.read()
        fate = self._rng.random()
        if fate < 0.04:
            self._ledger.count("requests lost")
            raise httpx.ConnectError("lost", request=request)
        if fate < 0.12 and self._earlier:
            # A retry that a proxy held back until long after its step.
            self._ledger.count("requests late")
            self._extra(self._rng.choice(self._earlier))
        if fate < 0.20:
            self._ledger.count("requests doubled")
            double = threading.Thread(target=self._extra, args=(request,))
            double.start()
        else:
            double = None
        try:
            response = self._send(request)
        finally:
            if double is not None:
                double.join()
        if request.method == "POST":
            self._earlier = [*self._earlier[-30:], request]
        if 0.20 <= fate < 0.28:
            self._ledger.count("answers lost")
            raise httpx.ReadTimeout("lost", request=request)
        return response

    def _extra(self, request: httpx.Request) -> None:
        try:
            self._send(request)
        except httpx.TransportError:
            self._ledger.count("no answer")

    def _send(self, request: httpx.Request) -> httpx.Response:
        port = self._rng.choice(self._ports)
        url = request.url.copy_with(host="127.0.0.1", port=port)
        sent = httpx.Request(
            request.method,
            url,
            headers=request.headers,
            content=request.content,
            extensions=request.extensions,
        )
        try:
            response = self._inner.handle_request(sent)
            response.read()
        except httpx.TransportError:
            self._ledger.count("no answer")
            raise
        self._ledger.count(self._kind(response))
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)

    def _kind(self, response: httpx.Response) -> str:
        if response.status_code == 500:
            self._ledger.breach(f"a 500: {response.text[:200]}")
        if response.is_success:
            return "answers"
        detail = response.json()["detail"]
        return str(detail["code"]) if isinstance(detail, dict) else "invalid_request"

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class HTTPBackend:
    """Episodes through the project's own client, which retries.

    Args:
        network: The network in between.
    """

    def __init__(self, network: Network) -> None:
        self._client = SafeActHTTPClient(
            "http://replicas", timeout_s=TIMEOUT_SECONDS, retries=RETRIES, transport=network
        )

    def kept_as(self, name: str) -> str:
        """The id in the store: of a name that was drawn at random it is the same for every client."""
        asker = ASKER.set(Asker("anybody"))
        try:
            return own_id(name)
        finally:
            ASKER.reset(asker)

    def reset(self, name: str, task: str, seed: int) -> dict[str, Any]:
        """Start an episode."""
        return dict(self._client.reset(task, seed, episode_id=name).observation.model_dump())

    def step(self, name: str, call: Any) -> dict[str, Any]:
        """Take a step."""
        return dict(self._client.step(SafeActAction(**call.to_json())).observation.model_dump())

    def report(self, name: str) -> dict[str, Any]:
        """End the episode if it runs; its record."""
        self._client.grade(finish=True)
        record = self._client.report()
        del record["episode_id"]
        return record


class ServiceBackend:
    """Episodes on services in this process, each call on a random one.

    Args:
        services: The services.
        seed: Of the random draws.
        before: Called before every call, to inject faults.
    """

    def __init__(self, services: Sequence[SessionService], seed: int, before: Callable[[], None]) -> None:
        self._services = services
        self._rng = random.Random(seed)
        self._before = before

    def _service(self) -> SessionService:
        self._before()
        return self._rng.choice(self._services)

    def kept_as(self, name: str) -> str:
        """The id in the store: the name itself."""
        return name

    def reset(self, name: str, task: str, seed: int) -> dict[str, Any]:
        """Start an episode."""
        return self._service().open(task, "train", seed, episode_id=name).episode.observation()

    def step(self, name: str, call: Any) -> dict[str, Any]:
        """Take a step."""
        return self._service().step(name, call, uuid.uuid4().hex).episode.observation()

    def report(self, name: str) -> dict[str, Any]:
        """End the episode if it runs; its record."""
        self._service().grade(name, finish=True)
        return self._service().report(name)


# Players -------------------------------------------------------------------------------------------------


def run_players(backends: Sequence[Backend], ledger: Ledger, seed: int) -> list[threading.Thread]:
    """Start a player per backend; they play one episode after the other until `ledger.over`."""
    threads = [
        threading.Thread(
            target=_player, args=(backend, ledger, random.Random(f"{seed}/{number}")), daemon=True
        )
        for number, backend in enumerate(backends)
    ]
    for thread in threads:
        thread.start()
    return threads


def _player(backend: Backend, ledger: Ledger, rng: random.Random) -> None:
    while not ledger.over.is_set():
        task, seed, policy = rng.choice(OFFICIAL), rng.randrange(10_000), rng.choice(POLICIES)
        name = fresh_id()
        undisturbed = play(get_task(task), "train", seed, policy)
        calls = [turn.call for turn in undisturbed.turns]
        if rng.random() < 0.2:
            # Leave some for the grader to end.
            del calls[rng.randrange(len(calls)) :]
        try:
            _play(backend, ledger, name, task, seed, calls)
        except (SafeActError, SessionError) as error:
            ledger.breach(f"{name}: a request was refused: {error.code}: {error}")
        except Exception as error:
            # A player must not die silently.
            ledger.breach(f"{name}: {error!r}")


def _play(backend: Backend, ledger: Ledger, name: str, task: str, seed: int, calls: list[Any]) -> None:
    expected: Episode[Any] = Episode(get_task(task), "train", seed)
    with ledger.lock:
        ledger.episodes[backend.kept_as(name)] = expected
    if backend.reset(name, task, seed) != expected.observation():
        ledger.breach(f"{name}: the start is another")
        return
    for number, call in enumerate(calls, start=1):
        shown = backend.step(name, call)
        expected.step(call)
        if shown != expected.observation():
            steps = [entry["action"] for entry in shown["action_history"]]
            ledger.breach(f"{name}: after step {number} it shows {len(steps)} steps: {steps[-3:]}")
            return
        with ledger.lock:
            ledger.steps += 1
    _end(expected)
    if backend.report(name) != report(expected):
        ledger.breach(f"{name}: the record is not that of an undisturbed run")


def _end(episode: Episode[Any]) -> None:
    """End an episode as the grader does."""
    if not episode.done:
        episode.step(HANDED_IN)


def judge(service: SessionService, ledger: Ledger) -> None:
    """Compare the store, after all faults, with what was acknowledged."""
    if service.live:
        ledger.breach(f"{service.live} slots are taken, and every episode is over")
    for name, expected in ledger.episodes.items():
        try:
            if service.report(name) != report(expected):
                ledger.breach(f"{name}: the store has another record than was acknowledged")
        except SessionError as error:
            ledger.breach(f"{name}: acknowledged, and now {error.code}")
