"""Proximal policy optimisation over a grid of calls: one small network, one file, torch.

The network scores every cell of a task's menu. The rows of a menu are read by the same weights and see each
other only through what all of them have in common (their mean and maximum), so that neither the order of the
rows nor their number matters. Owns network and algorithm; must not know tasks, files or how a run is logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor, nn
from torch.distributions import Categorical

from safeact_env.integrations.gymnasium import SafeActVectorEnv
from safeact_env.integrations.menu import CALL

__all__ = ["Batch", "Config", "Learner", "Scorer", "prior"]

IMPOSSIBLE = -1e9
TINY = 1e-20


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a training run.

    Attributes:
        steps: Calls played in training, in all.
        envs: Episodes at once.
        horizon: Calls of each episode between two updates.
        epochs: Passes over what was played.
        minibatches: Parts of each pass.
        lr: Learning rate at the start; it falls to a tenth, linearly.
        gamma: Discount of training. Evaluations do not discount.
        lam: Of the generalised advantage estimate.
        clip: Of the probability ratio.
        entropy: Weight of the entropy at the start; it falls to a tenth, linearly.
        explore: Share of the prior in the policy at the start; it falls to 0 over four fifths of the run.
        value: Weight of the value loss.
        grad: Largest norm of a gradient.
        hidden: Width of the network.
    """

    steps: int = 200_000
    envs: int = 64
    horizon: int = 32
    epochs: int = 4
    minibatches: int = 4
    lr: float = 2e-3
    gamma: float = 0.95
    lam: float = 0.9
    clip: float = 0.2
    entropy: float = 0.01
    explore: float = 0.1
    value: float = 0.5
    grad: float = 0.5
    hidden: int = 64


def prior(mask: Tensor, columns: Sequence[str]) -> Tensor:
    """Chances (batch, rows, columns) of one who draws an action's name and then one of its calls.

    That is how the reference policy `random` draws. The questions are one name, and so are the runbooks.
    """
    there = mask.float()
    asks = torch.tensor([name == "ask" or name.startswith("ask ") for name in columns])
    per_column = there.sum(1, keepdim=True)
    sizes = torch.where(asks, per_column[..., asks].sum(-1, keepdim=True), per_column)
    # In the first column each row is an action of its own.
    sizes[..., CALL] = 1
    chances = there / sizes.clamp(min=1)
    return chances / chances.sum((1, 2), keepdim=True)


