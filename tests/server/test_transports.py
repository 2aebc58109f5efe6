"""The same calls give the same JSON on every transport: in process, HTTP, WebSocket, a real socket."""

import json

import httpx
import pytest
from websockets.sync.client import connect

from safeact_env.core.episode import Episode
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import get_task, task_names

POLICIES = ("expert", "random", "guesser")
VARIED = (
    Variant(1),
    Variant(3, "goal"),
    Variant(2, "hurry"),
    Variant(4, "waiver"),
    Variant(5, "planted"),
)


def in_process(task, seed, policy, variant=DEFAULT):
    """The trajectory of a policy: the calls, and per step what an agent is sent."""
    episode = Episode(get_task(task), "test", seed, variant=variant)
    player = make_policy(policy, episode.task, seed)
    calls, sent = [], [envelope(episode.observation())]
    while not episode.done:
        call = player.act(episode.observation())
        episode.step(call)
        calls.append(call.to_json())
        sent.append(envelope(episode.observation()))
    return calls, sent


def envelope(observation):
    wire = {"reward": observation.pop("reward"), "done": observation.pop("done"), "observation": observation}
    return wire | ({"metadata": observation["metadata"]} if observation["metadata"] else {})


def over_http(client, task, seed, calls, variant=DEFAULT):
    start = {"task_name": task, "split": "test", "seed": seed, **variant.to_json()}
    answers = [client.post("/reset", json=start).json()]
    answers += [
        client.post("/step", json={"action": call, "episode_id": answers[0]["episode_id"]}).json()
        for call in calls
    ]
    for answer in answers:
        del answer["episode_id"]
    del answers[0]["agent_key"]
    return answers


def over_ws(send, receive, task, seed, calls, variant=DEFAULT):
    start = {"task_name": task, "split": "test", "seed": seed, **variant.to_json()}
    send(json.dumps({"type": "reset", "data": start}))
    answers = [json.loads(receive())["data"]]
    for call in calls:
        send(json.dumps({"type": "step", "data": call}))
        answers.append(json.loads(receive())["data"])
    return answers


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("task", task_names())
def test_every_transport_shows_the_same(client, task, policy):
    calls, expected = in_process(task, 7, policy)
    assert over_http(client, task, 7, calls) == expected
    with client.websocket_connect("/ws") as ws:
        assert over_ws(ws.send_text, ws.receive_text, task, 7, calls) == expected


@pytest.mark.parametrize("variant", VARIED, ids=str)
def test_every_transport_shows_the_same_variant(client, variant):
    calls, expected = in_process("easy", 7, "expert", variant)
    assert expected[-1]["metadata"]["score"] == 1.0
    assert expected[-1]["metadata"].items() >= variant.to_json().items()
    assert over_http(client, "easy", 7, calls, variant) == expected
    with client.websocket_connect("/ws") as ws:
        assert over_ws(ws.send_text, ws.receive_text, "easy", 7, calls, variant) == expected
    body = {"task_name": "easy", "split": "test", "seed": 7, "actions": calls, **variant.to_json()}
    assert client.post("/grader", json=body).json()["score"] == 1.0


def test_a_transport_that_forgot_the_variant_would_be_seen():
    """Every two variants differ in what is shown or in the scenario."""
    shown = [json.dumps(in_process("easy", 7, "expert", variant)[1]) for variant in (DEFAULT, *VARIED)]
    assert len(set(shown)) == len(shown)


def test_a_real_socket_shows_the_same(live_url):
    calls, expected = in_process("easy", 11, "expert")
    with httpx.Client(base_url=live_url) as client:
        assert over_http(client, "easy", 11, calls) == expected
    with connect(live_url.replace("http", "ws") + "/ws") as ws:
        assert over_ws(ws.send, ws.recv, "easy", 11, calls) == expected


def test_the_grader_agrees_with_the_end_of_the_episode(client):
    calls, expected = in_process("easy", 7, "expert")
    body = {"task_name": "easy", "split": "test", "seed": 7, "actions": calls}
    grade = client.post("/grader", json=body).json()
    assert grade["score"] == expected[-1]["metadata"]["score"] == 1.0
    assert grade["return"] == pytest.approx(sum(part["reward"] for part in expected))
