"""Trains a small policy on each task by PPO from its reward alone, and records how it plays.

`--clues names` is the ablation in which look-alikes can be told apart by their names alone.
It needs torch and the extra `gymnasium`; `make train-ppo` makes an environment for it.
"""

from __future__ import annotations

import sys

from scripts.train_q import STEPS
from scripts.training.ppo import Config, Learner
from scripts.training.runs import Algorithm, main

__all__ = ["PPO"]

PPO = Algorithm("ppo", Learner, Config(), STEPS)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], PPO, __doc__))
