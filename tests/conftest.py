"""The app under test, in process and on a real socket."""

import gc
import logging
import socket
import threading
import time
from collections import ChainMap
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi.testclient import TestClient

from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.sessions.executor import EPISODE
from safeact_env.sessions.stores.memory import MemoryStore


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """The tests in a browser run first and in a row: one process has it, the other takes more of the rest."""
    items.sort(key=lambda item: "browser" not in item.keywords)


def pytest_collection():
    """What is imported and collected stays; the garbage collector need not walk it again and again."""
    gc.disable()


def pytest_collection_finish():
    """Begin to collect garbage, in larger portions than is the default."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(autouse=True)
def unaffected():
    """Undo what earlier tests left in this process: logging that `caplog` does not hear, an episode's id."""
    EPISODE.set(None)
    logger = logging.getLogger("safeact_env")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


def parts(app):
    """What the middleware of an app was given, its `service` and `slots` for two."""
    return ChainMap(*(one.kwargs for one in app.user_middleware))


def begin_anew(app):
    """Forget the episodes of an app: to make another takes longer than most of what is asked of it."""
    parts(app)["service"].__post_init__(MemoryStore)


@pytest.fixture(scope="session")
def served():
    """A client of an app with the default settings that runs as long as the tests."""
    with TestClient(create_app(Settings())) as client:
        yield client


@pytest.fixture
def client(served):
    """A client without cookies of that app, in which no episode has begun."""
    begin_anew(served.app)
    # Sessions of earlier tests would wait a minute for their next connection, and few may wait.
    slots = parts(served.app)["slots"]
    for session_id in [*slots._waiting]:
        served.portal.call(slots.close, session_id)
    client = TestClient(served.app, raise_server_exceptions=False)
    client.portal = served.portal
    return client


@pytest.fixture
def own_client():
    """A client of an app that no other test uses."""
    with TestClient(create_app(Settings()), raise_server_exceptions=False) as client:
        yield client


@contextmanager
def running(settings):
    """A server on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    while thread.is_alive() and not server.started:
        time.sleep(0.01)
    yield url
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture(scope="session")
def live_url():
    """A server with the default settings."""
    with running(Settings()) as url:
        yield url
