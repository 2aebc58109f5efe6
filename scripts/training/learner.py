"""The base of the learners of small policies: a vector of training episodes, a network, and counts.

Owns playing. Must not know how a learner updates its network, nor how a run is logged.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safeact_env.core.variant import DEFAULT
from safeact_env.integrations.curriculum import Curriculum
from safeact_env.integrations.encoding import Clues
from safeact_env.integrations.gymnasium import SafeActVectorEnv
from safeact_env.integrations.shaping import UNSHAPED, Shaping
from scripts.training.network import Network, Seen, log_prior, seen_in


class Ended(NamedTuple):
    """A finished training episode: grade, outcome and sum of its rewards."""

    score: float
    outcome: str
    total: float


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a training run.

    Attributes:
        steps: Calls in the whole training.
        envs: Episodes in parallel.
        lr: Learning rate at the start; it falls linearly to a tenth.
        gamma: Discount of training. Evaluations do not discount.
        grad: Largest norm of a gradient.
        hidden: Width of the network.
        mistake: What a mistake pays in the training, in [-1, 0].
        idle: What doing nothing pays in the training, in [-1, 0].
    """

    steps: int = 300_000
    envs: int = 64
    lr: float = 1e-3
    gamma: float = 0.9
    grad: float = 5.0
    hidden: int = 64
    mistake: float = UNSHAPED.mistake
    idle: float = UNSHAPED.idle


S = TypeVar("S", bound=Settings)


class Learner(ABC, Generic[S]):
    """Plays and learns.

    Args:
        task: What is learned.
        clues: What tells look-alikes apart.
        config: Settings.
        seed: Of the weights, the random draws and the scenarios.
        levels: Of the scenarios; of several, a curriculum says which comes next.

    Attributes:
        encoder: Encodes observations of the last level.
        net: The network.
        seen: The current observations.
        played: Calls played so far.
        ended: Episodes that ended since the list was last emptied.
    """

    def __init__(
        self, task: str, clues: Clues, config: S, seed: int, levels: Sequence[int] = (DEFAULT.level,)
    ) -> None:
        torch.manual_seed(seed)
        # Half of them in full is much for episodes that explore.
        curriculum = Curriculum(levels, promote=0.5, demote=0.05)
        # A new episode starts in the step in which the last one ends.
        self.env = SafeActVectorEnv(config.envs, task, "train", clues, "SameStep", curriculum=curriculum)
        self.config, self.encoder = config, self.env.encoder
        self.net = Network(self.encoder, config.hidden)
        # Far from the seeds of evaluations, and different in each run.
        self.seen = seen_in(self.encoder, *self.env.reset(seed=1_000_000 * (seed + 1)))
        self.played = 0
        self.ended: list[Ended] = []
        self._shaping = Shaping(config.mistake, config.idle)
        self._best = np.zeros(config.envs)

    @abstractmethod
    def updates(self) -> Iterator[int]:
        """Play and learn in turns; yields the number of calls played after each update."""

    @abstractmethod
    def best(self, seen: Seen) -> Tensor:
        """The call in each episode that it believes is best, (batch,)."""

    @abstractmethod
    def drawn(self, seen: Seen) -> Tensor:
        """A call in each episode, drawn as it plays to find out, (batch,)."""

    def make(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """Make a call in each episode; the rewards, and 1 where the episode is over, each (batch,).

        The budget is part of the job and shown, so running out of it ends an episode like any other outcome.
        """
        observation, reward, terminated, truncated, info = self.env.step(action.numpy())
        self.seen = seen_in(self.encoder, observation, info)
        over = terminated | truncated
        self._best = np.maximum(self._best, reward)
        for at in np.flatnonzero(over):
            reward[at] += self._shaping.extra(str(info["final_info"]["outcome"][at]), self._best[at])
        self._best[over] = 0.0
        self.ended += _ended_in(info, over)
        return torch.from_numpy(reward).float(), torch.from_numpy(over).float()

    def log_prior(self, seen: Seen) -> Tensor:
        """Log-probabilities of a blind draw, (batch, rows * columns)."""
        return log_prior(seen.mask, self.encoder.grid.columns)


def _ended_in(info: dict[str, Any], over: NDArray[np.bool_]) -> list[Ended]:
    """The episodes that ended in this step."""
    if not over.any():
        return []
    final = info["final_info"]
    return [
        Ended(float(final["score"][at]), str(final["outcome"][at]), float(final["return"][at]))
        for at in np.flatnonzero(over)
    ]
