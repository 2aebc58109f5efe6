"""SafeAct-Env: an OpenEnv environment for telling reversible actions from irreversible ones."""
