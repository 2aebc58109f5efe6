"""Who asks: the client of a request, the trainer's token or an agent's key, and the ids that are its own.

Owns how an agent's key is written, and how the names that clients choose become ids of episodes. Must not
know routes, or what anybody may do.
"""

import hashlib
import re
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from pydantic_core import from_json, to_json
from starlette.types import Scope

from safeact_env.ids import is_drawn
from safeact_env.sessions.executor import EPISODE
from safeact_env.sessions.service import Session

__all__ = [
    "ASKER",
    "AgentKey",
    "Asker",
    "agent_key",
    "agent_key_in",
    "client_at",
    "client_of",
    "own_id",
    "without_trainers_part",
]

PREFIX = "safeact-agent"
KEY = re.compile(PREFIX + r"\.([0-9a-f]{32})\.([A-Za-z0-9_-]{32})")
TRAINERS_PART = ("reward", "metadata", "episode_id", "agent_key")
"""What an agent is not sent: a reward tells what was right, the final metadata the grade and the seed, and
the id opens what is the trainer's on a server without a token."""
HOST_AND_PORT = re.compile(r"\[(.+)\](?::\d+)?|([\d.]+):\d+")
"""As some proxies write a client, with a port that differs by connection."""
NEEDS_KEY = (
    "this is for an agent, which shows its episode's key: send the header Authorization: Bearer AGENT_KEY, "
    "with the agent_key that /reset returned"
)


@dataclass(frozen=True, slots=True)
class AgentKey:
    """The key of an agent.

    Attributes:
        episode_id: The episode that it opens, as the service knows it: `own_id` of its name.
        secret: Shows that the agent was given the key.
    """

    episode_id: str
    secret: str


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sent a request.

    Attributes:
        client: Digest of the address of the client; "" for one in this process.
        token: Whether the request showed the server's token.
        agent: The key of an agent, if the request showed one. It may be wrong.
    """

    client: str = ""
    token: bool = False
    agent: AgentKey | None = None


NOBODY = Asker()
ASKER: ContextVar[Asker] = ContextVar("asker", default=NOBODY)
"""Who sent the present request."""


def client_of(scope: Scope) -> str:
    """Whose requests count together: an IPv4 address, or the 64-bit IPv6 network of one customer."""
    client = scope.get("client")
    return client_at(str(client[0])) if client else "unknown"


@lru_cache(4_096)
def client_at(host: str) -> str:
    """The client at an address."""
    try:
        with_port = HOST_AND_PORT.fullmatch(host)
        address = ip_address(host if with_port is None else with_port[1] or with_port[2])
    except ValueError:
        return host  # A Unix socket, or the client of a test.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def asker_of(scope: Scope, *, token: bool) -> Asker:
    """Who sent a request. `token` says whether it showed the server's token."""
    agent = None if token else agent_key_in(scope)
    return (
        _trainer(client_of(scope), token) if agent is None else Asker(_short(client_of(scope)), token, agent)
    )


@lru_cache(4_096)
def _trainer(client: str, token: bool) -> Asker:
    return Asker(_short(client), token)


def _short(client: str) -> str:
    return _digest(client)[:16]


@lru_cache(4_096)
def _digest(text: str) -> str:
    """A digest in hexadecimal. The same clients and episodes ask again and again."""
    return hashlib.sha256(text.encode()).hexdigest()


# Ids ------------------------------------------------------------------------------------------------------


def own_id(episode_id: str) -> str:
    """The id under which the service knows an episode that the present client names.

    It is a digest, so that an agent, whose key holds it, does not learn the name by which its trainer reaches
    the episode. The same chosen name of two clients is two episodes. Whoever shows the token is one client,
    and a name that was drawn at random is a secret in itself: it holds from any address.
    """
    asker = ASKER.get()
    EPISODE.set(episode_id)
    if not asker.client:
        return episode_id
    owner = "" if asker.token or is_drawn(episode_id) else asker.client
    return _digest(f"{owner}/{episode_id}")[:32]


# Agents ---------------------------------------------------------------------------------------------------


def agent_key(session: Session) -> str:
    """The key of the agent of an episode, as it is handed to the trainer."""
    return f"{PREFIX}.{session.id}.{session.start.secret}"


def agent_key_in(scope: Scope) -> AgentKey | None:
    """The key in the header `Authorization`, if there is one."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1:
        return None
    scheme, _, key = given[0].partition(b" ")
    text = key.strip().decode("latin-1")
    if scheme.lower() != b"bearer" or not text.startswith(f"{PREFIX}."):
        return None
    # One that is cut off or mistyped is an agent's all the same: it opens nothing, rather than what is open.
    found = KEY.fullmatch(text)
    return AgentKey("", "") if found is None else AgentKey(found[1], found[2])


def without_trainers_part(answer: bytes) -> bytes:
    """The answer to a step as an agent gets it."""
    full = from_json(answer)
    shown = {name: value for name, value in full["observation"].items() if name not in TRAINERS_PART}
    kept = {name: value for name, value in full.items() if name not in TRAINERS_PART}
    return to_json({**kept, "observation": shown})
