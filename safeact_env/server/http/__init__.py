"""The HTTP API: routes, errors, and the OpenAPI document.

Owns paths, status codes and how a request names its episode. Must not know rules, or how episodes are stored.
"""
