"""What `openenv push` asks of a checkout: a package that offers the client. Needs `safeact_env` installed."""

from safeact_env.client import *  # noqa: F403
