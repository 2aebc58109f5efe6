"""Baseline runs: of policies and of the configured model, and what a client is told of their faults."""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from safeact_env.policies import reference
from safeact_env.server.app import create_app
from safeact_env.server.http import baseline
from safeact_env.server.settings import Settings
from safeact_env.tasks import OFFICIAL
from scripts import baseline as program
from tests.llm.conftest import _nothing_configured, serve  # noqa: F401  # fixtures
from tests.llm.stub import KEY, MODEL, Expert, calls, fails, in_turn, is_probe

ROOT = Path(__file__).resolve().parents[3]


def local(app):
    """A client on the server's own machine: no other may spend the operator's money without a token."""
    return TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50_000))


@pytest.fixture
def client():
    return local(create_app(Settings()))


@pytest.fixture
def configured(serve, monkeypatch):  # noqa: F811
    """A server with a model that answers by a script."""

    def made(script, **settings):
        stub = serve(script)
        monkeypatch.setenv("API_BASE_URL", f"{stub.url}/v1")
        monkeypatch.setenv("MODEL_NAME", MODEL)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        return local(create_app(Settings(**settings))), stub

    return made


def expert(tasks=OFFICIAL, seeds=(0, 1)):
    return Expert(*[(task, "train", seed) for task in tasks for seed in seeds])


def post(client, **body):
    return client.post("/baseline", json={"agent": "llm", **body})


def test_without_a_model_the_server_says_so_and_plays_nothing(client):
    answer = post(client)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert detail["code"] == "llm_not_configured"
    assert "no model is configured on this server: its operator sets OPENAI_API_KEY" in detail["message"]


