"""Runs the server: uvicorn with this project's settings, in one process or in several.

Owns processes, signals and uvicorn's configuration. Must not know routes.
"""

import inspect
import json
import logging
import logging.config
import os
import signal
import socket
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import uvicorn

from safeact_env._openenv import web_interface_wanted
from safeact_env.server.operations.counters import SHARED
from safeact_env.server.operations.logs import log_config
from safeact_env.server.operations.ports import PortError, listen, url
from safeact_env.server.settings import Settings, networks
from safeact_env.sessions.errors import StoreUnavailable
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.stores import store_maker

WORKER_SECONDS = 20
"""How long a worker may not answer before it is replaced: on a busy machine its imports take long."""
PROTOCOL = "safeact_env.server.direct_http:DirectHttpProtocol"
# An older uvicorn's protocol that this one extends does not wait for clients that read nothing.
EXTENDS_WEBSOCKETS = tuple(map(int, version("uvicorn").split(".")[:2])) >= (0, 53)
WEBSOCKET = "safeact_env.server.direct_websocket:DirectWebSocketProtocol" if EXTENDS_WEBSOCKETS else "auto"
APP = "safeact_env.server.app:create_app"
PING_SECONDS = 20
"""Pause between two pings to a WebSocket client: proxies close connections on which nothing is sent."""
STOP_SECONDS = 3
"""How long open connections may take to end once the server has to stop."""


def serve(settings: Settings) -> None:
    """Serve until interrupted or terminated; neither counts as a failure.

    Raises:
        SystemExit: With a sentence, if the store cannot be opened or a port is not available.
    """
    # The first process of a container has no default handler. Without this one, nothing could stop it until
    # everything is imported.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        app = _app(settings)
        ports = [port for port in (settings.port, settings.also_port) if port is not None]
        sockets = listen(settings.host, ports)
    except PortError as error:
        sys.exit(str(error))
    except StoreUnavailable as error:
        sys.exit(f"The store of episodes cannot be used. {error.reason}")
    config = config_of(app, settings)
    _take_files(config)
    where = " and ".join(url(settings.host, sock) for sock in sockets)
    logging.getLogger("uvicorn.error").info("SafeAct-Env serves at %s (Ctrl+C stops it)", where)
    if settings.workers > 1:
        _supervise(config, sockets)
        return
    server = uvicorn.Server(config)
    # Once stopped, uvicorn raises the signal again, which would end the process as a failure.
    signal.signal(signal.SIGTERM, server.handle_exit)
    with suppress(KeyboardInterrupt):
        server.run(sockets=sockets)


def config_of(app: Any, settings: Settings) -> uvicorn.Config:
    """The configuration of uvicorn for an app, or for the import path of its factory."""
    config = uvicorn.Config(
        app,
        factory=isinstance(app, str),
        http=_protocol(),
        ws=WEBSOCKET,
        h11_max_incomplete_event_size=settings.max_header_bytes,
        workers=settings.workers,
        log_level=settings.log_level,
        log_config=log_config(settings),
        # With JSON logs, the access log middleware writes a fuller line.
        access_log=settings.log_format == "text",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        # A frame over our own limit, which is in characters, gets an error. One over four bytes for each of
        # them closes the socket, so that the frames that wait on many sockets cannot fill the memory.
        ws_max_size=4 * settings.max_body_bytes,
        # It takes longer to compress an observation than to make it.
        ws_per_message_deflate=settings.ws_compression,
        # The event loop of a client that trains answers no ping for minutes.
        ws_ping_interval=min(PING_SECONDS, settings.ws_timeout_seconds / 2),
        ws_ping_timeout=settings.ws_timeout_seconds,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )
    # Set here, as the oldest supported uvicorn does not know it.
    config.timeout_worker_healthcheck = WORKER_SECONDS
    for_our_protocol = {
        "client_connections": settings.client_connections,
        "clients": Counter(),
        "proxies": networks(settings.trusted_proxies),
        "request_seconds": settings.request_seconds,
    }
    vars(config).update(for_our_protocol)
    return config


def _protocol() -> Any:
    """The HTTP protocol, as uvicorn takes it."""
    if find_spec("httptools") is None:
        return "h11"
    if "str" in str(inspect.signature(uvicorn.Config).parameters["http"].annotation):
        # By name: a worker process that imported it before it runs would be late for its first health check.
        return PROTOCOL
    # The oldest supported uvicorn takes no names but its own.
    from safeact_env.server.direct_http import DirectHttpProtocol

    return DirectHttpProtocol


def _take_files(config: Any) -> None:
    """Open as many files as the process may: every connection is one. One client gets most, but not all."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit.
        return
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS has a limit of its own.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY:
        config.client_connections = min(config.client_connections, files * 3 // 4)


def _app(settings: Settings) -> Any:
    """The app; for several processes its import path, after a check that the store can be opened."""
    if settings.workers > 1:
        SessionService(make_store=store_maker(settings.store)).close()
        hand_down(settings)
        return APP
    if web_interface_wanted():
        # Before uvicorn does, as nothing else is said for so long.
        logging.config.dictConfig(log_config(settings))
        logging.getLogger("uvicorn.error").info("Loading the page at /web; this takes about 20 seconds")
    from safeact_env.server.app import create_app

    return create_app(settings)


def _supervise(config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    """Run worker processes on these sockets, and replace those that die."""
    for sock in sockets:
        sock.set_inheritable(True)
    with ExitStack() as stack:
        try:
            folder = tempfile.TemporaryDirectory(prefix="safeact-metrics-", ignore_cleanup_errors=True)
        except OSError as error:
            # Without a folder, /metrics shows the numbers of one process only.
            logging.getLogger("uvicorn.error").warning("Metrics are not summed over workers: %s", error)
        else:
            os.environ[SHARED] = stack.enter_context(folder)
        _run_workers(config, sockets)


def _run_workers(config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    from uvicorn.supervisors import Multiprocess

    options: dict[str, Any] = {"sockets": sockets}
    if "target" in inspect.signature(Multiprocess).parameters:  # uvicorn before 0.50 or so
        options["target"] = uvicorn.Server(config).run
    Multiprocess(config, **options).run()


def hand_down(settings: Settings) -> None:
    """Put the settings into the environment, from which worker processes read them."""
    prefix = str(settings.model_config.get("env_prefix"))
    for name, value in settings:
        variable = f"{prefix}{name}".upper()
        plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        if plain is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = plain if isinstance(plain, str) else json.dumps(plain)
