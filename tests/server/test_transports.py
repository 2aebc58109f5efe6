"""The same calls give the same JSON on every transport: in process, HTTP, WebSocket, a real socket."""

import json

import httpx
import pytest
from websockets.sync.client import connect

from safeact_env.core.episode import Episode
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import get_task, task_names

POLICIES = ("expert", "random", "guesser")


def in_process(task, seed, policy):
    """The trajectory of a policy: the calls, and per step what an agent is sent."""
    episode = Episode(get_task(task), "test", seed)
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


def over_http(client, task, seed, calls):
    start = {"task_name": task, "split": "test", "seed": seed}
    answers = [client.post("/reset", json=start).json()]
    answers += [
        client.post("/step", json={"action": call, "episode_id": answers[0]["episode_id"]}).json()
        for call in calls
    ]
    for answer in answers:
        del answer["episode_id"]
    return answers


def over_ws(send, receive, task, seed, calls):
    send(json.dumps({"type": "reset", "data": {"task_name": task, "split": "test", "seed": seed}}))
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
