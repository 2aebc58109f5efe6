"""Measures the Gymnasium form against the engine alone: the same calls, by processor time.

The episodes are random well-formed calls; their starts count.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.integrations.gymnasium import SafeActGymEnv, SafeActVectorEnv

RUNS = 5
EPISODES, COPIES, STEPS = 30, 64, 20
"""Episodes of a single environment; copies in a vector, and the steps that each takes."""


def seconds(work: Callable[[], object]) -> float:
    """Processor time of some work."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def recorded(env: SafeActGymEnv) -> list[tuple[list[int], list[Call]]]:
    """The actions and the calls of an episode of each seed, drawn from the mask."""
    rng, found = np.random.default_rng(0), []
    for seed in range(EPISODES):
        _seen, info = env.reset(seed=seed)
        actions: list[int] = []
        calls: list[Call] = []
        over = False
        while not over:
            actions.append(int(rng.choice(np.flatnonzero(info["action_mask"]))))
            call = env.call_of(actions[-1])
            assert call is not None
            calls.append(call)
            *_, terminated, truncated, info = env.step(actions[-1])
            over = terminated or truncated
        found.append((actions, calls))
    return found


def single(name: str) -> tuple[float, float]:
    """The rate of one environment as a share of the engine's, and microseconds of a step of the engine."""
    env = SafeActGymEnv(name)
    games = recorded(env)

    def alone() -> None:
        for seed, (_actions, calls) in enumerate(games):
            episode: Episode[Any] = Episode(env.encoder.task, "train", seed, variant=env.encoder.variant)
            for call in calls:
                episode.step(call)

    def learner() -> None:
        for seed, (actions, _calls) in enumerate(games):
            env.reset(seed=seed)
            for action in actions:
                env.step(action)

    pairs = [(seconds(alone), seconds(learner)) for _ in range(RUNS)]
    steps = sum(len(calls) for _actions, calls in games)
    return statistics.median(a / b for a, b in pairs), statistics.median(a for a, _ in pairs) / steps * 1e6


def vector(name: str) -> float:
    """Microseconds of a step of each copy in a vector."""
    copies, rng = SafeActVectorEnv(COPIES, name), np.random.default_rng(0)
    _seen, info = copies.reset(seed=0)
    spent = []
    for _ in range(RUNS):
        begin, drawing = time.process_time(), 0.0
        for _ in range(STEPS):
            before = time.process_time()
            actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in info["action_mask"]])
            drawing += time.process_time() - before
            *_, info = copies.step(actions)
        spent.append(time.process_time() - begin - drawing)
    return statistics.median(spent) / STEPS / COPIES * 1e6


def learners() -> dict[str, float]:
    """The rates as shares of the engine's, medians."""
    easy, engine = single("easy")
    hard, _ = single("hard")
    return {"easy": easy, "hard": hard, "easy, vector of 64": engine / vector("easy")}
