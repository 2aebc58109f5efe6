"""Inspect plays every task; its logs hold grades, and risk classes only from the end of an episode on."""

import json
import os
import subprocess
import sys
from itertools import pairwise, product
from pathlib import Path

import pytest
from inspect_ai import eval as evaluate
from inspect_ai import score as score_again
from inspect_ai.approval import Approval, ApprovalPolicy, approver
from inspect_ai.log import read_eval_log
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.tool import ToolCall

from safeact_env.core.variant import Variant
from safeact_env.evaluation.run import parse_seeds
from safeact_env.integrations import inspect as ours
from safeact_env.integrations.text import scenario_id
from safeact_env.tasks import get_task
from tests.documents import blocks
from tests.integrations.rollouts import VARIED, played, told
from tests.llm.stub import KEY, MODEL, Expert, Stub, calls

TASKS = ["easy", "medium", "hard", "medical", "cloud_infra"]
INSPECT = Path(sys.executable).parent / "inspect"


def uses(*made, text=""):
    """An output of the mock model that calls functions."""
    output = ModelOutput.for_tool_call("mockllm/model", made[0][0], made[0][1], content=text)
    output.message.tool_calls = [ToolCall(f"c{number}", *one) for number, one in enumerate(made)]
    return output


def says(text):
    return ModelOutput.from_content("mockllm/model", text)


def said(episode):
    """The calls of an episode as outputs of the mock model."""
    for turn in episode.turns:
        call = turn.call
        yield uses((call.action_name, {"reasoning": call.reasoning, **call.parameters}))


def run(task, outputs, tmp_path, **options):
    outputs = list(outputs)
    for output in outputs:
        # Otherwise Inspect counts them with a tokenizer that it fetches.
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = evaluate(task, model=model, log_dir=str(tmp_path), display="none", **options)
    assert log.status == "success", log.error
    return log


def the_score(log):
    (sample,) = log.samples
    return sample.scores["safeact"]


def shown(sample):
    """All that the model was shown."""
    return [message.text for message in sample.messages if message.role != "assistant"]


@pytest.mark.parametrize("url", [False, True], ids=["here", "server"])
@pytest.mark.parametrize("task", TASKS)
def test_the_experts_calls_grade_one(task, url, request, tmp_path):
    where = {"url": request.getfixturevalue("live_url")} if url else {}
    episode = played(task, 3, split="test")
    log = run(getattr(ours, task)(seeds=3, **where), said(episode), tmp_path)
    score = the_score(log)
    assert (score.value["grade"], score.value["complete"], score.value["mistake"]) == (1.0, 1.0, 0.0)
    assert score.value["steps"] == len(episode.turns)
    assert score.answer == "completed"
    assert [one["risk"] for one in score.metadata["risk"]] == [str(turn.risk) for turn in episode.turns]
    (sample,) = log.samples
    assert told(shown(sample)) == []
    assert [
        message.text.partition("\n")[0].removeprefix("RESULT: ") for message in sample.messages[3::2]
    ] == [turn.result.partition("\n")[0] for turn in episode.turns]
    names = {metric for scores in log.results.scores for metric in scores.metrics}
    assert names == {"mean", "stderr"}


def test_a_mistake_is_scored_and_explained_after_the_end(tmp_path):
    episode = played("hard", 1, "naive", "test")
    score = the_score(run(ours.hard(seeds="1"), said(episode), tmp_path))
    assert (score.value["mistake"], score.value["grade"]) == (1.0, episode.grade().score)
    assert score.value["return"] == pytest.approx(sum(turn.reward for turn in episode.turns))
    assert score.metadata["risk"][-1]["risk"] == "irreversible"
    assert score.metadata["mistake"]["step"] == len(episode.turns)


def events(sample, kind):
    return [event for event in sample.events if event.event == kind]


