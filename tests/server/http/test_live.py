"""Following an episode: its reasons are the trainer's to read, whoever plays it, and risk is nobody's yet."""

import json

import pytest
from fastapi.testclient import TestClient

from safeact_env.policies.reference import play
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.tasks import get_task
from tests.page.traffic import TELLING
from tests.server.http.refusals import code

TOKEN = "a-token-of-this-test"
TRAINER = {"Authorization": f"Bearer {TOKEN}"}
WAY = [turn.call.to_json() for turn in play(get_task("easy"), "train", 6, "naive").turns]


@pytest.fixture
def guarded():
    """A client without any key, of a server with a token."""
    with TestClient(create_app(Settings(api_token=TOKEN))) as client:
        yield client


def followed(client, episode, **headers):
    return client.get(f"/episodes/{episode}/live", headers=headers)


def test_the_trainer_reads_the_reasons_and_nobody_else_does(guarded):
    begun = guarded.post("/reset", json={"seed": 6}, headers=TRAINER).json()
    episode, key = begun["episode_id"], {"Authorization": f"Bearer {begun['agent_key']}"}
    call = {**WAY[0], "reasoning": "The plan of a model."}
    # The agent plays with its key.
    assert guarded.post("/step", json={"action": call}, headers=key).status_code == 200
    told = followed(guarded, episode, **TRAINER).json()
    assert [step["reasoning"] for step in told["steps"]] == ["The plan of a model."]
    assert (told["task_name"], told["seed"], told["done"]) == ("easy", 6, False)
    assert code(followed(guarded, episode), 401) == "unauthorized"
    assert code(followed(guarded, episode, Authorization="Bearer other"), 401) == "unauthorized"
    for name in (episode, "own"):
        assert code(followed(guarded, name, **key), 403) == "trainer_only"


def test_it_is_what_was_called_and_shown_without_a_word_on_risk(client):
    episode = client.post("/reset", json={"seed": 6, "level": 3}).json()["episode_id"]
    for call in WAY:
        before = followed(client, episode)
        assert not [word for word in TELLING if word in before.text]
        answer = client.post("/step", json={"action": call, "episode_id": episode}).json()
    told = followed(client, episode).json()
    assert told["done"]
    assert [{name: step[name] for name in call} for step, call in zip(told["steps"], WAY, strict=True)] == WAY
    assert told["steps"][-1]["result"] == answer["observation"]["last_action_result"]
    assert told["current_state"] == answer["observation"]["current_state"]
    assert not [word for word in TELLING if word in json.dumps(told)]


def test_an_episode_of_a_websocket_is_followed_as_long_as_it_is_connected(guarded):
    with guarded.websocket_connect("/ws", headers=TRAINER) as socket:
        socket.send_json({"type": "reset", "data": {"seed": 6, "episode_id": "over-a-socket"}})
        socket.receive_json()
        socket.send_json({"type": "step", "data": WAY[0]})
        socket.receive_json()
        told = followed(guarded, "over-a-socket", **TRAINER).json()
        assert [step["reasoning"] for step in told["steps"]] == [WAY[0]["reasoning"]]
        assert code(followed(guarded, "over-a-socket"), 401) == "unauthorized"


def test_an_episode_that_nobody_plays_is_unknown(client):
    assert code(followed(client, "nobody"), 404) == "unknown_episode"


def test_the_seed_of_a_drawn_scenario_takes_the_token():
    with TestClient(create_app(Settings(test_seeds="drawn"))) as client:
        episode = client.post("/reset", json={"split": "test"}).json()["episode_id"]
        assert followed(client, episode).json()["seed"] is None
