"""verifiers plays for real: its command line, its null harness, an endpoint that answers by a script."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import verifiers.v1 as vf

import safeact_verifiers
from safeact_env.integrations.verifiers import SafeActConfig, SafeActVerifiersTaskset
from tests.integrations.rollouts import played, told
from tests.llm.stub import KEY, MODEL, Reply, Stub, says

ROOT = Path(__file__).resolve().parents[2]
EVAL = Path(sys.executable).parent / "eval"


def streamed(script):
    """A script whose answers come as a stream, as verifiers asks for them."""

    def answer(asked):
        reply = script(asked)
        if not asked.body.get("stream"):
            return reply
        message = reply.body["choices"][0]["message"]
        base = {"id": "stub", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
        chunks = [
            {**base, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {**base, "choices": [], "usage": reply.body["usage"]},
        ]
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]
        return Reply(raw="".join(lines).encode(), headers={"Content-Type": "text/event-stream"})

    return answer


def expert(*scenarios):
    """A script that answers with the expert's calls, in JSON; scenarios have no job in common."""
    known = [played(task, seed) for task, seed in scenarios]

    def script(asked):
        said = json.dumps([m["content"] for m in asked.body["messages"] if m["role"] != "assistant"])
        (episode,) = (e for e in known if json.dumps(e.observation()["task_description"])[1:-1] in said)
        answered = sum(m["role"] == "assistant" for m in asked.body["messages"])
        return says(json.dumps(episode.turns[answered].call.to_json()))

    return script