def test_half_a_configuration_is_told(client, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    answer = post(client)
    assert (answer.status_code, KEY in answer.text) == (422, False)
    assert "set MODEL_NAME" in answer.json()["detail"]["message"]


def test_a_file_of_settings_that_cannot_be_read_is_told_and_no_fault_of_the_server(client):
    Path(".env").write_bytes(f"OPENAI_API_KEY={KEY}\n".encode("utf-16"))
    answer = post(client)
    assert (answer.status_code, KEY in answer.text) == (422, False)
    assert ".env is not text in UTF-8" in answer.json()["detail"]["message"]


@pytest.mark.parametrize(
    ("name", "value"), [("ALL_PROXY", "socks://127.0.0.1:1"), ("SSL_CERT_FILE", "/no/such/file.pem")]
)
def test_a_variable_that_cannot_be_used_is_in_the_log(client, monkeypatch, caplog, name, value):
    for given in (("API_BASE_URL", "https://endpoint.example/v1"), ("MODEL_NAME", MODEL), (name, value)):
        monkeypatch.setenv(*given)
    answer = post(client, task_name="easy", seeds=[0])
    assert (answer.status_code, answer.json()["errors"]) == (200, {"easy": baseline.UNUSABLE})
    assert name in caplog.text


def test_a_conversation_that_the_endpoint_refuses_costs_its_own_episode_only(configured):
    player = expert(("easy",), range(6))

    def script(asked):
        refused = not is_probe(asked) and any(job in asked.texts[1] for job in player.jobs[:4])
        return fails(400, "filtered", "content_filter") if refused else player(asked)

    client, _ = configured(script)
    answer = post(client, task_name="easy", seeds=list(range(6))).json()
    # Two seeds may have the same job.
    played = [seed for seed in range(6) if player.jobs[seed] not in player.jobs[:4]]
    assert 0 < len(played) <= 2
    assert [episode["seed"] for episode in answer["episodes"]] == played
    assert answer["errors"] == {"easy": baseline.REFUSED}


def test_the_local_model_is_played_only_if_the_operator_says_so(monkeypatch):
    client = local(create_app(Settings(baseline_local_model=True)))
    # The file is missing: it got as far as that.
    monkeypatch.setenv("SAFEACT_LOCAL_MODEL", "/no/such/file.gguf")
    assert "SAFEACT_LOCAL_MODEL or --local-model names" in post(client).json()["detail"]["message"]


def test_the_configured_model_plays_every_task(configured):
    client, stub = configured(expert())
    answer = post(client, seeds=[1, 0]).json()
    assert (answer["agent"], answer["model"]) == ("llm", MODEL)
    assert answer["scores"] == dict.fromkeys(OFFICIAL, 1.0)
    assert [(e["task_name"], e["seed"]) for e in answer["episodes"]] == [
        (task, seed) for task in OFFICIAL for seed in (1, 0)
    ]
    assert answer["errors"] == {}
    assert not [asked for asked in stub.asked if "reward" in json.dumps(asked.body)]


def test_the_default_agent_stays_the_expert(configured):
    client, stub = configured(expert())
    assert client.post("/baseline", json={"task_name": "easy", "seeds": [0]}).json()["agent"] == "expert"
    assert not stub.asked


def test_a_task_that_fails_does_not_take_the_others_away(configured):
    player = expert()

    def script(asked):
        if not is_probe(asked) and "Database Maintenance" in asked.texts[1]:
            return fails(418, f"a teapot with {KEY}")
        return player(asked)

    client, _ = configured(script)
    answer = post(client, seeds=[0])
    found = answer.json()
    assert found["scores"] == {**dict.fromkeys(OFFICIAL, 1.0), "medium": None}
    assert found["errors"] == {"medium": baseline.SILENT}
    assert KEY not in answer.text
    assert "teapot" not in answer.text


def test_a_model_that_cannot_be_used_is_told_without_its_endpoints_words(configured, caplog):
    client, _ = configured(in_turn(fails(401, "Incorrect API key provided: sk-****1234")))
    answer = post(client, task_name="easy", seeds=[0])
    assert answer.json()["scores"] == {"easy": None}
    assert answer.json()["errors"] == {"easy": baseline.UNUSABLE}
    assert "1234" not in answer.text
    assert "does not accept the key" in caplog.text
    assert KEY not in caplog.text


def test_the_deadline_ends_it_and_what_was_played_is_answered(configured):
    def slow_but_easy(asked):
        easy = is_probe(asked) or "File System" in asked.texts[1]
        name = "ready" if is_probe(asked) else "finish"
        return replace(calls((name, {"summary": "Enough."})), wait_s=0 if easy else 60)

    client, _ = configured(slow_but_easy, baseline_seconds=4.0)
    started = time.perf_counter()
    answer = post(client, seeds=[0]).json()
    assert time.perf_counter() - started < 30
    assert answer["scores"] == {"easy": 0.0, **dict.fromkeys(OFFICIAL[1:], None)}
    assert set(answer["errors"]) == set(OFFICIAL[1:])
    assert all("the deadline of 4 s passed" in problem for problem in answer["errors"].values())


async def test_the_server_answers_meanwhile_and_one_run_is_played_at_a_time(configured):
    player = expert(("easy",), (0,))
    client, stub = configured(lambda asked: replace(player(asked), wait_s=0.1))
    transport = httpx.ASGITransport(client.app, client=("127.0.0.1", 50_000))
    body = {"agent": "llm", "task_name": "easy", "seeds": [0]}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as http:
        first = asyncio.create_task(http.post("/baseline", json=body))
        while not stub.asked:
            await asyncio.sleep(0.01)
        assert (await http.get("/health")).status_code == 200
        assert not first.done()
        assert (await http.post("/baseline", json=body)).status_code == 429
        assert (await first).json()["scores"] == {"easy": 1.0}


@pytest.mark.parametrize("agent", ["llm", "expert"])
def test_a_fault_of_ours_in_one_task_is_told_for_that_task(configured, monkeypatch, caplog, agent):
    client, _ = configured(expert(("easy", "medium"), (0,)))
    from safeact_env.core.episode import Episode

    step = Episode.step

    def broken(self, call):
        if self.task.name == "medium":
            raise ZeroDivisionError("a secret of ours")
        return step(self, call)

    monkeypatch.setattr(Episode, "step", broken)
    for name, score in (("easy", 1.0), ("medium", None)):
        answer = client.post("/baseline", json={"agent": agent, "task_name": name, "seeds": [0]})
        assert answer.status_code == 200
        assert answer.json()["scores"] == {name: score}
        assert answer.json()["errors"] == ({} if score else {"medium": baseline.FAULT})
        assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_an_unknown_agent_lists_the_model_among_the_known(client):
    message = client.post("/baseline", json={"agent": "gpt"}).json()["detail"]["message"]
    assert message == f"unknown agent; the agents are {', '.join(reference.POLICIES)}, llm"


def script(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "baseline.py"), *arguments], capture_output=True, text=True
    )


def test_the_script_prints_the_answer_of_the_route(client):
    done = script("--task", "easy", "--seeds", "2", "--json")
    assert done.returncode == 0
    body = {"task_name": "easy", "seeds": [0, 1]}
    assert json.loads(done.stdout) == client.post("/baseline", json=body).json()


def test_the_script_tells_that_no_model_is_configured(capsys):
    assert program.main(["--agent", "llm"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("no model is configured")
