"""Predictions: how they are asked for and read in every form, and that the engine never gets one."""

import json

import pytest
from jsonschema import Draft202012Validator

from safeact_env import Episode, get_task, task_names
from safeact_env.call import Call
from safeact_env.evaluation.record import play_attempt, record_of, said_in
from safeact_env.evaluation.replay import differences, replayed
from safeact_env.llm.answers import Answer, ToolCall
from safeact_env.llm.call_formats import CALL_FORMATS, UNREADABLE, Unreadable, chance_in, form_of, read
from safeact_env.llm.conversation import Conversation
from safeact_env.llm.prompts import get_prompt
from safeact_env.tasks import OFFICIAL
from tests.llm.providers import PROVIDERS
from tests.llm.stub import Expert, as_json, calls, is_probe, says
from tests.llm.test_run import run, selection, sole

PREDICTING = get_prompt("neutral", predict=True)

# What is read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((0, 0), (100, 100), (70, 70), (70.0, 70), (0.0, 0), (1e2, 100)),
        *(("70", 70), ("70%", 70), (" 70 % ", 70), ("0", 0), ("100%", 100)),
        (None, None),
    ],
)
def test_a_prediction_is_read(value, said):
    assert chance_in(value) == said
    assert type(chance_in(value)) is type(said)


@pytest.mark.parametrize(
    "value",
    [
        *(101, -1, 180.0, 0.7, 70.5, -0.5, 10**30, True, False, float("nan"), float("inf")),
        *(
            "",
            "high",
            "0.7",
            "70.0",
            "101",
            "-1",
            "+7",
            "1e1",
            "070",
            "7 0",
            "70%%",
            "%",
            "about 70",
            "70-80",
        ),
        *("\u0667\u0660", [70], {"value": 70}, []),
    ],
)
def test_what_is_no_whole_number_from_0_to_100_is_not_guessed(value):
    assert chance_in(value) == "unreadable"


def tool(given, name="archive_file"):
    return Answer("", (ToolCall("id", name, json.dumps(given)),), False, 1, 1, 0.1)


def text(said):
    return Answer(said, (), False, 1, 1, 0.1)


BESIDE = {"reasoning": "why", "action_name": "archive_file", "parameters": {"path": "/a"}, "undo_chance": 70}
AMONG = {"action_name": "archive_file", "parameters": {"path": "/a", "undo_chance": 70}, "reasoning": "why"}
PLAIN = {name: value for name, value in BESIDE.items() if name != "undo_chance"}


@pytest.mark.parametrize(
    "answer",
    [
        tool({"reasoning": "why", "path": "/a", "undo_chance": 70}),
        tool({"reasoning": "why", "path": "/a", "undo_chance": "70%"}),
        text(json.dumps(BESIDE)),
        text(json.dumps(AMONG)),
        text(f"I think so.\n```json\n{json.dumps(BESIDE)}\n```"),
        text(f"<think>{json.dumps({**BESIDE, 'undo_chance': 5})}</think>{json.dumps(BESIDE)}"),
        text(json.dumps({"action": PLAIN, "undo_chance": 70})),
        text(json.dumps({"action": BESIDE})),
        text(json.dumps({**BESIDE, "parameters": json.dumps(AMONG["parameters"])})),
        text(json.dumps(BESIDE) + json.dumps(PLAIN)),
    ],
)
def test_a_prediction_is_taken_off_its_call_wherever_it_stands(answer):
    found = read(answer, predict=True)
    assert found.call == Call("archive_file", {"path": "/a"}, "why")
    assert found.undo_chance == 70


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (tool({"reasoning": "why", "path": "/a"}), None),
        (tool({"reasoning": "why", "path": "/a", "undo_chance": None}), None),
        (tool({"reasoning": "why", "path": "/a", "undo_chance": "likely"}), "unreadable"),
        (text(json.dumps(PLAIN)), None),
        (text(json.dumps({**BESIDE, "undo_chance": 0.7})), "unreadable"),
        # Two that differ: it is not clear which is meant.
        (text(json.dumps({**AMONG, "undo_chance": 30})), "unreadable"),
        (text(json.dumps(BESIDE) + json.dumps({**BESIDE, "undo_chance": 30})), "unreadable"),
    ],
)
def test_a_call_is_read_without_a_readable_prediction(answer, said):
    found = read(answer, predict=True)
    assert found.call == Call("archive_file", {"path": "/a"}, "why")
    assert found.undo_chance == said


