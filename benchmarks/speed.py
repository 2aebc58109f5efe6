"""Measures speed as ratios within one run, since absolute figures of a shared machine do not compare.

Servers are compared by processor time per step, user and system: steps per second by the wall clock also
depend on who else uses the machine. Both are recorded. Servers take turns within each run, and the median of
the ratios counts. Linux only.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.engine import in_process
from benchmarks.peers import PEERS
from benchmarks.sessions import run_in_child
from benchmarks.wire import OWN, Costs, Script, costs, cpu_seconds, scripts, servers, settle
from safeact_env.version import VERSION
from tools.servers.local_servers import START_SECONDS, Replica, healthy, resident_bytes

BARE, _FASTAPI, ECHO = PEERS
RUNS = 5
STARTS = 5
SECONDS = 0.6
"""Shortest measurement of a server in a run, in seconds."""
LIVE = 3_000
"""Live episodes whose memory is measured."""

Figures = dict[str, dict[str, float]]


# Over the wire -------------------------------------------------------------------------------------------


def compared(runs: list[dict[str, Costs]]) -> Figures:
    """Per server, medians over the runs: the cost of a step, and its ratio to the bare one in that run."""
    found = {}
    for name in runs[0]:
        pairs = [(run[name].steps, run[BARE].steps) for run in runs]
        found[name] = {
            "us/step": statistics.median(own.micros for own, _ in pairs),
            "ratio": statistics.median(bare.micros / own.micros for own, bare in pairs),
            "steps/s": statistics.median(own.rate for own, _ in pairs),
            "ratio by wall clock": statistics.median(own.rate / bare.rate for own, bare in pairs),
        }
    return found


def wire(folder: Path, played: list[Script]) -> tuple[dict[str, Figures], dict[str, float]]:
    """The comparisons, and over WebSocket the cost of a step against a reset and against OpenEnv's echo."""
    with servers(folder, [OWN, *PEERS], played) as running:
        streams = {name: running[name] for name in (OWN, BARE, ECHO)}
        few = costs(streams, played, 16, ws=True, runs=RUNS, seconds=SECONDS)
        many = costs(streams, played, 256, ws=True, runs=RUNS, seconds=SECONDS)
        plain = costs(running, played, 16, ws=False, runs=RUNS, seconds=SECONDS)
    against = {
        "reset": statistics.median(run[OWN].steps.micros / run[OWN].resets.micros for run in few),
        "echo": statistics.median(run[ECHO].steps.micros / run[OWN].steps.micros for run in few),
    }
    found = {
        "WebSocket, 16 connections": compared(few),
        "WebSocket, 256 connections": compared(many),
        "HTTP, 16 connections": compared(plain),
    }
    return found, against


def two_workers(folder: Path, played: list[Script]) -> float:
    """Throughput of two workers relative to one, by processor time: the load generator takes a core."""
    store = f"sqlite:///{folder / 'workers.db'}"
    with ExitStack() as stack:
        running = {
            str(number): stack.enter_context(
                Replica(store, folder / f"{number}.log", "--log-level", "warning", "--workers", str(number))
            )
            for number in (1, 2)
        }
        for server in running.values():
            settle(server)
        found = costs(running, played, 16, ws=True, runs=RUNS, seconds=SECONDS)
    return statistics.median(2 * run["1"].steps.micros / run["2"].steps.micros for run in found)


# Start and memory ----------------------------------------------------------------------------------------


def start(folder: Path) -> dict[str, float]:
    """Seconds to the first healthy answer, and processor time and memory at that moment."""
    runs = []
    for number in range(STARTS):
        server = Replica("memory", folder / f"start-{number}.log", "--log-level", "warning")
        begin = time.perf_counter()
        server.start()
        try:
            while not healthy(server.port):
                if time.perf_counter() - begin > START_SECONDS:
                    raise RuntimeError("the server does not start")
                time.sleep(0.005)
            took = time.perf_counter() - begin
            assert server.process is not None
            runs.append((took, cpu_seconds(server), resident_bytes(server.process.pid) / 1e6))
        finally:
            server.stop()
    names = ("to the first healthy answer, s", "processor time, s", "memory, MB")
    return {
        name: statistics.median(values) for name, values in zip(names, zip(*runs, strict=True), strict=True)
    }


# Output --------------------------------------------------------------------------------------------------


def measured() -> dict[str, Any]:
    """All figures."""
    engine = in_process()
    played = scripts()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        wired, against = wire(folder, played)
        workers = two_workers(folder, played)
        started = start(folder)
    live = run_in_child("memory", 1, LIVE)["KB per episode"]
    few, many, plain = wired.values()
    mean = engine["mean"]
    goals = {
        "WS step against bare Starlette, 16 connections": (few[OWN]["ratio"], ">= 0.75"),
        "WS step against bare Starlette, 256 connections": (many[OWN]["ratio"], ">= 0.75"),
        "HTTP step against bare Starlette, 16 connections": (plain[OWN]["ratio"], ">= 0.75"),
        "WS step against an echo environment of OpenEnv's": (against["echo"], ">= 2"),
        "in process, steps/s with the answer as bytes": (mean["steps/s with answer"], ">= 30,000"),
        "in process, steps/s without": (mean["steps/s without"], ">= 100,000"),
        "reset over WS against a step": (against["reset"], ">= 0.6"),
        "start to the first healthy answer, s": (started["to the first healthy answer, s"], "< 1.5"),
        "of it processor time of the server, s": (started["processor time, s"], "< 1.5"),
        "memory at the start, MB": (started["memory, MB"], "< 80"),
        "last step of a budget against the first": (mean["late/early step"], "< 1.3"),
        "memory per live episode, KB": (live, "< 4"),
        "two workers against one": (workers, ">= 1.8"),
    }
    return {
        "version": VERSION,
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[2]:.1f} over 15 minutes",
        "software": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("openenv", "fastapi", "starlette", "uvicorn")),
        "runs": RUNS,
        "goals": {name: {"found": found, "goal": goal} for name, (found, goal) in goals.items()},
        "start": started,
        "wire": wired,
        "in process": engine,
    }


def shown(value: float | str) -> str:
    """A figure as tables show it."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def show(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Print figures as a table."""
    table = Table(title=title, title_justify="left")
    heads = list(next(iter(rows.values())))
    for head in ("", *heads):
        table.add_column(head, justify="right" if head else "left")
    for name, figures in rows.items():
        table.add_row(name, *map(shown, figures.values()))
    Console().print(table)


def main(arguments: list[str]) -> int:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--no-wire", action="store_true", help="measure in process only")
    options = parser.parse_args(arguments)
    if options.no_wire:
        show("In process, one core", in_process())
        return 0
    found = measured()
    show("In process, one core", found["in process"])
    for title, rows in found["wire"].items():
        show(f"{title}, medians of {RUNS} paired runs", rows)
    show("Goals", found["goals"])
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
