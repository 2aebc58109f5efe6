"""The short way of POST /step answers as the route does, and is taken where it should be."""

import json

import pytest

from safeact_env.server.http.steps import FastStepMiddleware, _step_in
from tests.server.http.test_bad_input import BODIES, nested

LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "look"}
JSON = {"Content-Type": "application/json"}


def nest(body):
    """The action fields of a flat body, under `action`."""
    text = body if isinstance(body, str) else body.decode("latin-1")
    return f'{{"action":{text},"episode_id":"e"}}'


def with_action(**fields):
    return json.dumps({"action": {**LOOK, **fields}, "episode_id": "e"})


# Each is sent twice to an episode "e", once by either way.
REQUESTS = {
    **{f"nested, {name}": (nest(body), JSON) for name, (body, _status) in BODIES.items()},
    "usual": (json.dumps({"action": LOOK, "episode_id": "e"}), JSON),
    "by header": (json.dumps({"action": LOOK}), {**JSON, "X-Episode-Id": "e"}),
    "by cookie": (json.dumps({"action": LOOK}), {**JSON, "Cookie": "a=b; safeact_episode=e"}),
    "the only one": (json.dumps({"action": LOOK}), JSON),
    "with a request id": (json.dumps({"action": LOOK, "episode_id": "e", "request_id": "r"}), JSON),
    "nulls": (json.dumps({"action": LOOK, "episode_id": None, "request_id": None}), JSON),
    "an odd header": (json.dumps({"action": LOOK, "episode_id": "e"}), {**JSON, "X-Episode-Id": "a b"}),
    "an odd cookie": (
        json.dumps({"action": LOOK, "episode_id": "e"}),
        {**JSON, "Cookie": "safeact_episode=%00;"},
    ),
    "another cookie": (json.dumps({"action": LOOK, "episode_id": "e"}), {**JSON, "Cookie": "x"}),
    "an id with a line end": (json.dumps({"action": LOOK, "episode_id": "e\n"}), JSON),
    "an unknown id": (json.dumps({"action": LOOK, "episode_id": "other"}), JSON),
    "a long request id": (json.dumps({"action": LOOK, "episode_id": "e", "request_id": "r" * 256}), JSON),
    "a request id that is a number": (json.dumps({"action": LOOK, "episode_id": "e", "request_id": 1}), JSON),
    "a further field": (json.dumps({"action": LOOK, "episode_id": "e", "extra": 1}), JSON),
    "a timeout": (json.dumps({"action": LOOK, "episode_id": "e", "timeout_s": 15}), JSON),
    "a bad timeout": (json.dumps({"action": LOOK, "episode_id": "e", "timeout_s": -1}), JSON),
    "metadata in the action": (with_action(metadata={"a": 1}), JSON),
    "text/json": (with_action(), {"Content-Type": "text/json"}),
    "with a charset": (with_action(), {"Content-Type": "application/json; charset=utf-8"}),
    "problem+json": (with_action(), {"Content-Type": "application/problem+json"}),
    "jsonx": (with_action(), {"Content-Type": "application/jsonx"}),
    "form": (with_action(), {"Content-Type": "application/x-www-form-urlencoded"}),
    "no type": (with_action(), {}),
    "an unknown action": (with_action(action_name="hack"), JSON),
    "a wrong parameter": (with_action(parameters={"path": 1}), JSON),
    "other text": (with_action(reasoning="Zürich ✓"), JSON),
    "a double": (with_action(parameters={"x": 1e308}), JSON),
    "2^63": (with_action(parameters={"x": 2**63}), JSON),
    "the deepest parameters": (with_action(parameters={"x": json.loads(nested(3))}), JSON),
    "a key twice": (with_action().replace("{", '{"action":1,', 1), JSON),
    "a mark before it": ("\ufeff" + with_action(), JSON),
    "empty": ("", JSON),
}


def answered(client, body, headers):
    client.post("/reset", json={"task_name": "easy", "seed": 1, "episode_id": "e"})
    client.cookies.clear()
    answer = client.post("/step", content=body, headers=headers)
    count = client.get("/state", params={"episode_id": "e"}).json()["step_count"]
    # The content is compared; the id of a request is another each time.
    told = {n: value for n, value in answer.headers.items() if n not in ("content-length", "x-request-id")}
    return answer.status_code, told, answer.content, count


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_answer_alike(client, monkeypatch, name):
    body, headers = REQUESTS[name]
    short = answered(client, body.encode(errors="surrogatepass"), headers)
    monkeypatch.setattr("safeact_env.server.http.steps._step_in", lambda *_: None)
    client.delete("/episodes/e")
    assert short == answered(client, body.encode(errors="surrogatepass"), headers)


@pytest.mark.parametrize(
    "name",
    ["usual", "by header", "by cookie", "the only one", "with a request id", "nulls", "with a charset"],
)
def test_the_usual_requests_take_the_short_way(client, monkeypatch, name):
    seen = []

    async def watched(self, step):
        seen.append(step)
        return await answer(self, step)

    answer = FastStepMiddleware._answer
    monkeypatch.setattr(FastStepMiddleware, "_answer", watched)
    body, headers = REQUESTS[name]
    assert answered(client, body.encode(), headers)[0] == 200
    assert len(seen) == 1


def test_a_body_in_pieces_goes_on_whole(client):
    client.post("/reset", json={"seed": 1, "episode_id": "e"})
    body = json.dumps({"action": LOOK, "episode_id": "e"}).encode()
    answer = client.post("/step", content=(body[i : i + 10] for i in range(0, len(body), 10)), headers=JSON)
    assert answer.status_code == 200


def test_only_a_body_in_bounds_is_read():
    headers = [(b"content-type", b"application/json")]
    body = json.dumps({"action": LOOK, "episode_id": "e"}).encode()
    assert _step_in(headers, body, len(body)) is not None
    assert _step_in(headers, body, len(body) - 1) is None
    assert _step_in(headers, b"", len(body)) is None
    assert _step_in([*headers, *headers], body, len(body)) is None
    assert _step_in([], body, len(body)) is None