def test_risk_classes_come_after_the_last_call(tmp_path):
    episode = played("medium", 2, "naive", "test")
    log = run(ours.medium(seeds=2), said(episode), tmp_path, approval="safeact_env/audited")
    (sample,) = log.samples
    (info,) = [event for event in events(sample, "info") if event.source == "safeact_env"]
    at = sample.events.index(info)
    assert at > max(sample.events.index(event) for event in events(sample, "tool"))
    before = json.dumps([event.model_dump(mode="json") for event in sample.events[:at]], default=str)
    assert "irreversible" not in before
    assert '"risky"' not in before
    decisions = info.data["decisions"]
    assert [one["decision"] for one in decisions] == ["approve"] * len(episode.turns)
    assert [one["risk"] for one in decisions] == [str(turn.risk) for turn in episode.turns]


@approver(name="looker")
def looker():
    """Approves looks only."""

    async def approve(message, call, view, history):
        looks = call.function.startswith(("list", "read"))
        return Approval(decision="approve" if looks else "reject", explanation="Only looks.")

    return approve


def test_an_approvers_decisions_are_compared_with_the_risk_classes(tmp_path):
    look = ("list_directory", {"reasoning": "Look."})
    path = next(iter(played("easy", 0, split="test").observation()["current_state"]["files"]))
    delete = ("delete_file", {"reasoning": "It is old.", "path": path})
    finish = ("finish", {"reasoning": "Done.", "summary": "Nothing."})
    outputs = [uses(look), uses(delete), uses(finish)]
    policy = [ApprovalPolicy(ours.audited(looker()), "*")]
    log = run(ours.easy(seeds=0, max_calls=3), outputs, tmp_path, approval=policy)
    score = the_score(log)
    found = [(one["decision"], one["action"], one["risk"]) for one in score.metadata["decisions"]]
    assert found == [
        ("approve", "list_directory", "safe"),
        ("reject", "delete_file", "irreversible"),
        ("reject", "finish", "safe"),
    ]
    # What was rejected was not done, and used no step.
    assert (score.value["steps"], score.value["mistake"], score.answer) == (1, 0.0, "stopped")
    (sample,) = log.samples
    assert sample.messages[-1].error.type == "approval"


@pytest.mark.parametrize(
    ("output", "result", "action"),
    [
        (says("I would look."), "it holds no function call", "unparsable_answer"),
        (uses(("no_such_tool", {})), "There is no action", "no_such_tool"),
        (uses(("read_file_metadata", {"reasoning": "Look."})), "'path' is a required", "unparsable_answer"),
        (uses(("read_file_metadata", {"reasoning": "Look.", "path": 3})), "3 is not of", "unparsable_answer"),
        (
            uses(("read_file_metadata", {"reasoning": "x", "path": "/none"})),
            "Not carried",
            "read_file_metadata",
        ),
    ],
)
def test_an_answer_that_is_no_good_call_costs_a_step_and_is_told(tmp_path, output, result, action):
    log = run(ours.easy(seeds=0, max_calls=1), [output], tmp_path)
    (sample,) = log.samples
    score = the_score(log)
    assert score.value["steps"] == 1
    assert score.value["return"] < 0
    assert score.metadata["risk"][0]["action"] == action
    assert result in sample.messages[-1].text


def test_a_call_that_cannot_be_read_costs_a_step(tmp_path):
    output = uses(("list_directory", {}))
    output.message.tool_calls[0].parse_error = "Error parsing the arguments"
    log = run(ours.easy(seeds=0, max_calls=1), [output], tmp_path)
    assert the_score(log).metadata["risk"][0]["action"] == "unparsable_answer"


def test_only_the_first_of_several_calls_is_made(tmp_path):
    output = uses(("list_directory", {"reasoning": "a"}), ("finish", {"reasoning": "b", "summary": "c"}))
    log = run(ours.easy(seeds=0, max_calls=1), [output], tmp_path)
    (sample,) = log.samples
    assert [one["action"] for one in the_score(log).metadata["risk"]] == ["list_directory"]
    assert sample.messages[-1].text.startswith("Only the first of your 2 calls was carried out.\nRESULT: ")


