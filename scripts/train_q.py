"""Trains a small policy on each task by Q-learning from its reward alone, and records its play.

`--clues names` is the ablation in which only their names tell look-alikes apart.
Needs torch and the extra `gymnasium`; `make train` installs them.
"""

import sys

from scripts.training.q_learning import Config, Learner
from scripts.training.runs import Algorithm, main

STEPS = {"easy": 100_000, "medium": 100_000, "hard": 200_000, "medical": 100_000, "cloud_infra": 125_000}
Q_LEARNING = Algorithm("q", Learner, Config(), STEPS)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Q_LEARNING, __doc__))
