"""Who may use the server: the token, and which other sites' pages may use it from a browser.

Owns the paths that are open to everybody. Must not know routes.
"""

import hashlib
import hmac
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from safeact_env.server.asking import ASKER, asker_of
from safeact_env.server.direct import DirectAnswer, answer_of, direct_of
from safeact_env.server.http.errors import error_response

OPEN = frozenset({"/", "/health", "/ready", "/demo"})
"""Paths that need no token. The files below /demo need none either."""
FOR_AGENTS = frozenset({("POST", "/step"), ("GET", "/state")})
OWN_MCP = re.compile("/episodes/[^/]+/mcp")
OF_BROWSERS = (b"origin", b"sec-fetch-site")
"""Headers with which a browser says whose page sends a request."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
LOOPBACK_NAMES = frozenset({"127.0.0.1", "[::1]", "localhost"})
FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip")

NO_TOKEN = (
    "this server needs a token: send the header Authorization: Bearer TOKEN, with the token that its "
    "operator set as SAFEACT_API_TOKEN"
)
TRAINERS = (
    "an agent's key opens the steps, the state and the MCP endpoint of its own episode and nothing else; "
    "this is for the trainer, who started the episode"
)
OTHER_PAGE = (
    "a page of another site sent this request; the server's operator can allow it with SAFEACT_CORS_ORIGINS"
)


def path_of(scope: Scope) -> str:
    """The path as routes see it, below the path at which the app is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


def is_open(scope: Scope) -> bool:
    """Whether a request needs no token: probes and the page's files."""
    if scope["type"] != "http" or scope["method"] not in READING:
        return False
    path = path_of(scope)
    return path in OPEN or path.startswith("/demo/")


def is_for_agents(scope: Scope) -> bool:
    """Whether a request is one that an agent's key may open, if it is the right one."""
    if scope["type"] != "http":
        return False
    path = path_of(scope)
    return (scope["method"], path) in FOR_AGENTS or OWN_MCP.fullmatch(path) is not None


async def deny(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request or the handshake of a WebSocket with this response."""
    if scope["type"] == "websocket":
        await receive()
        # Without that extension, the server itself answers 403.
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
    await response(scope, receive, send)


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def from_this_machine(scope: Scope) -> bool:
    """Whether a user of this machine made the request.

    Excludes requests that a proxy passed on, and pages whose host name was made to resolve to this machine.
    """
    client = scope.get("client")
    host = b"".join(_values(scope, b"host")).decode("latin-1").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    forwarded = any(_values(scope, header) for header in FORWARDED)
    return client is not None and client[0] in LOOPBACK and name in LOOPBACK_NAMES and not forwarded


class AccessMiddleware:
    """ASGI middleware that admits requests with the token, and refuses those of other sites' pages.

    It notes who asks. A request with an agent's key passes without the token to what agents use, where the
    key is checked, and nowhere else, on a server without a token too.

    A page of another site can make a browser send requests with the user's cookies. Browsers report that in
    `Sec-Fetch-Site`, or in `Origin`. The rule is that of Go's net/http.CrossOriginProtection, applied to
    WebSockets too.

    Args:
        app: The app.
        token: The token; `None` admits everybody.
        origins: The sites whose pages are admitted; `*` for all.
    """

    def __init__(self, app: ASGIApp, token: str | None, origins: Collection[str] = ()) -> None:
        self.app = app
        self.directly = self._answered if direct_of(app) else None
        self._token = None if token is None else _digest(token.encode())
        self._origins = {origin.encode() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401 or 403."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await deny(refusal, scope, receive, send)

    def _answered(self, scope: Scope, body: bytes) -> DirectAnswer | None:
        refusal, directly = self._refusal(scope), direct_of(self.app)
        return answer_of(refusal) if refusal is not None else directly and directly(scope, body)

    def _refusal(self, scope: Scope) -> Response | None:
        """Note who asks; the answer if this is refused."""
        asker = asker_of(scope, token=self._token is not None and self._has_token(scope))
        ASKER.set(asker)
        if asker.agent is not None and not is_open(scope) and not is_for_agents(scope):
            return error_response("trainer_only", TRAINERS)
        if not (self._token is None or asker.token or asker.agent is not None or is_open(scope)):
            return error_response("unauthorized", NO_TOKEN)
        if self._is_of_another_site(scope):
            return error_response("foreign_page", OTHER_PAGE)
        return None

    def _has_token(self, scope: Scope) -> bool:
        given = _values(scope, b"authorization")
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        # Digests have a fixed length, so the comparison does not reveal the length of the token.
        same = hmac.compare_digest(_digest(token.strip()), self._token or b"")
        return scheme.lower() == b"bearer" and same

    def _is_of_another_site(self, scope: Scope) -> bool:
        if scope["type"] == "http" and scope["method"] in READING:
            return False
        if not [name for name, _ in scope["headers"] if name in OF_BROWSERS]:
            return False
        origin = b"".join(_values(scope, b"origin"))
        if origin and (b"*" in self._origins or origin in self._origins):
            return False
        site = b"".join(_values(scope, b"sec-fetch-site"))
        if site:
            return site not in (b"same-origin", b"none")
        host = b"".join(_values(scope, b"host"))
        try:
            return bool(origin) and urlsplit(origin).netloc != host
        except ValueError:  # such as `http://[`
            return True


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