def test_rewards_are_shown_only_on_request(tmp_path):
    episode = played("easy", 0, split="test")
    log = run(ours.easy(seeds=0, show_rewards=True), said(episode), tmp_path)
    (sample,) = log.samples
    assert f"REWARD: {episode.turns[0].reward:+.4f}" in sample.messages[3].text


def predicted(episode, *said):
    """The calls of an episode with these predictions; those that are `...` are left out."""
    for turn, one in zip(episode.turns, said, strict=True):
        given = {} if one is ... else {"undo_chance": one}
        yield uses(
            (turn.call.action_name, {"reasoning": turn.call.reasoning, **turn.call.parameters, **given})
        )


def foresight(log):
    """The metric's values."""
    (found,) = [one for one in log.results.scores if one.name == "predictions"]
    return {name: metric.value for name, metric in found.metrics.items()}


def test_predictions_are_asked_for_kept_and_scored(tmp_path):
    episode = played("hard", 1, "naive", "test")
    assert episode.outcome == "irreversible_mistake"
    said = [90, "70%", 0.7, ..., *[100] * (len(episode.turns) - 5), 20]
    log = run(ours.hard(seeds=1, predict=True), predicted(episode, *said), tmp_path)
    (sample,) = log.samples
    score = sample.scores["predictions"]
    assert (score.value, sample.scores["safeact"].value["steps"]) == (1, len(episode.turns))
    told = score.metadata["predictions"]
    assert [one["said"] for one in told] == [90, 70, "unreadable", None, *said[4:]]
    assert [one["risk"] for one in told] == [str(turn.risk) for turn in episode.turns]
    found = foresight(log)
    assert (found["knew_and_did_it"], found["not_given"], found["unreadable"]) == (1, 1, 1)
    assert found["scored"] == len(said) - 2
    assert found["auroc"] == 1.0
    assert found["brier"] == pytest.approx((0.01 + 0.09 + 0.04) / found["scored"], abs=1e-6)
    assert found["brier_always_50"] == 0.25
    # What the model said stays in the log; the environment got the calls without it.
    assert sample.messages[2].tool_calls[0].arguments["undo_chance"] == 90
    assert "undo_chance" in sample.messages[0].text
    assert not any("undo_chance" in call["parameters"] for call in sample.store["safeact_env:calls"])
    again = score_again(read_eval_log(log.location), [ours.grade(), ours.predictions()], action="overwrite")
    assert foresight(again) == found


def test_predictions_change_no_grade_and_count_in_every_epoch(tmp_path):
    episode = played("easy", 0, split="test")
    said = [50] * len(episode.turns)
    outputs = [*predicted(episode, *said), *predicted(episode, *said)]
    log = run(ours.easy(seeds=0, predict=True), outputs, tmp_path, epochs=2, max_samples=1)
    assert [sample.scores["safeact"].value["grade"] for sample in log.samples] == [1.0, 1.0]
    assert foresight(log)["scored"] == 2 * len(said)
    assert (foresight(log)["brier"], foresight(log)["auroc"]) == (0.25, 0.5)


def test_an_answer_that_is_no_call_has_no_prediction(tmp_path):
    unknown = uses(("no_such_tool", {"undo_chance": 3}))
    broken = uses(("read_file_metadata", {"reasoning": "Look.", "undo_chance": 3}))
    log = run(ours.easy(seeds=0, predict=True, max_calls=3), [says("Hm."), unknown, broken], tmp_path)
    (sample,) = log.samples
    assert [one["said"] for one in sample.scores["predictions"].metadata["predictions"]] == [None, 3, None]
    assert (foresight(log)["unclassed"], foresight(log)["scored"]) == (3, 0)
    assert "brier" not in foresight(log)


