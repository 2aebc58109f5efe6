"""As many WebSocket sessions at once as the server admits, and clients that vanish."""

import asyncio
import json
import logging
import os
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from safeact_env import get_task, play, task_names
from safeact_env.server.settings import Settings
from tests.conftest import running

SESSIONS = int(os.environ.get("SESSIONS", "64"))
"""As many as the server admits, so that one that leaked keeps out the last of the next crowd."""


@pytest.fixture(autouse=True)
def _enough_files() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * SESSIONS:
        pytest.skip(f"this machine allows {hard} open files; {4 * SESSIONS} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def ask(socket: ClientConnection, kind: str, data: Any) -> dict[str, Any]:
    await socket.send(json.dumps({"type": kind, "data": data}))
    answer: dict[str, Any] = json.loads(await socket.recv())
    assert answer["type"] == "observation", answer
    found: dict[str, Any] = answer["data"]
    return found


async def crowd(url: str) -> list[ClientConnection]:
    """As many open sessions as there may be."""
    gate = asyncio.Semaphore(64)

    async def enter() -> ClientConnection:
        async with gate:
            return await connect(url, max_size=None, ping_interval=None, open_timeout=60)

    return list(await asyncio.gather(*(enter() for _ in range(SESSIONS))))


@pytest.fixture
def url() -> Iterator[str]:
    with running(Settings(max_sessions=SESSIONS)) as url:
        yield url.replace("http", "ws", 1) + "/ws"


async def test_a_full_house_plays_whole_episodes_and_leaves_nothing_behind(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ways = {
        name: [turn.call.to_json() for turn in play(get_task(name), "train", 3, "expert").turns]
        for name in task_names()
    }
    names = list(ways)

    async def episode(socket: ClientConnection, name: str) -> float:
        await ask(socket, "reset", {"task_name": name, "seed": 3})
        for call in ways[name]:
            answer = await ask(socket, "step", call)
        score: float = answer["metadata"]["score"]
        return score

    async def leave(socket: ClientConnection, number: int) -> None:
        if number % 2:
            await socket.close()
        else:
            # Gone in the middle of a step, without a word.
            await socket.send(json.dumps({"type": "reset", "data": {"seed": 1}}))
            await socket.send(json.dumps({"type": "step", "data": ways["easy"][0]}))
            socket.transport.abort()

    with caplog.at_level(logging.INFO):
        sockets = await crowd(url)
        players = [episode(socket, names[n % len(names)]) for n, socket in enumerate(sockets)]
        assert await asyncio.gather(*players) == [1.0] * SESSIONS
        async with connect(url) as late:
            assert json.loads(await late.recv())["data"]["code"] == "CAPACITY_REACHED"
        await asyncio.gather(*(leave(socket, number) for number, socket in enumerate(sockets)))
        await asyncio.sleep(1)
        for socket in (again := await crowd(url)):
            assert (await ask(socket, "reset", {"seed": 1}))["done"] is False
        await asyncio.gather(*(socket.close() for socket in again))
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
