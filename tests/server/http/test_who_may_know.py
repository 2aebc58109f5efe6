"""An agent is not its trainer, and a stranger is neither: what each may do and know over the network."""

from collections.abc import Iterator
from functools import cache
from hashlib import md5
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid4, uuid5

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from safeact_env.ids import fresh_id, is_drawn
from safeact_env.policies.reference import play
from safeact_env.server.app import create_app
from safeact_env.server.middleware import access
from safeact_env.server.settings import Settings
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.stores import store_maker
from safeact_env.tasks import get_task
from tests.conftest import begin_anew
from tests.server.http.refusals import code
from tests.server.mcp.rpc import message

TOKEN = "the-trainers-token"
TRAINER = {"Authorization": f"Bearer {TOKEN}"}
LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "What is there?"}
FINISH = {"action_name": "finish", "parameters": {"summary": "s"}, "reasoning": "r"}
MCP = {"Accept": "application/json, text/event-stream"}
SEED = 4_711_993


def app_of(**settings: Any) -> Any:
    return create_app(Settings(**settings))


def at(app: Any, address: str) -> TestClient:
    """A client of its own at an address, without cookies of others."""
    return TestClient(app, client=(address, 1), raise_server_exceptions=False)


def shown(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@cache
def kept(token: str | None) -> Any:
    """An app that several tests ask."""
    return app_of(api_token=token)


@pytest.fixture
def open_app() -> Any:
    begin_anew(kept(None))
    return kept(None)


@pytest.fixture(params=[None, TOKEN], ids=["no token", "token"])
def app(request: pytest.FixtureRequest) -> Any:
    begin_anew(kept(request.param))
    return kept(request.param)


@pytest.fixture
def trainer(app: Any) -> TestClient:
    client = at(app, "192.0.2.1")
    client.headers.update(TRAINER)
    return client


@pytest.fixture
def agent(app: Any) -> TestClient:
    """An agent, somewhere else."""
    return at(app, "192.0.2.7")


def begun(trainer: TestClient, **wanted: Any) -> tuple[str, str]:
    """An episode and the key of its agent."""
    answer = trainer.post("/reset", json={"seed": SEED, **wanted}).json()
    trainer.cookies.clear()
    return answer["episode_id"], answer["agent_key"]


# What an agent's key opens --------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [{}, {"role": "agent"}, {"episode_id": "the-episode"}])
def test_the_key_is_all_that_an_agents_step_needs(
    trainer: TestClient, agent: TestClient, named: dict[str, str]
) -> None:
    _episode, key = begun(trainer, episode_id="the-episode")
    answer = agent.post("/step", json={"action": LOOK, **named}, headers=shown(key))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert set(found) == {"observation", "done"}, "its name opens the rest on a server without a token"
    assert "metadata" not in found["observation"]
    assert found["observation"]["steps_remaining"] == 35


def test_an_agent_is_told_neither_reward_nor_seed_nor_grade(trainer: TestClient, agent: TestClient) -> None:
    episode, key = begun(trainer)
    for call, over in ((LOOK, False), (FINISH, True)):
        told = agent.post("/step", json={"action": call}, headers=shown(key))
        state = agent.get("/state", headers=shown(key))
        assert state.json()["done"] is told.json()["done"] is over
        assert "reward" not in told.text + state.text
        assert "score" not in told.text
        assert str(SEED) not in told.text
        assert episode not in told.text + state.text + key
        assert (state.json()["seed"] is None) is not over
    assert trainer.get("/state", params={"episode_id": episode}).json()["seed"] == SEED
    assert trainer.post("/grader", json={"episode_id": episode}).json()["outcome"] == "finished"


def test_the_mcp_endpoint_opens_to_the_key_and_to_nobody_else(trainer: TestClient, agent: TestClient) -> None:
    episode, key = begun(trainer)
    _other, others = begun(trainer)
    asked: dict[str, Any] = {"json": message("tools/list")}
    with agent:
        for path in (f"/episodes/{episode}/mcp", "/episodes/own/mcp"):
            assert agent.post(path, headers={**MCP, **shown(key)}, **asked).json()["result"]["tools"]
            for wrong in ({}, shown(key[:-1] + "~"), shown(key[:-1] + ("x" if key[-1] != "x" else "y"))):
                assert code(agent.post(path, headers={**MCP, **wrong}, **asked), 401) == "unauthorized"
        path = f"/episodes/{episode}/mcp"
        assert code(agent.post(path, headers={**MCP, **shown(others)}, **asked), 401) == "unauthorized"


def closed_to_agents(episode: str) -> Iterator[tuple[str, str, Any]]:
    """What an agent might like to do, of its own episode and of others."""
    yield "POST", "/grader", {"episode_id": episode, "finish": True}
    yield "POST", "/grader", {"task_name": "easy", "seed": SEED, "actions": [LOOK], "split": "test"}
    yield "POST", "/reset", {"split": "test", "seed": SEED}
    yield "POST", "/reset", {}
    yield "POST", "/watch", {"seed": SEED}
    yield "POST", "/baseline", {"task_name": "easy", "seeds": [SEED]}
    yield "POST", "/mcp", message("tools/list")
    yield "DELETE", f"/episodes/{episode}", None
    for part in ("observation", "live", "report", "expert"):
        yield "GET", f"/episodes/{episode}/{part}", None
    for path in ("/metrics", "/tasks", "/docs"):
        yield "GET", path, None


def opened(agent: TestClient, episode: str, key: str) -> list[str]:
    """The attempts that an agent gets through with its key."""
    found = []
    for method, path, body in closed_to_agents(episode):
        answer = agent.request(method, path, json=body, headers=shown(key))
        if answer.status_code != 403 or answer.json()["detail"]["code"] != "trainer_only":
            found.append(f"{method} {path}: {answer.status_code}")
    return found


def test_the_key_opens_nothing_else(trainer: TestClient, agent: TestClient) -> None:
    episode, key = begun(trainer)
    assert opened(agent, episode, key) == []
    for path in ("/ws", "/mcp"):
        with pytest.raises(Exception) as refused, agent.websocket_connect(path, headers=shown(key)):  # noqa: PT011
            pass
        assert getattr(refused.value, "status_code", None) == 403 or isinstance(
            refused.value, WebSocketDisconnect
        )
    assert trainer.get("/state", params={"episode_id": episode}).json()["step_count"] == 0


def test_a_server_that_opens_more_is_noticed(
    trainer: TestClient, agent: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode, key = begun(trainer)
    monkeypatch.setattr(access, "is_for_agents", lambda _scope: True)
    assert len(opened(agent, episode, key)) > 10


def test_the_key_is_of_one_episode(trainer: TestClient, agent: TestClient) -> None:
    first, key = begun(trainer)
    second, other = begun(trainer)
    assert key != other
    forged = f"{other.rpartition('.')[0]}.{key.rpartition('.')[2]}"
    for given in (
        agent.post("/step", json={"action": LOOK, "episode_id": second}, headers=shown(key)),
        agent.post("/step", json={"action": LOOK}, headers={**shown(key), "X-Episode-Id": second}),
        agent.post("/step", json={"action": LOOK}, headers=shown(forged)),
        agent.post("/step", json={"action": LOOK}, headers=shown(f"safeact-agent.none.{'x' * 32}")),
        agent.get("/state", params={"episode_id": second}, headers=shown(key)),
        agent.post("/step", json={"action": LOOK, "role": "agent"}, headers=TRAINER),
        agent.get("/state", params={"role": "agent", "episode_id": first}, headers=TRAINER),
    ):
        assert code(given, 401) == "unauthorized"
        assert given.headers["WWW-Authenticate"] == "Bearer"
    as_trainer = {"action": LOOK, "role": "trainer"}
    assert code(agent.post("/step", json=as_trainer, headers=shown(key)), 403) == "trainer_only"
    for episode in (first, second):
        assert trainer.get("/state", params={"episode_id": episode}).json()["step_count"] == 0


def test_what_an_agent_holds_opens_nothing_without_the_key(trainer: TestClient, agent: TestClient) -> None:
    """An agent that leaves its key out is a stranger: what the key holds is no name of an episode."""
    _episode, key = begun(trainer)
    for part in key.split("."):
        for method, path, _body in closed_to_agents(part):
            if part in path:
                assert agent.request(method, path).status_code in (401, 404)
        assert agent.get("/state", params={"episode_id": part}).status_code in (401, 404)
        assert agent.post("/grader", json={"episode_id": part, "finish": True}).status_code in (401, 404)


def test_a_repeated_reset_returns_the_same_key_and_nothing_else_does(trainer: TestClient) -> None:
    episode, key = begun(trainer, episode_id="again")
    assert begun(trainer, episode_id="again") == (episode, key)
    told = [
        trainer.get(f"/episodes/{episode}/observation"),
        trainer.post("/step", json={"action": FINISH, "episode_id": episode}),
        trainer.get(f"/episodes/{episode}/report"),
        trainer.post("/grader", json={"episode_id": episode}),
    ]
    assert not [answer.text for answer in told if key[-32:] in answer.text]


def test_another_replica_knows_the_key(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/episodes.db"
    with at(app_of(store=url), "192.0.2.1") as trainer, at(app_of(store=url), "192.0.2.7") as agent:
        _episode, key = begun(trainer, episode_id="chosen")
        assert agent.post("/step", json={"action": LOOK}, headers=shown(key)).status_code == 200


def test_keys_cannot_be_guessed() -> None:
    service = SessionService()
    keys = {service.open("easy", "train", 1, episode_id=f"e{n}").start.secret for n in range(50)}
    assert len(keys) == 50
    assert all(len(key) == 32 for key in keys)


# Strangers ------------------------------------------------------------------------------------------------


def test_a_strangers_step_without_an_id_is_nobodys() -> None:
    app = app_of()
    victim, stranger = at(app, "192.0.2.1"), at(app, "192.0.2.66")
    episode, _key = begun(victim)
    assert victim.post("/step", json={"action": LOOK}).status_code == 200, "alone on the server"
    for answer in (
        stranger.post("/step", json={"action": FINISH}),
        stranger.post("/step", json={"action": FINISH, "timeout_s": 1}),
        stranger.get("/state"),
        stranger.post("/grader", json={"finish": True}),
    ):
        assert code(answer, 409) == "ambiguous_episode"
    assert stranger.post("/mcp", json=message("tools/list")).json()["result"]["tools"] == []
    assert victim.get("/state", params={"episode_id": episode}).json()["step_count"] == 1
    begun(stranger)
    stranger.request("DELETE", f"/episodes/{episode}")
    assert code(victim.get("/state"), 409) == "ambiguous_episode", "two have reset, so every id must be named"


def test_on_a_server_with_a_token_every_request_names_its_episode() -> None:
    trainer = at(app_of(api_token=TOKEN), "192.0.2.1")
    trainer.headers.update(TRAINER)
    begun(trainer)
    assert code(trainer.post("/step", json={"action": LOOK}), 409) == "ambiguous_episode"
    assert "episode_id" in trainer.get("/state").json()["detail"]["message"]


def test_another_process_serves_another_client(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/episodes.db"
    with at(app_of(store=url), "192.0.2.1") as victim, at(app_of(store=url), "192.0.2.66") as stranger:
        begun(victim)
        assert code(stranger.post("/step", json={"action": FINISH}), 409) == "ambiguous_episode"


def shared(app: Any) -> bool:
    """Whether a stranger who chooses the same id gets at another client's episode."""
    victim, stranger = at(app, "192.0.2.1"), at(app, "192.0.2.66")
    _episode, key = begun(victim, episode_id="run-1")
    paths = ("/state?episode_id=run-1", "/episodes/run-1/observation", "/episodes/run-1/report")
    found = [stranger.get(path).status_code != 404 for path in paths]
    found.append(stranger.delete("/episodes/run-1").status_code != 404)
    found.append(stranger.post("/grader", json={"episode_id": "run-1", "finish": True}).status_code != 404)
    found.append(begun(stranger, episode_id="run-1")[1] == key)
    found.append(stranger.post("/step", json={"action": FINISH, "episode_id": "run-1"}).status_code != 200)
    found.append(victim.get("/state", params={"episode_id": "run-1"}).json().get("step_count") != 0)
    return any(found)


def test_a_chosen_id_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not shared(app_of())
    monkeypatch.setattr("safeact_env.server.http.episodes.own_id", lambda name: name)
    assert shared(app_of()), "a server that shares them is noticed"


def test_an_id_that_is_a_secret_holds_from_any_address(open_app: Any) -> None:
    for name in (uuid4().hex, str(uuid4()), "019352a1-7c3e-7b52-9d41-6f0e8a2c5b17", fresh_id()):
        begun(at(open_app, "192.0.2.1"), episode_id=name)
        moved = at(open_app, "2001:db8::1").post("/step", json={"action": LOOK, "episode_id": name})
        assert moved.json()["episode_id"] == name


@pytest.mark.parametrize(
    "name",
    [
        *("0123456789abcdef-0123456789abcde", "my-training-0001", "AAAAAAAAAAAAAAAA"),
        # What looks like a UUID may be counted, or made of a clock or a name.
        *(f"{17:032x}", "00000000-0000-4000-8000-000000000017", "c232ab00-9414-11ec-b3c8-9e6bdeced846"),
        *(md5(b"run-1").hexdigest(), str(UUID(md5(b"run-2").hexdigest())), str(uuid5(NAMESPACE_DNS, "run"))),
    ],
)
def test_an_id_that_can_be_guessed_is_its_clients_own(open_app: Any, name: str) -> None:
    assert not is_drawn(name)
    begun(at(open_app, "192.0.2.1"), episode_id=name)
    stranger = at(open_app, "192.0.2.66")
    assert code(stranger.get("/state", params={"episode_id": name}), 404) == "unknown_episode"


def test_random_uuids_are_drawn() -> None:
    assert all(is_drawn(uuid4().hex) for _ in range(5_000))


# The split test -------------------------------------------------------------------------------------------


def learned(client: TestClient) -> list[str]:
    """The ways in which a client gets to try a scenario of `test` again and again until it is known."""
    calls = [turn.call.to_json() for turn in play(get_task("easy"), "test", 3, "expert").turns]
    sent = {"task_name": "easy", "split": "test", "seed": 3, "actions": calls}
    ways = {
        "a trajectory": client.post("/grader", json=sent),
        "a seed": client.post("/reset", json={"split": "test", "seed": 3}),
        "an index": client.post("/reset", json={"split": "test", "index": 5}),
        "a baseline": client.post("/baseline", json={"split": "test", "seeds": [3], "task_name": "easy"}),
    }
    return [name for name, answer in ways.items() if answer.status_code == 200]


def test_a_server_can_close_the_split_test() -> None:
    assert len(learned(at(app_of(), "192.0.2.1"))) == 4, "by default"
    app = app_of(test_seeds="drawn")
    client = at(app, "192.0.2.1")
    assert learned(client) == []
    refused = client.post("/reset", json={"split": "test", "seed": 3})
    assert code(refused, 403) == "held_out"
    assert "draws" in refused.json()["detail"]["message"]
    with client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "reset", "data": {"split": "test", "seed": 3}})
        assert "draws" in socket.receive_json()["data"]["message"]
        socket.send_json({"type": "reset", "data": {"split": "test"}})
        assert socket.receive_json()["type"] == "observation"
        socket.send_json({"type": "state"})
        assert socket.receive_json()["data"]["seed"] is None
    episode = client.post("/reset", json={"split": "test"}).json()["episode_id"]
    assert client.get("/state", params={"episode_id": episode}).json()["seed"] is None
    client.post("/step", json={"action": FINISH, "episode_id": episode})
    assert client.get("/state", params={"episode_id": episode}).json()["seed"] >= 0
    assert client.post("/reset", json={"seed": 3}).status_code == 200, "train stays open"


def test_with_a_token_the_split_test_is_the_trainers() -> None:
    app = app_of(api_token=TOKEN)
    stranger, trainer = at(app, "192.0.2.66"), at(app, "192.0.2.1")
    trainer.headers.update(TRAINER)
    assert learned(stranger) == []
    _episode, key = begun(trainer)
    stranger.headers.update(shown(key))
    assert learned(stranger) == []
    assert len(learned(trainer)) == 4


def test_the_key_is_kept_with_the_episode(tmp_path: Any) -> None:
    make = store_maker(f"sqlite:///{tmp_path}/episodes.db")
    before = SessionService(make_store=make)
    secret = before.open("easy", "train", 1, episode_id="e").start.secret
    before.close()
    after = SessionService(make_store=make)
    assert after.get("e").start.secret == secret
    after.admit("e", secret)
    after.close()