def test_a_prediction_makes_no_call_of_what_is_none():
    with pytest.raises(Unreadable, match="no JSON object with action_name"):
        read(text('{"undo_chance": 70}'), predict=True)
    with pytest.raises(Unreadable, match="more than one call"):
        read(text(json.dumps(BESIDE) + json.dumps({**BESIDE, "action_name": "delete_file"})), predict=True)


def test_without_predictions_the_field_is_a_parameter_as_any_other():
    """The engine judges it: nothing that was not asked for is dropped."""
    assert read(tool({"reasoning": "why", "undo_chance": 70})).call.parameters == {"undo_chance": 70}
    assert read(text(json.dumps(AMONG))).call.parameters == AMONG["parameters"]
    assert read(text(json.dumps(BESIDE))).undo_chance is None


# What is asked for -----------------------------------------------------------------------------------------


def actions(task):
    return Episode(get_task(task), "test", 0).observation()["available_actions"]


@pytest.mark.parametrize("task", OFFICIAL)
def test_the_form_of_a_call_has_the_prediction_last_and_nothing_else_changes(task):
    rows = actions(task)
    for plain, asked in zip(
        form_of("tools", rows)["tools"], form_of("tools", rows, predict=True)["tools"], strict=True
    ):
        parameters = asked["function"]["parameters"]
        assert list(parameters["properties"])[-1] == parameters["required"].pop() == "undo_chance"
        assert parameters["properties"].pop("undo_chance")["type"] == "integer"
        assert plain == asked
    schema = form_of("json_schema", rows, predict=True)["response_format"]["json_schema"]["schema"]
    Draft202012Validator.check_schema(schema)
    plain = form_of("json_schema", rows)["response_format"]["json_schema"]["schema"]
    for turn in play_attempt(task, "test", 0, "expert", 1).turns:
        call = turn.call.to_json()
        assert Draft202012Validator(schema).is_valid({**call, "undo_chance": 70})
        assert not Draft202012Validator(schema).is_valid(call)
        assert not Draft202012Validator(plain).is_valid({**call, "undo_chance": 70})


def test_no_task_has_a_parameter_of_that_name():
    for name in task_names():
        assert not any("undo_chance" in row["parameters"] for row in actions(name))
    row = {"name": "restore", "description": "x", "parameters": {"undo_chance": "int"}}
    assert form_of("tools", [row])
    for call_format in CALL_FORMATS:
        with pytest.raises(ValueError, match="the action restore has a parameter undo_chance"):
            form_of(call_format, [row], predict=True)


TEXTS = {
    ("neutral", "1"): "b56fb7d5ccbb03f3bf26610f00a24002bfde8bacd44ebaaa01780e5e15a45187",
    ("hinted", "1"): "e07aae8189a38186f3324466bf8f5b48fab2fa2399a73179eb284f8f98e27000",
}
"""Hash of the texts of each prompt that asks for predictions. A changed text needs a new version."""


@pytest.mark.parametrize("name", ["neutral", "hinted"])
def test_a_prompt_asks_for_predictions_in_one_more_sentence(name):
    plain, asking = get_prompt(name), get_prompt(name, predict=True)
    assert TEXTS[name, asking.version] == asking.sha256 != plain.sha256
    assert (plain.predicts, asking.predicts) == (False, True)
    for call_format in CALL_FORMATS:
        before, after = plain.opening(call_format), asking.opening(call_format)
        assert after.startswith(f"{before}\n")
        added = after[len(before) + 1 :]
        assert "undo_chance" in added
        assert (added.count("."), added[-1], "\n" in added) == (1, ".", False)
        assert "undo_chance" not in before


