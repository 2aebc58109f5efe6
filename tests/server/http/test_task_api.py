"""The Task API answers as OpenEnv's own routes do where it has them."""

import inspect

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from safeact_env.models import SafeActAction, SafeActObservation, SafeActState
from safeact_env.server.app import HTTPEnvServer
from safeact_env.server.http.task_api import PATHS
from safeact_env.server.websocket.environment import SafeActEnvironment

ASKED = [
    ("get", "/list_environments", None),
    ("get", "/safeact/splits", None),
    ("get", "/SafeAct/splits", None),
    ("post", "/safeact/tasks", {"split": "test"}),
    ("post", "/safeact/num_tasks", {"split": "train"}),
    ("post", "/safeact/task", {"split": "train", "index": 6}),
    ("post", "/safeact/task_range", {"split": "test", "start": 10, "stop": 12}),
    ("post", "/safeact/task_range", {"split": "test", "start": -2}),
    ("post", "/safeact/task_range", {"split": "test", "stop": -998}),
    ("post", "/safeact/task_range", {"split": "test", "start": 5, "stop": 1}),
    ("post", "/safeact/task_range", {"split": "train"}),
]

REFUSED = [
    ("get", "/other/splits", None, 404),
    ("post", "/other/num_tasks", {"split": "train"}, 404),
    ("post", "/safeact/tasks", {"split": "nope"}, 400),
    ("post", "/safeact/num_tasks", {"split": "nope"}, 400),
    ("post", "/safeact/task", {"split": "train", "index": -1}, 400),
    ("post", "/safeact/task", {"split": "train", "index": 10**30}, 400),
    ("post", "/safeact/task_range", {"split": "nope"}, 400),
    ("post", "/safeact/task", {"split": "train"}, 422),
    ("post", "/safeact/task", {"split": "train", "index": 1, "colour": "red"}, 422),
    ("post", "/safeact/tasks", {}, 422),
    ("get", "/safeact/tasks", None, 405),
]


@pytest.fixture(scope="module")
def theirs():
    if "env_name" not in inspect.signature(HTTPEnvServer.__init__).parameters:
        pytest.skip("this OpenEnv has no Task API of its own")
    app = FastAPI()
    options = {"env_name": "safeact", "state_cls": SafeActState}
    server = HTTPEnvServer(SafeActEnvironment, SafeActAction, SafeActObservation, **options)
    server.register_routes(app, mode="production")
    with TestClient(app) as client:
        yield client


def ask(client, method, path, body):
    return client.request(method, path, json=body) if body is not None else client.request(method, path)


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
def test_answers_are_those_of_openenv(client, theirs, method, path, body):
    ours = ask(client, method, path, body)
    assert ours.status_code == 200
    assert ours.content == ask(theirs, method, path, body).content


def test_the_schemas_are_those_of_openenv_and_one_more(client, theirs):
    ours = client.get("/schema").json()
    del ours["reset"]
    assert ours == theirs.get("/schema").json()


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
def test_refusals_have_the_status_of_openenv(client, theirs, method, path, body, status):
    assert (
        ask(client, method, path, body).status_code == ask(theirs, method, path, body).status_code == status
    )


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
def test_refusals_have_our_form_and_say_what_to_send(client, method, path, body, status):
    answer = ask(client, method, path, body)
    assert answer.status_code == status
    if status != 422:
        assert set(answer.json()["detail"]) == {"code", "message"}
        assert not {"nope", "other"} & set(answer.json()["detail"]["message"].split())


def test_an_index_outside_is_told_the_bounds(client):
    body = {"split": "train", "index": 50_000}
    message = client.post("/safeact/task", json=body).json()["detail"]["message"]
    assert message == "index must be from 0 to 49999 in split train"


def test_what_is_answered_here_stands_in_the_document(client):
    # Were it answered by OpenEnv as well, FastAPI would warn of two operations with one id.
    assert set(PATHS) <= set(client.get("/openapi.json").json()["paths"])


def test_a_task_of_the_api_can_be_reset_to(client):
    task = client.post("/safeact/task", json={"split": "test", "index": 7}).json()["task"]
    by_index = client.post("/reset", json={"split": "test", "index": 7}).json()
    by_name = client.post("/reset", json={k: task[k] for k in ("task_name", "split", "seed")}).json()
    assert by_index["observation"] == by_name["observation"]
