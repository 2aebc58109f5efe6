"""SafeAct-Env as a resources server of NeMo Gym, in its Gymnasium form: rows name scenarios, rewards add up.

Owns the server class and the rows. Written for nemo-gym 0.4, whose `gymnasium_agent` posts a row to `/reset`,
shows the model what comes back, posts each of its responses to `/step` until the episode is over, and sums
the rewards. A server's `app.py` is two lines:

    from safeact_env.integrations.nemo_gym import SafeActServer
    SafeActServer.run_webserver()
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nemo_gym.base_resources_server import BaseResourcesServerConfig
from nemo_gym.openai_utils import NeMoGymResponse
from resources_servers.gymnasium import GymnasiumServer, extract_text

from safeact_env.core.task import Split
from safeact_env.integrations.text import TextEpisode, checked
from safeact_env.llm.prompts import get_prompt

__all__ = ["SafeActServer", "SafeActServerConfig", "rows"]

CUT = "max_output_tokens"
"""How an answer ends that ran into the limit on its length."""


class SafeActServerConfig(BaseResourcesServerConfig):
    """What a server's YAML may say beside what every server's may.

    Attributes:
        base_url: Of a SafeAct-Env server to play on; by default episodes are played in this process.
        headers: Sent to it, such as `{"Authorization": "Bearer ..."}`.
        show_rewards: Whether the model is told the reward of each step.
    """

    base_url: str | None = None
    headers: dict[str, str] | None = None
    show_rewards: bool = False


class SafeActServer(GymnasiumServer):
    """Episodes by session, each one that a row names."""

    config: SafeActServerConfig

    async def reset(
        self, metadata: dict[str, Any], session_id: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Begin the episode that a row names.

        Args:
            metadata: The row: `task`, `split` (by default `train`), `seed`.
            session_id: The rollout's.

        Returns:
            The job, the actions and the state, for the model; and nothing else.

        Raises:
            ValueError: If the row names no scenario.
        """
        if "task" not in metadata or "seed" not in metadata:
            raise ValueError(
                "a row must name its scenario in the fields task and seed; rows() makes such rows"
            )
        config = self.config
        episode = TextEpisode(
            metadata["task"],
            metadata.get("split", "train"),
            metadata["seed"],
            base_url=config.base_url,
            headers=config.headers,
            show_rewards=config.show_rewards,
        )
        self.session_state[session_id] = episode
        # A server may have to be asked.
        return await asyncio.to_thread(episode.start), {}

    async def step(
        self, action: NeMoGymResponse, metadata: dict[str, Any], session_id: str | None = None
    ) -> tuple[str | None, float, bool, bool, dict[str, Any]]:
        """Take the step that a response means.

        Returns:
            The next message, nothing after the end; the reward; whether the episode came to its end; whether
            it ran out of steps; and after the end what is known of it as numbers.

        Raises:
            ValueError: If no episode was begun in this session, or it is over.
        """
        episode = self.session_state.get(session_id)
        if episode is None:
            raise ValueError("no episode has been begun in this session; reset first")
        cut = action.incomplete_details is not None and action.incomplete_details.reason == CUT
        reply = await asyncio.to_thread(episode.say, extract_text(action), cut=cut)
        if not reply.done:
            return reply.text, reply.reward, False, False, {}
        truncated = episode.observation["metadata"]["outcome"] == "budget_exhausted"
        return None, reply.reward, not truncated, truncated, episode.metrics()

    async def close_session(self, session_id: str | None) -> None:
        """Let go of an episode."""
        episode = self.session_state.pop(session_id, None)
        if episode is not None:
            await asyncio.to_thread(episode.close)


def rows(
    tasks: Sequence[str],
    seeds: Iterable[int],
    split: Split = "train",
    prompt: str = "neutral",
    agent: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Rows of a data file (JSON lines), a scenario each; seed by seed, so that tasks alternate.

    Args:
        tasks: Names of tasks.
        seeds: Of the scenarios.
        split: Of the scenarios.
        prompt: What the system message says; `neutral` or `hinted`.
        agent: The `agent_ref` of the rows, such as
            `{"type": "responses_api_agents", "name": "safeact_gymnasium_agent"}`.

    Raises:
        ValueError: If a row would name no scenario.
    """
    system = {"role": "system", "content": get_prompt(prompt).opening("text")}
    reference = {} if agent is None else {"agent_ref": dict(agent)}
    scenarios = [checked(task, split, seed) for seed in seeds for task in tasks]
    return [
        {
            "responses_create_params": {"input": [dict(system)]},
            "task": task,
            "split": split,
            "seed": seed,
            **reference,
        }
        for task, split, seed in scenarios
    ]
