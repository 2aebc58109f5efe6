"""OpenEnv's page at /web: there if asked for, one episode for all visitors, of gradio what it needs."""

import asyncio
import html
import json
import os
import re
import subprocess
import sys
import threading

import pytest
from fastapi.testclient import TestClient

from safeact_env.core.episode import Episode
from safeact_env.core.variant import Variant
from safeact_env.policies.reference import play
from safeact_env.server.app import NO_GRADIO, create_app
from safeact_env.server.settings import Settings
from safeact_env.server.websocket.environment import SafeActEnvironment
from safeact_env.tasks import get_task
from safeact_env.version import VERSION

LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "What is there?"}
JSON = {"Content-Type": "application/json"}
MARK = "do-not-echo-me"


@pytest.fixture(scope="module")
def web_app():
    if not hasattr(SafeActEnvironment.__base__, "render_web"):
        pytest.skip("this OpenEnv has no page that an environment draws itself in")

    async def created():
        return create_app(Settings())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENABLE_WEB_INTERFACE", "true")
        # Outside a running loop gradio opens loops of its own and leaves them open.
        return asyncio.run(created())


@pytest.fixture(scope="module")
def running(web_app):
    with TestClient(web_app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def web(running):
    """The page of a server, at the start of a known episode."""
    assert running.post("/web/reset", json={"task_name": "easy", "seed": 3}).status_code == 200
    return running


# Asked for or not ----------------------------------------------------------------------------------------


def test_without_being_asked_for_there_is_no_page(client):
    assert client.get("/web", follow_redirects=False).headers["Location"] == "demo"
    assert client.post("/web/reset", json={}).status_code == 404
    assert not [path for path in client.get("/openapi.json").json()["paths"] if path.startswith("/web")]


def test_without_being_asked_for_gradio_is_not_imported():
    code = "import sys, server.app; print('gradio' in sys.modules, 'openenv.core' in sys.modules)"
    environment = {**os.environ, "ENABLE_WEB_INTERFACE": "false"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_with_the_page_gradio_is_imported(web_app):
    assert "gradio" in sys.modules


def test_without_gradio_the_server_says_what_to_install(tmp_path):
    """A package that cannot be found stands in front of the installed one."""
    package = tmp_path / "gradio"
    package.mkdir()
    (package / "__init__.py").write_text("raise ModuleNotFoundError('No module named gradio', name='gradio')")
    code = "from safeact_env.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--port", "0"],
        env={**os.environ, "ENABLE_WEB_INTERFACE": "true", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr.splitlines()[-1]) == (1, "", NO_GRADIO)
    # Loading it takes long, so that is said first.
    assert "Loading the page at /web" in done.stderr.splitlines()[0]


def test_what_else_fails_to_import_is_not_taken_for_gradio(monkeypatch):
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")
    monkeypatch.setitem(sys.modules, "safeact_env.server.page.openenv_web", None)
    with pytest.raises(ModuleNotFoundError, match=r"safeact_env\.server\.page\.openenv_web"):
        create_app()


# The page ------------------------------------------------------------------------------------------------


def test_the_page_is_there_and_gets_nothing_from_other_hosts(web):
    assert web.get("/web", follow_redirects=False).headers["location"] == "/web/"
    page = web.get("/web")
    assert page.status_code == 200
    assert "window.gradio_config" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert not re.search(r"https?:|\*", policy)


def test_the_readme_on_the_page_does_not_tell_risks(web):
    about = web.get("/web/metadata").json()
    assert (about["name"], about["version"]) == ("safeact-env", VERSION)
    assert "telling reversible actions from irreversible ones" in about["readme_content"]
    assert not re.search(r"\| (safe|risky|irreversible)[ ,]", about["readme_content"])


def test_a_package_that_is_not_installed_has_no_readme(monkeypatch, web_app):
    from safeact_env.server.page import openenv_web

    monkeypatch.setattr(openenv_web, "DISTRIBUTION", "not-a-distribution")
    assert openenv_web.readme() is None


def test_the_example_on_the_page_runs(web_app, live_url, capsys):
    from safeact_env.server.page.openenv_web import QUICK_START

    code = re.search(r"```python\n(.*?)```", QUICK_START.format(url=live_url), re.DOTALL).group(1)
    exec(compile(code, "example", "exec"), {})
    assert "days" in capsys.readouterr().out


def test_the_rest_of_the_server_is_as_without_the_page(web):
    start = web.post("/reset", json={"seed": 1, "episode_id": "mine"}).json()
    assert start["episode_id"] == "mine"
    assert web.post("/step", json={"action": LOOK}).json()["episode_id"] == "mine"
    assert web.get("/web/state").json()["step_count"] == 0
    assert web.get("/", follow_redirects=False).headers["location"] == "demo"
    document = web.get("/openapi.json").json()
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))
    with web.websocket_connect("/ws") as socket:
        socket.send_json({"type": "reset", "data": {"seed": 2}})
        assert socket.receive_json()["type"] == "observation"