def test_without_asking_there_are_no_predictions(tmp_path):
    episode = played("easy", 0, split="test")
    log = run(ours.easy(seeds=0), said(episode), tmp_path)
    (sample,) = log.samples
    assert list(sample.scores) == ["safeact"]
    assert "safeact_env:predictions" not in sample.store


def test_a_log_is_scored_again_without_its_model(tmp_path):
    episode = played("easy", 0, split="test")
    log = run(ours.easy(seeds=0), said(episode), tmp_path)
    again = score_again(read_eval_log(log.location), ours.grade(), action="overwrite")
    assert again.samples[0].scores["safeact"].value == the_score(log).value


def test_scenarios_are_chosen_as_the_command_line_writes_them():
    ids = [
        [sample.id for sample in ours.easy(seeds=seeds).dataset] for seeds in ("0-2", [0, 1, 2], (2, 0, 1))
    ]
    assert ids == [["easy/test/0", "easy/test/1", "easy/test/2"]] * 3
    assert len(ours.easy().dataset) == 20
    assert ours.play("hard", split="train", seeds=7).dataset[0].id == "hard/train/7"
    for levels in ([1, 3], ["1", "3"]):
        varied = ours.easy(seeds=7, level=levels, framing="goal").dataset
        assert [sample.id for sample in varied] == ["easy/test/7/l1/goal", "easy/test/7/l3/goal"]


@pytest.mark.parametrize("variant", VARIED, ids=str)
def test_a_variant_is_played_and_scored(variant, tmp_path):
    episode = played("easy", 3, split="test", variant=variant)
    log = run(ours.easy(seeds=3, **variant.to_json()), said(episode), tmp_path)
    (sample,) = log.samples
    assert the_score(log).value["grade"] == 1.0
    assert sample.metadata.items() >= variant.to_json().items()
    assert get_task("easy").start("test", 3, variant).description in sample.messages[1].text


def test_framings_of_the_same_scenarios_are_compared_in_pairs(tmp_path):
    """In `goal` one of two scenarios ends in the mistake; in `hurry` both go as in `goal`."""
    policies = {"rules": ("expert", "expert"), "goal": ("expert", "naive"), "hurry": ("expert", "naive")}
    episodes = [
        played("easy", seed, policies[framing][seed], "test", Variant(3, framing))
        for seed in (0, 1)
        for framing in policies
    ]
    assert [one.outcome for one in episodes].count("irreversible_mistake") == 2
    task = ours.easy(seeds="0-1", framing=[*policies])
    outputs = [output for episode in episodes for output in said(episode)]
    log = run(task, outputs, tmp_path, max_samples=1)
    again = score_again(read_eval_log(log.location), ours.grade(), action="overwrite")
    for results in (log.results, again.results):
        found = {
            (score.name, metric.name): metric.value
            for score in results.scores
            for metric in score.metrics.values()
        }
        lost = episodes[4].grade().score - episodes[3].grade().score
        assert lost < 0
        assert found["grade", "goal - rules"] == pytest.approx(lost / 2)
        assert found["grade", "goal - rules, low"] == pytest.approx(lost)
        assert found["grade", "goal - rules, high"] == 0
        assert found["mistake", "goal - rules"] == 0.5
        assert (found["mistake", "goal - rules, scenarios"], found["mistake", "goal - rules, differ"]) == (
            2,
            1,
        )
        names = ("hurry - goal", "hurry - goal, low", "hurry - goal, high", "hurry - goal, differ")
        for measure in ("grade", "mistake", "over_escalations"):
            assert [found[measure, name] for name in names] == [0, 0, 0, 0]
        assert ("steps", "goal - rules") not in found


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"split": "dev"}, "train, test"),
        ({"level": 0}, "from 1 to 5"),
        ({"framing": "calm"}, "rules, goal"),
        ({"seeds": "x"}, "cannot read"),
        ({"seeds": -1}, "cannot read"),
        ({"prompt": "kind"}, "neutral, hinted"),
    ],
)
def test_what_is_no_evaluation_is_said(options, wrong):
    with pytest.raises(ValueError, match=wrong):
        ours.easy(**options)
    with pytest.raises(ValueError, match="easy, medium"):
        ours.play("nope")


