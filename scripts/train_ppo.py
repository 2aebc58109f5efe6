"""Trains a small policy on each task by PPO from its reward alone, and records its play.

`--clues names` is the ablation in which only their names tell look-alikes apart.
Needs torch and the extra `gymnasium`; `make train-ppo` installs them.
"""

import sys

from scripts.train_q import STEPS
from scripts.training.ppo import Config, Learner
from scripts.training.runs import Algorithm, main

PPO = Algorithm("ppo", Learner, Config(), STEPS)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], PPO, __doc__))
