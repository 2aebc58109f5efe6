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

from benchmarks.engine import against_release, in_process
from benchmarks.learners import learners
from benchmarks.peers import PEERS, VIEW_OF
from benchmarks.sessions import run_in_child
from benchmarks.wire import OWN, Costs, Script, costs, cpu_seconds, lift_limits, scripts, servers, settle
from safeact_env.core.observation import VIEWS, View
from safeact_env.version import VERSION
from tools.servers.local_servers import START_SECONDS, Replica, healthy, resident_bytes

BARE, FASTAPI, ECHO = PEERS
RUNS = 5
STARTS = 5
SECONDS = 0.6
"""Shortest measurement of a server in a run, in seconds."""
LIVE = 3_000
"""Live episodes whose memory is measured."""
AGAINST = {"step with its answer": ">= 1.6", "step alone": ">= 1.6", "start of an episode": ">= 2"}
LEARNERS = {"easy": ">= 0.20", "hard": ">= 0.15", "easy, vector of 64": ">= 0.35"}

Figures = dict[str, dict[str, float]]


# Over the wire -------------------------------------------------------------------------------------------


def own(view: View) -> str:
    """What this project is called in a comparison of answers in this view."""
    return f"{OWN}, {view}"


def compared(runs: list[dict[str, Costs]]) -> Figures:
    """Per entrant, medians over the runs: the cost of a step, its ratio to its view's peer in that run."""
    peer_of = {own(VIEW_OF[name]): name for name in runs[0] if name in VIEW_OF}
    found = {}
    for name in runs[0]:
        pairs = [(run[name].steps, run[peer_of.get(name, name)].steps) for run in runs]
        found[name] = {
            "us/step": statistics.median(one.micros for one, _ in pairs),
            "ratio": statistics.median(peer.micros / one.micros for one, peer in pairs),
            "steps/s": statistics.median(one.rate for one, _ in pairs),
            "ratio by wall clock": statistics.median(one.rate / peer.rate for one, peer in pairs),
        }
    return found


def wire(folder: Path, played: dict[View, list[Script]]) -> dict[str, Figures]:
    """This project beside a peer in each view: `full` beside one that does less, `changes` beside nothing."""
    found = {}
    with servers(folder, played) as running:
        for way, peer, number in (
            ("WebSocket, 16 connections", ECHO, 16),
            ("WebSocket, 256 connections", ECHO, 256),
            ("HTTP, 16 connections", FASTAPI, 16),
        ):
            entrants = {own(view): (running[OWN], played[view]) for view in VIEWS}
            entrants |= {name: (running[name], played[VIEW_OF[name]]) for name in (peer, BARE)}
            ws = way.startswith("WebSocket")
            found[way] = compared(costs(entrants, number, ws=ws, runs=RUNS, seconds=SECONDS))
    return found


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
        entrants = {number: (server, played) for number, server in running.items()}
        found = costs(entrants, 16, ws=True, runs=RUNS, seconds=SECONDS)
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


def measured(release: str | None) -> dict[str, Any]:
    """All figures; those against version 1.0.0 if `release` is an interpreter that has it installed."""
    engine = in_process()
    trained = learners()
    against = {} if release is None else against_release(release)
    played = {view: scripts(view) for view in VIEWS}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        wired = wire(folder, played)
        workers = two_workers(folder, played["full"])
        started = start(folder)
    live = run_in_child("memory", 1, LIVE)["KB per episode"]
    mean = engine["mean"]
    full, changes = VIEWS
    goals = {
        f"{way}: a step {what}": (figures[own(view)]["ratio"], goal)
        for way, figures in wired.items()
        for view, what, goal in (
            (full, f"against {FASTAPI if FASTAPI in figures else ECHO}", ">= 1.25"),
            (changes, f"in the view changes against {BARE}", ">= 0.60"),
        )
    }
    goals |= {f"in process: {what} against 1.0.0": (against[what], AGAINST[what]) for what in against}
    goals |= {f"Gymnasium: {what} against the engine": (trained[what], LEARNERS[what]) for what in trained}
    goals |= {
        "start to the first healthy answer, s": (started["to the first healthy answer, s"], "< 1.5"),
        "of it processor time of the server, s": (started["processor time, s"], "< 1.5"),
        "memory at the start, MB": (started["memory, MB"], "< 80"),
        "last step of a budget against the first": (mean["late/early step"], "< 1.3"),
        "memory per live episode, KB": (live, "< 4"),
        "two workers against one": (workers, ">= 1.8"),
    }
    return {
        **conditions(),
        "runs": RUNS,
        "goals": {name: {"found": found, "goal": goal} for name, (found, goal) in goals.items()},
        "start": started,
        "wire": wired,
        "in process": engine,
    }


def conditions() -> dict[str, str]:
    """What was measured, where and with what."""
    return {
        "version": VERSION,
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[2]:.1f} over 15 minutes",
        "software": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("openenv", "fastapi", "starlette", "uvicorn")),
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
    parser.add_argument("--against", metavar="PYTHON", help="an interpreter with version 1.0.0 installed")
    options = parser.parse_args(arguments)
    if options.no_wire:
        show("In process, one core", in_process())
        return 0
    lift_limits()
    found = measured(options.against)
    show("In process, one core", found["in process"])
    for title, rows in found["wire"].items():
        show(f"{title}, medians of {RUNS} paired runs", rows)
    show("Goals", found["goals"])
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