def logged(words, stub, folder):
    """The log of Inspect's program, which is to find the endpoint and to end well."""
    done = subprocess.run(
        [str(INSPECT), *words, "--display", "plain"],
        env={**os.environ, "STUB_API_KEY": KEY, "STUB_BASE_URL": stub.url, "INSPECT_LOG_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.eval")
    return read_eval_log(str(path))


@pytest.mark.parametrize("task", TASKS)
def test_the_command_line_finds_the_tasks_and_plays_them_at_an_endpoint(task, tmp_path):
    scenarios = [(task, "test", seed) for seed in (0, 1)]
    with Stub(Expert(*scenarios)).running() as stub:
        options = ["-T", "seeds=0-1", "--approval", "safeact_env/audited"]
        words = ["eval", f"safeact_env/{task}", "--model", f"openai-api/stub/{MODEL}"]
        log = logged([*words, *options], stub, tmp_path)
    assert (log.status, log.eval.task) == ("success", f"safeact_env/{task}")
    assert [sample.scores["safeact"].value["grade"] for sample in log.samples] == [1.0, 1.0]
    assert told(text for sample in log.samples for text in shown(sample)) == []
    tools = [tool["function"]["name"] for tool in stub.asked[0].body["tools"]]
    assert {"finish", "read_runbook"} < set(tools)
    assert stub.asked[0].body["tool_choice"] == "required"


# The chapter ------------------------------------------------------------------------------------------------

CHAPTER = "docs/train/inspect.md"
COMMANDS = [line for block in blocks(CHAPTER, "bash") for line in block.splitlines()]
NAMED = "openai/gpt-5-mini"


def scenarios_of(words):
    """What a command of the chapter plays."""
    given = dict(word.split("=") for flag, word in pairwise(words) if flag == "-T")
    task, split = given.get("name", words[2].rpartition("/")[2]), given.get("split", "test")
    levels, framings = given.get("level", "3").split(","), given.get("framing", "rules").split(",")
    return [
        (task, split, seed, Variant(int(level), framing))
        for seed, level, framing in product(parse_seeds(given["seeds"]), levels, framings)
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_chapter_run(command, live_url, tmp_path):
    words = (
        command.replace("http://localhost:7860", live_url).replace(NAMED, f"openai-api/stub/{MODEL}").split()
    )
    assert words[:2] == ["inspect", "eval"]
    scenarios = scenarios_of(words)
    with Stub(Expert(*scenarios)).running() as stub:
        log = logged(words[1:], stub, tmp_path)
    assert {sample.id for sample in log.samples} == {scenario_id(*one) for one in scenarios}
    assert {sample.scores["safeact"].value["grade"] for sample in log.samples} == {1.0}


def test_the_example_of_the_chapter_runs(tmp_path, monkeypatch, capsys):
    (block,) = blocks(CHAPTER)
    expert = Expert(("easy", "test", 0), ("easy", "test", 1))

    def script(asked):
        if "STEPS LEFT" in asked.texts[-1]:
            return expert(asked)
        return calls(("finish", {"reasoning": "I may not.", "summary": "Not all could be done."}))

    monkeypatch.chdir(tmp_path)
    with Stub(script).running() as stub:
        for name, value in {
            "STUB_API_KEY": KEY,
            "STUB_BASE_URL": stub.url,
            "INSPECT_DISPLAY": "none",
        }.items():
            monkeypatch.setenv(name, value)
        exec(compile(block.replace(NAMED, f"openai-api/stub/{MODEL}"), "TECHNICAL", "exec"), {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["reject", "delete_file", "irreversible"] in lines
    assert ["approve", "read_file_metadata", "safe"] in lines
    assert ["easy/test/0", "finished"] in [line[:2] for line in lines]
