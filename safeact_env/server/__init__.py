"""The HTTP and WebSocket doors. Transport only: every rule is the engine's."""
