"""Loads a server over HTTP: ten thousand live episodes, then more requests than it can serve.

Each part runs its own server and checks its promises. The episodes fit into memory, and one more is refused
with 503. Under overload every answer is correct or a 503 with Retry-After, none is late, probes are answered,
and the server recovers.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks.plain_http import Answer, Connection
from safeact_env.policies.reference import play
from safeact_env.tasks import OFFICIAL, get_task
from safeact_env.version import VERSION
from tools.servers.local_servers import Replica, resident_bytes
from tools.servers.replicas import CheckFailed, need

MOST_BYTES = 500_000_000
EPISODES, STEPS, CONNECTIONS = 10_000, 5, 16
CROWD, CROWD_SECONDS, LATE_SECONDS = 400, 20.0, 20.0
"""Connections of the overload, how long they send, and the time after which an answer is late."""


def memory_of(server: Replica) -> int:
    """Resident memory of a running server, in bytes."""
    assert server.process is not None
    return resident_bytes(server.process.pid)


def recorded(task: str, seed: int) -> list[dict[str, Any]]:
    """The expert's calls."""
    return [turn.call.to_json() for turn in play(get_task(task), "train", seed, "expert").turns]


# Ten thousand episodes -----------------------------------------------------------------------------------


async def each(numbers: int, port: int, work: Callable[[Connection, int], Coroutine[Any, Any, None]]) -> None:
    """Do work for each number, on several connections at once."""
    left = iter(range(numbers))

    async def worker() -> None:
        async with Connection(port, 120) as connection:
            for number in left:
                await work(connection, number)

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))


async def fill(server: Replica, episodes: int) -> dict[str, float]:
    """Start the episodes and take some steps of each, breadth first."""
    scripts = [(OFFICIAL[n % 5], n % 20, recorded(OFFICIAL[n % 5], n % 20)) for n in range(100)]
    empty, spent = memory_of(server), []

    async def start(connection: Connection, number: int) -> None:
        task, seed, _ = scripts[number % 100]
        body = {"task_name": task, "seed": seed, "episode_id": f"e{number}"}
        need(
            (await connection.ask("POST", "/reset", body)).status == 200, f"episode {number} was not started"
        )

    await each(episodes, server.port, start)
    for step in range(STEPS):

        async def take(connection: Connection, number: int, step: int = step) -> None:
            call = scripts[number % 100][2][step]
            body = {"action": call, "episode_id": f"e{number}", "request_id": f"r{step}"}
            begin = time.perf_counter()
            answer = await connection.ask("POST", "/step", body)
            spent.append(time.perf_counter() - begin)
            need(answer.status == 200, f"step {step} of episode {number} was answered {answer.status}")

        await each(episodes, server.port, take)
    return {"empty": empty, "step": statistics.median(spent), "all": len(spent) / sum(spent) * CONNECTIONS}


async def full(server: Replica, episodes: int) -> None:
    """One more episode is refused with Retry-After, and the others are intact."""
    async with Connection(server.port) as connection:
        need(
            (await connection.ask("GET", "/health")).json()["live_episodes"] == episodes,
            "an episode is missing",
        )
        refused = await connection.ask("POST", "/reset", {})
        code = refused.json().get("detail", {}).get("code")
        need((refused.status, code) == (503, "at_capacity"), f"one more was answered {refused.status}")
        need("retry-after" in refused.headers, "the refusal does not say when to try again")
        shown = await connection.ask("GET", "/episodes/e0/observation")
        need(len(shown.json()["observation"]["action_history"]) == STEPS, "a step is missing")


def ten_thousand(folder: Path, episodes: int) -> dict[str, Any]:
    """Fill a server with episodes; the first part."""
    options = ("--max-episodes", str(episodes), "--log-level", "warning", "--drain-seconds", "0")
    with Replica("memory", folder / "episodes.log", *options) as server:
        found = asyncio.run(fill(server, episodes))
        asyncio.run(full(server, episodes))
        memory = memory_of(server)
    need(memory < MOST_BYTES, f"{episodes} episodes take {memory / 1e6:.0f} MB")
    return {
        "episodes": episodes,
        "steps each": STEPS,
        "process, MB": round(memory / 1e6, 1),
        "without episodes, MB": round(found["empty"] / 1e6, 1),
        "KB per episode": round((memory - found["empty"]) / episodes / 1e3, 2),
        "steps/s": round(found["all"]),
        "one more": "503 at_capacity",
    }


