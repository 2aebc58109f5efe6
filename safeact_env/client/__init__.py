"""Clients of a SafeAct-Env server: OpenEnv's WebSocket client, typed, and clients of the HTTP API.

Owns requests, retries and typed results. Must not know the engine or the server, and imports neither.

    with SafeActEnv(base_url="http://localhost:7860").sync() as env:
        result = env.reset(task_name="easy", seed=42)
        result = env.step(SafeActAction(action_name="list_directory", parameters={}, reasoning="Look."))

They ask for the view `changes`: an answer holds what the step changed, and they `merge` it, so that every
result has the whole observation.

OpenEnv's `AutoEnv` and `AutoAction` derive class names from the name of the environment, `safeact`: for them,
`SafeactEnv`, `SafeactAction` and `SafeactObservation` name the same classes.
"""

from safeact_env.client.http import AsyncSafeActHTTPClient, SafeActHTTPClient
from safeact_env.client.merging import merge
from safeact_env.client.results import SafeActError
from safeact_env.client.websocket import SafeActEnv
from safeact_env.models import SafeActAction, SafeActObservation, SafeActState

SafeactEnv = SafeActEnv
SafeactAction = SafeActAction
SafeactObservation = SafeActObservation

__all__ = [
    "AsyncSafeActHTTPClient",
    "SafeActAction",
    "SafeActEnv",
    "SafeActError",
    "SafeActHTTPClient",
    "SafeActObservation",
    "SafeActState",
    "SafeactAction",
    "SafeactEnv",
    "SafeactObservation",
    "merge",
]
