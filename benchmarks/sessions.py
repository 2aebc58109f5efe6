"""Measures the cost of live episodes in each store: memory of the process, and time of a step.

Each store is measured in its own process, on the first ten steps of expert episodes. Every step has a
request_id.
"""

import argparse
import gc
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from safeact_env.call import Call
from safeact_env.policies.reference import play
from safeact_env.server.settings import Settings
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.stores import store_maker
from safeact_env.tasks import OFFICIAL, get_task
from safeact_env.version import VERSION
from tools.servers.local_servers import Redis, resident_bytes

EPISODES = 10_000
"""Episodes in memory. The other stores, which are measured for time, get a fifth of them."""
STEPS = 10
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def calls_of(number: int) -> tuple[str, int, list[Call]]:
    """The task, the seed and the calls of an episode."""
    name, seed = OFFICIAL[number % len(OFFICIAL)], number % 100
    return name, seed, [turn.call for turn in play(get_task(name), "train", seed, "expert").turns[:STEPS]]


def measure(url: str, cached: int, episodes: int) -> dict[str, float]:
    """The cost of this many live episodes, measured in a child process."""
    import safeact_env.server.app  # noqa: F401  # a server process has imported it anyway

    recorded = [calls_of(number) for number in range(min(100, episodes))]
    service = SessionService(max_live=episodes, cached=cached, make_store=store_maker(url))
    gc.collect()
    before, spent = resident_bytes(), []
    names = []
    for number in range(episodes):
        task, seed, _calls = recorded[number % len(recorded)]
        names.append(service.open(task, "train", seed).id)
    for step in range(STEPS):
        # Breadth first, as with many clients at once: the worst order for the cache.
        for number, name in enumerate(names):
            call, request_id = recorded[number % len(recorded)][2][step], uuid.uuid4().hex
            begin = time.perf_counter()
            service.step(name, call, request_id)
            spent.append(time.perf_counter() - begin)
    gc.collect()
    found = {
        "episodes": episodes,
        "KB per episode": (resident_bytes() - before) / episodes / 1_000,
        "process, MB": resident_bytes() / 1_000_000,
        "step, ms": statistics.median(spent) * 1_000,
        "slowest 1%, ms": statistics.quantiles(spent, n=100)[-1] * 1_000,
    }
    service.close()
    return found


def run_in_child(url: str, cached: int, episodes: int) -> dict[str, float]:
    """`measure`, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (url, cached, episodes))


def measurements(episodes: int) -> dict[str, Any]:
    """The figures by store and number of cached episodes."""
    usual: int = Settings.model_fields["cached_episodes"].default
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        stores = {"memory": "memory", "SQLite": f"sqlite:///{name}/episodes.db"}
        if Redis.installed():
            stores["Redis"] = stack.enter_context(Redis(Path(name) / "redis", *DURABLE)).store
        found["memory, logs only"] = run_in_child("memory", 1, episodes)
        for title, url in stores.items():
            some = episodes if title == "memory" else episodes // 5
            found[f"{title}, {usual:,} held ready"] = run_in_child(url, usual, some)
    return found


def main(arguments: list[str]) -> int:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=EPISODES)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args(arguments)
    found = measurements(options.episodes)
    heads = list(next(iter(found.values())))
    table = Table("", *heads)
    for name, figures in found.items():
        table.add_row(name, *(f"{figures[head]:,.2f}" for head in heads))
    Console().print(table)
    if options.json:
        recorded = {"version": VERSION, "steps": STEPS, "stores": found}
        Path(options.json).write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