def traced(words, folder):
    """The traces that `eval` leaves in a folder; it is to end well."""
    done = subprocess.run(
        [str(EVAL), *words],
        env={**os.environ, "STUB_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=400,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    (path,) = folder.rglob("traces.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [trace for line in lines for trace in line.get("traces", [line])]


def run(script, taskset, tmp_path, agent=None):
    """What `eval` recorded: the traces of its rollouts, and what was asked of the model."""
    seat = {"harness": {"id": "null"}, "runtime": {"type": "subprocess"}, **(agent or {})}
    with Stub(streamed(script)).running() as stub:
        config = {
            "model": MODEL,
            "push": False,
            "rich": None,
            "output_dir": str(tmp_path / "out"),
            "client": {"base_url": stub.url, "api_key_var": "STUB_KEY"},
            "env": {"taskset": taskset, "player": seat},
        }
        file = tmp_path / "eval.json"
        file.write_text(json.dumps(config))
        traces = traced(["@", str(file)], tmp_path)
    for trace in traces:
        assert not trace.get("errors"), trace["errors"]
    return traces, stub.asked


# Every turn starts a program, so scenarios are played here that the expert solves in few.
@pytest.mark.parametrize(
    ("tasks", "seed", "url"),
    [(["easy", "medical"], 5, False), (["cloud_infra"], 6, True)],
    ids=["here", "server"],
)
def test_our_taskset_is_played_to_a_return_of_one(tasks, seed, url, request, tmp_path):
    taskset = {"id": "safeact-verifiers", "seeds": str(seed), "tasks": tasks}
    if url:
        taskset["base_url"] = request.getfixturevalue("live_url")
    traces, asked = run(expert(*((task, seed) for task in tasks)), taskset, tmp_path)
    assert [trace["rewards"]["return"]["score"] for trace in traces] == pytest.approx([1.0] * len(tasks))
    assert all(trace["metrics"]["grade"] == 1.0 and trace["metrics"]["mistake"] == 0.0 for trace in traces)
    shown = [m["content"] for one in asked for m in one.body["messages"] if m["role"] != "assistant"]
    assert told(map(str, shown)) == []


def test_a_mistake_is_rewarded_as_one(tmp_path):
    episode = played("cloud_infra", 2, "naive")
    waiting = iter(episode.turns)
    taskset = {"id": "safeact-verifiers", "seeds": "2", "tasks": ["cloud_infra"], "show_rewards": True}
    (trace,), asked = run(lambda _: says(json.dumps(next(waiting).call.to_json())), taskset, tmp_path)
    assert trace["rewards"]["return"]["score"] == pytest.approx(sum(turn.reward for turn in episode.turns))
    assert trace["metrics"]["mistake"] == 1.0
    assert f"REWARD: {episode.turns[0].reward:+.4f}" in json.dumps(asked[1].body["messages"])


def test_a_rollout_that_is_stopped_keeps_what_it_has_earned(tmp_path):
    episode = played("easy", 2)
    waiting = iter(episode.turns)
    taskset = {"id": "safeact-verifiers", "seeds": "2", "tasks": ["easy"], "reward": "grade"}
    (trace,), _ = run(
        lambda _: says(json.dumps(next(waiting).call.to_json())), taskset, tmp_path, {"max_turns": 6}
    )
    assert 0 < trace["rewards"]["grade"]["score"] < 1
    assert trace["metrics"]["steps"] == 6


def test_the_documented_command_runs(tmp_path):
    page = (ROOT / "docs" / "train" / "verifiers.md").read_text()
    (command,) = re.findall(r"^uv run (eval safeact-verifiers .*)$", page, re.MULTILINE)
    options = (
        "--env.taskset.seeds 0 --env.player.max-turns 1 --no-push --no-rich --client.api-key-var STUB_KEY"
    )
    with Stub(streamed(lambda _: says("I would look."))).running() as stub:
        where = ["--client.base-url", stub.url, "-o", str(tmp_path)]
        traces = traced([*command.split()[1:], *options.split(), *where], tmp_path)
    # All tasks, one scenario each; an answer that is no call costs a step.
    assert [trace["rewards"]["return"]["score"] for trace in traces] == [-0.2] * 5


def test_verifiers_own_openenv_taskset_plays_on_a_server(live_url, tmp_path):
    resets = [{"task_name": "easy", "seed": 4}]
    (trace,), asked = run(
        expert(("easy", 4)), {"id": "openenv", "base_url": live_url, "resets": resets}, tmp_path
    )
    assert trace["rewards"]["openenv_reward"]["score"] == pytest.approx(1.0)
    last = [one.body["messages"][-1]["content"] for one in asked]
    assert not any('"reward"' in text or '"risk"' in text for text in last)


# In this process --------------------------------------------------------------------------------------------


def test_verifiers_finds_both_halves_by_the_name_of_the_package():
    assert vf.taskset_config_type("safeact-verifiers") is SafeActConfig
    config = vf.EnvConfig.model_validate({"taskset": {"id": "safeact-verifiers", "seeds": "0"}})
    assert type(config.taskset) is SafeActConfig
    assert safeact_verifiers.SafeActVerifiersTaskset is SafeActVerifiersTaskset


def test_tasks_are_the_scenarios():
    taskset = SafeActVerifiersTaskset(SafeActConfig(tasks=["easy", "hard"], seeds="7-8", split="test"))
    data = [task.data for task in taskset]
    assert [one.name for one in data] == ["easy/test/7", "hard/test/7", "easy/test/8", "hard/test/8"]
    assert all("one JSON object" in one.system_prompt and one.prompt is None for one in data)
    assert len({task.key for task in taskset}) == 4
    varied = SafeActConfig(tasks=["easy"], seeds="7", levels=[1, 3], framings=["rules", "goal"])
    assert [task.data.name for task in SafeActVerifiersTaskset(varied)] == [
        "easy/train/7/l1/rules",
        "easy/train/7/l1/goal",
        "easy/train/7",
        "easy/train/7/l3/goal",
    ]


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"seeds": "x"}, "cannot read"),
        ({"split": "dev"}, "train"),
        ({"levels": [0]}, "from 1 to 5"),
        ({"framings": ["calm"]}, "rules"),
        ({"tasks": ["nope"]}, "easy, medium"),
        ({"prompt": "kind"}, "neutral, hinted"),
        ({"base_url": "localhost"}, "http"),
        ({"reward": "none"}, "grade"),
    ],
)
def test_what_is_no_taskset_is_said(options, wrong):
    with pytest.raises(ValueError, match=wrong):
        list(SafeActVerifiersTaskset(SafeActConfig(**options)))
