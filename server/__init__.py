"""The path on which OpenEnv's tools look for the app."""
