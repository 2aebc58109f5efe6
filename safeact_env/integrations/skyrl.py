"""SafeAct-Env for SkyRL: `register()`, and dataset rows that name scenarios.

Owns the environment class that SkyRL's generator drives. Written for skyrl-gym 0.4, whose generator

- makes an instance per rollout, `SafeActTextEnv(env_config=..., extras=...)`, with the columns of the row
  and `max_turns` in `extras`;
- calls `init(prompt)` once, then `step(text)` with each answer until `done`;
- asks `get_metrics()` at the end, and calls `close()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Framing
from safeact_env.integrations.text import TextEpisode, scenario_in, scenario_rows

__all__ = ["ENV_CLASS", "SafeActTextEnv", "register", "rows"]

ENV_CLASS = "safeact"
"""The name under which `register` registers the class."""
REWARDS = ("end", "step")
OPTIONS = ("base_url", "headers", "prompt", "show_rewards")

Message = dict[str, str]


class SafeActTextEnv(BaseTextEnv):
    """One episode, as text.

    Args:
        env_config: `base_url` of a server (default: run in this process) and `headers` for it; `prompt`,
            `neutral` or `hinted`; `reward`, `end` (the whole return with the last step, the default) or
            `step`; `show_rewards`, whether the model is told the rewards (default: no).
        extras: The row: `task`, `split` (default: `train`), `seed`, `level` (3), `framing` (`rules`); and
            `max_turns`, the number of answers after which the rollout is cut short (default: no limit).

    Raises:
        ValueError: If the row does not name a scenario, or an option or its value is unknown.
    """

    def __init__(
        self, env_config: Mapping[str, Any] | None = None, extras: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        row, chosen = dict(extras or {}), dict(env_config or {})
        scenario = scenario_in(row)
        self._reward_at = chosen.pop("reward", "end")
        if self._reward_at not in REWARDS:
            raise ValueError(f"reward must be {' or '.join(REWARDS)}")
        if unknown := sorted(chosen.keys() - set(OPTIONS)):
            raise ValueError(f"there is no option {unknown[0]}; the options are reward, {', '.join(OPTIONS)}")
        self.max_turns = int(row.get("max_turns") or 0)
        self.episode = TextEpisode(*scenario, **chosen)

    def init(self, prompt: list[Message]) -> tuple[list[Message], dict[str, Any]]:
        """Return the messages before the first answer: the row's own, then job, actions and state."""
        return [*prompt, {"role": "user", "content": self.episode.start()}], {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Take the step that an answer asks for.

        Raises:
            ValueError: If the episode is over.
        """
        self.turns += 1
        reply = self.episode.say(action)
        done = reply.done or self.turns == self.max_turns
        reward = reply.reward if self._reward_at == "step" else self.episode.total * done
        shown = [] if done else [{"role": "user", "content": reply.text}]
        return BaseTextEnvStepOutput(observations=shown, reward=reward, done=done, metadata={})

    def get_metrics(self) -> dict[str, float]:
        """Return the metrics of the episode so far."""
        return self.episode.metrics()

    def close(self) -> None:
        """Drop the episode."""
        self.episode.close()


def register() -> None:
    """Register the class with SkyRL, once, in the process that makes the environments."""
    from skyrl_gym.envs.registration import register as enter
    from skyrl_gym.envs.registration import registry

    if ENV_CLASS not in registry:
        enter(id=ENV_CLASS, entry_point=f"{__name__}:{SafeActTextEnv.__name__}")


def rows(
    tasks: Sequence[str],
    seeds: Iterable[int],
    split: Split = "train",
    prompt: str = "neutral",
    *,
    levels: Sequence[int] = (DEFAULT.level,),
    framings: Sequence[Framing] = (DEFAULT.framing,),
) -> list[dict[str, Any]]:
    """Return dataset rows, one per scenario; seed by seed, so that levels and tasks alternate.

    Args:
        tasks: Names of tasks.
        seeds: Seeds of the scenarios.
        split: Split of the scenarios.
        prompt: Prompt of the system message: `neutral` or `hinted`.
        levels: Every level that each seed is played on.
        framings: Every framing that each seed is played in.

    Raises:
        ValueError: If a row would not name a scenario.
    """
    return [
        {"prompt": [system], "env_class": ENV_CLASS, **scenario}
        for system, scenario in scenario_rows(tasks, seeds, split, prompt, levels, framings)
    ]
