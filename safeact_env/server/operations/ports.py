"""The ports of the server, opened before it starts.

Owns the way from an address to listening sockets, and the error message if that fails. Must not know what is
served.
"""

import errno
import os
import socket
from collections.abc import Sequence

BACKLOG = 2_048


class PortError(RuntimeError):
    """A port on which the server cannot listen. The message says what to do."""


def listen(host: str, ports: Sequence[int]) -> list[socket.socket]:
    """Open a listening socket for each port; 0 picks a free one.

    Prefers IPv4 if a name has several addresses.

    Raises:
        PortError: If a port is taken or not allowed, or the host is not an address of this machine.
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
    """The URL of a listening socket, with its actual port."""
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
            # Reuses a port whose last connections are still closing. On Windows this would share the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Listen at once: another server could still take a port that is only bound.
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortError(_reason(host, port, error)) from error
    return sock


def _reason(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken; stop the program that listens there, or choose another port."
    if error.errno == errno.EACCES:
        return f"Port {port} of {host} is not allowed for this user; choose a port from 1024 up."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host!r} is not an address of this machine; choose another host."
    return f"Port {port} of {host} cannot be listened on: {error.strerror}."
