"""Running the server: uvicorn with this project's settings."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import suppress

import uvicorn

from safeact_env.server.ports import PortError, listen, url
from safeact_env.server.settings import Settings

__all__ = ["serve"]

STOP_SECONDS = 3
"""How long open connections may take to end once the server is asked to stop."""


def serve(settings: Settings) -> None:
    """Serve until interrupted or terminated, which is no failure.

    Raises:
        SystemExit: With a sentence, if a port cannot be listened on.
    """
    # The first process of a container has no default handler: without one it could not be stopped until
    # everything is imported.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())

    from safeact_env.server.app import create_app

    app = create_app(settings)
    ports = [port for port in (settings.port, settings.also_port) if port is not None]
    try:
        sockets = listen(settings.host, ports)
    except PortError as error:
        sys.exit(str(error))
    config = uvicorn.Config(
        app,
        log_level=settings.log_level,
        # A frame over our own limit is answered with an error; uvicorn's larger one would close the socket.
        ws_max_size=max(16 * settings.max_body_bytes, 2**20),
        # Compressing every observation takes longer than making it.
        ws_per_message_deflate=settings.ws_compression,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again when it has stopped, to end the process as a failure.
    signal.signal(signal.SIGTERM, server.handle_exit)
    where = " and ".join(url(settings.host, sock) for sock in sockets)
    logging.getLogger("uvicorn.error").info("SafeAct-Env serves at %s (Ctrl+C stops it)", where)
    with suppress(KeyboardInterrupt):
        server.run(sockets=sockets)
