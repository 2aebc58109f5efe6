"""The server: HTTP, WebSocket and MCP transports, middleware, operations and pages.

Owns how requests become calls and episodes become answers. Must not know rules: those are the engine's.
"""
