"""Running the server: uvicorn with this project's settings."""

from __future__ import annotations

import uvicorn

from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings

__all__ = ["serve"]


def serve(settings: Settings) -> None:
    """Serve until interrupted."""
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        # A frame over our own limit is answered with an error; uvicorn's larger one would close the socket.
        ws_max_size=max(16 * settings.max_body_bytes, 2**20),
        # Compressing every observation takes longer than making it.
        ws_per_message_deflate=settings.ws_compression,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
