"""Plays on one server for a long time and reports the slope of its memory.

One client plays the reference policies on all tasks, over HTTP and WebSockets. It also misbehaves: it
abandons episodes, sends malformed requests and drops connections. Memory rises at first, while caches and
limits fill up, so the slope is that of the second half, by least squares. The limits on episodes are low
enough to be reached.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from benchmarks.overload import memory_of
from benchmarks.plain_http import Connection
from safeact_env.policies.reference import POLICIES, play
from safeact_env.tasks import OFFICIAL, get_task
from safeact_env.version import VERSION
from tools.servers.local_servers import Replica

MINUTES = 30.0
MOST_SLOPE = 5.0
"""MB an hour that still count as flat: allocator noise over some minutes."""
EVERY_SECONDS = 5.0
OPTIONS = (
    *("--max-episodes", "200", "--cached-episodes", "200", "--idle-seconds", "60"),
    *("--keep-finished-seconds", "60", "--log-level", "error", "--drain-seconds", "0"),
)
SEEDS = 50


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of a line through at least two points, by least squares; otherwise a `ValueError`."""
    if len(points) < 2:
        raise ValueError("a slope takes two points")
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    across = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / across


class Player:
    """One client.

    Args:
        server: The server.
        seed: Of its random draws.
    """

    def __init__(self, server: Replica, seed: int) -> None:
        self._server = server
        self._rng = random.Random(seed)
        self._scripts: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        self.steps = self.episodes = 0
        self.wrong: list[str] = []

    def _script(self) -> tuple[str, int, list[dict[str, Any]]]:
        task, policy = self._rng.choice(OFFICIAL), self._rng.choice([p for p in POLICIES if p != "look_only"])
        seed = self._rng.randrange(SEEDS)
        if (task, policy, seed) not in self._scripts:
            turns = play(get_task(task), "train", seed, policy).turns
            self._scripts[task, policy, seed] = [turn.call.to_json() for turn in turns]
        return task, seed, self._scripts[task, policy, seed]

    async def play(self, until: float) -> None:
        """Play until this time of the monotonic clock."""
        async with Connection(self._server.port, 120) as connection:
            for number in itertools.count():
                if time.monotonic() >= until:
                    return
                self.episodes += 1
                if number % 3 == 2:
                    await self._over_websocket()
                else:
                    await self._over_http(connection, leave=number % 5 == 4)
                if number % 20 == 0:
                    await self._badly(connection)

    async def _over_http(self, connection: Connection, *, leave: bool) -> None:
        task, seed, calls = self._script()
        answer = await connection.ask("POST", "/reset", {"task_name": task, "seed": seed})
        if answer.status == 503:
            # Abandoned episodes fill the server until they expire.
            await asyncio.sleep(1)
            return
        name = answer.json()["episode_id"]
        for step, call in enumerate(calls[: len(calls) // 2 if leave else None]):
            answer = await connection.ask(
                "POST", "/step", {"action": call, "episode_id": name, "request_id": f"r{step}"}
            )
            self._expect(answer.status, 200, "a step")
            self.steps += 1
        if leave:
            return
        self._expect((await connection.ask("POST", "/grader", {"episode_id": name})).status, 200, "a grade")
        self._expect((await connection.ask("GET", f"/episodes/{name}/report")).status, 200, "a report")
        if self._rng.random() < 0.5:
            self._expect((await connection.ask("DELETE", f"/episodes/{name}")).status, 200, "a deletion")

    async def _over_websocket(self) -> None:
        task, seed, calls = self._script()
        async with connect(f"ws://127.0.0.1:{self._server.port}/ws", open_timeout=120) as socket:
            await socket.send(json.dumps({"type": "reset", "data": {"task_name": task, "seed": seed}}))
            await socket.recv()
            for call in calls:
                await socket.send(json.dumps({"type": "step", "data": call}))
                if '"type":"observation"' not in str(await socket.recv())[:40]:
                    self.wrong.append("a frame")
                self.steps += 1

    async def _badly(self, connection: Connection) -> None:
        self._expect((await connection.ask("POST", "/step", {"action": {}})).status, 422, "a malformed step")
        self._expect((await connection.ask("GET", f"/no/such/{self.episodes}")).status, 404, "no path")
        self._expect((await connection.ask("GET", "/metrics")).status, 200, "the metrics")
        broken_off = Connection(self._server.port, 0.001)
        try:
            await broken_off.ask("POST", "/watch", {"seed": self.episodes})
        except (OSError, TimeoutError):
            pass
        finally:
            broken_off.close()

    def _expect(self, status: int, wanted: int, what: str) -> None:
        if status != wanted:
            self.wrong.append(f"{what} was answered {status}")


async def watch(server: Replica, until: float) -> list[tuple[float, float]]:
    """Sample the memory; pairs of hours since the start and MB."""
    begin, points = time.monotonic(), []
    while time.monotonic() < until:
        points.append(((time.monotonic() - begin) / 3_600, memory_of(server) / 1e6))
        await asyncio.sleep(EVERY_SECONDS)
    return points


async def soak(server: Replica, minutes: float, seed: int) -> dict[str, Any]:
    """Play and watch."""
    until = time.monotonic() + minutes * 60
    player = Player(server, seed)
    _, points = await asyncio.gather(player.play(until), watch(server, until))
    async with Connection(server.port, 120) as connection:
        live = (await connection.ask("GET", "/health")).json()["live_episodes"]
    settled = points[len(points) // 2 :]
    return {
        "minutes": minutes,
        "episodes": player.episodes,
        "steps": player.steps,
        "unfinished at the end": live,
        "memory at the start, MB": round(points[0][1], 1),
        "half way, MB": round(settled[0][1], 1),
        "at the end, MB": round(settled[-1][1], 1),
        "slope, MB/h": round(slope(settled), 2),
        "wrong answers": len(player.wrong),
        "wrong": player.wrong[:10],
    }


def main(arguments: list[str]) -> int:
    """Soak; the exit code is 0 if memory is flat and every answer was correct."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        with Replica("memory", Path(name) / "log", *OPTIONS) as server:
            found = asyncio.run(soak(server, options.minutes, options.seed))
        said = (Path(name) / "log").read_text()
    for key, value in found.items():
        print(f"{key}: {value}")
    if options.json:
        recorded = {"version": VERSION, **found}
        Path(options.json).write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")
    if said.strip():
        print(said[-2_000:], file=sys.stderr)
    flat = found["slope, MB/h"] <= MOST_SLOPE
    return 0 if flat and not found["wrong answers"] and not said.strip() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
