"""Lines of the log: JSON with ids if asked for, and no secret in any format, whatever goes wrong."""

import json
import logging
import logging.config

import httpx
import pytest
from fastapi.testclient import TestClient
from websockets.sync.client import connect

from safeact_env.server.app import create_app
from safeact_env.server.operations.logs import CUT, log_config, secrets_in
from safeact_env.server.settings import Settings
from tools.servers.local_servers import Replica

TOKEN, KEY, PASSWORD = "token-of-the-operator", "sk-the-operators-key", "pa/ss word"
LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "What is there?"}


@pytest.fixture
def lines(monkeypatch, capfd):
    """Configures logging as the server does; returns what makes the lines."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("SHORT_KEY", "abc")
    loggers = ["", "uvicorn", "uvicorn.error", "uvicorn.access", "safeact_env"]
    before = {
        name: (
            logging.getLogger(name).handlers[:],
            logging.getLogger(name).level,
            logging.getLogger(name).propagate,
        )
        for name in loggers
    }

    def configured(log_format):
        store = f"redis://user:{PASSWORD.replace('/', '%2F').replace(' ', '%20')}@host:6379/0"
        settings = Settings(log_format=log_format, api_token=TOKEN, store=store)
        logging.config.dictConfig(log_config(settings))
        return lambda: "".join(capfd.readouterr())

    yield configured
    for name, (handlers, level, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate


def say_everything():
    """Log every secret in every way: in the text, in arguments, in a traceback, in fields, by any logger."""
    for name in ("uvicorn.error", "safeact_env.server.http.baseline", "some.library"):
        logger = logging.getLogger(name)
        logger.error(f"the token is {TOKEN}, {KEY!r}")
        logger.error("the password is %s", PASSWORD, extra={"fields": {"token": TOKEN}})
        try:
            raise RuntimeError(f"cannot reach {TOKEN}:{KEY}:{PASSWORD}")
        except RuntimeError:
            logger.exception("failed")
    access = logging.getLogger("uvicorn.access")
    access.info('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", f"/state?token={TOKEN}", "1.1", 200)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_line_holds_a_secret(lines, log_format):
    printed = lines(log_format)
    say_everything()
    said = printed()
    assert said.count("failed") == 3
    assert CUT in said
    assert not [secret for secret in (TOKEN, KEY, PASSWORD, "pa%2Fss%20word") if secret in said]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_secret_that_is_not_cut_out_is_noticed(lines, log_format, monkeypatch):
    monkeypatch.setattr("safeact_env.server.operations.logs.secrets_in", lambda _settings: [])
    printed = lines(log_format)
    say_everything()
    assert TOKEN in printed()


def test_what_a_client_sent_to_mcp_is_no_line(lines):
    printed = lines("json")
    logging.getLogger("mcp.server.session").warning("Failed to validate request: %s", "x" * 1_000)
    logging.getLogger("fastmcp.server").warning("no such prompt")
    assert printed() == ""
    logging.getLogger("mcp.server.session").error("broken")
    assert json.loads(printed())["message"] == "broken"


def test_short_values_are_not_taken_for_secrets(monkeypatch):
    monkeypatch.setenv("SHORT_KEY", "abc")
    monkeypatch.setenv("MY_HF_TOKEN", "hf_abcdef")
    monkeypatch.setenv("KEYBOARD", "qwertyuiop")
    found = secrets_in(Settings(api_token=TOKEN))
    assert {"abc", "qwertyuiop"} & set(found) == set()
    assert {"hf_abcdef", TOKEN} <= set(found)


def test_a_line_of_a_request_has_its_ids(lines):
    printed = lines("json")
    client = TestClient(create_app(Settings(log_format="json")))
    name = client.post("/reset", json={"seed": 1}).json()["episode_id"]
    body = {"action": LOOK, "episode_id": name}
    client.post("/step", json=body, headers={"X-Request-Id": "mine"})
    client.get("/no/such")
    reset, step, missing = [json.loads(line) for line in printed().splitlines()]
    assert (step["request_id"], step["episode_id"]) == ("mine", name)
    assert (step["method"], step["path"], step["status"]) == ("POST", "/step", 200)
    assert step["ms"] > 0
    assert (step["logger"], step["level"]) == ("safeact_env.access", "info")
    assert (reset["episode_id"], reset["message"]) == (name, "POST /reset 200")
    assert "episode_id" not in missing
    assert len({line["request_id"] for line in (reset, step, missing)}) == 3


def test_a_fault_is_one_line_with_its_traceback(lines, monkeypatch):
    printed = lines("json")
    monkeypatch.setattr("safeact_env.server.http.demonstrations.make_policy", None)
    client = TestClient(create_app(Settings(log_format="json")), raise_server_exceptions=False)
    client.post("/watch", json={"seed": 1}, headers={"X-Request-Id": "mine"})
    fault, request = [json.loads(line) for line in printed().splitlines()]
    assert fault["level"] == "error"
    assert fault["exception"].startswith("Traceback")
    assert fault["request_id"] == request["request_id"] == "mine"
    assert request["status"] == 500


def test_a_server_logs_as_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEACT_API_TOKEN", TOKEN)
    options = ("--log-format", "json", "--drain-seconds", "0")
    with Replica("memory", tmp_path / "log", *options) as replica:
        shown = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{replica.url}/tasks", timeout=60).status_code == 401
        started = httpx.post(f"{replica.url}/reset", headers=shown, timeout=60).json()
        asked = f"{replica.url}/state?token={TOKEN}&episode_id={started['episode_id']}"
        assert httpx.get(asked, headers=shown, timeout=60).status_code == 200
        with connect(replica.url.replace("http", "ws") + "/ws", additional_headers=shown, open_timeout=60):
            pass
    said = (tmp_path / "log").read_text()
    assert TOKEN not in said
    lines = [json.loads(line) for line in said.splitlines()]
    asked = [line for line in lines if line["logger"] == "safeact_env.access"]
    assert [line["status"] for line in asked if line["path"] in ("/tasks", "/reset", "/state")] == [
        401,
        200,
        200,
    ]
    assert all(line["request_id"] for line in asked)
    assert not [line for line in lines if line["logger"] == "uvicorn.access"]


def test_a_wrong_token_is_not_shown_when_the_server_refuses_to_start(tmp_path, monkeypatch):
    import subprocess
    import sys

    monkeypatch.setenv("SAFEACT_API_TOKEN", "two words of a secret")
    done = subprocess.run(
        [sys.executable, "-m", "safeact_env", "serve", "--port", "0"], capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "SAFEACT_API_TOKEN" in said
    assert "two words" not in said
