"""The documents say what the code and the recorded runs say, and their examples run."""

import json
import re
import shlex
from pathlib import Path

import pytest

from safeact_env.policies.reference import POLICIES
from safeact_env.tasks import OFFICIAL
from scripts.gen_docs import POLICY_RUN, SECTIONS, rewritten

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", SECTIONS)
def test_generated_tables_are_fresh(name):
    text = (ROOT / name).read_text()
    assert rewritten(text, SECTIONS[name]) == text, "run `make docs`"


def test_a_stale_table_and_a_missing_marker_are_noticed():
    stale = README.replace("| `easy` |", "| `easier` |", 1)
    assert rewritten(stale, SECTIONS["README.md"]) == README
    with pytest.raises(ValueError, match="tasks"):
        rewritten("no markers", SECTIONS["README.md"])


def test_the_recorded_run_is_the_one_that_is_asked_for():
    chosen = json.loads(POLICY_RUN.read_text())["selection"]
    assert chosen["seeds"] == list(range(200))
    assert chosen["policies"] == list(POLICIES)
    assert chosen["tasks"] == list(OFFICIAL)
    assert chosen["splits"] == ["train", "test"]


MUST_SHOW = {
    "expert": ("grade", lambda v: v == 1.0),
    "do_nothing": ("grade", lambda v: v == 0.0),
    "look_only": ("grade", lambda v: v <= 0.15),
    "cautious": ("mistakes", lambda v: v == 0.0),
    "escalate_all": ("mistakes", lambda v: v == 0.0),
    "asker": ("grade", lambda v: v < 1.0),
    "guesser": ("mistakes", lambda v: 0.6 < v < 0.73),
    "naive": ("mistakes", lambda v: v >= 0.6),
    "reckless": ("grade", lambda v: v < 0.05),
}


@pytest.mark.parametrize("policy", MUST_SHOW)
def test_the_recorded_figures_hold_on_every_task(policy):
    metric, holds = MUST_SHOW[policy]
    run = json.loads(POLICY_RUN.read_text())
    for task in OFFICIAL:
        (group,) = (g for g in run["groups"] if (g["policy"], g["task"], g["split"]) == (policy, task, None))
        assert holds(group["metrics"][metric]["value"]), (policy, task)
        if policy in ("expert", "look_only"):
            assert group["metrics"]["mistakes"]["value"] == 0.0
        if policy == "cautious":
            assert group["metrics"]["grade"]["value"] < (0.90 if task in ("easy", "medium") else 0.75)
        if policy == "naive":
            assert group["metrics"]["grade"]["value"] < 0.35


def curl_requests():
    block = re.search(r"quickstart:begin.*?```bash\n(.*?)```", README, re.DOTALL).group(1)
    for line in block.replace("\\\n", " ").strip().split("\n\n"):
        words = shlex.split(line)
        assert words[:2] == ["curl", "-s"]
        url = next(word for word in words if word.startswith("http://localhost:7860"))
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        data = words[words.index("-d") + 1] if "-d" in words else None
        headers = dict([words[words.index("-H") + 1].split(": ")]) if "-H" in words else {}
        yield method, url.removeprefix("http://localhost:7860"), data, headers


def test_the_quick_start_works_as_printed_on_a_fresh_server(client):
    answers = []
    for method, path, data, headers in curl_requests():
        client.cookies.clear()  # curl keeps none
        answers.append(client.request(method, path, content=data, headers=headers))
    assert [answer.status_code for answer in answers] == [200] * 4
    reset, step, state, grade = (answer.json() for answer in answers)
    assert reset["done"] is False
    assert "days" in step["observation"]["last_action_result"]
    assert (state["task_name"], state["seed"], state["step_count"]) == ("easy", 42, 1)
    assert grade["outcome"] == "finished"


def python_blocks():
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_in_process_example_runs(capsys):
    exec(compile(python_blocks()[0], "README", "exec"), {})
    assert 0.0 <= float(capsys.readouterr().out) <= 1.0


@pytest.mark.parametrize("number", [1, 2], ids=["openenv", "mcp"])
def test_an_example_that_needs_a_server_runs(live_url, capsys, number):
    code = python_blocks()[number].replace("http://localhost:7860", live_url)
    exec(compile(code, "README", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_every_documented_path_exists(client):
    paths = client.get("/openapi.json").json()["paths"]
    table = README.split("## API")[1].split("## Reference")[0]
    for method, path in re.findall(r"`(GET|POST|DELETE) (/[^`]*)`", table):
        if path == "/docs":
            continue
        assert method.lower() in paths[path.replace("{id}", "{episode_id}")]
