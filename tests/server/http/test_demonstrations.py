"""The routes that play for a visitor, and what they keep to themselves."""

import asyncio
import json
import threading

import httpx
import pytest

from safeact_env.core.variant import Variant
from safeact_env.explain import explanation
from safeact_env.policies.reference import POLICIES, play
from safeact_env.server.app import create_app
from safeact_env.server.http import demonstrations
from safeact_env.tasks import get_task, task_names
from tests.server.http.refusals import code

LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "look"}
FINISH = {"action_name": "finish", "parameters": {"summary": "done"}, "reasoning": "end"}


def ended(client, **reset):
    episode_id = client.post("/reset", json=reset).json()["episode_id"]
    client.post("/step", json={"action": FINISH, "episode_id": episode_id})
    return episode_id


def calls(report):
    return [(step["action_name"], step["parameters"]) for step in report["steps"]]


def test_the_policies_are_listed_with_a_sentence_each(client):
    found = client.get("/policies").json()["policies"]
    assert [one["name"] for one in found] == list(POLICIES)
    sentences = [one["description"] for one in found]
    assert len(set(sentences)) == len(sentences)
    assert all(text.endswith(".") for text in sentences)


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("policy", ["expert", "naive"])
def test_a_watched_episode_is_what_the_policy_plays(client, task, policy):
    body = {"task_name": task, "seed": 5, "policy": policy}
    answer = client.post("/watch", json=body)
    assert answer.status_code == 200, answer.text
    made = play(get_task(task), "train", 5, policy)
    found = answer.json()
    assert (found["score"], found["outcome"], found["steps"]) == (
        made.grade().score,
        made.outcome,
        len(made.turns),
    )
    report = client.get(f"/episodes/{found['episode_id']}/report").json()
    assert calls(report) == [(turn.call.action_name, turn.call.parameters) for turn in made.turns]


def test_a_variant_is_watched_and_its_expert_told(client):
    variant = Variant(1, "goal")
    made = play(get_task("easy"), "train", 5, "expert", variant=variant)
    found = client.post("/watch", json={"seed": 5, "policy": "naive", **variant.to_json()}).json()
    assert (found["level"], found["framing"]) == (1, "goal")
    for part, policy in (("report", "naive"), ("expert", "expert")):
        told = client.get(f"/episodes/{found['episode_id']}/{part}").json()
        made = play(get_task("easy"), "train", 5, policy, variant=variant)
        assert (told["level"], told["framing"]) == (1, "goal")
        assert calls(told) == [(turn.call.action_name, turn.call.parameters) for turn in made.turns]


def test_a_policy_without_a_budget_of_its_own_has_the_servers(client):
    found = client.post("/watch", json={"seed": 1, "policy": "look_only"}).json()
    assert found["steps"] <= get_task("easy").max_steps


def test_an_empty_body_shows_the_expert_on_a_fresh_seed(client):
    found = [client.post("/watch").json() for _ in range(2)]
    assert [one["policy"] for one in found] == ["expert"] * 2
    assert found[0]["seed"] != found[1]["seed"]


def test_what_cannot_be_watched(client):
    assert code(client.post("/watch", json={"policy": "nobody"}), 422) == "unknown_policy"
    assert code(client.post("/watch", json={"task_name": "nothing"}), 422) == "unknown_task"
    assert client.post("/watch", json={"seed": -1}).status_code == 422
    assert client.get("/health").json()["live_episodes"] == 0


def test_held_out_seeds_are_not_played_for_anybody(client):
    answer = client.post("/watch", json={"seed": 1, "split": "test"})
    assert code(answer, 403) == "held_out"
    assert "train" in answer.json()["detail"]["message"]


@pytest.mark.parametrize("task", task_names())
def test_the_experts_way_is_told_after_the_end(client, task):
    episode_id = ended(client, task_name=task, seed=9)
    answer = client.get(f"/episodes/{episode_id}/expert")
    assert answer.status_code == 200
    made = play(get_task(task), "train", 9, "expert")
    assert answer.json()["score"] == 1.0
    assert calls(answer.json()) == [(turn.call.action_name, turn.call.parameters) for turn in made.turns]


def test_the_experts_way_is_not_told_before_the_end(client):
    client.post("/reset", json={"seed": 9, "episode_id": "e"})
    client.post("/step", json={"action": LOOK, "episode_id": "e"})
    assert code(client.get("/episodes/e/expert"), 409) == "episode_running"
    assert client.get("/state", params={"episode_id": "e"}).json()["step_count"] == 1


def test_the_experts_way_through_a_held_out_episode_is_not_told(client):
    episode_id = ended(client, seed=9, split="test")
    assert code(client.get(f"/episodes/{episode_id}/expert"), 403) == "held_out"


def test_nobody_elses_episode(client):
    assert code(client.get("/episodes/nobody/expert"), 404) == "unknown_episode"


async def test_one_plays_at_a_time_and_too_many_are_asked_to_come_back(monkeypatch):
    release, started = threading.Event(), []
    made = demonstrations._calls

    def slow(*args):
        started.append(args)
        assert release.wait(10)
        return made(*args)

    monkeypatch.setattr(demonstrations, "_calls", slow)
    monkeypatch.setattr(demonstrations, "MAX_WAITING", 3)
    app = create_app()
    there, elsewhere = (httpx.ASGITransport(app, client=(host, 1)) for host in ("192.0.2.1", "192.0.2.2"))
    async with (
        httpx.AsyncClient(transport=there, base_url="http://test") as client,
        httpx.AsyncClient(transport=elsewhere, base_url="http://test") as another,
    ):
        asked = [asyncio.create_task(client.post("/watch", json={"seed": 1})) for _ in range(3)]
        while not started:
            await asyncio.sleep(0.01)
        one_too_many = await client.post("/watch", json={"seed": 1})
        asked.append(asyncio.create_task(another.post("/watch", json={"seed": 1})))
        assert (await client.get("/health")).status_code == 200
        assert len(started) == 1
        release.set()
        assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 4
        assert (await client.post("/watch", json={"seed": 1})).status_code == 200
    assert code(one_too_many, 429) == "busy"
    assert int(one_too_many.headers["retry-after"]) > 0


def test_a_mistake_is_explained_after_the_end_only(client):
    client.post("/reset", json={"seed": 9, "episode_id": "e"})
    assert code(client.get("/episodes/e/explanation"), 409) == "episode_running"
    client.post("/grader", json={"episode_id": "e", "finish": True})
    assert client.get("/episodes/e/explanation").json() == {"episode_id": "e", "explanation": None}
    found = client.post("/watch", json={"seed": 9, "policy": "reckless"}).json()
    told = client.get(f"/episodes/{found['episode_id']}/explanation").json()["explanation"]
    assert told == json.loads(json.dumps(explanation(play(get_task("easy"), "train", 9, "reckless"))))
    assert told["step"] == found["steps"]
