"""Runs the training of small policies, measures them on unseen scenarios, and logs.

Training plays the split `train` on one level. Every recorded figure is from the split `test`, which has other
names and wordings; at the end the policy plays the levels and framings of the suite as well. Each run writes
a log, a JSON line per evaluation, and its network's weights; a complete run is not repeated. Owns the runs,
their logs and weights. Must not know how a learner learns.
"""

import argparse
import gzip
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from safeact_env.core.episode import Episode
from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, LEVELS, Variant
from safeact_env.evaluation import parse_seeds
from safeact_env.evaluation.suite import V2
from safeact_env.integrations.encoding import CLUES, Clues, Encoded, Encoder
from safeact_env.integrations.shaping import UNSHAPED, Shaping
from safeact_env.tasks import OFFICIAL
from safeact_env.version import VERSION
from scripts.training.learner import Ended, Learner, Settings
from scripts.training.network import Seen, prior, seen_of
from tools.redteam.judging import most_of_harm

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "results" / "training"
WEIGHTS = ROOT / "runs" / "training"
POINTS = 12
"""Evaluations during a run."""
WHILE = range(60)
"""Their test scenarios."""
AT_END = range(1_000, 1_200)
"""The test scenarios of the last evaluation: others, so that no choice depends on them."""
CELL = range(1_000, 1_060)
"""Those on which a policy plays each level and framing of the suite at the end."""
GROUPS, GROUP = range(2_000, 2_016), 8
"""Training scenarios, and how often each is played by draws, to see how far the returns of one differ."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A training algorithm.

    Attributes:
        name: In logs and file names.
        learner: Makes a learner for a task, clues, settings, a seed and levels.
        settings: The defaults.
        steps: Calls in the whole training, by task.
    """

    name: str
    learner: Callable[[str, Clues, Any, int, Sequence[int]], Learner[Any]]
    settings: Settings
    steps: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Run:
    """One training run.

    Attributes:
        algorithm: Its name.
        task: Name of the task.
        seed: Of the weights, the random draws and the training scenarios.
        clues: What tells look-alikes apart.
        level: Of the scenarios that it trains on.
        curriculum: Whether it begins on level 1, and a curriculum takes it up to that level.
    """

    algorithm: str
    task: str
    seed: int
    clues: Clues
    level: int = DEFAULT.level
    curriculum: bool = False

    @property
    def levels(self) -> range:
        """The levels that it trains on, ascending."""
        return range(1 if self.curriculum else self.level, self.level + 1)

    @property
    def span(self) -> str:
        """Its levels, in file names and in what is printed."""
        return f"1-{self.level}" if self.curriculum else f"{self.level}"

    @property
    def name(self) -> str:
        """Its files' name."""
        return f"{self.algorithm}-{self.clues}-{self.task}-l{self.span}-{self.seed}"

    def path(self, out: Path) -> Path:
        """The file of its log."""
        return out / f"{self.name}.jsonl.gz"

    def weights(self, folder: Path) -> Path:
        """The file of its network's weights."""
        return folder / f"{self.name}.pt"


def play_all(
    choose: Callable[[Seen], Tensor], encoder: Encoder, split: Split, seeds: Sequence[int]
) -> list[Episode[Any]]:
    """Episodes of a policy, one per seed."""
    episodes: list[Episode[Any]] = [
        Episode(encoder.task, split, seed, variant=encoder.variant) for seed in seeds
    ]
    encoded: list[Encoded] = [encoder.encode(one.observation()) for one in episodes]
    while live := [number for number, one in enumerate(episodes) if not one.done]:
        actions = choose(seen_of(encoder, [encoded[number] for number in live]))
        for number, action in zip(live, actions.tolist(), strict=True):
            cell = divmod(action, len(encoder.grid.columns))
            episodes[number].step(encoded[number].menu.cells[cell].call())
            encoded[number] = encoder.encode(episodes[number].observation(), encoded[number])
    return episodes


def untrained(encoder: Encoder) -> Callable[[Seen], Tensor]:
    """A policy that draws by the prior."""
    return lambda seen: torch.multinomial(prior(seen.mask, encoder.grid.columns), 1).squeeze(1)


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


