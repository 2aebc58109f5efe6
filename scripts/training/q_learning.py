"""Q-learning over a grid of calls: double, with prioritised replay, and curious about new kinds of calls.

A learner finds out within minutes that most irreversible calls are bad. The rare case in which such a call is
right, with an approval in hand and after a look, is hard to find: by then the learner avoids the call. So a
call gets a bonus that falls with the number of times that its kind was made (the same action, after the same
answer, with or without an approval), and a small one for its kind in a context (such a row at such a stage of
the job).

Sources: double Q-learning, van Hasselt et al., arXiv:1509.06461; prioritised replay, Schaul et al.,
arXiv:1511.05952; gaps between calls (advantage learning), Bellemare et al., arXiv:1512.04860; bonuses of one
over the root of a count, of hashed states, Tang et al., arXiv:1611.04717; episodes that explore more and
less, Horgan et al., arXiv:1803.00933.

Owns the algorithm. Must not know tasks, files or how a run is logged.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.integrations.action_menu import ASK, CALL
from safeact_env.integrations.encoding import Clues, Encoder
from scripts.training.learner import Learner as Base
from scripts.training.learner import Settings
from scripts.training.network import IMPOSSIBLE, Network, Seen

ANSWERS = (0.0, -1.0, 0.5, 1.0)
"""Values of an answer's feature: none yet, refused, not needed, done or granted."""
PASSING = ("left", "hurry", "questions")
"""Features of the job that tell how long it has run."""
CONTEXTS = 1_024
UNSEEN = 0.01
"""Smallest priority of a remembered call, so that each can be drawn."""


@dataclass(frozen=True, slots=True)
class Config(Settings):
    """Settings of a training run.

    Attributes:
        updates: Updates after a call of each episode.
        batch: Remembered calls per update.
        memory: Calls remembered.
        start: Calls played before the first update.
        follow: Step of the target network towards the network, per update.
        alpha: Exponent of the errors in the priorities.
        beta: Exponent of the weights that correct for the priorities.
        explore: Share of exploring calls at the start, in the most curious episode.
        settled: The same from four fifths of the run on; it falls linearly until then.
        ladder: By how much the other episodes differ: their shares are powers of this one, up to 1 + ladder.
        late: Share of the episodes that explore from a drawn step on only, so that what is tried late in a
            job is tried where it has gone well so far.
        wild: Temperature of an exploring call, in units of reward.
        tame: Temperature of any other.
        bonus: Bonus of a kind of call that was made once, in units of reward.
        fresh: The same of a kind of call in a context: too little to dare the worst again.
        gap: Share of what a call is worth less than the best one that is taken from it once more. Errors in
            what calls are worth then hide less often which of them is best.
        scale: Rewards are learned times this.
    """

    updates: int = 2
    batch: int = 128
    memory: int = 50_000
    start: int = 2_000
    follow: float = 0.01
    alpha: float = 0.6
    beta: float = 0.4
    explore: float = 0.8
    settled: float = 0.4
    ladder: float = 3.0
    late: float = 0.5
    wild: float = 0.24
    tame: float = 0.01
    bonus: float = 6.0
    fresh: float = 1.0
    gap: float = 0.5
    scale: float = 10.0


