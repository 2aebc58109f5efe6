"""OpenEnv's client, typed for this environment.

Owns the payloads of `EnvClient`. Must not know the HTTP API. Works with every OpenEnv that has `EnvClient`:
openenv-core 0.2.3 to openenv 0.10.
"""

import copy
from typing import Any

from safeact_env._openenv import EnvClient, StepResult
from safeact_env.client.merging import merge
from safeact_env.client.results import step_result
from safeact_env.models import SafeActAction, SafeActObservation, SafeActState

__all__ = ["SafeActEnv"]


class SafeActEnv(EnvClient[SafeActAction, SafeActObservation, SafeActState]):
    """One episode at a time over a WebSocket; async, or sync through `.sync()`.

    `reset` takes what `POST /reset` does: `task_name`, `seed`, `split`, `index`, `level`, `framing`,
    `episode_id` and `view`, here `changes` by default; results are whole in either view. If the server
    refuses a request, the method raises `RuntimeError` with the reason, and the connection stays usable.
    """

    _latest: dict[str, Any] | None = None
    """The last observation, whole."""

    async def _send_and_receive(self, message: dict[str, Any]) -> dict[str, Any]:
        # Every release of OpenEnv sends a reset through this method.
        if message["type"] == "reset":
            message = {**message, "data": {"view": "changes", **message["data"]}}
        return await super()._send_and_receive(message)

    def _step_payload(self, action: SafeActAction) -> dict[str, Any]:
        payload = action.model_dump(include={"action_name", "parameters", "reasoning"})
        return payload if self._latest is not None else {**payload, "view": "full"}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[SafeActObservation]:
        # If the session was played from elsewhere as well, this fails, and the next step asks for all.
        before, self._latest = self._latest, None
        self._latest = merge(before, payload["observation"])
        # The caller may change what it gets.
        return step_result({**payload, "observation": copy.deepcopy(self._latest)})

    def _parse_state(self, payload: dict[str, Any]) -> SafeActState:
        return SafeActState.model_validate(payload)
