"""The path at which OpenEnv's tools look for the app."""
