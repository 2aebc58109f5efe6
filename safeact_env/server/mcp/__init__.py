"""MCP: the actions of an episode as tools, over HTTP and WebSockets.

Owns JSON-RPC, tool schemas and the two endpoints. Must not know rules; a tool call is a step like any other.
"""
