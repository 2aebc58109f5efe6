"""Measures how costs grow: with the connections, and with the number of the step and the level.

Owns what is varied. How servers and steps are measured is `benchmarks.wire`'s and `process_time`'s business.
Linux only.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.engine import answer_json
from benchmarks.peers import PEERS
from benchmarks.speed import Figures, conditions, own, show
from benchmarks.wire import OWN, costs, lift_limits, scripts, servers
from safeact_env.core.episode import Episode
from safeact_env.core.observation import VIEWS
from safeact_env.core.task import Task
from safeact_env.core.variant import LEVELS, Variant
from safeact_env.policies.reference import play
from safeact_env.tasks import OFFICIAL, get_task

BARE, _FASTAPI, ECHO = PEERS
CONNECTIONS = (1, 4, 16, 64, 256)
RUNS = 5
SECONDS = 0.4
"""Shortest measurement of a server in a run, in seconds."""
EPISODES = 40
STEPS = 5
"""Steps in a row whose costs are put together."""


def by_connections() -> dict[str, Figures]:
    """Per entrant and number of WebSocket connections: processor time of a step, steps per second."""
    played = {view: scripts(view) for view in VIEWS}
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder, servers(Path(folder), played) as running:
        entrants = {own(view): (running[OWN], played[view]) for view in VIEWS}
        entrants |= {name: (running[name], played["full"]) for name in (ECHO, BARE)}
        for number in CONNECTIONS:
            runs = costs(entrants, number, ws=True, runs=RUNS, seconds=SECONDS)
            for name in entrants:
                found.setdefault(name, {})[str(number)] = {
                    "us/step": statistics.median(run[name].steps.micros for run in runs),
                    "steps/s": statistics.median(run[name].steps.rate for run in runs),
                }
    return found


def by_step(task: Task[Any], level: int) -> list[float]:
    """Microseconds of a step with its answer, for every `STEPS` steps of a budget, medians over episodes.

    The expert's calls in turn, without the last, until the budget is used up: most of them do something once
    and nothing when made again, as in episodes that run long.
    """
    variant = Variant(level)
    spent: list[list[float]] = []
    for seed in range(EPISODES):
        *calls, _finish = (turn.call for turn in play(task, "train", seed, "expert", variant=variant).turns)
        episode: Episode[Any] = Episode(task, "train", seed, variant=variant)
        answer_json(episode)
        row = []
        for _number, call in zip(range(episode.max_steps - 1), cycle(calls), strict=False):
            begin = time.process_time_ns()
            episode.step(call)
            answer_json(episode)
            row.append((time.process_time_ns() - begin) / 1e3)
        spent.append(row)
    middle = [statistics.median(costs) for costs in zip(*spent, strict=True)]
    return [statistics.mean(middle[first : first + STEPS]) for first in range(0, len(middle), STEPS)]


def measured() -> dict[str, Any]:
    """All figures."""
    steps = {name: {str(level): by_step(get_task(name), level) for level in LEVELS} for name in OFFICIAL}
    return {
        **conditions(),
        "runs": RUNS,
        "connections": by_connections(),
        "steps": steps,
        "steps per point": STEPS,
    }


def main(arguments: list[str]) -> int:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args(arguments)
    lift_limits()
    found = measured()
    for name, rows in found["connections"].items():
        show(f"{name}, by WebSocket connections", rows)
    for name, levels in found["steps"].items():
        rows = {f"level {level}": {"us/step": statistics.mean(costs)} for level, costs in levels.items()}
        show(f"{name}, a step with its answer", rows)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
