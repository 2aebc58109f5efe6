"""Measures the engine in process, without a server: steps and resets per second of processor time.

Run as a file it prints the means over the tasks. This works in an environment with version 1.0.0 as well,
which keeps `answer_json` elsewhere, so that both can be measured in turn.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import Task
from safeact_env.policies.reference import play
from safeact_env.tasks import OFFICIAL, get_task

_home = "responses" if find_spec("safeact_env.server.responses") else "views"
answer_json: Callable[[Episode[Any]], bytes] = import_module(f"safeact_env.server.{_home}").answer_json
RUNS = 5
COSTS = ("step with its answer", "step alone", "start of an episode")


def episodes_of(task: Task[Any], number: int) -> list[list[Call]]:
    """The calls of the expert and of a random policy, which together exercise every rule."""
    return [
        [turn.call for turn in play(task, "train", seed, policy).turns]
        for seed in range(number)
        for policy in ("expert", "random")
    ]


def steps_per_second(task: Task[Any], recorded: list[list[Call]], *, observe: bool) -> float:
    """Steps per second of processor time, replaying recorded episodes, resets not counted.

    Args:
        task: The task.
        recorded: The calls of its episodes.
        observe: Whether each answer is made, as the bytes that a server sends.
    """
    spent, steps = 0.0, 0
    for number, calls in enumerate(recorded):
        episode: Episode[Any] = Episode(task, "train", number // 2)
        begin = time.process_time()
        for call in calls:
            episode.step(call)
            if observe:
                answer_json(episode)
        spent += time.process_time() - begin
        steps += len(calls)
    return steps / spent


def reset_ms(task: Task[Any], number: int) -> float:
    """Milliseconds per reset with its answer."""
    begin = time.process_time()
    for seed in range(number):
        answer_json(Episode(task, "train", seed))
    return (time.process_time() - begin) / number * 1_000


def late_against_early(task: Task[Any]) -> float:
    """Cost of the last step of a full budget, with its answer, against the first one."""
    call = Call("read_runbook", {"action_name": "finish"}, "bench")
    first, last = [], []
    for seed in range(60):
        episode: Episode[Any] = Episode(task, "train", seed)
        for number in range(task.max_steps - 1):
            begin = time.process_time()
            episode.step(call)
            answer_json(episode)
            spent = time.process_time() - begin
            if number == 0:
                first.append(spent)
        last.append(spent)
    return statistics.median(last) / statistics.median(first)


def in_process() -> dict[str, dict[str, float]]:
    """The in-process figures by task, medians of several runs."""
    found = {}
    for name in OFFICIAL:
        task = get_task(name)
        recorded = episodes_of(task, 30)
        runs = range(RUNS)
        found[name] = {
            "steps/s with answer": statistics.median(
                steps_per_second(task, recorded, observe=True) for _ in runs
            ),
            "steps/s without": statistics.median(
                steps_per_second(task, recorded, observe=False) for _ in runs
            ),
            "reset ms": statistics.median(reset_ms(task, 200) for _ in runs),
            "late/early step": late_against_early(task),
        }
    heads = list(next(iter(found.values())))
    found["mean"] = {head: statistics.mean(found[name][head] for name in OFFICIAL) for head in heads}
    return found


def means() -> dict[str, float]:
    """Microseconds of processor time, means over the tasks, each the least of some runs."""
    found = []
    for name in OFFICIAL:
        task = get_task(name)
        recorded = episodes_of(task, 15)
        runs = [
            (
                1e6 / steps_per_second(task, recorded, observe=True),
                1e6 / steps_per_second(task, recorded, observe=False),
                1e3 * reset_ms(task, 100),
            )
            for _ in range(3)
        ]
        found.append([min(values) for values in zip(*runs, strict=True)])
    return dict(zip(COSTS, map(statistics.mean, zip(*found, strict=True)), strict=True))


def against_release(python: str) -> dict[str, float]:
    """How many times as fast this version is as the one of another interpreter, medians of paired runs."""

    def run(interpreter: str) -> dict[str, float]:
        done = subprocess.run([interpreter, __file__], stdout=subprocess.PIPE, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    pairs = [(run(python), run(sys.executable)) for _ in range(RUNS)]
    return {what: statistics.median(old[what] / new[what] for old, new in pairs) for what in pairs[0][0]}


if __name__ == "__main__":
    print(json.dumps(means()))
