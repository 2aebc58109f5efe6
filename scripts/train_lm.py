"""Trains a small language model that reads, from nothing: on chats of the expert, then from reward alone.

    python -m scripts.train_lm --steps 2 --evaluate 0-1 --reward-steps 1 --group 2 --out runs/lm/try
    make train-lm

Chats and rollouts are of the split `train`, and the tokenizer is trained on the chats. After the chats, and
again after the reward stage, the model plays (the likeliest token each time): unseen scenarios of `train`, in
words it knows, and of `test`, in words that it has never seen, by level and by framing. OUT/log.jsonl has
the settings and a line per some steps, OUT/chats.jsonl and OUT/reward.jsonl the episodes, OUT/model.pt and
OUT/tokenizer.json the model. A run that was interrupted goes on from its last checkpoint when it is started
again with the same options; the share of drills may then be another one, and so may the number of updates of
a stage, until the next stage has begun. What has gone on is measured again.

Exit code 0: trained. 2: options, installed packages or the folder do not allow it; a message says why.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from math import isfinite
from pathlib import Path

from safeact_env.core.variant import FRAMINGS, Variant
from safeact_env.evaluation import parse_seeds
from safeact_env.tasks import get_task, task_names
from scripts.training.lm_chats import LEVELS, PER_RUN, REASONS, UNSEEN

NEEDED = ("torch", "transformers", "tokenizers")


class Refused(Exception):
    """The run is not possible; the message says what to do."""


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--task", action="append", choices=task_names(), help="repeat for several (default: easy)")
    add("--level", action="append", type=int, choices=LEVELS, help="of chats, 1 to 3; repeat (default: 1)")
    add("--framing", action="append", choices=FRAMINGS, help="of chats; repeat (default: rules)")
    add("--seed", type=int, default=0, help="of weights, scenarios and draws, 0 to 9")
    add("--width", type=int, default=128, help="of the model, a multiple of 32")
    add("--layers", type=int, default=4, help="of the model, at least 2")
    add("--vocabulary", type=int, default=1024, help="tokens, at least 300")
    add("--copies", type=int, default=250, help="updates on random tokens to copy, before the chats")
    add("--steps", type=int, default=800, help="updates on chats")
    add("--batch", type=int, default=4, help="chats per update")
    add("--learning-rate", type=float, default=2e-3, help="its peak")
    add("--drills", type=float, default=0.25, help="share of chats that hold only the upkeep, 0 to 1")
    add("--reasons", choices=REASONS, default="clause", help="after a runbook: the expert's, or what decides")
    add("--renamed", type=float, default=0.7, help="share of chats with made-up names, 0 to 1")
    add("--others", type=float, default=0.5, help="weight of the loss on tokens of the rest, 0 to 1")
    add("--reward-steps", type=int, default=16, help="updates from reward; 0 for none")
    add("--group", type=int, default=8, help="rollouts per scenario and update")
    add("--reward-learning-rate", type=float, default=1e-4)
    add("--evaluate", metavar="SEEDS", default="0-19", help="scenarios of each cell that is measured")
    add("--log-every", type=int, default=20, help="updates per line of the log and checkpoint")
    add("--out", type=Path, default=Path("runs/lm/0"))
    options = parser.parse_args(arguments)
    # What is left out and what is said are the same run.
    defaults = {"task": ["easy"], "level": [1], "framing": ["rules"]}
    for name, default in defaults.items():
        setattr(options, name, getattr(options, name) or default)
    return options


def checked(options: argparse.Namespace) -> tuple[tuple[Variant, ...], tuple[int, ...]]:
    """Check the options before anything is loaded; the variants to train on and the seeds to measure on."""
    for name, least, most in (
        ("seed", 0, UNSEEN // PER_RUN - 1),
        ("width", 32, 1_024),
        ("layers", 2, 24),
        ("vocabulary", 300, 65_536),
        ("copies", 0, 100_000),
        ("steps", 1, 100_000),
        ("batch", 1, 64),
        ("drills", 0, 1),
        ("renamed", 0, 1),
        ("others", 0, 1),
        ("reward_steps", 0, 100_000),
        ("group", 2, 64),
        ("log_every", 1, 100_000),
    ):
        if not least <= getattr(options, name) <= most:
            raise Refused(f"--{name.replace('_', '-')} must be from {least} to {most}.")
    if options.width % 32:
        raise Refused("--width must be a multiple of 32, the width of a head.")
    if not all(one > 0 and isfinite(one) for one in (options.learning_rate, options.reward_learning_rate)):
        raise Refused("--learning-rate and --reward-learning-rate must be finite and above 0.")
    if options.steps * options.batch > PER_RUN:
        raise Refused(f"--steps times --batch must be at most {PER_RUN}: each chat is another scenario.")
    variants = tuple(Variant(*one) for one in product(options.level, options.framing))
    for task, variant in product(options.task, variants):
        try:
            get_task(task).level(variant)
        except ValueError as error:
            raise Refused(f"{error}.") from None
    try:
        seeds = parse_seeds(options.evaluate)
    except ValueError as error:
        raise Refused(f"--evaluate: {error}.") from None
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise Refused(f"{', '.join(missing)} not installed; `make train-lm` installs what it needs.")
    return variants, seeds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; return the exit code."""
    options = parsed(arguments)
    try:
        variants, seeds = checked(options)
        from scripts.training.lm_run import CannotGoOn, Training

        try:
            Training(options, variants, seeds).run()
        except CannotGoOn as error:
            raise Refused(str(error)) from None
    except (Refused, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
