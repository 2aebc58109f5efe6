"""Loads a server over HTTP: ten thousand live episodes, then more than it can do.

Each part has a server of its own. What is promised is checked: the episodes fit into the memory, one more is
refused with 503; under overload every answer is the right one or 503, each 503 says when to try again, none
is late, probes are answered, and afterwards all is as before.
"""

from __future__ import annotations

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

from benchmarks.plain_http import Answer, Line
from safeact_env.policies.reference import play
from safeact_env.tasks import OFFICIAL, get_task
from safeact_env.version import VERSION
from tools.servers.local_servers import Replica

__all__ = ["Broken", "memory_of"]

MOST_BYTES = 500_000_000
EPISODES, STEPS, LINES = 10_000, 5, 16
CROWD, CROWD_SECONDS, LATE_SECONDS = 400, 20.0, 20.0
"""Connections of the overload, how long they ask, and the time after which an answer is late."""


class Broken(Exception):
    """Something is not as promised."""


def need(holds: bool, otherwise: str) -> None:
    """Check one promise."""
    if not holds:
        raise Broken(otherwise)


def memory_of(server: Replica) -> int:
    """Resident memory of a server's process, in bytes."""
    need(server.process is not None, "the server does not run")
    status = Path(f"/proc/{server.process.pid if server.process else 0}/status").read_text()
    return 1_024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def recorded(task: str, seed: int) -> list[dict[str, Any]]:
    """The expert's calls."""
    return [turn.call.to_json() for turn in play(get_task(task), "train", seed, "expert").turns]


# Ten thousand episodes -----------------------------------------------------------------------------------


async def each(numbers: int, port: int, work: Callable[[Line, int], Coroutine[Any, Any, None]]) -> None:
    """Do work for each number, on some lines at a time."""
    left = iter(range(numbers))

    async def on_a_line() -> None:
        async with Line(port, 120) as line:
            for number in left:
                await work(line, number)

    await asyncio.gather(*(on_a_line() for _ in range(LINES)))


async def fill(server: Replica, episodes: int) -> dict[str, float]:
    """Start so many episodes and take some steps of each, breadth first."""
    scripts = [(OFFICIAL[n % 5], n % 20, recorded(OFFICIAL[n % 5], n % 20)) for n in range(100)]
    empty, spent = memory_of(server), []

    async def start(line: Line, number: int) -> None:
        task, seed, _ = scripts[number % 100]
        body = {"task_name": task, "seed": seed, "episode_id": f"e{number}"}
        need((await line.ask("POST", "/reset", body)).status == 200, f"episode {number} was not started")

    await each(episodes, server.port, start)
    for step in range(STEPS):

        async def take(line: Line, number: int, step: int = step) -> None:
            call = scripts[number % 100][2][step]
            body = {"action": call, "episode_id": f"e{number}", "request_id": f"r{step}"}
            begin = time.perf_counter()
            answer = await line.ask("POST", "/step", body)
            spent.append(time.perf_counter() - begin)
            need(answer.status == 200, f"step {step} of episode {number} was answered {answer.status}")

        await each(episodes, server.port, take)
    return {"empty": empty, "step": statistics.median(spent), "all": len(spent) / sum(spent) * LINES}


async def full(server: Replica, episodes: int) -> None:
    """One more is refused, and says when to try again; what is there is still there."""
    async with Line(server.port) as line:
        need((await line.ask("GET", "/health")).json()["live_episodes"] == episodes, "an episode is missing")
        refused = await line.ask("POST", "/reset", {})
        code = refused.json().get("detail", {}).get("code")
        need((refused.status, code) == (503, "at_capacity"), f"one more was answered {refused.status}")
        need("retry-after" in refused.headers, "the refusal does not say when to try again")
        shown = await line.ask("GET", "/episodes/e0/observation")
        need(len(shown.json()["observation"]["action_history"]) == STEPS, "a step is missing")


def ten_thousand(folder: Path, episodes: int) -> dict[str, Any]:
    """The first part."""
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
    """So many ask at once, again and again, for what takes long; answers by kind, and times."""
    body = {"task_name": "hard", "seed": 1, "split": "train", "actions": recorded("hard", 1)}
    kinds, times, probes = Counter[str](), [], []
    until = time.monotonic() + seconds

    async def one() -> None:
        async with Line(server.port, LATE_SECONDS) as line:
            while time.monotonic() < until:
                begin = time.perf_counter()
                try:
                    answer = await line.ask("POST", "/grader", body)
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
        async with Line(server.port, LATE_SECONDS) as line:
            while time.monotonic() < until:
                begin = time.perf_counter()
                need((await line.ask("GET", "/health")).status == 200, "a probe was not answered")
                probes.append(time.perf_counter() - begin)
                await asyncio.sleep(0.2)

    await asyncio.gather(probe(), *(one() for _ in range(people)))
    return kinds, times, probes


def kind_of(answer: Answer) -> str:
    """What an answer is: the right one, a refusal as promised, or else."""
    if answer.status == 200 and answer.json()["score"] == 1.0:
        return "right"
    if answer.status == 503 and answer.json()["detail"]["code"] == "overloaded":
        return "503 with Retry-After" if "retry-after" in answer.headers else "503 without Retry-After"
    return f"status {answer.status}"


def overload(folder: Path, people: int, seconds: float) -> dict[str, Any]:
    """The second part. The bounds are lower than usual, as one client is to reach them."""
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
    """Whether a request is served within some tries."""
    async with Line(server.port) as line:
        for _ in range(50):
            if (await line.ask("GET", "/tasks")).status == 200:
                return True
            await asyncio.sleep(0.2)
    return False


def main(arguments: list[str]) -> int:
    """Run both parts, print and record what was found; the exit code is 0 if all is as promised."""
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
        except Broken as error:
            print(error, file=sys.stderr)
            return 1
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
