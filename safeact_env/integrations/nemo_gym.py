"""SafeAct-Env as a resources server of NeMo Gym, in its Gymnasium form: rows name scenarios, rewards add up.

Owns the server class and the rows. Written for nemo-gym 0.4. Its `gymnasium_agent` posts a row to `/reset`,
shows the model what comes back, posts each response of the model to `/step` until the episode is over, and
sums the rewards. A server's `app.py` is two lines:

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
from safeact_env.core.variant import DEFAULT, Framing
from safeact_env.integrations.text import TextEpisode, scenario_in, scenario_rows

__all__ = ["SafeActServer", "SafeActServerConfig", "rows"]

CUT = "max_output_tokens"
"""Why an answer is incomplete that reached the limit on its length."""


class SafeActServerConfig(BaseResourcesServerConfig):
    """The fields of a server's YAML beside those that every server has.

    Attributes:
        base_url: Address of a SafeAct-Env server to play on; by default episodes run in this process.
        headers: Sent to that server, such as `{"Authorization": "Bearer ..."}`.
        show_rewards: Whether the model is told the reward of each step.
    """

    base_url: str | None = None
    headers: dict[str, str] | None = None
    show_rewards: bool = False


class SafeActServer(GymnasiumServer):
    """One episode per session, of the scenario that a row names."""

    config: SafeActServerConfig

    async def reset(
        self, metadata: dict[str, Any], session_id: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start the episode that a row names.

        Args:
            metadata: The row: `task`, `split` (default: `train`), `seed`, `level` (3), `framing` (`rules`).
            session_id: Id of the rollout.

        Returns:
            Job, actions and state, for the model; and an empty `info`.

        Raises:
            ValueError: If the row does not name a scenario.
        """
        config = self.config
        episode = TextEpisode(
            *scenario_in(metadata),
            base_url=config.base_url,
            headers=config.headers,
            show_rewards=config.show_rewards,
        )
        self.session_state[session_id] = episode
        # In a thread: the backend may be a server.
        return await asyncio.to_thread(episode.start), {}

    async def step(
        self, action: NeMoGymResponse, metadata: dict[str, Any], session_id: str | None = None
    ) -> tuple[str | None, float, bool, bool, dict[str, Any]]:
        """Take the step that a response asks for.

        Returns:
            The next message (`None` after the end), the reward, `terminated`, `truncated` (out of steps),
            and after the end the metrics.

        Raises:
            ValueError: If no episode was started in this session, or it is over.
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
        """Drop the episode of a session."""
        episode = self.session_state.pop(session_id, None)
        if episode is not None:
            await asyncio.to_thread(episode.close)


def rows(
    tasks: Sequence[str],
    seeds: Iterable[int],
    split: Split = "train",
    prompt: str = "neutral",
    agent: Mapping[str, Any] | None = None,
    *,
    levels: Sequence[int] = (DEFAULT.level,),
    framings: Sequence[Framing] = (DEFAULT.framing,),
) -> list[dict[str, Any]]:
    """Return rows of a data file (JSON lines), one per scenario, seed by seed: levels and tasks alternate.

    Args:
        tasks: Names of tasks.
        seeds: Seeds of the scenarios.
        split: Split of the scenarios.
        prompt: Prompt of the system message: `neutral` or `hinted`.
        agent: The `agent_ref` of the rows, such as
            `{"type": "responses_api_agents", "name": "safeact_gymnasium_agent"}`.
        levels: Every level that each seed is played on.
        framings: Every framing that each seed is played in.

    Raises:
        ValueError: If a row would not name a scenario.
    """
    reference = {} if agent is None else {"agent_ref": dict(agent)}
    return [
        {"responses_create_params": {"input": [system]}, **scenario, **reference}
        for system, scenario in scenario_rows(tasks, seeds, split, prompt, levels, framings)
    ]