class Kinds:
    """Counts calls by kind, and by kind and context.

    A kind is the action of the row, the column, the last answer to the call, and whether an approval for it
    is in hand. A context is which features of the job and of the row are above zero, hashed.
    """

    def __init__(self, encoder: Encoder) -> None:
        columns, features = encoder.grid.columns, encoder.row_features
        actions = [n for n, name in enumerate(features) if name.startswith("action ")]
        # Without an action of its own: a row of parameters, or a look-alike.
        self._action = slice(actions[0], features.index("look-alike") + 1)
        self._actions = len(actions) + 2
        self._answers = features.index(f"answer to {columns[0]}")
        self._approvals = features.index(f"approved: {columns[0]}")
        questions = {name: number for number, name in enumerate(columns)}
        # An approval is noted at the question that was answered with it.
        self._asked = [questions.get(f"ask {name}", number) for number, name in enumerate(columns)]
        self._asked[CALL] = ASK
        self._columns = torch.arange(len(columns))
        self._job = [n for n, name in enumerate(encoder.job_features) if name not in PASSING]
        # The features of a row beside its action and the answers to its calls.
        told = [
            *range(self._action.stop, self._answers),
            *range(self._approvals + len(columns), len(features)),
        ]
        self._row = torch.tensor(told)
        rng = np.random.default_rng(0)
        self._job_marks = torch.from_numpy(rng.integers(CONTEXTS, size=len(self._job)))
        self._row_marks = torch.from_numpy(rng.integers(CONTEXTS, size=len(told)))
        self.counts = torch.ones(self._actions * len(columns) * len(ANSWERS) * 2)
        self.in_context = torch.ones(CONTEXTS * len(self.counts))

    def of(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """The kind of every cell, and its kind in context, each (batch, rows * columns)."""
        rows, size = seen.rows, len(self._columns)
        answers = rows[..., self._answers : self._answers + size]
        approvals = rows[..., self._approvals : self._approvals + size][..., self._asked]
        answered = sum(number * (answers == answer).long() for number, answer in enumerate(ANSWERS))
        actions = rows[..., self._action]
        action = torch.where(actions.any(-1), actions.argmax(-1) + 1, 0).unsqueeze(-1)
        cell = action * size + self._columns
        kinds = (cell * len(ANSWERS) + answered) * 2 + (approvals > 0).long()
        of_job = ((seen.job[:, self._job] > 0).long() * self._job_marks).sum(-1)
        of_row = ((rows[..., self._row] > 0).long() * self._row_marks).sum(-1)
        context = (of_job.unsqueeze(1) + of_row) % CONTEXTS
        return kinds.flatten(1), (context.unsqueeze(-1) * len(self.counts) + kinds).flatten(1)

    def rarity(self, kinds: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """One over the root of the counts, of the kinds and of the kinds in context."""
        return self.counts[kinds[0]].rsqrt(), self.in_context[kinds[1]].rsqrt()

    def note(self, kinds: tuple[Tensor, Tensor], action: Tensor) -> None:
        """Count these calls, one per episode."""
        for counts, found in zip((self.counts, self.in_context), kinds, strict=True):
            counts.scatter_add_(0, found.gather(1, action[:, None]).squeeze(1), torch.ones(len(action)))


class Memory:
    """The last calls of every parallel episode, in a ring; the observation after a call is in the next place.

    Args:
        places: Calls remembered per episode.
        first: The first observations.
    """

    def __init__(self, places: int, first: Seen) -> None:
        shape = places, len(first.rows)
        # Half precision: an error of at most one part in a thousand, in half the memory.
        self.rows = torch.zeros(*shape, *first.rows.shape[1:], dtype=torch.float16)
        self.job = torch.zeros(*shape, *first.job.shape[1:])
        self.mask = torch.zeros(*shape, *first.mask.shape[1:], dtype=torch.int8)
        self.action = torch.zeros(shape, dtype=torch.long)
        self.reward = torch.zeros(shape)
        self.ended = torch.zeros(shape)
        self.errors = np.zeros(shape)
        self._place = 0

    def put(self, seen: Seen, action: Tensor, reward: Tensor, ended: Tensor) -> None:
        """Remember a call of every episode. It can be drawn once the next one is remembered."""
        at = self._place
        self.rows[at], self.job[at], self.mask[at] = seen
        self.action[at], self.reward[at], self.ended[at] = action, reward, ended
        if self._is_filled(at - 1):
            self.errors[at - 1] = max(1.0, self.errors.max())
        self._place = (at + 1) % len(self.errors)
        # The next place is overwritten soon, and no longer follows the place before it.
        self.errors[at] = self.errors[self._place] = 0

    def _is_filled(self, place: int) -> bool:
        return bool(self.mask[place].any())

    def draw(self, size: int, alpha: float, rng: np.random.Generator) -> tuple[Any, NDArray[np.float64]]:
        """Places of calls drawn by priority, and their probabilities."""
        weights = self.errors.reshape(-1) ** alpha
        sums = np.cumsum(weights)
        drawn = np.searchsorted(sums, rng.random(size) * sums[-1], side="right")
        return np.unravel_index(drawn, self.errors.shape), weights[drawn] / sums[-1]

    def seen(self, time: NDArray[np.int64], episode: NDArray[np.int64]) -> Seen:
        """The observations at these places."""
        at = time % len(self.errors), episode
        return Seen(self.rows[at].float(), self.job[at], self.mask[at])


class Learner(Base[Config]):
    """Learns by Q-learning."""

    def __init__(
        self, task: str, clues: Clues, config: Config, seed: int, levels: Sequence[int] = (DEFAULT.level,)
    ) -> None:
        super().__init__(task, clues, config, seed, levels)
        self.target = deepcopy(self.net)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.lr)
        self.kinds = Kinds(self.encoder)
        self.memory = Memory(config.memory // config.envs, self.seen)
        # Some episodes get far by known calls, while others explore.
        self._rungs = torch.linspace(1, 1 + config.ladder, config.envs).unsqueeze(1)
        self._rng = np.random.default_rng(seed)
        # A runbook says the same in every context.
        differs = torch.tensor([name != "runbook" for name in self.encoder.grid.columns])
        self._fresh = (differs * config.fresh).repeat(self.encoder.rows)
        self._steps, self._begins = torch.zeros(config.envs), self._drawn_begins()

    def _drawn_begins(self) -> Tensor:
        """The step from which on an episode that starts now explores, for each of the episodes."""
        late, when = torch.rand(2, self.config.envs)
        budget = self.encoder.task.level(Variant(self.env.curriculum.level)).max_steps
        return (late < self.config.late) * (when * budget).floor()

    def worth(self, net: Network, seen: Seen) -> Tensor:
        """The value of every call, times the scale, (batch, rows * columns)."""
        cells, whole = net(seen.rows, seen.job)
        return (cells + whole.unsqueeze(1)).masked_fill(seen.mask == 0, IMPOSSIBLE)

    def best(self, seen: Seen) -> Tensor:
        """The call with the highest value in each episode, (batch,)."""
        with torch.no_grad():
            return self.worth(self.net, seen).argmax(1)

    def drawn(self, seen: Seen) -> Tensor:
        """A call in each episode, drawn as an exploring one, without a bonus, (batch,)."""
        with torch.no_grad():
            worth = self.worth(self.net, seen) / (self.config.scale * self.config.wild)
            return torch.multinomial((worth + self.log_prior(seen)).softmax(1), 1).squeeze(1)

    def updates(self) -> Iterator[int]:
        """Play and learn in turns; yields the number of calls played after each turn."""
        config = self.config
        while self.played < config.steps:
            self._play()
            self.played += config.envs
            if self.played >= config.start:
                self.optimizer.param_groups[0]["lr"] = config.lr * (1 - 0.9 * self.played / config.steps)
                for _ in range(config.updates):
                    self._learn()
            yield self.played

    def _shares(self) -> Tensor:
        """Share of exploring calls at present, per episode."""
        config = self.config
        left = max(0.0, 1 - self.played / (0.8 * config.steps))
        found: Tensor = (config.settled + (config.explore - config.settled) * left) ** self._rungs
        return found

    def _play(self) -> None:
        seen, kinds = self.seen, self.kinds.of(self.seen)
        with torch.no_grad():
            action = self._drawn(seen, kinds)
        self.kinds.note(kinds, action)
        reward, over = self.make(action)
        self.memory.put(seen, action, reward * self.config.scale, over)
        self._steps = torch.where(over > 0, 0, self._steps + 1)
        self._begins = torch.where(over > 0, self._drawn_begins(), self._begins)

    def _drawn(self, seen: Seen, kinds: tuple[Tensor, Tensor]) -> Tensor:
        config = self.config
        worth = self.worth(self.net, seen) / config.scale
        rare, rare_here = self.kinds.rarity(kinds)
        curious = worth + config.bonus * rare + self._fresh * rare_here
        wild = (curious / config.wild + self.log_prior(seen)).softmax(1)
        tame = (worth / config.tame).softmax(1)
        exploring = torch.rand(len(worth), 1) < self._shares()
        exploring &= (self._steps >= self._begins).unsqueeze(1)
        return torch.multinomial(torch.where(exploring, wild, tame), 1).squeeze(1)

    def aims(self, seen: Seen, made: Tensor, reward: Tensor, goes_on: Tensor, after: Seen) -> Tensor:
        """The targets of calls, times the scale, (batch,).

        Args:
            seen: The observations before them.
            made: The cells called, (batch, 1).
            reward: Their rewards, times the scale.
            goes_on: 1 where the episode goes on, else 0.
            after: The observations after them.
        """
        with torch.no_grad():
            best = self.worth(self.net, after).argmax(1, keepdim=True)
            to_come = self.worth(self.target, after).gather(1, best).squeeze(1)
            worth = self.worth(self.target, seen)
            behind = worth.amax(1) - worth.gather(1, made).squeeze(1)
            return reward + self.config.gamma * goes_on * to_come - self.config.gap * behind

    def _learn(self) -> None:
        config, memory = self.config, self.memory
        (time, episode), chances = memory.draw(config.batch, config.alpha, self._rng)
        seen, after = memory.seen(time, episode), memory.seen(time + 1, episode)
        made = memory.action[time, episode][:, None]
        aim = self.aims(seen, made, memory.reward[time, episode], 1 - memory.ended[time, episode], after)
        told = self.worth(self.net, seen).gather(1, made).squeeze(1)
        weights = torch.from_numpy(chances**-config.beta).float()
        losses = nn.functional.smooth_l1_loss(told, aim, reduction="none")
        self.optimizer.zero_grad()
        (losses * weights / weights.max()).mean().backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), config.grad)
        self.optimizer.step()
        memory.errors[time, episode] = (told - aim).detach().abs().numpy() + UNSEEN
        with torch.no_grad():
            for follower, leader in zip(self.target.parameters(), self.net.parameters(), strict=True):
                follower.lerp_(leader, config.follow)
