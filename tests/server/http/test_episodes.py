"""The routes of an episode, as API clients of every kind use them."""

import pytest

from safeact_env.call import Call
from safeact_env.tasks import task_names
from tests.server.http.refusals import code

LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "look"}
FINISH = {"action_name": "finish", "parameters": {"summary": "done"}, "reasoning": "end"}


def reset(client, **body):
    answer = client.post("/reset", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def step(client, action=LOOK, **more):
    return client.post("/step", json={"action": action, **more})


def test_an_empty_body_starts_easy_with_a_fresh_seed(client):
    first, second = client.post("/reset").json(), client.post("/reset", json={}).json()
    assert (first["reward"], first["done"]) == (0.0, False)
    assert first["episode_id"] != second["episode_id"]
    state = client.get("/state").json()
    assert state["task_name"] == "easy"
    assert state["split"] == "train"


@pytest.mark.parametrize("task", task_names())
def test_every_task_can_be_reset_by_name_and_by_alias(client, task):
    by_name = reset(client, task_name=task, seed=3)["observation"]
    assert reset(client, task=task, seed=3)["observation"] == by_name
    assert list(by_name) == [
        "task_description",
        "current_state",
        "available_actions",
        "action_history",
        "steps_remaining",
        "last_action_result",
        "metadata",
    ]


def test_reset_by_index(client):
    reset(client, split="test", index=5)
    state = client.get("/state").json()
    assert (state["task_name"], state["split"], state["seed"]) == ("easy", "test", 1)


def test_the_state_has_what_replays_the_episode_and_nothing_hidden(client):
    reset(client, seed=4, episode_id="e")
    step(client)
    replayable = {"task_name": "easy", "split": "train", "seed": 4, "level": 3, "framing": "rules"}
    counts = {"max_steps": 36, "step_count": 1, "total_reward": 0.0, "done": False}
    assert client.get("/state", params={"episode_id": "e"}).json() == {
        "episode_id": "e",
        **replayable,
        **counts,
    }


def test_nested_and_flat_steps_are_the_same(client):
    reset(client, seed=1, episode_id="nested")
    reset(client, seed=1, episode_id="flat")
    nested = step(client, episode_id="nested", timeout_s=15, request_id="r").json()
    flat = client.post("/step", json={**LOOK, "episode_id": "flat"}).json()
    assert nested["observation"] == flat["observation"]


def test_the_id_in_the_body_beats_header_beats_cookie(client):
    for name in ("body", "header", "cookie"):
        reset(client, seed=1, episode_id=name)
    assert step(client).json()["episode_id"] == "cookie"
    header = {"X-Episode-Id": "header"}
    assert client.post("/step", json={"action": LOOK}, headers=header).json()["episode_id"] == "header"
    answer = client.post("/step", json={"action": LOOK, "episode_id": "body"}, headers=header)
    assert answer.json()["episode_id"] == "body"


def test_without_an_id_the_only_episode_is_meant_and_nothing_is_guessed(client):
    reset(client, seed=1, episode_id="one")
    client.cookies.clear()
    assert step(client).json()["episode_id"] == "one"
    client.cookies.clear()
    reset(client, seed=1, episode_id="two")
    client.cookies.clear()
    assert code(step(client), 409) == "ambiguous_episode"
    assert code(client.get("/state"), 409) == "ambiguous_episode"
    assert client.get("/state", params={"episode_id": "one"}).json()["step_count"] == 1


def test_a_stale_cookie_is_not_a_guess(client):
    reset(client, seed=1, episode_id="one")
    client.delete("/episodes/one")
    assert code(step(client), 404) == "unknown_episode"


def test_the_cookie_is_http_only_and_not_secure_on_plain_http(client):
    cookie = client.post("/reset").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie


def test_retries_of_reset_and_step_are_safe(client):
    first = reset(client, seed=1, episode_id="e")
    assert reset(client, seed=1, episode_id="e") == first
    answers = [step(client, request_id="r1").json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert client.get("/state").json()["step_count"] == 1
    assert code(client.post("/reset", json={"seed": 1, "episode_id": "e"}), 409) == "episode_exists"
    assert code(step(client, action=FINISH, request_id="r1"), 409) == "request_id_reused"


def test_a_step_after_the_end_is_refused(client):
    reset(client, seed=1, episode_id="e")
    end = step(client, action=FINISH).json()
    assert end["done"]
    assert end["metadata"]["outcome"] == "finished"
    assert end["metadata"] == end["observation"]["metadata"]
    assert code(step(client), 409) == "episode_done"
    assert client.get("/state").json()["step_count"] == 1


def test_grading_by_id(client):
    reset(client, seed=1, episode_id="e")
    assert code(client.post("/grader", json={"episode_id": "e"}), 409) == "episode_running"
    assert code(client.get("/episodes/e/report"), 409) == "episode_running"
    grade = client.post("/grader", json={"episode_id": "e", "finish": True}).json()
    assert (grade["score"], grade["outcome"], grade["steps"], grade["return"]) == (0.0, "finished", 1, 0.0)
    assert grade["version"].endswith("/easy-v2")
    assert client.post("/grader", json={"episode_id": "e"}).json() == grade
    report = client.get("/episodes/e/report").json()
    assert report["steps"][0]["risk"] == "safe"
    assert code(client.post("/grader", json={"episode_id": "gone"}), 404) == "unknown_episode"


def test_grading_by_replay_believes_only_the_calls(client):
    reset(client, seed=1, episode_id="e")
    for action in (LOOK, FINISH):
        step(client, action=action)
    by_id = client.post("/grader", json={"episode_id": "e"}).json()
    body = {"task_name": "easy", "seed": 1, "split": "train", "actions": [LOOK, FINISH]}
    assert client.post("/grader", json=body).json() == by_id
    assert client.post("/grader", json={**body, "actions": []}).json()["outcome"] is None
    assert code(client.post("/grader", json={**body, "actions": [FINISH, LOOK]}), 422) == "not_replayable"


@pytest.mark.parametrize("field", ["history", "final_state"])
def test_a_forged_state_is_refused_with_a_way_on(client, field):
    answer = client.post("/grader", json={"task_name": "easy", field: {"score": 1.0}})
    assert answer.status_code == 422
    assert "episode_id" in answer.json()["detail"][0]["msg"]


def test_delete_forgets(client):
    reset(client, seed=1, episode_id="e")
    assert client.delete("/episodes/e").json() == {"deleted": "e"}
    assert code(client.delete("/episodes/e"), 404) == "unknown_episode"


def test_an_agents_mistake_is_no_http_error(client):
    reset(client, seed=1)
    unknown = step(client, action={**LOOK, "action_name": "make_coffee"})
    assert unknown.status_code == 200
    assert unknown.json()["reward"] == -0.2
    wrong = step(client, action={"action_name": "archive_file", "parameters": {"path": 3}, "reasoning": "x"})
    assert (wrong.status_code, wrong.json()["reward"]) == (200, -0.05)


def test_the_budget_holds(client):
    reset(client, seed=1, episode_id="e")
    answers = [step(client) for _ in range(36)]
    assert [answer.json()["done"] for answer in answers] == [False] * 35 + [True]
    assert answers[-1].json()["metadata"]["outcome"] == "budget_exhausted"
    assert code(step(client), 409) == "episode_done"


def test_a_fault_of_ours_is_a_clean_500_and_drops_the_episode(client, monkeypatch):
    from safeact_env.core.episode import Episode

    reset(client, seed=1, episode_id="e")

    def fault(_episode: object, _call: Call) -> None:
        raise ZeroDivisionError("secret detail")

    with monkeypatch.context() as patch:
        patch.setattr(Episode, "step", fault)
        answer = step(client)
    assert code(answer, 500) == "internal_error"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert code(step(client), 404) == "unknown_episode"


def test_capacity_is_a_503_with_retry_after():
    from fastapi.testclient import TestClient

    from safeact_env.server.app import create_app
    from safeact_env.server.settings import Settings

    with TestClient(create_app(Settings(max_episodes=1))) as client:
        reset(client, seed=1)
        answer = client.post("/reset", json={"seed": 2})
    assert code(answer, 503) == "at_capacity"
    assert int(answer.headers["retry-after"]) > 0


def test_the_last_answer_can_be_had_again(client):
    start = reset(client, seed=4, episode_id="again")
    assert start.pop("agent_key")
    path = "/episodes/again/observation"
    assert client.get(path).json() == start
    answer = step(client, episode_id="again").json()
    assert client.get(path).json() == answer
    # Asking is no step, and does not make this the episode that a request without an id means.
    assert client.get(path).json() == answer
    end = step(client, FINISH, episode_id="again").json()
    assert client.get(path).json() == end
    assert end["observation"]["metadata"]["outcome"] == "finished"
    assert code(client.get("/episodes/nobody/observation"), 404) == "unknown_episode"


def test_a_report_tells_what_was_shown_if_asked(client):
    start = reset(client, seed=4, episode_id="told")
    first = step(client, episode_id="told").json()
    assert code(client.get("/episodes/told/report", params={"states": True}), 409) == "episode_running"
    step(client, FINISH, episode_id="told")
    plain = client.get("/episodes/told/report").json()
    assert "start" not in plain
    told = client.get("/episodes/told/report", params={"states": True}).json()
    assert {**told["start"], "reward": 0.0} == {**start["observation"], "reward": 0.0, "done": False}
    assert told["steps"][0]["current_state"] == first["observation"]["current_state"]
    assert "current_state" not in plain["steps"][0]
