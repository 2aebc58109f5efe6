"""A small network over the menu of a task, and the prior of a blind draw from it.

The same weights read every row of a menu, and rows see each other only through their mean and maximum, so
that neither the order nor the number of the rows matters. Owns the network and its input. Must not know how
it is trained.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from safeact_env.integrations.action_menu import CALL
from safeact_env.integrations.encoding import Encoded, Encoder

IMPOSSIBLE = -1e9
"""The value of a call that is not offered."""
TINY = 1e-20


class Seen(NamedTuple):
    """The observations of several episodes.

    Attributes:
        rows: Features of the rows, (batch, rows, row features).
        job: Features of the jobs, (batch, job features).
        mask: 1 where a call can be chosen, (batch, rows * columns), int8.
    """

    rows: Tensor
    job: Tensor
    mask: Tensor


def _seen(encoder: Encoder, rows: Any, job: Any, mask: Any) -> Seen:
    """Observations as tensors, with `finish` masked out.

    While most calls are mistakes, finishing at once is the best policy that a learner finds. Without it an
    episode ends when the job is complete, by a mistake, or with the budget.
    """
    finish = rows[:, :, encoder.row_features.index("action finish")]
    mask = mask.reshape(*rows.shape[:2], -1).copy()
    mask[:, :, CALL] *= (finish == 0).astype(mask.dtype)
    flat = mask.reshape(len(mask), -1)
    return Seen(torch.from_numpy(rows), torch.from_numpy(job), torch.from_numpy(flat))


def seen_in(encoder: Encoder, observation: dict[str, Any], info: dict[str, Any]) -> Seen:
    """The observations of a vector of episodes."""
    return _seen(encoder, observation["rows"], observation["job"], info["action_mask"])


def seen_of(encoder: Encoder, encoded: Sequence[Encoded]) -> Seen:
    """The observations of episodes played one by one."""
    rows, job = (np.stack([getattr(one, name) for one in encoded]) for name in ("rows", "job"))
    return _seen(encoder, rows, job, np.stack([one.mask for one in encoded]))


def prior(mask: Tensor, columns: Sequence[str]) -> Tensor:
    """Probabilities (batch, rows * columns) of drawing an action's name and then one of its calls.

    The reference policy `random` draws like this. All questions count as one name, and so do all runbooks.
    """
    there = mask.unflatten(1, (-1, len(columns))).float()
    asks = torch.tensor([name == "ask" or name.startswith("ask ") for name in columns])
    per_column = there.sum(1, keepdim=True)
    sizes = torch.where(asks, per_column[..., asks].sum(-1, keepdim=True), per_column)
    # In the first column every row is another action.
    sizes[..., CALL] = 1
    chances = (there / sizes.clamp(min=1)).flatten(1)
    return chances / chances.sum(1, keepdim=True)


def log_prior(mask: Tensor, columns: Sequence[str]) -> Tensor:
    """The logarithm of `prior`, finite where a call is not offered."""
    return (prior(mask, columns) + TINY).log()


class Network(nn.Module):
    """A number for every cell of a menu, and one for the whole menu.

    Args:
        encoder: Encodes its input.
        hidden: Width.
    """

    def __init__(self, encoder: Encoder, hidden: int) -> None:
        super().__init__()
        features, columns = len(encoder.row_features), len(encoder.grid.columns)
        self.row, self.job = nn.Linear(features, hidden), nn.Linear(len(encoder.job_features), hidden)
        self.again, self.common = nn.Linear(hidden, hidden), nn.Linear(2 * hidden, hidden)
        self.norms = nn.ModuleList([nn.LayerNorm(hidden), nn.LayerNorm(hidden)])
        self.score, self.direct = nn.Linear(hidden, columns), nn.Linear(features, columns)
        self.whole = nn.Linear(hidden, 1)
        with torch.no_grad():
            for last in (self.score, self.direct, self.whole):
                last.weight *= 0.1

    def forward(self, rows: Tensor, job: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of the cells, (batch, rows * columns), and of the menus, (batch,)."""
        there = rows[..., :1]
        read = torch.relu(self.norms[0](self.row(rows) + self.job(job).unsqueeze(1))) * there
        common = self.common(torch.cat([read.sum(1) / there.sum(1), read.amax(1)], 1))
        again = torch.relu(self.norms[1](self.again(read) + common.unsqueeze(1)))
        cells = (self.score(again) + self.direct(rows)).flatten(1)
        return cells, self.whole(torch.relu(common)).squeeze(1)
