"""The client, where OpenEnv's tools look for it. It needs `safeact_env` installed."""

from safeact_env.client import *  # noqa: F403
