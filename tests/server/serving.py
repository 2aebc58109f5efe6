"""A server on a socket, configured as `safeact serve` does it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from safeact_env.server.app import create_app
from safeact_env.server.main import config_of
from safeact_env.server.settings import Settings


@contextmanager
def serving(http: Any = None, keep_alive: int = 5, **settings: Any) -> Iterator[int]:
    """The port of a server that is configured as `safeact serve` does it, or with another protocol.

    After `keep_alive` seconds it closes a connection that rests; `safeact serve` leaves it at 5.
    """
    given = Settings(log_level="critical", **settings)
    config = config_of(create_app(given), given)
    config.http, config.timeout_keep_alive = http or config.http, keep_alive
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(timeout=10)
