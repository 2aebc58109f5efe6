"""Health, task list, Task API, baseline, OpenEnv's own routes and the OpenAPI document."""

import json

import pytest

from safeact_env.core.variant import DEFAULT, FRAMINGS, LEVELS, Variant
from safeact_env.models import ResetRequest
from safeact_env.policies.reference import play
from safeact_env.server.http import catalog
from safeact_env.tasks import get_task, task_names
from safeact_env.version import VERSION

HIDDEN_WORDS = ("risky", "irreversible", "escalate_to_human is", '"risk"', "undo", "protected")


def test_health(client):
    assert client.get("/health").json() == {"status": "healthy", "version": VERSION, "live_episodes": 0}


def test_the_documentation_is_there(client):
    assert client.get("/docs").status_code == 200
    script, style = client.get("/docs/swagger-ui-bundle.js"), client.get("/docs/swagger-ui.css")
    assert b"SwaggerUIBundle" in script.content
    assert (script.headers["content-type"], style.headers["content-type"]) == (
        "text/javascript; charset=utf-8",
        "text/css; charset=utf-8",
    )
    assert client.get("/docs/other.js").status_code == 404


def test_tasks_tell_everything_public_and_nothing_of_risk(client):
    answer = client.get("/tasks").json()
    assert [card["name"] for card in answer["tasks"]] == list(task_names())
    text = json.dumps(answer["tasks"]).lower()
    assert not [word for word in HIDDEN_WORDS if word in text]
    for card in answer["tasks"]:
        assert sum(round(part["weight"] * 10_000) for part in card["grader"]) == 10_000
        assert all(part["description"] for part in card["grader"])
        fixed = [action.name for action in get_task(card["name"]).fixed_actions]
        assert [action["name"] for action in card["actions"]] == fixed == sorted(fixed)
        assert all(action["parameters"]["type"] == "object" for action in card["actions"])
        task = get_task(card["name"])
        assert {one["level"]: one["max_steps"] for one in card["levels"]} == {
            number: level.max_steps for number, level in task.levels.items()
        }
        assert card["framings"] == list(task.framings)
    assert set(answer["action_schema"]["required"]) == {"action_name", "parameters", "reasoning"}


def test_the_task_api_of_openenv(client):
    assert client.get("/list_environments").json() == ["safeact"]
    assert [split["name"] for split in client.get("/safeact/splits").json()] == ["train", "test"]
    assert client.post("/safeact/num_tasks", json={"split": "test"}).json() == {"num_tasks": 1_000}
    task = client.post("/safeact/task", json={"split": "train", "index": 6}).json()["task"]
    assert (task["task_name"], task["seed"]) == ("medium", 1)
    ranged = client.post("/safeact/task_range", json={"split": "test", "start": 10, "stop": 12}).json()
    assert [entry["index"] for entry in ranged["tasks"]] == [10, 11]
    assert len(client.post("/safeact/tasks", json={"split": "train"}).json()["tasks"]) == 1_000
    assert client.post("/safeact/task", json={"split": "train", "index": -1}).status_code == 400
    assert client.post("/safeact/num_tasks", json={"split": "nope"}).status_code == 400


def test_metadata_schema_and_mcp_as_openenv_defines_them(client):
    assert client.get("/metadata").json()["name"] == "safeact-env"
    schema = client.get("/schema").json()
    assert set(schema) == {"action", "observation", "reset_observation", "state", "reset"}
    assert "seed" in schema["state"]["properties"]
    taken = {"task_name", "seed", "split", "index", "level", "framing", "episode_id"}
    assert taken <= set(schema["reset"]["properties"])
    assert schema["reset"] == ResetRequest.model_json_schema()
    answer = client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "nope"}).json()
    assert answer["jsonrpc"] == "2.0"
    assert answer["error"]