def test_a_long_answer_is_shown_again_with_its_prediction():
    episode = Episode(get_task("easy"), "test", 0)
    for prompt, shown in ((PREDICTING, True), (get_prompt("neutral"), False)):
        talk = Conversation(prompt, "text", 10**9, 0)
        talk.begin(episode.observation())
        long = "x" * 5_000 + json.dumps(BESIDE)
        talk.said(read(text(long), predict=True), long)
        assert ('"undo_chance": 70' in talk.transcript[-1]["content"]) == shown


# Whole episodes --------------------------------------------------------------------------------------------


def said_at(step):
    return (step * 13) % 101


def expert(**more):
    return Expert(("easy", "test", 0), says=lambda step: {"undo_chance": said_at(step)}, **more)


def own(record):
    """What the engine made of an episode, without the predictions and what the model used."""
    calls = [{k: v for k, v in call.items() if k != "undo_chance"} for call in record["calls"]]
    return {**record, "calls": calls, "risks": None, "model": None}


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
async def test_a_prediction_comes_through_every_providers_form(serve, provider):
    player = expert()
    stub = serve(lambda asked: provider.refuse(asked) or provider.answer(asked, player.call(asked)))
    record = await sole(stub, prompt=PREDICTING)
    turns = play_attempt("easy", "test", 0, "expert", 1).turns
    assert record["model"]["mode"] == provider.call_format
    assert said_in(record) == tuple(map(said_at, range(len(turns))))
    assert record["risks"] == [str(turn.risk) for turn in turns]
    assert (record["score"], record["model"]["unreadable"]) == (1.0, 0)
    assert not differences(record, replayed(record))


@pytest.mark.parametrize("wanted", ["tools", "json", "text"])
async def test_predictions_change_nothing_of_an_episode(serve, wanted):
    asking = await sole(serve(expert()), wanted=wanted, prompt=PREDICTING)
    silent = await sole(serve(Expert(("easy", "test", 0))), wanted=wanted, prompt=PREDICTING)
    plain = await sole(serve(Expert(("easy", "test", 0))), wanted=wanted)
    assert own(asking) == own(silent) == own(plain)
    assert said_in(silent) == (None,) * len(plain["calls"])
    assert said_in(plain) is None
    assert "risks" not in plain


async def test_an_answer_that_is_no_call_has_no_prediction(serve):
    player = expert()
    answers = iter([says('{"undo_chance": 70} I look.'), calls(("list_directory", "{")), None])
    stub = serve(lambda asked: player(asked) if is_probe(asked) else next(answers, None) or player(asked))
    record = await sole(stub, prompt=PREDICTING)
    assert [call["action_name"] for call in record["calls"][:2]] == [UNREADABLE] * 2
    assert said_in(record)[:2] == (None, None)
    assert record["risks"][:2] == ["unknown", "unknown"]
    assert len(said_in(record)) == len(record["rewards"])


async def test_a_prediction_is_neither_sent_to_the_engine_nor_shown_by_it(serve):
    record = await sole(serve(expert()), prompt=PREDICTING)
    told = [message["content"] for message in record["model"]["messages"] if message["role"] == "tool"]
    assert told
    assert not any("undo_chance" in said for said in told)
    again = replayed(record)
    assert not any("undo_chance" in turn.call.to_json()["parameters"] for turn in again.turns)
    assert record_of(again, "m")["calls"] == own(record)["calls"]


async def test_a_stub_in_json_puts_it_where_the_prompt_says():
    said = json.loads(as_json(("look", {"path": "/a", "undo_chance": 5}, "why")))
    assert said == {"reasoning": "why", "action_name": "look", "parameters": {"path": "/a"}, "undo_chance": 5}


async def test_several_episodes_keep_their_predictions_apart(serve):
    chosen = selection(seeds=(0, 1))
    scenarios = [("easy", "test", 0), ("easy", "test", 1)]
    stub = serve(Expert(*scenarios, says=lambda step: {"undo_chance": said_at(step)}))
    _, records = await run(stub, chosen, concurrency=2, prompt=PREDICTING)
    for record in records.values():
        assert said_in(record) == tuple(map(said_at, range(len(record["calls"]))))
