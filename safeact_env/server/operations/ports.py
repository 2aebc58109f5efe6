"""The ports of the server, taken before it starts.

Owns how an address becomes listening sockets, and the sentence when it cannot. Must not know what is served.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

__all__ = ["PortError", "listen", "url"]

BACKLOG = 2_048


class PortError(RuntimeError):
    """A port that cannot be listened on; the message says what to do."""


def listen(host: str, ports: Sequence[int]) -> list[socket.socket]:
    """A listening socket for each port; 0 takes a free one.

    An IPv4 address is preferred where a name has several.

    Raises:
        PortError: If a port is taken or not allowed, or the host is no address of this machine.
    """
    taken: list[socket.socket] = []
    try:
        for port in ports:
            taken.append(_listening(host, port))
    except PortError:
        for sock in taken:
            sock.close()
        raise
    return taken


def url(host: str, sock: socket.socket) -> str:
    """Where a listening socket is to be reached, with its real port."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{sock.getsockname()[1]}"


def _listening(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise PortError(f"{host!r} is not an address of this machine; choose another host.") from error
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # A port whose last connections have not quite ended is free. Elsewhere this would share it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # At once: a port that is only bound is not refused to the next server.
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortError(_reason(host, port, error)) from error
    return sock


def _reason(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken; stop what listens there, or choose another port."
    if error.errno == errno.EACCES:
        return f"Port {port} of {host} is not allowed to this user; choose one from 1024."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host!r} is not an address of this machine; choose another host."
    return f"Port {port} of {host} cannot be listened on: {error.strerror}."