def test_the_default_baseline_is_the_expert_and_says_so(client):
    answer = client.post("/baseline", json={"task_name": "easy", "seeds": [0, 1]}).json()
    assert answer["agent"] == "expert"
    assert answer["scores"] == {"easy": 1.0}
    assert [episode["seed"] for episode in answer["episodes"]] == [0, 1]
    assert answer["errors"] == {}


def test_a_baseline_without_a_body_runs_every_task(client):
    answer = client.post("/baseline").json()
    assert answer["scores"] == dict.fromkeys(task_names(), 1.0)


def test_a_baseline_of_another_policy_and_split(client):
    body = {"agent": "do_nothing", "task_name": "easy", "split": "test", "seeds": [5]}
    answer = client.post("/baseline", json=body).json()
    assert (answer["agent"], answer["scores"]) == ("do_nothing", {"easy": 0.0})
    assert answer["episodes"][0]["split"] == "test"


def test_a_baseline_of_a_variant(client):
    body = {"task_name": "easy", "seeds": [5], "level": 5, "framing": "waiver"}
    (episode,) = client.post("/baseline", json=body).json()["episodes"]
    made = play(get_task("easy"), "train", 5, "expert", variant=Variant(5, "waiver"))
    assert (episode["level"], episode["framing"], episode["score"]) == (5, "waiver", 1.0)
    assert episode["steps"] == len(made.turns) != len(play(get_task("easy"), "train", 5, "expert").turns)


def test_the_document_names_levels_and_framings(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("ResetRequest", "GraderRequest", "BaselineRequest", "WatchRequest"):
        fields = schemas[name]["properties"]
        assert (fields["level"]["enum"], fields["level"]["default"]) == (list(LEVELS), DEFAULT.level)
        assert (fields["framing"]["enum"], fields["framing"]["default"]) == (list(FRAMINGS), DEFAULT.framing)


async def test_one_baseline_at_a_time_and_the_server_answers_meanwhile(monkeypatch):
    import asyncio
    import threading

    import httpx

    from safeact_env.server.app import create_app

    release = threading.Event()
    finished = catalog.run_baseline

    def slow(*args):
        assert release.wait(10)
        return finished(*args)

    monkeypatch.setattr(catalog, "run_baseline", slow)
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        body = {"task_name": "easy", "seeds": [0]}
        first = asyncio.create_task(client.post("/baseline", json=body))
        await asyncio.sleep(0.1)
        second = await client.post("/baseline", json=body)
        assert (await client.get("/health")).status_code == 200
        release.set()
        assert (await first).status_code == 200
        assert (await client.post("/baseline", json=body)).status_code == 200
    assert second.status_code == 429
    assert second.json()["detail"]["code"] == "busy"
    assert int(second.headers["retry-after"]) > 0


def test_the_openapi_document_is_complete(client):
    document = client.get("/openapi.json").json()
    assert document["info"]["version"].startswith("2.")
    plays = {"/reset", "/step", "/state", "/tasks", "/grader", "/baseline", "/policies", "/watch"}
    parts = ("", "/observation", "/live", "/report", "/expert", "/explanation")
    episode = {f"/episodes/{{episode_id}}{part}" for part in parts}
    openenv = {"/health", "/metadata", "/schema", "/mcp"}
    assert plays | episode | openenv <= set(document["paths"])
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))
    assert "409" in document["paths"]["/step"]["post"]["responses"]


@pytest.mark.parametrize("path", ["/health", "/tasks", "/openapi.json", "/schema"])
def test_reading_is_repeatable(client, path):
    assert client.get(path).content == client.get(path).content


@pytest.mark.parametrize(("options", "port"), [([], 7860), (["--port", "8123", "--host", "127.0.0.1"], 8123)])
def test_openenvs_tools_find_the_app_and_a_main_that_takes_options(options, port, monkeypatch):
    from server import app as module

    served = []
    monkeypatch.setattr("safeact_env.server.main.serve", served.append)
    monkeypatch.setattr("sys.argv", ["server", *options])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert not ended.value.code
    assert served[0].port == port
    assert module.app.title == "SafeAct-Env"