# Its episode ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["easy", "medical"])
def test_an_episode_is_played_through_the_routes(web, name):
    expected = play(get_task(name), "test", 9, "expert")
    start = web.post("/web/reset", json={"task_name": name, "split": "test", "seed": 9}).json()
    assert (start["done"], start["observation"]["action_history"]) == (False, [])
    for turn in expected.turns:
        answer = web.post("/web/step", json={"action": turn.call.to_json()}).json()
        assert (answer["reward"], answer["observation"]["last_action_result"]) == (turn.reward, turn.result)
    assert answer["done"] is True
    assert answer["metadata"]["score"] == 1.0
    state = web.get("/web/state").json()
    assert (state["task_name"], state["split"], state["seed"], state["done"]) == (name, "test", 9, True)


def test_an_episode_is_started_by_its_index_and_named(web):
    web.post("/web/reset", json={"split": "test", "index": 6, "episode_id": "mine"})
    state = web.get("/web/state").json()
    assert (state["task_name"], state["split"], state["seed"], state["episode_id"]) == (
        "medium",
        "test",
        1,
        "mine",
    )


def test_all_visitors_share_the_episode(web, web_app):
    web.post("/web/step", json={"action": LOOK})
    other = TestClient(web_app)
    assert other.get("/web/state").json()["step_count"] == 1
    other.post("/web/reset", json={"seed": 4})
    assert (web.get("/web/state").json()["seed"], web.get("/web/state").json()["step_count"]) == (4, 0)


def test_before_the_first_episode_there_is_none(web_app):
    from safeact_env.server.page.openenv_web import SharedEpisode

    shared = SharedEpisode()
    assert (shared.env.state.task_name, shared.env.render_web({}), shared.env.web_actions({})) == (
        None,
        None,
        [],
    )
    with pytest.raises(RuntimeError, match="no episode has been started"):
        asyncio.run(shared.step_environment(LOOK))


async def test_a_reset_waits_for_the_step_that_is_under_way(web_app, monkeypatch):
    from safeact_env.server.page.openenv_web import SharedEpisode

    shared = SharedEpisode()
    await shared.reset_environment({"task_name": "easy", "seed": 3})
    release, at_once = threading.Event(), shared.env.step
    monkeypatch.setattr(shared.env, "step", lambda action: release.wait(10) and at_once(action))
    step = asyncio.create_task(shared.step_environment(LOOK))
    await asyncio.sleep(0)
    reset = asyncio.create_task(shared.reset_environment({"task_name": "hard", "seed": 3}))
    await asyncio.sleep(0.05)
    assert (step.done(), reset.done(), shared.env.state.task_name) == (False, False, "easy")
    release.set()
    assert "files" in (await step)["observation"]["current_state"]
    assert "services" in (await reset)["observation"]["current_state"]


def raw(client, path, body):
    return client.post(path, content=body, headers=JSON)


