"""OpenEnv over WebSockets: frames, sessions, and the environment that each session plays.

Owns connections, session slots and their limits. Must not know rules, or the episodes of the HTTP API.
"""
