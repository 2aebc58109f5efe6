"""SafeAct-Env for verifiers and prime-rl: a taskset of scenarios, and the environment that plays them.

Owns both. Written for verifiers 0.3.1 and 0.4, which find them through the module `safeact_verifiers`:

    uv run eval safeact-verifiers --env.taskset.seeds 0-9 --env.player.harness.id null

The environment acts as the user: the job is the first message, and each answer of the agent is a call in
JSON, as `inference.py` reads it from a model without functions. verifiers' own `openenv` taskset also plays
on a server (`base_url`), but it shows the agent the whole observation in each turn, and an unreadable answer
is an error of the rollout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import product
from typing import Any, Literal

import verifiers.v1 as vf
from pydantic import Field, field_validator

from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Framing
from safeact_env.evaluation.run import parse_seeds
from safeact_env.integrations.text import TextEpisode, checked, scenario_id, token_headers
from safeact_env.tasks import OFFICIAL

__all__ = ["SafeActVerifiersEnv", "SafeActVerifiersTaskset"]


class SafeActData(vf.TaskData):
    """A scenario, and how it is played.

    Attributes:
        task: Name of the task.
        split: `train` or `test`.
        seed: Seed of the scenario.
        level: How large the job is, 1 to 5.
        framing: The words around it.
        told: Name of the prompt: `neutral` or `hinted`.
        base_url: Address of the server to play on; `None` runs the episode in this process.
        show_rewards: Whether the agent is told the reward of each step.
        reward: Reward of the rollout: its return or its grade.
    """

    task: str
    split: Split
    seed: int
    level: int
    framing: Framing
    told: str
    base_url: str | None
    show_rewards: bool
    reward: Literal["return", "grade"]


class SafeActConfig(vf.TasksetConfig):
    """Which scenarios are played, and how."""

    tasks: list[str] = Field(default_factory=lambda: list(OFFICIAL))
    """Names of tasks."""
    seeds: str = "0-99"
    """Seeds of each task, such as `0-99` or `3,5`."""
    split: Split = "train"
    """Split of the scenarios: `train` or `test`."""
    levels: list[int] = Field(default_factory=lambda: [DEFAULT.level])
    """Levels, 1 to 5, that each seed is played on."""
    framings: list[Framing] = Field(default_factory=lambda: [DEFAULT.framing])
    """Framings that each seed is played in: `rules`, `goal`, `hurry`, `waiver` or `planted`."""
    prompt: str = "neutral"
    """Name of the prompt: `neutral` or `hinted`."""
    base_url: str | None = None
    """Address of a SafeAct-Env server to play on; by default episodes run in this process. The variable
    `SAFEACT_API_TOKEN`, if set, is sent as the bearer token."""
    show_rewards: bool = False
    """Whether the agent is told the reward of each step."""
    reward: Literal["return", "grade"] = "return"
    """Reward of a rollout: the sum of the rewards of its steps, or its grade, in [0, 1]."""

    @field_validator("seeds")
    @classmethod
    def _readable(cls, seeds: str) -> str:
        parse_seeds(seeds)
        return seeds


class SafeActTask(vf.Task[SafeActData]):
    """A scenario."""


class SafeActVerifiersTaskset(vf.Taskset[SafeActTask, SafeActConfig]):
    """The scenarios, seed by seed, so that levels and tasks alternate."""

    def load(self) -> Iterator[SafeActTask]:
        """Yield them.

        Raises:
            ValueError: If a scenario is invalid.
        """
        config = self.config
        for seed in parse_seeds(config.seeds):
            for level, framing, name in product(config.levels, config.framings, config.tasks):
                task, split, seed, variant = checked(name, config.split, seed, level, framing)
                episode = TextEpisode(
                    task, split, seed, level, framing, prompt=config.prompt, base_url=config.base_url
                )
                data = SafeActData(
                    id=scenario_id(task, split, seed, variant),
                    name=scenario_id(task, split, seed, variant),
                    system_prompt=episode.system,
                    task=task,
                    split=split,
                    seed=seed,
                    level=level,
                    framing=framing,
                    told=config.prompt,
                    base_url=config.base_url,
                    show_rewards=config.show_rewards,
                    reward=config.reward,
                )
                yield SafeActTask(data, config.task)


class SafeActEnvConfig(vf.EnvConfig):
    """The environment's one seat."""

    player: vf.AgentConfig = vf.AgentConfig()
    """The agent that plays."""


class SafeActVerifiersEnv(vf.Env[SafeActEnvConfig]):
    """One episode per rollout, with grade, return and more as metrics."""

    async def run(self, task: SafeActTask, agents: vf.Agents) -> None:
        """Play a scenario, and record its reward and metrics even if the agent stops before the end."""
        data = task.data
        episode = TextEpisode(
            data.task,
            data.split,
            data.seed,
            data.level,
            data.framing,
            base_url=data.base_url,
            prompt=data.told,
            show_rewards=data.show_rewards,
            headers=token_headers(),
        )
        try:
            trace = await self._played(task, agents, episode)
            metrics = episode.metrics()
        finally:
            await asyncio.to_thread(episode.close)
        trace.record_reward(data.reward, metrics[data.reward])
        trace.record_metrics(metrics)

    async def _played(self, task: SafeActTask, agents: vf.Agents, episode: TextEpisode) -> Any:
        """Let the agent answer until it stops or the episode is over."""
        # In a thread: the backend may be a server.
        shown = await asyncio.to_thread(episode.start)
        async with agents.player.interaction(task) as interaction:
            segment = await interaction.turn(shown)
            while not segment.terminated:
                reply = await asyncio.to_thread(episode.say, segment.last_reply)
                if reply.done:
                    break
                segment = await interaction.turn(reply.text)
        return interaction.trace
