"""SafeAct-Env as an environment of SkyRL: `register()`, and rows of a dataset that name scenarios.

Owns the class that SkyRL's generator drives. Written for skyrl-gym 0.4, whose generator

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
from safeact_env.integrations.text import TextEpisode, checked
from safeact_env.llm.prompts import get_prompt

__all__ = ["ENV_CLASS", "SafeActTextEnv", "register", "rows"]

ENV_CLASS = "safeact"
"""The name under which `register` enters the class."""
REWARDS = ("end", "step")
OPTIONS = ("base_url", "headers", "prompt", "show_rewards")

Message = dict[str, str]


class SafeActTextEnv(BaseTextEnv):
    """One episode, in words.

    Args:
        env_config: `base_url` of a server (by default it is played in this process) and `headers` for it;
            `prompt`, `neutral` or `hinted`; `reward`, `end` (all of it with the last step, the default) or
            `step`; `show_rewards`, whether the model is told them, by default not.
        extras: The row: `task`, `split` (by default `train`), `seed`; and `max_turns`, the answers
            after which the rollout is cut short, by default none.

    Raises:
        ValueError: If the row names no scenario, or an option has no such value.
    """

    def __init__(
        self, env_config: Mapping[str, Any] | None = None, extras: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        row, chosen = dict(extras or {}), dict(env_config or {})
        if "task" not in row or "seed" not in row:
            raise ValueError(
                "a row must name its scenario in the columns task and seed; rows() makes such rows"
            )
        self._reward_at = chosen.pop("reward", "end")
        if self._reward_at not in REWARDS:
            raise ValueError(f"reward must be {' or '.join(REWARDS)}")
        if unknown := sorted(chosen.keys() - set(OPTIONS)):
            raise ValueError(f"there is no option {unknown[0]}; the options are reward, {', '.join(OPTIONS)}")
        self.max_turns = int(row.get("max_turns") or 0)
        split = row.get("split", "train")
        self.episode = TextEpisode(row["task"], split, row["seed"], **chosen)

    def init(self, prompt: list[Message]) -> tuple[list[Message], dict[str, Any]]:
        """The messages before the first answer: the row's own, then the job, the actions and the state."""
        return [*prompt, {"role": "user", "content": self.episode.start()}], {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Take the step that an answer means.

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
        """Grade, return, and what else is known of the episode as numbers."""
        return self.episode.metrics()

    def close(self) -> None:
        """Let go of the episode."""
        self.episode.close()


def register() -> None:
    """Enter the class into SkyRL's registry, once, in the process that makes the environments."""
    from skyrl_gym.envs.registration import register as enter
    from skyrl_gym.envs.registration import registry

    if ENV_CLASS not in registry:
        enter(id=ENV_CLASS, entry_point=f"{__name__}:{SafeActTextEnv.__name__}")


def rows(
    tasks: Sequence[str], seeds: Iterable[int], split: Split = "train", prompt: str = "neutral"
) -> list[dict[str, Any]]:
    """Rows of a dataset, a scenario each; seed by seed, so that tasks alternate.

    Args:
        tasks: Names of tasks.
        seeds: Of the scenarios.
        split: Of the scenarios.
        prompt: What the system message says; `neutral` or `hinted`.

    Raises:
        ValueError: If a row would name no scenario.
    """
    system = {"role": "system", "content": get_prompt(prompt).opening("text")}
    scenarios = [checked(task, split, seed) for seed in seeds for task in tasks]
    return [
        {"prompt": [dict(system)], "env_class": ENV_CLASS, "task": task, "split": split, "seed": seed}
        for task, split, seed in scenarios
    ]