BAD = {
    "not JSON": ("/web/step", "{", 400),
    "NaN": ("/web/step", '{"action":{"action_name":"a","parameters":{"x":NaN},"reasoning":"r"}}', 400),
    "a surrogate": ("/web/step", '{"action":{"action_name":"a","parameters":{},"reasoning":"\\ud800"}}', 400),
    "no action": ("/web/step", "{}", 422),
    "a list": ("/web/step", "[]", 422),
    "a chat message": ("/web/step", json.dumps({"message": MARK}), 422),
    "a name that is none": ("/web/step", json.dumps({"action": {**LOOK, "action_name": [MARK]}}), 422),
    "no reasoning": ("/web/step", json.dumps({"action": {**LOOK, "reasoning": " "}}), 422),
    "an unknown field": ("/web/step", json.dumps({"action": {**LOOK, "extra": MARK}}), 422),
    "too large": ("/web/step", json.dumps({"action": {**LOOK, "reasoning": MARK + "x" * 70_000}}), 413),
    "an unknown task": ("/web/reset", json.dumps({"task_name": MARK}), 422),
    "a seed below 0": ("/web/reset", '{"seed":-1}', 422),
    "a seed as text": ("/web/reset", '{"seed":"1"}', 422),
    "an index out of range": ("/web/reset", '{"split":"test","index":1000}', 422),
    "index and seed": ("/web/reset", '{"index":1,"seed":1}', 422),
    "an unknown field of a reset": ("/web/reset", json.dumps({"colour": MARK}), 422),
    "a click without a session": ("/web/gradio_api/queue/join", '{"data":[],"fn_index":0}', 400),
    "a click without data": ("/web/gradio_api/queue/join", '{"fn_index":0,"session_hash":"s"}', 422),
    "a click on nothing": ("/web/gradio_api/queue/join", '{"data":[],"fn_index":99,"session_hash":"s"}', 404),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_an_error_in_our_form_and_changes_nothing(web, case):
    path, body, status = BAD[case]
    before = web.get("/web/state").json()
    answer = raw(web, path, body)
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert detail["message"] if isinstance(detail, dict) else detail[0]["msg"]
    assert MARK not in answer.text
    assert "Traceback" not in answer.text
    assert web.get("/web/state").json() == before


def test_a_step_after_the_end_is_refused(web):
    finish = {"action_name": "finish", "parameters": {"summary": "x"}, "reasoning": "r"}
    assert web.post("/web/step", json={"action": finish}).json()["done"] is True
    answer = web.post("/web/step", json={"action": finish})
    assert (answer.status_code, answer.json()["detail"]["code"]) == (409, "episode_done")


# What is let in of gradio --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *("file=/etc/passwd", "file=README.md", "upload", "proxy=https://example.com/", "info"),
        *("openapi.json", "call/reset_env", "run/reset_env", "runs", "component_server", "vibe-edit"),
        *("../monitoring", "../login", "../nothing", "../reset"),
    ],
)
def test_what_the_page_does_not_need_is_not_there(web, path):
    where = f"/web/{path[3:]}" if path.startswith("../") else f"/web/gradio_api/{path}"
    for answer in (
        web.get(where),
        web.post(where, json={}) if "reset" not in where else web.put(where, json={}),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"]["code"] == "not_found"


def test_gradio_keeps_little_and_tells_nobody(web, web_app):
    from safeact_env.server.page.openenv_web import MAX_VISITORS, MAX_WAITING

    clicked(web, "start_chosen", "easy", "1", 3, "rules", None)
    clicked(web, "reset_env", None)
    gradio = web_app.router.routes[-1].app
    page = gradio.get_blocks()
    assert gradio.state_holder.capacity == MAX_VISITORS
    assert page._queue.max_size == MAX_WAITING
    assert page.analytics_enabled is False
    assert len(page._queue.event_analytics) <= 1
    assert page._queue.cached_event_analytics_summary == {"functions": {}}


def test_nothing_can_be_uploaded(web):
    answer = web.post("/web/gradio_api/upload", files={"files": ("a.txt", b"x")})
    assert answer.json()["detail"]["code"] == "content_type"


def clicked(client, name, *data):
    """What a click on the page answers: the data for its outputs."""
    listeners = client.get("/web/config").json()["dependencies"]
    (listener,) = (one for one in listeners if one["api_name"] == name)
    body = {"data": list(data), "fn_index": listener["id"], "session_hash": "visitor"}
    assert client.post("/web/gradio_api/queue/join", json=body).status_code == 200
    events = client.get("/web/gradio_api/queue/data", params={"session_hash": "visitor"}).text
    (done,) = (json.loads(line[6:]) for line in events.splitlines() if '"process_completed"' in line)
    return done["output"]["data"]


def test_an_episode_is_started_and_played_by_clicks(web):
    visual, quick, *_ = clicked(web, "start_chosen", "medium", "42", 3, "rules", None)
    state = web.get("/web/state").json()
    assert (state["task_name"], state["seed"], state["step_count"]) == ("medium", 42, 0)
    assert "Database Maintenance." in visual["value"]
    labels = [label for label, _number in quick["choices"]]
    tables = Episode(get_task("medium"), "train", 42).observation()["current_state"]["tables"]
    assert [f"analyze_table_usage {table}" in labels for table in tables] == [True] * len(tables)
    number = labels.index(f"analyze_table_usage {min(tables)}")
    visual, *_ = clicked(web, "quick_step", None, None, str(number))
    assert web.get("/web/state").json()["step_count"] == 1
    assert "Step 1 of 50" in visual["value"]
    # OpenEnv's own button starts the same again.
    clicked(web, "reset_env", None)
    state = web.get("/web/state").json()
    assert (state["task_name"], state["seed"], state["step_count"]) == ("medium", 42, 0)


def test_level_and_framing_are_chosen_on_the_page(web):
    visual, *_ = clicked(web, "start_chosen", "easy", "42", 1, "goal", None)
    state = web.get("/web/state").json()
    assert (state["seed"], state["level"], state["framing"]) == (42, 1, "goal")
    shown = Episode(get_task("easy"), "train", 42, variant=Variant(1, "goal")).observation()
    assert html.escape(shown["task_description"][:60]) in visual["value"]
    clicked(web, "reset_env", None)
    assert web.get("/web/state").json()["level"] == 1


@pytest.mark.parametrize("seed", ["-1", "1.5", "one", "9999999999999999999", "٣"])
def test_a_seed_that_is_none_is_told_on_the_page_and_changes_nothing(web, seed):
    before = web.get("/web/state").json()
    data = clicked(web, "start_chosen", "easy", seed, 3, "rules", None)
    assert "seed" in str(data)
    assert "oe-error" in str(data)
    assert web.get("/web/state").json() == before
    # Nor what the buttons start, for whoever comes next.
    assert "oe-error" not in str(clicked(web, "reset_env", None))


@pytest.mark.parametrize(
    ("parameters", "told"),
    [('{"x": NaN}', "a number must be finite"), ("[1]", "parameters: Input should be")],
)
def test_a_malformed_action_in_the_form_is_told_on_the_page(web, parameters, told):
    data = clicked(web, "step_fn", None, "list_directory", parameters, "why")
    assert told in str(data)
    assert "errors.pydantic.dev" not in str(data)
