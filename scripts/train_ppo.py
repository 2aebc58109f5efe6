"""Trains a small policy on each task by PPO from its reward alone, and records how it plays unseen scenarios.

Training plays the split `train`; every figure recorded is from the split `test`, whose names and wordings are
others. Each run writes one file, a JSON line per evaluation; a run that is complete is not repeated.
`--clues names` is the ablation in which look-alikes can be told apart by their names alone.
It needs torch and the extra `gymnasium`; `make train-ppo` makes an environment for it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from safeact_env.core.episode import Episode
from safeact_env.core.task import Split
from safeact_env.evaluation import parse_seeds
from safeact_env.integrations.encoding import CLUES, Clues, Encoded, Encoder
from safeact_env.integrations.gymnasium import SafeActVectorEnv
from safeact_env.tasks import OFFICIAL
from safeact_env.version import VERSION
from scripts.ppo import Config, Learner, Scorer

__all__ = ["Run", "main", "play_all", "train"]

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "results" / "ppo"
POINTS = 12
"""Evaluations in the course of a run."""
WHILE = range(60)
"""Test scenarios of these."""
STEPS = Config().steps
AT_END = range(200)
"""Test scenarios of the last one."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run.

    Attributes:
        task: What is learned.
        seed: Of the weights, the draws and the training scenarios.
        clues: What tells look-alikes apart.
    """

    task: str
    seed: int
    clues: Clues

    def path(self, out: Path) -> Path:
        """Where its log is."""
        return out / f"{self.clues}-{self.task}-{self.seed}.jsonl.gz"


def play_all(
    net: Scorer, encoder: Encoder, split: Split, seeds: Sequence[int], *, drawn: bool = False
) -> list[Episode[Any]]:
    """Episodes of the network, one per seed: its best call each time, or one drawn by its policy."""
    episodes: list[Episode[Any]] = [Episode(encoder.task, split, seed) for seed in seeds]
    seen: list[Encoded] = [encoder.encode(one.observation()) for one in episodes]
    while live := [number for number, one in enumerate(episodes) if not one.done]:
        playing = [seen[number] for number in live]
        rows = torch.from_numpy(np.stack([one.rows for one in playing]))
        job = torch.from_numpy(np.stack([one.job for one in playing]))
        mask = torch.from_numpy(np.stack([one.mask.reshape(-1) for one in playing]))
        with torch.no_grad():
            policy, _values = net.policy(rows, job, mask, 0.0)
            actions = policy.sample() if drawn else policy.probs.argmax(1)
        for number, action in zip(live, actions.tolist(), strict=True):
            cell = divmod(action, len(encoder.grid.columns))
            episodes[number].step(seen[number].menu.cells[cell].call())
            seen[number] = encoder.encode(episodes[number].observation(), seen[number])
    return episodes


def measured(episodes: Sequence[Episode[Any]]) -> dict[str, float]:
    """Means over episodes."""
    grades = [episode.grade() for episode in episodes]
    found = {
        "grade": np.mean([grade.score for grade in grades]),
        "return": np.mean([grade.total for grade in grades]),
        "mistakes": np.mean([grade.outcome == "irreversible_mistake" for grade in grades]),
        "over_escalations": np.mean([one.state.ledger.over_escalations for one in episodes]),
        "safe_completion": np.mean([grade.score == 1 for grade in grades]),
        "steps": np.mean([grade.steps for grade in grades]),
    }
    return {name: round(float(value), 6) for name, value in found.items()}


def train(run: Run, config: Config) -> Iterator[dict[str, Any]]:
    """Train, and yield the lines of the log: what was run, evaluations, the last one with every episode."""
    yield {"run": asdict(run), "config": asdict(config), "versions": versions()}
    env = SafeActVectorEnv(config.envs, run.task, "train", run.clues, "SameStep")
    learner = Learner(env, config, run.seed)
    started, due = time.monotonic(), 0.0
    # Untrained, the best call is as good as any other: the policy draws by its prior.
    yield {"played": 0, **measured(play_all(learner.net, env.encoder, "test", WHILE, drawn=True))}
    for played in learner.updates():
        due += config.envs * config.horizon * POINTS / config.steps
        if due >= 1 and played < config.steps:
            due -= 1
            yield {"played": played, **measured(play_all(learner.net, env.encoder, "test", WHILE))}
    seconds = time.monotonic() - started
    last = play_all(learner.net, env.encoder, "test", AT_END)
    scores = [[one.grade().score, one.outcome, one.state.ledger.over_escalations] for one in last]
    yield {"played": learner.played, **measured(last), "seconds": round(seconds), "episodes": scores}


def versions() -> dict[str, str]:
    """Of everything that a result may depend on."""
    return {
        "safeact-env": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "gymnasium": gymnasium.__version__,
    }


def record(run: Run, config: Config, out: Path) -> None:
    """Train and write the log, whole or not at all; it comes out the same in size and order each time."""
    lines = []
    for line in train(run, config):
        lines.append(json.dumps(line))
        if "played" in line:
            shown = {
                name: line[name] for name in ("played", "grade", "return", "mistakes", "over_escalations")
            }
            print(f"{run.clues} {run.task} {run.seed}: {shown}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    half = run.path(out).with_suffix(".part")
    half.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    half.replace(run.path(out))


def main(arguments: list[str]) -> int:
    """Train what is asked for and not yet recorded; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", action="append", choices=OFFICIAL, help="repeat for several (default: all)")
    parser.add_argument("--seeds", default="0-4", help="training runs per task (default: 0-4)")
    parser.add_argument("--clues", action="append", choices=CLUES, help="default: both")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"calls (default: {STEPS})")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the logs (default: results/ppo)")
    parser.add_argument("--again", action="store_true", help="repeat runs that are recorded")
    options = parser.parse_args(arguments)
    try:
        seeds, config = parse_seeds(options.seeds), Config(steps=options.steps)
    except ValueError as error:
        parser.error(f"{error}")
    # Small networks: several threads wait for each other more than they work.
    torch.set_num_threads(1)
    for clues in options.clues or CLUES:
        for seed in seeds:
            for task in options.task or OFFICIAL:
                run = Run(task, seed, clues)
                if options.again or not run.path(options.out).exists():
                    record(run, config, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