def of_training(ended: Sequence[Ended]) -> dict[str, float]:
    """Means over the training episodes since the last evaluation; `gap` is the largest return minus grade."""
    if not ended:
        return {"trained_on": 0}
    return {
        "trained_on": len(ended),
        "grade_in_training": round(float(np.mean([one.score for one in ended])), 6),
        "mistakes_in_training": round(
            float(np.mean([one.outcome == "irreversible_mistake" for one in ended])), 6
        ),
        # In whole ten-thousandths, like all rewards and grades.
        "gap": round(max(one.total - one.score for one in ended), 4) + 0.0,
    }


def train(run: Run, algorithm: Algorithm, settings: Settings, weights: Path) -> Iterator[dict[str, Any]]:
    """Train, keep the weights, and yield the log: settings, then evaluations, the last with every episode."""
    yield {"run": asdict(run), "config": asdict(settings), "versions": versions()}
    learner = algorithm.learner(run.task, run.clues, settings, run.seed, run.levels)
    encoder = learner.encoder
    started, due, before = time.monotonic(), 0.0, 0
    blind = untrained(encoder)
    # Its draws are of the training's stream: a run is repeated with this evaluation, or is another one.
    start = measured(play_all(blind, encoder, "test", WHILE))
    yield {"played": 0, **start, "groups": groups_by_level(blind, encoder)}
    for played in learner.updates():
        due += (played - before) * POINTS / settings.steps
        before = played
        if due >= 1 and played < settings.steps:
            due -= 1
            yield {"played": played, **evaluated(learner, WHILE)}
    seconds = time.monotonic() - started
    keep_weights(learner, run, run.weights(weights))
    last = play_all(learner.best, encoder, "test", AT_END)
    scores = [[one.grade().score, one.outcome, one.state.ledger.over_escalations] for one in last]
    found: dict[str, Any] = {**measured(last), **of_training(learner.ended)}
    cells = [{**asdict(variant), **carried_over(learner, variant)} for variant in V2.variants]
    found |= {"seconds": round(seconds), "level_in_training": learner.env.curriculum.level}
    found |= {"harmful": most_of_harm(last), "cells": cells}
    groups = groups_by_level(learner.drawn, encoder)
    yield {"played": before, **found, "groups": groups, "episodes": scores}


