"""Measures servers over the wire: processor time of the server per step, and steps per second.

Owns the episodes that are played, and the pairing of runs. The servers take turns within each run, so that
other load on the machine affects all of them alike.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.load_client import connect, drive, http_request, ws_frame
from benchmarks.peers import VIEW_OF
from safeact_env.core.episode import Episode
from safeact_env.core.observation import View
from safeact_env.policies.reference import play
from safeact_env.server.responses import answer_json
from safeact_env.tasks import OFFICIAL, get_task
from tools.servers.local_servers import Replica, Server, free_port

OWN = "SafeAct-Env"
STEPS = 15
"""Steps played of each episode: the expert's first ones, which exercise most rules."""
SEEDS = 2
SETTLED = 8
"""Quarters of a second in a row without work after which a server is at rest."""


@dataclass(frozen=True, slots=True)
class Script:
    """The beginning of an expert's episode, with this project's answers.

    Attributes:
        start: Parameters of the reset.
        calls: The actions.
        answers: The answer to each, as JSON.
    """

    start: dict[str, Any]
    calls: list[dict[str, Any]]
    answers: list[bytes]


@dataclass(slots=True)
class Cost:
    """The cost of some requests.

    Attributes:
        number: How many requests.
        cpu: Processor time of the server, user and system, in seconds.
        wall: Seconds by the wall clock.
    """

    number: int = 0
    cpu: float = 0.0
    wall: float = 0.0

    @property
    def micros(self) -> float:
        """Processor time of the server per request, in microseconds."""
        return self.cpu / self.number * 1e6

    @property
    def rate(self) -> float:
        """Requests per second of wall clock."""
        return self.number / self.wall


@dataclass(slots=True)
class Costs:
    """The cost of resets and of steps."""

    resets: Cost = field(default_factory=Cost)
    steps: Cost = field(default_factory=Cost)


def scripts(view: View = "full") -> list[Script]:
    """The scripts: beginnings of expert episodes of every task, answered in this view."""
    made = []
    for seed in range(SEEDS):
        for name in OFFICIAL:
            turns = play(get_task(name), "train", seed, "expert").turns[:STEPS]
            episode: Episode[Any] = Episode(get_task(name), "train", seed)
            answers = []
            for turn in turns:
                episode.step(turn.call)
                answers.append(answer_json(episode, view=view))
            calls = [turn.call.to_json() for turn in turns]
            made.append(Script({"task_name": name, "seed": seed, "view": view}, calls, answers))
    return made


# Servers -------------------------------------------------------------------------------------------------


def lift_limits() -> None:
    """Let the one client of the servers that start from now on begin as many episodes as it needs."""
    os.environ["SAFEACT_CLIENT_RESETS"] = str(10**9)


@contextmanager
def servers(folder: Path, played: Mapping[View, Sequence[Script]]) -> Iterator[dict[str, Server]]:
    """Running servers by name: this project's and its peers, which answer as long as it does in a view."""
    for view, ones in played.items():
        texts = [answer.decode() for one in ones for answer in one.answers]
        (folder / f"{view}.json").write_text(json.dumps(texts))
    with ExitStack() as stack:
        made = {}
        for name in (OWN, *VIEW_OF):
            log = folder / f"{name}.log"
            if name == OWN:
                server: Server = Replica("memory", log, "--log-level", "warning")
            else:
                port = free_port()
                answers = str(folder / f"{VIEW_OF[name]}.json")
                command = [sys.executable, "-m", "benchmarks.peers", name, str(port), answers]
                server = Server(command, port, log)
            made[name] = stack.enter_context(server)
        yield made


def processes(server: Server) -> list[int]:
    """The server's process and its children."""
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def cpu_seconds(server: Server) -> float:
    """Processor time of a server so far, user and system, to the nanosecond (Linux: clock_getcpuclockid)."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in processes(server))


def settle(server: Server) -> None:
    """Wait until a server is idle, as workers start after its port listens; `RuntimeError` after minutes."""
    idle, last = 0, cpu_seconds(server)
    for _ in range(600):
        time.sleep(0.25)
        now = cpu_seconds(server)
        idle = idle + 1 if now - last < 0.01 else 0
        if idle == SETTLED:
            return
        last = now
    raise RuntimeError("the server does not come to rest")


# Runs ----------------------------------------------------------------------------------------------------


class Run:
    """Connections to one server, and the cost of the requests on them.

    Args:
        server: The server.
        stack: Closes the connections.
        number: How many connections.
        ws: Whether over WebSocket.
        played: The scripts to play on them, in turn.
    """

    def __init__(
        self, server: Server, stack: ExitStack, number: int, played: Sequence[Script], *, ws: bool
    ) -> None:
        self.server = server
        self.ws = ws
        self.played = [played[n % len(played)] for n in range(number)]
        self.connections = connect(stack, server.port, number, ws=ws)

    def round(self, costs: Costs, *, own: bool) -> None:
        """Play every script once, counting resets and steps apart. Peers have no resets over HTTP.

        Raises:
            RuntimeError: If this project's last answers differ from the engine's.
        """
        names = [f"bench-{time.monotonic_ns()}-{n}" for n in range(len(self.connections))]
        if self.ws or own:
            self._count(
                costs.resets, [[self._reset(one, name)] for one, name in zip(self.played, names, strict=True)]
            )
        requests = [
            [self._step(call, name) for call in one.calls]
            for one, name in zip(self.played, names, strict=True)
        ]
        self._count(costs.steps, requests)
        if own:
            self._check(names)

    def _count(self, cost: Cost, requests: list[list[bytes]]) -> None:
        cpu, wall = cpu_seconds(self.server), time.perf_counter()
        drive(self.connections, requests)
        cost.wall += time.perf_counter() - wall
        cost.cpu += cpu_seconds(self.server) - cpu
        cost.number += sum(map(len, requests))

    def _reset(self, one: Script, name: str) -> bytes:
        if self.ws:
            return ws_frame(json.dumps({"type": "reset", "data": one.start}).encode())
        return http_request("/reset", json.dumps({**one.start, "episode_id": name}).encode())

    def _step(self, call: dict[str, Any], name: str) -> bytes:
        if self.ws:
            return ws_frame(json.dumps({"type": "step", "data": call}).encode())
        return http_request("/step", json.dumps({"action": call, "episode_id": name}).encode())

    def _check(self, names: list[str]) -> None:
        for connection, one, name in zip(self.connections, self.played, names, strict=True):
            found = json.loads(connection.payload)
            if self.ws:
                found = found["data"]
            else:
                assert found.pop("episode_id") == name
            if found != json.loads(one.answers[-1]):
                raise RuntimeError(f"{OWN} does not answer as the engine does")


def costs(
    entrants: Mapping[str, tuple[Server, Sequence[Script]]],
    number: int,
    *,
    ws: bool,
    runs: int,
    seconds: float,
) -> list[dict[str, Costs]]:
    """The costs per run and entrant, a server with the scripts to play on it; they take turns."""
    found = []
    for _ in range(runs):
        one = {}
        for name, (server, played) in entrants.items():
            # New connections each time: the server closes one that is idle for too long.
            with ExitStack() as stack:
                run = Run(server, stack, number, played, ws=ws)
                run.round(Costs(), own=name not in VIEW_OF)
                one[name] = Costs()
                while one[name].steps.wall < seconds:
                    run.round(one[name], own=name not in VIEW_OF)
        found.append(one)
    return found
