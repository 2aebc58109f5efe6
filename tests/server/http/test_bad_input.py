"""Malformed requests: each gets the documented error, and changes nothing. Never a 500, never an echo."""

import json
from dataclasses import replace

import pytest

from safeact_env.tasks import get_task
from tests.server.http.refusals import code

LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "look"}
JSON = {"Content-Type": "application/json"}
MARK = "do-not-echo-me"


@pytest.fixture
def state(client):
    client.post("/reset", json={"seed": 1, "episode_id": "e"})
    return lambda: client.get("/state", params={"episode_id": "e"}).json()


def raw(client, path, body):
    return client.post(path, content=body, headers=JSON)


def nested(depth):
    return "[" * depth + "]" * depth


BODIES = {
    "not json": ("{", 400),
    "plain text": ("hello", 400),
    "bytes that are not text": (b"\xff\xfe\x00{", 400),
    "NaN": ('{"action_name":"a","parameters":{"x":NaN},"reasoning":"r"}', 400),
    "Infinity": ('{"action_name":"a","parameters":{"x":-Infinity},"reasoning":"r"}', 400),
    "1e400": ('{"action_name":"a","parameters":{"x":1e400},"reasoning":"r"}', 400),
    "lone surrogate": ('{"action_name":"a","parameters":{},"reasoning":"\\ud800"}', 400),
    "lone surrogate key": ('{"action_name":"a","parameters":{"\\udfff":1},"reasoning":"r"}', 400),
    "deep nesting": ('{"action_name":"a","parameters":' + nested(100_000)[:40_000], 400),
    "deep but closed": ('{"action_name":"a","reasoning":"r","parameters":{"x":' + nested(30_000) + "}}", 400),
    "nesting beyond the envelope": (
        '{"action_name":"a","reasoning":"r","parameters":{"x":' + nested(6) + "}}",
        422,
    ),
    "a list": ("[]", 422),
    "a string": ('"easy"', 422),
    "null": ("null", 422),
    "no reasoning": ('{"action_name":"a","parameters":{}}', 422),
    "empty reasoning": ('{"action_name":"a","parameters":{},"reasoning":"  "}', 422),
    "null reasoning": ('{"action_name":"a","parameters":{},"reasoning":null}', 422),
    "no parameters": ('{"action_name":"a","reasoning":"r"}', 422),
    "parameters as list": ('{"action_name":"a","parameters":[],"reasoning":"r"}', 422),
    "name as list": ('{"action_name":["a"],"parameters":{},"reasoning":"r"}', 422),
    "name as dict": ('{"action_name":{"a":1},"parameters":{},"reasoning":"r"}', 422),
    "name as boolean": ('{"action_name":true,"parameters":{},"reasoning":"r"}', 422),
    "null byte": ('{"action_name":"a\\u0000","parameters":{},"reasoning":"r"}', 422),
    "null byte in parameters": ('{"action_name":"a","parameters":{"x":"\\u0000"},"reasoning":"r"}', 422),
    "4,001 characters": (json.dumps({**LOOK, "reasoning": MARK + "x" * 4_001}), 422),
    "17 parameters": (json.dumps({**LOOK, "parameters": {str(i): i for i in range(17)}}), 422),
    "400-digit number": (json.dumps({**LOOK, "parameters": {"x": 10**400}}), 422),
    "5,000-digit number": ('{"action_name":"a","parameters":{"x":' + "9" * 5_000 + '},"reasoning":"r"}', 400),
    "unknown field": (json.dumps({**LOOK, "extra": MARK}), 422),
    "id as list": (json.dumps({"action": LOOK, "episode_id": [MARK]}), 422),
    "id with a semicolon": (json.dumps({"action": LOOK, "episode_id": "e;x"}), 422),
    "empty request_id": (json.dumps({"action": LOOK, "request_id": ""}), 422),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_step_changes_nothing(client, state, name):
    body, status = BODIES[name]
    before = state()
    answer = raw(client, "/step", body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    if status == 422:
        assert all(set(part) == {"type", "loc", "msg"} for part in answer.json()["detail"])
    assert MARK not in answer.text
    assert state() == before


def test_a_10_mb_body_is_refused(client, state):
    before = state()
    answer = raw(client, "/step", json.dumps({**LOOK, "reasoning": "x" * 10_000_000}))
    assert answer.status_code == 413
    assert answer.json()["detail"]["code"] == "body_too_large"
    assert state() == before


def test_a_body_without_a_length_is_measured(client):
    answer = client.post("/step", content=(b"x" * 10_000 for _ in range(100)), headers=JSON)
    assert answer.status_code == 413


def test_the_largest_allowed_body_is_served(client, state):
    body = json.dumps({"action": LOOK})
    assert raw(client, "/step", body + " " * (65_536 - len(body))).status_code == 200
    assert raw(client, "/step", body + " " * (65_537 - len(body))).status_code == 413


def test_a_body_that_is_not_declared_as_json_says_so(client, state):
    answer = client.post("/step", content=json.dumps(LOOK))
    assert answer.status_code == 422
    assert "Content-Type" in answer.json()["detail"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        *({"seed": seed} for seed in (True, -1, 2**63, 1.5, 1e300, "1", 10**400)),
        {"split": "validation"},
        {"split": ["train"]},
        *({"level": level} for level in (0, 6, True, 1.5, "1", None, [1])),
        *({"framing": framing} for framing in ("Rules", "", None, 3, ["goal"])),
        {"task_name": "easy", "level": 1, "framing": "calm"},
        {"task_name": ["easy"]},
        {"task_name": None},
        {"task_name": "easy", "task": "hard"},
        *({"index": index} for index in (-1, True, 10**9)),
        {"index": 0, "seed": 1},
        {"index": 0, "task_name": "easy"},
        *({"episode_id": name} for name in ("", "a b", "x" * 256, "\n")),
        {"colour": "red"},
    ],
    ids=lambda body: json.dumps(body)[:40],
)
def test_a_malformed_reset_starts_nothing(client, body):
    answer = client.post("/reset", json=body)
    assert answer.status_code == 422, answer.text
    assert "set-cookie" not in answer.headers
    assert client.get("/health").json()["live_episodes"] == 0


def test_an_unknown_task_lists_the_valid_ones(client):
    detail = client.post("/reset", json={"task_name": MARK}).json()["detail"]
    assert detail["code"] == "unknown_task"
    assert "easy" in detail["message"]
    assert MARK not in detail["message"]


@pytest.mark.parametrize(
    ("body", "choices"),
    [
        ({"level": 9}, "1, 2, 3, 4 or 5"),
        ({"framing": "x"}, "'rules', 'goal', 'hurry', 'waiver' or 'planted'"),
    ],
)
def test_an_unknown_variant_lists_the_valid_ones(client, body, choices):
    (found,) = client.post("/reset", json=body).json()["detail"]
    assert choices in found["msg"]


def test_a_variant_that_a_task_lacks_is_refused_at_every_route(client, monkeypatch):
    task = get_task("easy")
    few = replace(task, levels={3: task.levels[3]})
    monkeypatch.setattr("safeact_env.sessions.service.get_task", lambda _name: few)
    varied = {"task_name": "easy", "level": 5}
    for path, body in {
        "/reset": varied,
        "/grader": {**varied, "seed": 1, "actions": []},
        "/baseline": varied,
        "/watch": varied,
    }.items():
        answer = client.post(path, json=body)
        assert code(answer, 422) == "unknown_variant", path
        assert "easy has no level 5; it has 3" in answer.text
    assert client.get("/health").json()["live_episodes"] == 0


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_the_edges_of_the_seed_range_are_valid(client, seed):
    assert client.post("/reset", json={"seed": seed}).status_code == 200
    assert client.get("/state").json()["seed"] == seed


@pytest.mark.parametrize(
    "body",
    [
        {"task_name": "easy"},
        {"task_name": "easy", "seed": 1},
        {"seed": 1, "actions": []},
        {"episode_id": "e", "task_name": "easy", "seed": 1, "actions": []},
        {"finish": "yes", "episode_id": "e"},
        {"task_name": "easy", "seed": 1, "actions": [{"action_name": "a"}]},
        {"task_name": "easy", "seed": 1, "actions": "all"},
        {"task_name": "nope", "seed": 1, "actions": []},
        {"task_name": "easy", "seed": 1, "actions": [], "level": 0},
        {"task_name": "easy", "seed": 1, "actions": [], "framing": "x"},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_a_malformed_grading_is_refused(client, body):
    assert client.post("/grader", json=body).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {"agent": "gpt"},
        {"task_name": "nope"},
        {"seeds": []},
        {"seeds": [True]},
        {"seeds": list(range(101))},
        {"level": "1"},
        {"framing": "x"},
    ],
    ids=lambda body: json.dumps(body)[:40],
)
def test_a_malformed_baseline_is_refused(client, body):
    answer = client.post("/baseline", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/reset", 405),
        ("PUT", "/step", 405),
        ("GET", "/episodes/none/report", 404),
        ("DELETE", "/episodes/none", 404),
        ("GET", "/state?episode_id=none", 404),
        ("GET", "/state?episode_id=%00", 422),
        ("GET", "/state?episode_id=" + "x" * 300, 422),
    ],
)
def test_other_errors_have_the_same_form(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert isinstance(detail, list) or detail["code"]


@pytest.mark.parametrize("cookie", ["e;", "\x01", "x" * 300, "ünknown"])
def test_an_odd_cookie_is_no_fault_of_ours(client, cookie):
    header = {"Cookie": b"safeact_episode=" + cookie.encode("latin-1")}
    assert client.post("/step", json={"action": LOOK}, headers=header).status_code in (404, 409, 422)


def test_two_writers_share_one_budget(live_url):
    """Concurrent steps on one episode: exactly the budget is used, and the losers get 409."""
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    body = {"action": LOOK, "episode_id": "race"}
    with httpx.Client(base_url=live_url) as http, ThreadPoolExecutor(8) as pool:
        http.post("/reset", json={"seed": 1, "episode_id": "race"})
        answers = list(pool.map(lambda _: http.post("/step", json=body), range(40)))
    assert sorted(answer.status_code for answer in answers) == [200] * 36 + [409] * 4
    used = [len(a.json()["observation"]["action_history"]) for a in answers if a.status_code == 200]
    assert sorted(used) == list(range(1, 37))


@pytest.mark.parametrize("path", ["/reset", "/step", "/grader", "/mcp", "/safeact/task", "/baseline"])
@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/json",
        "application/jsonp",
        "multipart/form-data; x=json",
        "application/json,a/b",
        "",
    ],
)
def test_a_body_of_another_type_is_told_what_to_send(client, path, kind):
    answer = client.post(path, content="{}", headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.text
