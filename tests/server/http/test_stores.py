"""The server on a store that processes share: what clients see when it is slow, or fails, or is shared."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from safeact_env.cli import app as cli
from safeact_env.client import SafeActAction, SafeActHTTPClient
from safeact_env.server import main
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.sessions import session
from safeact_env.sessions.errors import StoreUnavailable
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.stores.sqlite import SQLiteStore
from tests.server.http.refusals import code
from tools.servers.local_servers import Replica

LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "look"}


class Troubled(SQLiteStore):
    """A store that fails or hangs when it is told to."""

    failing = False
    free = threading.Event()

    def _transaction(self, begin: str) -> Any:
        assert self.free.wait(20)
        if self.failing:
            raise StoreUnavailable("SQLite: told to fail")
        return super()._transaction(begin)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Callable[..., Troubled]]:
    Troubled.failing, Troubled.free = False, threading.Event()
    Troubled.free.set()
    yield partial(Troubled, str(tmp_path / "episodes.db"))
    Troubled.free.set()


@pytest.fixture
def troubled(store: Callable[..., Troubled]) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(), SessionService(make_store=store))) as client:
        yield client


def step(client: TestClient, **more: Any) -> httpx.Response:
    return client.post("/step", json={"action": LOOK, "episode_id": "e", **more})


def test_the_routes_work_on_it(troubled: TestClient) -> None:
    assert troubled.post("/reset", json={"seed": 1, "episode_id": "e"}).status_code == 200
    assert step(troubled).json()["observation"]["action_history"]
    assert troubled.get("/health").json()["live_episodes"] == 1
    assert troubled.get("/state").json()["step_count"] == 1
    troubled.cookies.clear()
    assert troubled.get("/state").json()["episode_id"] == "e"
    assert troubled.post("/grader", json={"episode_id": "e", "finish": True}).json()["steps"] == 2
    assert len(troubled.get("/episodes/e/report").json()["steps"]) == 2
    assert troubled.delete("/episodes/e").json() == {"deleted": "e"}
    assert code(step(troubled), 404) == "unknown_episode"


def test_a_store_that_fails_is_a_503_and_nothing_is_lost_or_done_twice(troubled: TestClient) -> None:
    troubled.post("/reset", json={"seed": 1, "episode_id": "e"})
    first = step(troubled, request_id="r1").json()
    Troubled.failing = True
    for answer in (
        step(troubled, request_id="r2"),
        troubled.post("/reset"),
        troubled.get("/state"),
        troubled.post("/grader", json={"episode_id": "e", "finish": True}),
        troubled.get("/episodes/e/report"),
        troubled.delete("/episodes/e"),
        troubled.post("/baseline", json={"task_name": "easy", "seeds": [0]}),
    ):
        assert code(answer, 503) == "store_unavailable"
        assert answer.headers["retry-after"] == "1"
        assert "told to fail" not in answer.text
    health = troubled.get("/health")
    assert (health.status_code, health.json()["live_episodes"]) == (200, None)
    Troubled.failing = False
    assert step(troubled, request_id="r1").json() == first
    second = step(troubled, request_id="r2").json()
    assert step(troubled, request_id="r2").json() == second
    assert troubled.get("/state").json()["step_count"] == 2


def test_a_store_that_hangs_stalls_nothing_else(troubled: TestClient) -> None:
    troubled.post("/reset", json={"seed": 1, "episode_id": "e"})
    Troubled.free.clear()
    waiting = threading.Thread(target=step, args=(troubled,))
    waiting.start()
    begun = time.monotonic()
    assert troubled.get("/health").json()["live_episodes"] is None
    assert troubled.get("/tasks").status_code == 200
    with troubled.websocket_connect("/ws") as ws:
        ws.send_json({"type": "reset", "data": {"seed": 1}})
        assert ws.receive_json()["type"] == "observation"
        for _ in range(5):
            ws.send_json({"type": "step", "data": LOOK})
            assert ws.receive_json()["type"] == "observation"
    assert time.monotonic() - begun < 10
    assert waiting.is_alive()
    Troubled.free.set()
    waiting.join()
    assert troubled.get("/state").json()["step_count"] == 1


def test_an_episode_of_another_version_is_a_409(
    troubled: TestClient, monkeypatch: pytest.MonkeyPatch, store: Callable[..., Troubled]
) -> None:
    troubled.post("/reset", json={"seed": 1, "episode_id": "e"})
    step(troubled)
    monkeypatch.setattr(session, "VERSION", "9.9.9")
    with TestClient(create_app(Settings(), SessionService(make_store=store))) as newer:
        assert code(step(newer), 409) == "version_changed"
        assert code(newer.get("/state", params={"episode_id": "e"}), 409) == "version_changed"
        assert code(newer.post("/grader", json={"episode_id": "e"}), 409) == "version_changed"
        assert newer.delete("/episodes/e").status_code == 200


def test_one_baseline_at_a_time_on_all_processes(
    store: Callable[..., Troubled], troubled: TestClient
) -> None:
    body = {"task_name": "easy", "seeds": [0]}
    other = SessionService(make_store=store)
    assert other.store.take("baseline", "another process", 60)
    assert code(troubled.post("/baseline", json=body), 429) == "busy"
    other.store.give_back("baseline", "another process")
    other.close()
    assert troubled.post("/baseline", json=body).status_code == 200
    assert troubled.post("/baseline", json=body).status_code == 200


RPC = {"jsonrpc": "2.0", "id": 1}
TOOL = {"name": "list_directory", "arguments": {"reasoning": "look"}}
MCP_HEADERS = {"Accept": "application/json, text/event-stream"}


@pytest.mark.parametrize("path", ["/mcp", "/episodes/e/mcp"])
def test_tools_may_be_called_through_any_process(
    troubled: TestClient, store: Callable[..., Troubled], path: str
) -> None:
    key = troubled.post("/reset", json={"seed": 1, "episode_id": "e"}).json()["agent_key"]
    named = {"X-Episode-Id": "e"} if path == "/mcp" else {"Authorization": f"Bearer {key}"}
    headers = {**MCP_HEADERS, **named}

    def ask(client: TestClient, method: str, params: dict[str, Any]) -> httpx.Response:
        return client.post(path, json={**RPC, "method": method, "params": params}, headers=headers)

    with TestClient(create_app(Settings(), SessionService(make_store=store))) as other:
        for number, client in enumerate([troubled, other, other, troubled, other, troubled], start=1):
            result = ask(client, "tools/call", TOOL).json()["result"]
            assert not result["isError"]
            assert len(result["structuredContent"]["action_history"]) == number
        assert len(ask(other, "tools/list", {}).json()["result"]["tools"]) > 8
        Troubled.failing = True
        assert code(ask(other, "tools/call", TOOL), 503) == "store_unavailable"
        if path == "/mcp":
            del headers["X-Episode-Id"]
            other.cookies.clear()
            assert code(ask(other, "tools/call", TOOL), 503) == "store_unavailable"
        Troubled.failing = False
    assert troubled.get("/state", params={"episode_id": "e"}).json()["step_count"] == 6


def test_the_documents_name_the_new_errors(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    answers = paths["/step"]["post"]["responses"]
    assert "store_unavailable" in answers["503"]["description"]
    assert "version_changed" in answers["409"]["description"]


# Settings ------------------------------------------------------------------------------------------------


def test_workers_need_a_store_that_they_share(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="SAFEACT_STORE"):
        Settings(workers=2)
    assert Settings(workers=2, store=f"sqlite:///{tmp_path}/a.db").workers == 2
    with pytest.raises(ValidationError, match="sqlite:///FILE"):
        Settings(store="mysql://host")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_store_that_cannot_be_opened_is_a_sentence(tmp_path: Path, workers: int) -> None:
    with pytest.raises(SystemExit) as ended:
        main.serve(Settings(store=f"sqlite:///{tmp_path}/nowhere/a.db", workers=workers))
    assert "its directory must exist" in str(ended.value.code), "a text is printed, and the exit code is 1"


def test_several_workers_in_memory_are_refused_with_the_way_on() -> None:
    ended = CliRunner().invoke(cli, ["serve", "--workers", "2"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert ended.exit_code == 2
    assert "--workers is '2', but" in ended.stderr
    assert "SAFEACT_STORE" in ended.stderr


def test_settings_reach_the_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Later(Settings):
        token: SecretStr = SecretStr("")
        nothing: int | None = None

    for name in Later.model_fields:
        monkeypatch.setenv(f"SAFEACT_{name.upper()}", "")  # so that the test leaves no trace
        monkeypatch.delenv(f"SAFEACT_{name.upper()}")
    given = Later(
        store=f"sqlite:///{tmp_path}/a.db", workers=3, idle_seconds=1.5, log_level="error", token="t"
    )
    main.hand_down(given)
    assert "SAFEACT_NOTHING" not in os.environ
    handed = Later()
    assert handed == given
    assert handed.token.get_secret_value() == "t"


# Processes -----------------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    """The processes that a process has started, the last one last."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # it may have ended
            if f"\nPPid:\t{pid}\n" in status.read_text():
                found.append(int(status.parent.name))
    return sorted(found)


def test_workers_serve_each_others_episodes_and_survive_a_kill(tmp_path: Path) -> None:
    look = SafeActAction(**LOOK)
    log = tmp_path / "log"
    with (
        Replica(f"sqlite:///{tmp_path}/episodes.db", log, "--workers", "2") as server,
        # A new connection for every request: whichever worker takes it.
        SafeActHTTPClient(server.url, headers={"Connection": "close"}) as env,
    ):
        env.reset("easy", seed=3, episode_id="e")
        for number in range(1, 21):
            assert len(env.step(look).observation.action_history) == number
        assert server.process is not None
        worker = children(server.process.pid)[-1]
        os.kill(worker, signal.SIGKILL)
        for number in range(21, 26):
            assert len(env.step(look).observation.action_history) == number
        assert env.grade(finish=True).steps == 26
        # One that dies in the middle of a health check is noticed when that is over.
        for _ in range(300):
            if f"[{worker}] died" in log.read_text():
                break
            time.sleep(0.1)
    assert f"[{worker}] died" in log.read_text(), "it was no worker that was killed"
    assert "Traceback" not in log.read_text()