def keep_weights(learner: Learner[Any], run: Run, path: Path) -> None:
    """Write the weights of a network, with its run and settings, in one piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    found = {"run": asdict(run), "config": asdict(learner.config), "weights": learner.net.state_dict()}
    torch.save(found, half)
    half.replace(path)


def learner_of(run: Run, algorithm: Algorithm, folder: Path) -> Learner[Any]:
    """A learner with the weights that a run kept.

    Raises:
        FileNotFoundError: If the run kept none in this folder.
        ValueError: If the file is something else, or of another run.
    """
    path = run.weights(folder)
    try:
        found = torch.load(path, weights_only=True)
        whose, settings = found["run"], replace(algorithm.settings, **found["config"])
        weights = found["weights"]
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises anything
        raise ValueError(f"{path} is not the network of a run: {error}") from None
    if whose != asdict(run):
        raise ValueError(f"{path} is the network of another run, {Run(**whose).name}")
    learner = algorithm.learner(run.task, run.clues, settings, run.seed, run.levels)
    learner.net.load_state_dict(weights)
    return learner


def carried_over(learner: Learner[Any], variant: Variant) -> dict[str, float]:
    """The figures of a learner on test scenarios of another level or framing."""
    encoder = Encoder(learner.encoder.task, learner.encoder.clues, variant)
    return measured(play_all(learner.best, encoder, "test", CELL))


def groups_by_level(choose: Callable[[Seen], Tensor], encoder: Encoder) -> list[dict[str, Any]]:
    """What a trainer that compares rollouts of one scenario would see, on each level: see `groups`."""
    encoders = (Encoder(encoder.task, encoder.clues, Variant(level)) for level in encoder.task.levels)
    # What is drawn here must not change what the training draws.
    with torch.random.fork_rng():
        return [{"level": one.variant.level, **groups(choose, one)} for one in encoders]


def groups(choose: Callable[[Seen], Tensor], encoder: Encoder) -> dict[str, float | None]:
    """How returns differ within groups of rollouts of one scenario.

    Returns:
        The share of groups that were all paid alike, the mean standard deviation within a group, and the
        highest grade of a harmful final state; see `most_of_harm`.
    """
    seeds = [seed for seed in GROUPS for _ in range(GROUP)]
    episodes = play_all(choose, encoder, "train", seeds)
    totals = np.array([one.grade().total for one in episodes]).reshape(-1, GROUP)
    found = {"alike": np.ptp(totals, 1) == 0, "deviation": totals.std(1)}
    means = {name: round(float(values.mean()), 4) for name, values in found.items()}
    return {**means, "harmful": most_of_harm(episodes)}


def evaluated(learner: Learner[Any], seeds: Sequence[int]) -> dict[str, float]:
    """The figures of a learner on these test scenarios, and in training since the last evaluation."""
    found = measured(play_all(learner.best, learner.encoder, "test", seeds)) | of_training(learner.ended)
    learner.ended = []
    return {**found, "level_in_training": learner.env.curriculum.level}


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    return {
        "safeact-env": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "gymnasium": gymnasium.__version__,
    }


def record(run: Run, algorithm: Algorithm, settings: Settings, out: Path, weights: Path) -> None:
    """Train, keep the weights, and write the log in one piece."""
    lines = []
    for line in train(run, algorithm, settings, weights):
        lines.append(json.dumps(line))
        if "played" in line:
            named = ("played", "grade", "return", "mistakes", "over_escalations")
            shown = {name: line[name] for name in named}
            print(f"{run.algorithm} {run.clues} {run.task} level {run.span} {run.seed}: {shown}", flush=True)
    half = run.path(out).with_suffix(".part")
    half.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    half.replace(run.path(out))


def main(arguments: list[str], algorithm: Algorithm, about: str | None) -> int:
    """Train what is not yet recorded; return the exit code."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--task", action="append", choices=OFFICIAL, help="repeat for several (default: all)")
    parser.add_argument("--seeds", default="0-4", help="training runs per task (default: 0-4)")
    parser.add_argument("--clues", action="append", choices=CLUES, help="default: both")
    said = ", ".join(f"{task} {steps:,}" for task, steps in algorithm.steps.items())
    about_levels = f"level to train on; repeat for runs on several (default: {DEFAULT.level})"
    parser.add_argument("--level", action="append", type=int, choices=LEVELS, help=about_levels)
    about_it = "begin on level 1, and go up to the level as it is learned"
    parser.add_argument("--curriculum", action="store_true", help=about_it)
    parser.add_argument("--steps", type=int, help=f"calls (default: {said})")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="folder of the logs (default: results/training)"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=WEIGHTS,
        help="folder of the networks' weights (default: runs/training)",
    )
    for name, default in (("mistake", UNSHAPED.mistake), ("idle", UNSHAPED.idle)):
        about_it = f"what {name} pays in the training, -1 to 0 (default: {default})"
        parser.add_argument(f"--{name}-reward", type=float, default=default, help=about_it)
    parser.add_argument("--again", action="store_true", help="repeat runs that are recorded")
    options = parser.parse_args(arguments)
    if options.steps is not None and options.steps < 1:
        parser.error("--steps must be at least 1")
    if options.curriculum and min(options.level or [DEFAULT.level]) == 1:
        parser.error("--curriculum goes up to --level, which must be at least 2")
    try:
        seeds = parse_seeds(options.seeds)
        shaping = Shaping(options.mistake_reward, options.idle_reward)
    except ValueError as error:
        parser.error(f"{error}")
    for folder in (options.out, options.weights):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()
        except OSError as error:
            parser.error(f"{folder} cannot be written: {error.strerror}")
    # Small networks: several threads would mostly wait for each other.
    torch.set_num_threads(1)
    tasks, levels = options.task or OFFICIAL, options.level or [DEFAULT.level]
    for level, clues, seed, task in product(levels, options.clues or CLUES, seeds, tasks):
        run = Run(algorithm.name, task, seed, clues, level, options.curriculum)
        if run.path(options.out).exists() and not options.again:
            print(f"{run.path(options.out)} is there, whatever its settings; --again repeats it", flush=True)
            continue
        steps = algorithm.steps[task] if options.steps is None else options.steps
        settings = replace(algorithm.settings, steps=steps, **asdict(shaping))
        record(run, algorithm, settings, options.out, options.weights)
    return 0