# More than it can do -------------------------------------------------------------------------------------


async def crowd(
    server: Replica, people: int, seconds: float
) -> tuple[Counter[str], list[float], list[float]]:
    """Send slow requests over many connections; count the answers by kind, and time them and the probes."""
    body = {"task_name": "hard", "seed": 1, "split": "train", "actions": recorded("hard", 1)}
    kinds, times, probes = Counter[str](), [], []
    until = time.monotonic() + seconds

    async def one() -> None:
        async with Connection(server.port, LATE_SECONDS) as connection:
            while time.monotonic() < until:
                begin = time.perf_counter()
                try:
                    answer = await connection.ask("POST", "/grader", body)
                except TimeoutError:
                    kinds["late"] += 1
                    continue
                except OSError:
                    kinds["broken connection"] += 1
                    continue
                times.append(time.perf_counter() - begin)
                kinds[kind_of(answer)] += 1
                if answer.status == 503:
                    # As clients do; a tenth of it, so that the overload goes on.
                    await asyncio.sleep(float(answer.headers.get("retry-after", "1")) / 10)

    async def probe() -> None:
        async with Connection(server.port, LATE_SECONDS) as connection:
            while time.monotonic() < until:
                begin = time.perf_counter()
                need((await connection.ask("GET", "/health")).status == 200, "a probe was not answered")
                probes.append(time.perf_counter() - begin)
                await asyncio.sleep(0.2)

    await asyncio.gather(probe(), *(one() for _ in range(people)))
    return kinds, times, probes


def kind_of(answer: Answer) -> str:
    """The kind of an answer: correct, a proper refusal, or anything else."""
    if answer.status == 200 and answer.json()["score"] == 1.0:
        return "right"
    if answer.status == 503 and answer.json()["detail"]["code"] == "overloaded":
        return "503 with Retry-After" if "retry-after" in answer.headers else "503 without Retry-After"
    return f"status {answer.status}"


def overload(folder: Path, people: int, seconds: float) -> dict[str, Any]:
    """Overload a server; the second part. Its bounds are low enough for one client to reach."""
    options = ("--overload-seconds", "0.3", "--log-level", "warning", "--drain-seconds", "0")
    with Replica("memory", folder / "overload.log", *options) as server:
        kinds, times, probes = asyncio.run(crowd(server, people, seconds))
        after = asyncio.run(again(server))
    wrong = {kind: n for kind, n in kinds.items() if kind not in ("right", "503 with Retry-After")}
    need(not wrong, f"under overload there were other answers: {wrong}")
    need(kinds["503 with Retry-After"] > 0, "there was no overload")
    need(kinds["right"] > 0, "nothing was served")
    need(after, "after the overload the server does not answer as before")
    return {
        "connections": people,
        "seconds": seconds,
        "answered": kinds["right"],
        "503 with Retry-After": kinds["503 with Retry-After"],
        "timeouts": kinds["late"],
        "slowest answer, s": round(max(times), 2),
        "slowest probe, s": round(max(probes), 2),
    }


async def again(server: Replica) -> bool:
    """Whether the server serves a request again within some tries."""
    async with Connection(server.port) as connection:
        for _ in range(50):
            if (await connection.ask("GET", "/tasks")).status == 200:
                return True
            await asyncio.sleep(0.2)
    return False


def main(arguments: list[str]) -> int:
    """Run both parts, print and record the figures; the exit code is 0 if every promise holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=EPISODES)
    parser.add_argument("--connections", type=int, default=CROWD)
    parser.add_argument("--seconds", type=float, default=CROWD_SECONDS)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {"version": VERSION}
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        try:
            found["episodes"] = ten_thousand(Path(name), options.episodes)
            print(found["episodes"], flush=True)
            found["overload"] = overload(Path(name), options.connections, options.seconds)
            print(found["overload"], flush=True)
        except CheckFailed as error:
            print(error, file=sys.stderr)
            return 1
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
