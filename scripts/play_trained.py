"""Plays the official suite with trained small policies, one network per task, and reports it.

    python -m scripts.play_trained --seed 0
    safeact verify runs/suite_v2/q_learning_0

Each task is played by the network that `scripts.train_q` kept for it with this seed: always the call that it
holds to be best. The report is that of a program, and takes the place of one that is there. Networks of
another level, with names as the only clue, or of a curriculum, are another player, whose name says so.

Exit code 0: reported. 2: a network is missing or another run's, or the folder cannot be written; a message
says what to do.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from safeact_env.core.variant import DEFAULT, LEVELS
from safeact_env.evaluation import Agent, Player, record_of, run_suite
from safeact_env.evaluation.record import Key
from safeact_env.evaluation.suite import V2
from safeact_env.integrations.encoding import CLUES, Clues, Encoder
from safeact_env.tasks import get_task
from scripts.train_q import Q_LEARNING
from scripts.training.learner import Learner
from scripts.training.runs import ROOT, WEIGHTS, Run, learner_of, play_all


def player(name: str, clues: Clues, learners: dict[str, Learner[Any]]) -> Player:
    """A player of a suite.

    Args:
        name: In the records.
        clues: What tells look-alikes apart.
        learners: Who plays, by task.
    """

    def play(key: Key) -> dict[str, Any]:
        encoder = Encoder(get_task(key.task), clues, key.variant)
        (episode,) = play_all(learners[key.task].best, encoder, key.split, [key.seed])
        return record_of(episode, name, key.attempt)

    return play


def name_of(run: Run) -> str:
    """The player's name, from one of its runs: what is not the default stands in it."""
    span = "" if run.span == f"{DEFAULT.level}" else f"_l{run.span}"
    clues = "" if run.clues == "runbooks" else f"_{run.clues}"
    return f"q_learning{clues}{span}_{run.seed}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play and report; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of the training runs (default: 0)")
    parser.add_argument("--level", type=int, choices=LEVELS, default=DEFAULT.level, help="they trained on")
    parser.add_argument("--clues", choices=CLUES, default="runbooks", help="they were given")
    parser.add_argument("--curriculum", action="store_true", help="whether it took them there")
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, help="folder of the networks (default: runs/training)"
    )
    parser.add_argument("--out", type=Path, help="default: runs/suite_v2/q_learning_SEED")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    runs = [
        Run(Q_LEARNING.name, task, options.seed, options.clues, options.level, options.curriculum)
        for task in V2.tasks
    ]
    name = name_of(runs[0])
    again = f"--seeds {options.seed} --level {options.level} --clues {options.clues}"
    again += f"{' --curriculum' if options.curriculum else ''} --again"
    try:
        learners = {run.task: learner_of(run, Q_LEARNING, options.weights) for run in runs}
        settings = {
            "clues": options.clues,
            "trained_on_level": options.level,
            **({"curriculum": True} if options.curriculum else {}),
            "networks": {task: asdict(one.config) for task, one in learners.items()},
        }
        run_suite(
            V2,
            player(name, options.clues, learners),
            options.out or ROOT / "runs" / "suite_v2" / name,
            Agent(name=name, kind="program", settings=settings),
            resume=False,
        )
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        # Logs of recorded runs are there without their networks.
        advice = f"`make train ARGS='{again}'` trains it, whether or not its log is there"
        print(f"{options.weights} has no {missing}; {advice}.", file=sys.stderr)
        return 2
    except ValueError as error:  # of the networks, the report or its file
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
