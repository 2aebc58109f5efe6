"""ASGI middleware in front of every route: access, limits, overload, the access log.

Owns refusals that do not depend on the route, and what every answer has in common. Must not know episodes.
"""
