"""Gymnasium: every task as an environment with a discrete action space, single and in vectors.

Importing this module registers `SafeAct/<task>-v<version>` for every task, and for each of its levels
`SafeAct/<task>-l<level>-v<version>`, so that both
`gymnasium.make("safeact_env.integrations.gymnasium:SafeAct/easy-v2")` and, after an import,
`gymnasium.make("SafeAct/easy-v2")` work. It needs the extra `gymnasium`.

An action is a cell of the task's action menu: row * columns + column. An observation is the encoding of what
an agent sees. Owns spaces, seeding, and termination or truncation. Must not look behind an observation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from typing_extensions import override

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import Split, check_seed
from safeact_env.core.variant import DEFAULT, Framing, Variant
from safeact_env.integrations.curriculum import Curriculum
from safeact_env.integrations.encoding import Clues, Encoded, Encoder
from safeact_env.tasks import get_task, task_names

__all__ = ["NOTHING", "SafeActGymEnv", "SafeActVectorEnv", "env_id", "register"]

Observation = dict[str, NDArray[np.float32]]

NOTHING = Call("nothing", {}, "An action without a call.")
"""Played for an action that the mask rules out: a call of an action that does not exist."""
LIMIT = 5.0
"""Bound of every feature."""
SEEDS = 2**31
"""Scenarios are drawn from the seeds below this one."""


def env_id(task: str, level: int | None = None) -> str:
    """Return the id of a task's environment, of the default level unless one is given.

    It holds the task's version: one id, one set of episodes.
    """
    of_level = "" if level is None else f"-l{level}"
    return f"SafeAct/{task}{of_level}-v{get_task(task).version}"


def register() -> None:
    """Register every task, and every level of it, that is not registered yet."""
    for task in task_names():
        for level in (None, *get_task(task).levels):
            if env_id(task, level) not in gymnasium.registry:
                gymnasium.register(
                    env_id(task, level),
                    entry_point=f"{__name__}:SafeActGymEnv",
                    vector_entry_point=f"{__name__}:SafeActVectorEnv",
                    kwargs={"task": task} if level is None else {"task": task, "level": level},
                )


@dataclass(slots=True, eq=False)
class _Rollout:
    """An episode and its encoding.

    Attributes:
        encoder: The task's encoder.
        split: Split of the scenarios.
        episode: The episode.
        first: Its first observation.
        encoded: Its last observation, encoded; each step renews it in place.
        ending: What `info` holds at its end; empty before it was asked for.
    """

    encoder: Encoder
    split: Split
    episode: Episode[Any]
    first: dict[str, Any]
    encoded: Encoded
    ending: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def at(cls, encoder: Encoder, split: Split, seed: int) -> _Rollout:
        """At the start of a scenario."""
        episode: Episode[Any] = Episode(encoder.task, split, seed, variant=encoder.variant)
        first = episode.observation()
        return cls(encoder, split, episode, first, encoder.encode(first))

    def play(self, action: int) -> float:
        """Make the call of a cell; return its reward."""
        cell = divmod(action, len(self.encoder.grid.columns))
        move = self.encoded.menu.cells.get(cell)
        turn = self.episode.step(NOTHING if move is None else move.call())
        seen = self.first | self.episode.latest()
        if self.encoder.goes_on(seen, self.encoded):
            # The history shortens long parameters, and then does not tell which cell was played.
            is_told = move is not None and seen["action_history"][-1]["params"] == move.params
            self.encoder.renew(self.encoded, seen, cell if is_told else None)
        else:
            self.encoded = self.encoder.encode(self.episode.observation())
        return turn.reward

    @property
    def truncated(self) -> bool:
        """Whether the budget of steps ended the episode."""
        return self.episode.outcome == "budget_exhausted"

    @property
    def terminated(self) -> bool:
        """Whether the episode ended otherwise: completed, handed over, or by a mistake."""
        return self.episode.done and not self.truncated

    def mask(self) -> NDArray[np.int8]:
        """1 per action that is a well-formed call."""
        return self.encoded.layout.mask.reshape(-1)

    def end(self) -> dict[str, Any]:
        """What `info` holds at the end."""
        if self.episode.done and not self.ending:
            grade = self.episode.grade()
            self.ending = {
                "score": grade.score,
                "outcome": str(grade.outcome),
                "return": grade.total,
                "seed": self.episode.seed,
                **self.episode.variant.to_json(),
            }
        return self.ending


def _spaces(encoder: Encoder) -> tuple[Any, Any]:
    columns = len(encoder.grid.columns)
    rows = Box(-LIMIT, LIMIT, (encoder.rows, len(encoder.row_features)), np.float32)
    job = Box(-LIMIT, LIMIT, (len(encoder.job_features),), np.float32)
    return Dict({"job": job, "rows": rows}), Discrete(encoder.rows * columns)


class SafeActGymEnv(gymnasium.Env[Observation, np.int64]):
    """A task of SafeAct-Env for Gymnasium.

    `info` holds `action_mask` (int8, one per action: 1 if it is a well-formed call), `call` and `result` (the
    last call and its result), and at the end `score`, `outcome`, `return`, `seed`, `level` and `framing`. An
    action that the mask rules out is a call of an unknown action: it costs 0.2 and a step. An episode that
    ends with its budget is truncated; every other end is a termination.

    Args:
        task: Name of a task.
        split: `train` or `test`.
        clues: `runbooks`, or `names` for the encoding in which names are the only clue to look-alikes.
        render_mode: `ansi` renders the last step as text.
        level: How large the jobs are, 1 to 5. The number of rows differs; what a row tells does not.
        framing: The words around them. Outside `rules` some numbers are unknown until the handbook was read.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  (Gymnasium's type)

    def __init__(
        self,
        task: str = "easy",
        split: Split = "train",
        clues: Clues = "runbooks",
        render_mode: str | None = None,
        level: int = DEFAULT.level,
        framing: Framing = DEFAULT.framing,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError("render_mode must be ansi or None")
        self.encoder = Encoder(get_task(task), clues, Variant(level, framing))
        self.split: Split = split
        self.render_mode = render_mode
        self.observation_space, self.action_space = _spaces(self.encoder)
        self._rollout: _Rollout | None = None

    @override
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode of the scenario `seed`; without one, draw from the stream of the last seed."""
        seed = None if seed is None else _checked(seed)
        super().reset(seed=seed)
        scenario = int(self.np_random.integers(SEEDS)) if seed is None else seed
        self._rollout = _Rollout.at(self.encoder, self.split, scenario)
        return self._observation(), self._info()

    @override
    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Make the call of a cell.

        Raises:
            ValueError: If there is no such action.
            EpisodeDone: If the episode is over.
        """
        rollout = self._playing()
        try:
            number = index(action)
        except TypeError:
            number = -1
        if not 0 <= number < self.actions:
            raise ValueError(f"the actions are 0 to {self.actions - 1}")
        reward = rollout.play(number)
        return self._observation(), reward, rollout.terminated, rollout.truncated, self._info()

    @override
    def render(self) -> str | None:
        """The last step as text, or the job at the start."""
        if self.render_mode is None:
            return None
        episode = self._playing().episode
        if not episode.turns:
            return str(episode.observation()["task_description"])
        turn = episode.turns[-1]
        return f"{len(episode.turns)}. {turn.call.action_name} {dict(turn.call.parameters)}\n{turn.result}"

    @property
    def actions(self) -> int:
        """Number of actions."""
        return self.encoder.rows * len(self.encoder.grid.columns)

    def action_masks(self) -> NDArray[np.bool_]:
        """The mask in the form that sb3-contrib expects."""
        return self._playing().mask().astype(np.bool_)

    def call_of(self, action: int) -> Call | None:
        """The call that an action stands for now; `None` if the mask rules it out."""
        found = self._playing().encoded.menu.cells.get(divmod(action, len(self.encoder.grid.columns)))
        return None if found is None else found.call()

    def _playing(self) -> _Rollout:
        if self._rollout is None:
            raise ValueError("reset the environment first")
        return self._rollout

    def _observation(self) -> Observation:
        encoded = self._playing().encoded
        return {"job": encoded.job.copy(), "rows": encoded.rows.copy()}

    def _info(self) -> dict[str, Any]:
        rollout = self._playing()
        info: dict[str, Any] = {"action_mask": rollout.mask().copy(), **rollout.end()}
        if rollout.episode.turns:
            turn = rollout.episode.turns[-1]
            info |= {"call": turn.call.to_json(), "result": turn.result}
        return info


class SafeActVectorEnv(VectorEnv[Observation, NDArray[np.int64], NDArray[Any]]):
    """Several episodes of a task at once, in this process, encoded into one batch.

    `infos` holds `action_mask`, (episodes, actions); where an episode ended also `score`, `outcome`,
    `return`, `seed`, `level` and `framing`, in the form that Gymnasium gives to such infos. In the mode
    `SameStep` these stand in `final_info`, and nothing else does.

    Args:
        num_envs: Episodes at once, at least 1.
        task: Name of a task.
        split: `train` or `test`.
        clues: See `SafeActGymEnv`.
        autoreset_mode: When the next episode follows one that ended.
        level: See `SafeActGymEnv`.
        framing: See `SafeActGymEnv`.
        curriculum: Says the level of each episode that begins, instead of `level`, and is told the grade of
            each that ends, in the order in which they began. All levels then have the rows of the largest.

    Raises:
        ValueError: If there is no such task, level, framing or mode, or `num_envs` is below 1.

    Attributes:
        encoder: Encodes the observations of the level; with a curriculum, of its last one.
    """

    def __init__(
        self,
        num_envs: int = 1,
        task: str = "easy",
        split: Split = "train",
        clues: Clues = "runbooks",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        level: int = DEFAULT.level,
        framing: Framing = DEFAULT.framing,
        curriculum: Curriculum | None = None,
    ) -> None:
        if num_envs < 1:
            raise ValueError("num_envs must be at least 1")
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode}
        self.num_envs = num_envs
        self.curriculum = Curriculum((level,)) if curriculum is None else curriculum
        self._encoders = {
            one: Encoder(get_task(task), clues, Variant(one, framing)) for one in self.curriculum.levels
        }
        rows = max(one.rows for one in self._encoders.values())
        for one in self._encoders.values():
            one.rows = rows
        self.encoder = self._encoders[self.curriculum.levels[-1]]
        self.split: Split = split
        self.single_observation_space, self.single_action_space = _spaces(self.encoder)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]
        self._rollouts: dict[int, _Rollout] = {}
        # Whose grades the curriculum is still to be told, in the order in which they began. Failures end
        # sooner than successes: in the order of their ends they would fill its window.
        self._line: deque[_Rollout] = deque()
        self._over = np.zeros(num_envs, np.bool_)

    @override
    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | NDArray[np.integer[Any]] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start every episode, or with `options={"reset_mask": ...}` some of them.

        An integer seed starts episode i at the scenario `seed` + i. A curriculum stays where it is.

        Raises:
            ValueError: If seeds or mask do not fit the episodes. Nothing is changed then.
        """
        seeds, everyone = self._seeds(seed), np.ones(self.num_envs, np.bool_)
        chosen = np.asarray((options or {}).get("reset_mask", everyone))
        if chosen.dtype != np.bool_ or chosen.shape != everyone.shape or not chosen.any():
            raise ValueError(f"reset_mask must be {self.num_envs} truth values, at least one of them true")
        if not self._rollouts and not chosen.all():
            raise ValueError("reset every episode first")
        for number in np.flatnonzero(chosen):
            given = seeds[number]
            if given is not None:
                self._rngs[number] = np.random.default_rng(given)
            self._start(int(number), given)
        self._over[chosen] = False
        return self._observation(), self._masks()

    @override
    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Make a call in each episode. The autoreset mode says what happens where one was over.

        Raises:
            ValueError: If an action is none, or a reset has to come first. Nothing is changed then.
        """
        if not self._rollouts:
            raise ValueError("reset the environment first")
        given = np.asarray(actions)
        # Fractions are no actions, and a cast would make them some.
        is_whole = np.issubdtype(given.dtype, np.integer)
        if not is_whole or not self.action_space.contains(given.astype(self.action_space.dtype)):
            raise ValueError(f"give one action from 0 to {self.actions - 1} for each episode")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._over.any():
            raise ValueError("reset the episodes that are over first, with options={'reset_mask': ...}")
        rewards = np.zeros(self.num_envs, np.float64)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)
        infos: dict[str, Any] = {}
        over, chosen = self._over.tolist(), given.tolist()
        for number, rollout in self._rollouts.items():
            if over[number]:
                self._start(number)
                continue
            rewards[number] = rollout.play(chosen[number])
            if rollout.episode.done:
                terminated[number], truncated[number] = rollout.terminated, rollout.truncated
                infos = self._ended(infos, number, rollout)
        again = self.autoreset_mode is AutoresetMode.SAME_STEP
        self._over = np.zeros(self.num_envs, np.bool_) if again else terminated | truncated
        return self._observation(), rewards, terminated, truncated, infos | self._masks()

    @property
    def actions(self) -> int:
        """Number of actions."""
        return self.encoder.rows * len(self.encoder.grid.columns)

    def _seeds(self, seed: int | Sequence[int | None] | NDArray[np.integer[Any]] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, Sequence | np.ndarray):
            if len(seed) != self.num_envs:
                raise ValueError(f"give one seed for each of the {self.num_envs} episodes")
            return [None if one is None else _checked(one) for one in seed]
        first = _checked(seed)
        return [_checked(first + number) for number in range(self.num_envs)]

    def _start(self, number: int, seed: int | None = None) -> None:
        scenario = int(self._rngs[number].integers(SEEDS)) if seed is None else seed
        rollout = _Rollout.at(self._encoders[self.curriculum.level], self.split, scenario)
        before = self._rollouts.get(number)
        if before is not None and not before.episode.done:
            self._line.remove(before)
        self._rollouts[number] = rollout
        self._line.append(rollout)

    def _ended(self, infos: dict[str, Any], number: int, rollout: _Rollout) -> dict[str, Any]:
        while self._line and self._line[0].episode.done:
            first = self._line.popleft().end()
            self.curriculum.add(first["level"], first["score"])
        end = rollout.end()
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            return self._add_info(infos, end, number)
        last = {"job": rollout.encoded.job, "rows": rollout.encoded.rows}
        self._start(number)
        return self._add_info(infos, {"final_obs": last, "final_info": end}, number)

    def _observation(self) -> Observation:
        encoded = [rollout.encoded for rollout in self._rollouts.values()]
        return {
            "job": np.stack([one.job for one in encoded]),
            "rows": np.stack([one.rows for one in encoded]),
        }

    def _masks(self) -> dict[str, Any]:
        masks = np.stack([rollout.mask() for rollout in self._rollouts.values()])
        return {"action_mask": masks, "_action_mask": np.ones(self.num_envs, np.bool_)}


def _checked(seed: Any) -> int:
    """A seed as Python's integer; NumPy's are taken, too."""
    return check_seed(int(seed) if isinstance(seed, np.integer) else seed)


register()