class Scorer(nn.Module):
    """Scores calls and estimates what is still to be earned.

    It never hands a job over: as long as most calls are mistakes, to finish at once is the best that a
    learner can find. An episode ends when the job is complete, by a mistake, or with the budget.

    Args:
        row: Names of the features of a row.
        job: Names of the features of the job.
        columns: Names of the columns.
        hidden: Width.
    """

    def __init__(self, row: Sequence[str], job: Sequence[str], columns: Sequence[str], hidden: int) -> None:
        super().__init__()
        self.columns, self.finish = tuple(columns), row.index("action finish")
        self.row, self.job = nn.Linear(len(row), hidden), nn.Linear(len(job), hidden)
        self.again = nn.Linear(hidden, hidden)
        self.common = nn.Linear(2 * hidden, hidden)
        self.score = nn.Linear(hidden, len(columns))
        self.worth = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        with torch.no_grad():
            self.score.weight *= 0.1

    def forward(self, rows: Tensor, job: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, priors (both (batch, rows * columns)) and values (batch,).

        A score is added to the logarithm of the prior, so that an untrained network draws by the prior.
        """
        there = rows[..., :1]
        seen = torch.relu(self.row(rows) + self.job(job).unsqueeze(1)) * there
        pooled = torch.cat([seen.sum(1) / there.sum(1), seen.amax(1)], 1)
        both = torch.relu(self.again(seen) + self.common(pooled).unsqueeze(1))
        cells = mask.unflatten(1, (rows.shape[1], len(self.columns))).clone()
        cells[..., CALL] *= rows[..., self.finish] == 0
        mask, before = cells.flatten(1), prior(cells, self.columns).flatten(1)
        scores = self.score(both).flatten(1) + (before + TINY).log()
        return scores.masked_fill(mask == 0, IMPOSSIBLE), before, self.worth(pooled).squeeze(1)

    def policy(self, rows: Tensor, job: Tensor, mask: Tensor, explore: float) -> tuple[Categorical, Tensor]:
        """The policy, a share of it drawn by the prior, and the values."""
        scores, before, values = self(rows, job, mask)
        chances = (1 - explore) * scores.softmax(1) + explore * before
        return Categorical(probs=chances, validate_args=False), values


class Batch(NamedTuple):
    """What was played, (calls, ...)."""

    rows: Tensor
    job: Tensor
    mask: Tensor
    action: Tensor
    logp: Tensor
    advantage: Tensor
    target: Tensor


class Learner:
    """Plays and learns.

    Args:
        env: Episodes, restarted in the step in which they end.
        config: Settings.
        seed: Of the weights, the draws and the scenarios.
    """

    def __init__(self, env: SafeActVectorEnv, config: Config, seed: int) -> None:
        if env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError("the environment has to restart episodes in the step in which they end")
        torch.manual_seed(seed)
        self.env, self.config = env, config
        encoder = env.encoder
        features = encoder.row_features, encoder.job_features
        self.net = Scorer(*features, encoder.grid.columns, config.hidden)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.lr, eps=1e-5)
        # Far from the seeds of evaluations, and apart for each run.
        self.seen, info = env.reset(seed=1_000_000 * (seed + 1))
        self.mask = info["action_mask"]
        self.played, self.explore = 0, config.explore
        self.ended: list[tuple[float, str]] = []

    def updates(self) -> Iterator[int]:
        """Play and learn in turns; yields the number of calls played after each update."""
        size = self.config.envs * self.config.horizon
        while self.played < self.config.steps:
            left = 1 - self.played / self.config.steps
            self.explore = self.config.explore * max(0.0, 1 - self.played / (0.8 * self.config.steps))
            self._learn(self._play(), 0.1 + 0.9 * left)
            self.played += size
            yield self.played

    def _play(self) -> Batch:
        config, rows, kept, ends = self.config, [], [], []
        for _ in range(config.horizon):
            seen = _tensors(self.seen, self.mask)
            with torch.no_grad():
                drawn, values = self.net.policy(*seen, self.explore)
                action = drawn.sample()
            # The budget is part of the job, and shown: what it cuts off is worth nothing.
            rows.append((*seen, action, drawn.log_prob(action), values))
            self.seen, reward, terminated, truncated, info = self.env.step(action.numpy())
            self.mask = info["action_mask"]
            kept.append(torch.tensor(reward, dtype=torch.float32))
            ends.append(torch.tensor(terminated | truncated))
            self._note(info, terminated | truncated)
        return self._batch(rows, kept, ends)

    def _note(self, info: dict[str, Any], over: Any) -> None:
        if over.any():
            final = info["final_info"]
            self.ended += [(float(final["score"][i]), str(final["outcome"][i])) for i in np.flatnonzero(over)]

    def _batch(self, rows: list[Any], rewards: list[Tensor], ends: list[Tensor]) -> Batch:
        with torch.no_grad():
            after = self.net(*_tensors(self.seen, self.mask))[2]
        values = torch.stack([row[5] for row in rows])
        gains, gain = torch.zeros_like(values), torch.zeros_like(after)
        for t in reversed(range(len(rows))):
            goes_on = 1 - ends[t].float()
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
        drawn, values = self.net.policy(part.rows, part.job, part.mask, self.explore)
        ratio = (drawn.log_prob(part.action) - part.logp).exp()
        gain = (part.advantage - part.advantage.mean()) / (part.advantage.std() + 1e-8)
        policy = -torch.min(ratio * gain, ratio.clamp(1 - config.clip, 1 + config.clip) * gain).mean()
        worth = 0.5 * (values - part.target).pow(2).mean()
        return policy + config.value * worth - entropy * drawn.entropy().mean()


def _tensors(seen: dict[str, Any], mask: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.from_numpy(seen["rows"]), torch.from_numpy(seen["job"]), torch.from_numpy(mask)
