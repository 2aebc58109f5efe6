"""OpenEnv's client, typed for this environment.

Owns the payloads of `EnvClient`. Must not know the HTTP API. Works with every OpenEnv that has `EnvClient`:
openenv-core 0.2.3 to openenv 0.10.
"""

from typing import Any

from safeact_env._openenv import EnvClient, StepResult
from safeact_env.client.results import step_result
from safeact_env.models import SafeActAction, SafeActObservation, SafeActState

__all__ = ["SafeActEnv"]


class SafeActEnv(EnvClient[SafeActAction, SafeActObservation, SafeActState]):
    """One episode at a time over a WebSocket; async, or sync through `.sync()`.

    `reset` takes what `POST /reset` does: `task_name`, `seed`, `split`, `index`, `level`, `framing` and
    `episode_id`. If the server refuses a request, the method raises `RuntimeError` with the reason, and the
    connection stays usable.
    """

    def _step_payload(self, action: SafeActAction) -> dict[str, Any]:
        return action.model_dump(include={"action_name", "parameters", "reasoning"})

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[SafeActObservation]:
        return step_result(payload)

    def _parse_state(self, payload: dict[str, Any]) -> SafeActState:
        return SafeActState.model_validate(payload)
