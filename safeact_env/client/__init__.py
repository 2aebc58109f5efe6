"""Clients of a SafeAct-Env server: OpenEnv's WebSocket client, typed, and a client of the HTTP door.

They import neither the engine nor the server.

    with SafeActEnv(base_url="http://localhost:7860").sync() as env:
        result = env.reset(task_name="easy", seed=42)
        result = env.step(SafeActAction(action_name="list_directory", parameters={}, reasoning="Look."))

`SafeactEnv`, `SafeactAction` and `SafeactObservation` are the same classes under the names that OpenEnv's
`AutoEnv` and `AutoAction` derive from the environment's name, `safeact`.
"""

from safeact_env.client.http import AsyncSafeActHTTPClient, SafeActHTTPClient
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
]
