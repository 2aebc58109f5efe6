"""Where verifiers looks for the taskset `safeact-verifiers` and its environment."""

from safeact_env.integrations.verifiers import SafeActVerifiersEnv, SafeActVerifiersTaskset

__all__ = ["SafeActVerifiersEnv", "SafeActVerifiersTaskset"]
