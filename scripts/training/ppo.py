"""Proximal policy optimisation over a grid of calls: one small network, one file, torch.

Source: Schulman et al., arXiv:1707.06347. Owns the algorithm. Must not know tasks, files or how a run is
logged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from safeact_env.core.variant import DEFAULT
from safeact_env.integrations.encoding import Clues
from scripts.training.learner import Learner as Base
from scripts.training.learner import Settings
from scripts.training.network import IMPOSSIBLE, Seen


@dataclass(frozen=True, slots=True)
class Config(Settings):
    """Settings of a training run.

    Attributes:
        horizon: Calls in each episode between two updates.
        epochs: Passes over a batch.
        minibatches: Parts of each pass.
        lam: Of the generalised advantage estimate.
        clip: Of the probability ratio.
        entropy: Weight of the entropy at the start; it falls linearly to a tenth.
        value: Weight of the value loss.
    """

    lr: float = 2e-3
    grad: float = 0.5
    horizon: int = 32
    epochs: int = 4
    minibatches: int = 4
    lam: float = 0.8
    clip: float = 0.2
    entropy: float = 0.05
    value: float = 0.5


class Batch(NamedTuple):
    """The calls between two updates, each field (calls, ...)."""

    rows: Tensor
    job: Tensor
    mask: Tensor
    action: Tensor
    logp: Tensor
    advantage: Tensor
    target: Tensor


class Learner(Base[Config]):
    """Learns by PPO."""

    def __init__(
        self, task: str, clues: Clues, config: Config, seed: int, levels: Sequence[int] = (DEFAULT.level,)
    ) -> None:
        super().__init__(task, clues, config, seed, levels)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.lr, eps=1e-5)

    def policy(self, seen: Seen) -> tuple[Categorical, Tensor]:
        """The policy and the values, (batch,).

        Scores are added to the log-prior, so that an untrained network draws by the prior.
        """
        cells, values = self.net(seen.rows, seen.job)
        scores = (cells + self.log_prior(seen)).masked_fill(seen.mask == 0, IMPOSSIBLE)
        return Categorical(logits=scores, validate_args=False), values

    def best(self, seen: Seen) -> Tensor:
        """The likeliest call in each episode, (batch,)."""
        with torch.no_grad():
            found: Tensor = self.policy(seen)[0].probs.argmax(1)
        return found

    def drawn(self, seen: Seen) -> Tensor:
        """A call in each episode, drawn from the policy, (batch,)."""
        with torch.no_grad():
            found: Tensor = self.policy(seen)[0].sample()
        return found

    def updates(self) -> Iterator[int]:
        """Play and learn in turns; yields the number of calls played after each update."""
        size = self.config.envs * self.config.horizon
        while self.played < self.config.steps:
            left = 1 - self.played / self.config.steps
            self._learn(self._play(), 0.1 + 0.9 * left)
            self.played += size
            yield self.played

    def _play(self) -> Batch:
        rows, kept, ends = [], [], []
        for _ in range(self.config.horizon):
            with torch.no_grad():
                drawn, values = self.policy(self.seen)
                action = drawn.sample()
            rows.append((*self.seen, action, drawn.log_prob(action), values))
            reward, over = self.make(action)
            kept.append(reward)
            ends.append(over)
        return self._batch(rows, kept, ends)

    def _batch(self, rows: list[Any], rewards: list[Tensor], ends: list[Tensor]) -> Batch:
        with torch.no_grad():
            after = self.policy(self.seen)[1]
        values = torch.stack([row[5] for row in rows])
        gains, gain = torch.zeros_like(values), torch.zeros_like(after)
        for t in reversed(range(len(rows))):
            goes_on = 1 - ends[t]
            delta = rewards[t] + self.config.gamma * after * goes_on - values[t]
            gain = delta + self.config.gamma * self.config.lam * goes_on * gain
            gains[t], after = gain, values[t]
        seen, job, mask, action, logp = (torch.cat([row[i] for row in rows]) for i in range(5))
        return Batch(seen, job, mask, action, logp, gains.flatten(), (gains + values).flatten())

    def _learn(self, batch: Batch, left: float) -> None:
        config = self.config
        self.optimizer.param_groups[0]["lr"] = config.lr * left
        for _ in range(config.epochs):
            for part in torch.randperm(len(batch.action)).chunk(config.minibatches):
                loss = self._loss(Batch(*(whole[part] for whole in batch)), config.entropy * left)
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.net.parameters(), config.grad)
                self.optimizer.step()

    def _loss(self, part: Batch, entropy: float) -> Tensor:
        config = self.config
        drawn, values = self.policy(Seen(part.rows, part.job, part.mask))
        ratio = (drawn.log_prob(part.action) - part.logp).exp()
        gain = (part.advantage - part.advantage.mean()) / (part.advantage.std() + 1e-8)
        policy = -torch.min(ratio * gain, ratio.clamp(1 - config.clip, 1 + config.clip) * gain).mean()
        worth = 0.5 * (values - part.target).pow(2).mean()
        return policy + config.value * worth - entropy * drawn.entropy().mean()
