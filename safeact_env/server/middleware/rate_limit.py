"""How often one client may send requests.

Owns the answer to a client that sends too many. Must not know routes. The library
`limits` does the counting; it is imported only if there is a limit.
"""

import asyncio
import math
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.server.asking import client_of
from safeact_env.server.direct import DIRECT
from safeact_env.server.http.errors import error_response
from safeact_env.server.middleware.access import deny, is_open

LONGEST_PAUSE_S = 5.0


class RateLimitMiddleware:
    """ASGI middleware that counts the requests of each client.

    A request over the limit is answered with 429 and `Retry-After`. A WebSocket frame over the limit waits,
    and the frames behind it too. Probes and the page's files do not count.

    Args:
        app: The app.
        limit: In the notation of `limits`, such as `20/second;600/minute`.
    """

    def __init__(self, app: ASGIApp, limit: str) -> None:
        from limits import parse_many
        from limits.storage import MemoryStorage
        from limits.strategies import SlidingWindowCounterRateLimiter

        self.app = app
        self.limits = parse_many(limit)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def wait_for(self, client: str) -> float:
        """Count a request that may pass, and return 0; else return the seconds to wait."""
        waits = [
            self._limiter.get_window_stats(limit, client).reset_time - time.time()
            for limit in self.limits
            if not self._limiter.test(limit, client)
        ]
        if waits:
            return max(*waits, 0.001)
        for limit in self.limits:
            self._limiter.hit(limit, client)
        return 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 429."""
        if scope["type"] not in ("http", "websocket") or is_open(scope):
            await self.app(scope, receive, send)
            return
        client = client_of(scope)
        if seconds := self.wait_for(client):
            after = math.ceil(seconds)
            refusal = error_response("rate_limited", f"too many requests; try again in {after} s")
            refusal.headers["Retry-After"] = str(after)
            await deny(refusal, scope, receive, send)
            return
        if scope["type"] == "websocket":
            receive = self._paced(client, receive)
            # Only an ASGI message can be made to wait.
            scope.get("extensions", {}).pop(DIRECT, None)
        await self.app(scope, receive, send)

    def _paced(self, client: str, receive: Receive) -> Receive:
        async def next_frame() -> Message:
            frame = await receive()
            if frame["type"] == "websocket.receive":
                while seconds := self.wait_for(client):
                    await asyncio.sleep(min(seconds, LONGEST_PAUSE_S))
            return frame

        return next_frame
