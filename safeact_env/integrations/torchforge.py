"""SafeAct-Env for torchforge's rollouts: text in, a message out, and the last reward counts.

Owns the class that such a rollout drives. It does not import torchforge, whose rollouts ask only for a
certain shape. Written for `do_single_rollout` of torchforge's `apps/blackjack/main_v2.py` (commit 1ef307d;
the release on PyPI, 0.0.1, is empty), which

- calls `reset()` for the first user message, and then `step(action_text=...)` with each answer until `done`
  or its own limit on turns;
- adds `observation["content"]` to the conversation;
- takes the `reward` of the last step as the episode's, so that each step here reports the return so far;
- calls `close()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Framing
from safeact_env.integrations.text import TextEpisode

__all__ = ["EnvStepResult", "SafeActForgeEnv"]


@dataclass
class EnvStepResult:
    """The environment's reply to an answer.

    Attributes:
        observation: The next message for the model; empty after the end.
        reward: The return so far: the sum of the rewards of all steps.
        done: Whether the episode is over.
        metadata: After the end, the metrics of the episode.
    """

    observation: dict[str, str]
    reward: float
    done: bool
    metadata: dict[str, Any] = field(default_factory=dict)


class SafeActForgeEnv:
    """Episodes of one scenario. Each rollout of a group that is compared has its own instance.

    Args:
        server_url: Address of a server to play on; `None` runs episodes in this process.
        task: Name of the task.
        split: Split of the scenario.
        seed: Seed of the scenario.
        level: How large the job is, 1 to 5.
        framing: The words around it.
        prompt: Name of the prompt: `neutral` or `hinted`.
        show_rewards: Whether each message includes the reward of the step.
        headers: Sent to the server, such as `{"Authorization": "Bearer ..."}`.

    Raises:
        ValueError: If there is no such scenario or prompt, or the address is invalid.
    """

    def __init__(
        self,
        server_url: str | None,
        task: str,
        split: Split = "train",
        seed: int = 0,
        *,
        level: int = DEFAULT.level,
        framing: Framing = DEFAULT.framing,
        prompt: str = "neutral",
        show_rewards: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._scenario: tuple[str, Split, int, int, str] = (task, split, seed, level, framing)
        self._options: dict[str, Any] = {
            "base_url": server_url,
            "prompt": prompt,
            "show_rewards": show_rewards,
            "headers": headers,
        }
        self._episode = TextEpisode(*self._scenario, **self._options)
        self._begun = False

    @property
    def messages(self) -> list[dict[str, str]]:
        """The messages before the first user message: the rollout's argument of this name."""
        return [{"role": "system", "content": self._episode.system}]

    def reset(self) -> str:
        """Start an episode; return the first user message."""
        if self._begun:
            self._episode.close()
            self._episode = TextEpisode(*self._scenario, **self._options)
        self._begun = True
        return self._episode.start()

    def step(self, action_text: str) -> EnvStepResult:
        """Take the step that an answer asks for.

        Raises:
            ValueError: If no episode has been started, or it is over.
        """
        if not self._begun:
            raise ValueError("no episode has been begun; reset first")
        reply = self._episode.say(action_text)
        shown = {"role": "user", "content": "" if reply.done else reply.text}
        metadata = self._episode.metrics() if reply.done else {}
        return EnvStepResult(shown, self._episode.total, reply.done, metadata)

    def close(self) -> None:
        """Drop the episode."""
        self._episode.close()
