"""What the environment says of the network, and what servers say of waiting.

Owns proxies, certificates and `Retry-After`, for every client here. Must not know what a client asks.
"""

import ipaddress
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import httpx

__all__ = [
    "BadEnvironment",
    "asked_to_wait",
    "by_proxy",
    "is_this_machine",
    "opening",
    "options_for",
    "seconds_in",
]

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
WAIT = re.compile(
    r"\s*(\d{1,9}(?:\.\d*)?) ?(?:(ms)|(s|sec|seconds?)|(m|min|minutes?)(?:\d+(?:\.\d+)?s)?)?\s*"
)


class BadEnvironment(ValueError):
    """A variable that clients read cannot be used. The message names it, without its value."""


def is_this_machine(url: str) -> bool:
    """Whether a URL is one of this machine, so that no proxy can help to reach it."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        address = getattr(address, "ipv4_mapped", None) or address
        return address.is_loopback or address.is_unspecified
    return False


def options_for(url: str) -> dict[str, Any]:
    """Return the options of an httpx client for a URL: to this machine no variable leads through a proxy."""
    if not is_this_machine(url):
        return {}
    if not url.lower().startswith("https:"):
        # No certificate is trusted, as none is shown: to read all that there are takes 20 ms per client.
        return {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
    file, folder = (os.environ.get(name) or None for name in CERTIFICATES)
    if not (file or folder):
        return {"trust_env": False}
    return {"trust_env": False, "verify": ssl.create_default_context(cafile=file, capath=folder)}


def by_proxy(url: str) -> str:
    """Return what a failure adds: the variable that may put a proxy before a URL; empty if there is none."""
    if is_this_machine(url):
        return ""
    wanted = (f"{urlsplit(url).scheme.lower()}_proxy", "all_proxy")
    found = (name for one in wanted for name in os.environ if name.lower() == one and os.environ[name])
    name = next(found, None)
    return f"; {name} puts a proxy before it" if name else ""


@contextmanager
def opening() -> Iterator[None]:
    """Explain what goes wrong while the block makes a client, where a variable is to blame.

    Raises:
        BadEnvironment: If a proxy, an exception to proxies, or a certificate cannot be used.
    """
    try:
        yield
    except Exception as error:  # httpx passes on whatever urllib, ssl and its own parts raise
        why = _certificate(error) if isinstance(error, OSError) else _proxy()
        if why is None:
            raise
        raise BadEnvironment(f"{why} Correct or unset it.") from None


def _certificate(error: OSError) -> str | None:
    """What is wrong with the file or folder of certificates that is set."""
    name = next((name for name in CERTIFICATES if os.environ.get(name)), None)
    if name is None:
        return None
    problem = "cannot be found" if isinstance(error, FileNotFoundError) else "cannot be read as certificates"
    return f"{name} names what {problem}."


def _proxy() -> str | None:
    """What is wrong with the variables for proxies."""
    for name, value in os.environ.items():
        if name.lower() not in PROXIES or not value:
            continue
        url = value if "://" in value else f"http://{value}"
        scheme = url.partition("://")[0].lower()
        if scheme in ("socks5", "socks5h") and find_spec("socksio") is None:
            return f"{name} names a SOCKS proxy, which needs a package: pip install 'httpx[socks]'."
        try:
            httpx.Proxy(url)
        except (ValueError, httpx.InvalidURL):
            return f"{name} does not name a proxy: it must begin with http://, https:// or socks5://."
    exceptions = (name for name in os.environ if name.lower() == "no_proxy" and os.environ[name])
    return next((f"{name} holds something that is no host." for name in exceptions), None)


# Waiting ----------------------------------------------------------------------------------------------------


def asked_to_wait(headers: Mapping[str, str]) -> str | None:
    """Return how long an answer asks to wait, as it says it."""
    exact = headers.get("retry-after-ms")
    return f"{exact}ms" if exact else headers.get("retry-after")


def seconds_in(asked: str | None) -> float | None:
    """Return the seconds that a server asks to wait: a number with or without a unit, or a date.

    Args:
        asked: Such as `7`, `1.5`, `350ms`, `6m0s` (read as 6 minutes) or an HTTP date.

    Returns:
        Seconds, at least 0; `None` if it cannot be read.
    """
    if asked is None:
        return None
    if number := WAIT.fullmatch(asked.lower()):
        return float(number[1]) * (0.001 if number[2] else 60.0 if number[4] else 1.0)
    with suppress(ValueError, OverflowError):
        # The date is of a clock that may differ from ours.
        then = parsedate_to_datetime(asked)
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        return max((then - datetime.now(UTC)).total_seconds(), 0.0)
    return None
