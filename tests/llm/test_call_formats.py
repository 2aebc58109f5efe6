"""How a call is asked for, and how an answer is read: leniently in form, never in meaning."""

import json

import pytest
from jsonschema import Draft202012Validator

from safeact_env import get_task, play, task_names
from safeact_env.llm.call_formats import NO_REASON, UNREADABLE, Unreadable, form_of, read
from safeact_env.llm.client import Answer, ToolCall


def text(said, cut=False):
    return Answer(said, (), cut, 1, 1, 0.1)


def tool(*made, said="", cut=False):
    return Answer(said, tuple(ToolCall("id", name, given) for name, given in made), cut, 1, 1, 0.1)


CALL = '{"reasoning": "why", "action_name": "archive_file", "parameters": {"path": "/a b"}}'


@pytest.mark.parametrize(
    "said",
    [
        CALL,
        f"  \n{CALL}\n ",
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```",
        f"I will look first.\n\n```json\n{CALL}\n```\nThen I go on.",
        f"I will look first. {CALL} Then I go on.",
        f"{CALL}\n{CALL}",
        f"<think>maybe {CALL.replace('archive', 'delete')}</think>{CALL}",
        f"Not {{this}} but {CALL}",
        f"[{CALL}]",
        f"<tool_call>\n{CALL}\n</tool_call>",
        CALL.replace("action_name", "name").replace("parameters", "arguments"),
        CALL.replace("action_name", "action").replace("parameters", "params"),
        CALL.replace('{"path": "/a b"}', json.dumps('{"path": "/a b"}')),
        json.dumps({"action": json.loads(CALL)}),
        '{"note": "no call"} ' + CALL,
        CALL.replace('"why"', '"why", "confidence": 0.9'),
    ],
)
def test_a_call_is_read_whatever_stands_around_it(said):
    call = read(text(said)).call
    assert (call.action_name, dict(call.parameters), call.reasoning) == (
        "archive_file",
        {"path": "/a b"},
        "why",
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("<think>on and on", "empty"),
        ("I shall finish now.", "no JSON object"),
        ("finish()", "no JSON object"),
        ('{"thought": "finish"}', "no JSON object"),
        ('{"action_name": "finish", "parameters": {', "not valid JSON"),
        ('{"action_name": ""}', "action_name: must not be empty"),
        ('{"action_name": 7}', "action_name: must be a string"),
        ('{"action_name": "look", "parameters": [1]}', "parameters: must be an object"),
        ('{"action_name": "look", "parameters": {"a": NaN}}', "parameters"),
        ('{"action_name": "look", "parameters": {"a": 1e999}}', "parameters"),
        ('{"action_name": "look", "parameters": "not json"}', "not valid JSON"),
        ('{"action_name": "look", "parameters": {"a": ' + "[" * 9 + "]" * 9 + "}}", "nested"),
        ('{"action_name": "look", "parameters": {"a": "\\ud800"}}', "valid Unicode"),
        (f"{CALL} or rather {CALL.replace('/a', '/b')}", "more than one call"),
        (f"{CALL} or rather {CALL.replace('archive', 'delete')}", "more than one call"),
        (f'{CALL} {{"action_name": ""}}', "more than one call"),
        ("[" * 5_000, "no JSON object"),
        ('{"a":' * 5_000, "not valid JSON"),
        (CALL.replace("{", "{{").replace("}", "}}"), "not valid JSON"),
        # what may be meant in two ways
        ('{"action_name": "delete_file", "action_name": "look"}', "'action_name' twice"),
        ('{"action_name": "look", "parameters": {"a": 1, "a": 2}}', "'a' twice"),
        ('{"action_name": "look", "name": "delete_file", "parameters": {}}', "several"),
        ('{"action_name": "look", "parameters": {"a": 1}, "arguments": {"a": 2}}', "several"),
        ('{"action_name": "look", "parameters": "{\\"a\\": 1, \\"a\\": 2}"}', "'a' twice"),
        (f"```json\n{CALL}\n```\nbut no: {CALL.replace('archive', 'delete')}", "more than one call"),
        (f"{CALL}, but no:\n```json\n{CALL.replace('archive', 'delete')}\n```", "more than one call"),
    ],
)
def test_what_is_not_exactly_one_call_is_none(said, why):
    with pytest.raises(Unreadable, match=why):
        read(text(said))


def test_an_answer_that_was_cut_off_says_so():
    for answer in (
        text('{"action_name": "fin', cut=True),
        text("", cut=True),
        tool(("look", '{"a"'), cut=True),
    ):
        with pytest.raises(Unreadable, match="cut off"):
            read(answer)


def test_a_function_call_is_read():
    found = read(tool(("archive_file", '{"reasoning": "why", "path": "/a"}'), said="aside"))
    assert (found.call.action_name, dict(found.call.parameters)) == ("archive_file", {"path": "/a"})
    assert found.call.reasoning == "why"
    assert found.offered == 1


@pytest.mark.parametrize(
    ("given", "said", "reason"),
    [
        ("{}", "aside", "aside"),
        ("{}", "", NO_REASON),
        ("", "  ", NO_REASON),
        ('{"reasoning": 7}', "aside", NO_REASON),
        ('{"reasoning": "a\\u0000b\\ud800"}', "", "ab"),
        (json.dumps({"reasoning": "x" * 9_000}), "", "x" * 4_000),
    ],
)
def test_a_missing_reason_is_not_held_against_a_call(given, said, reason):
    call = read(tool(("look", given), said=said)).call
    assert (dict(call.parameters), call.reasoning) == ({}, reason)


def test_of_several_function_calls_the_first_counts():
    found = read(tool(("look", "{}"), ("delete", "{}")))
    assert (found.call.action_name, found.offered) == ("look", 2)


@pytest.mark.parametrize("given", ["{", "[1]", "7", '{"a": NaN}', "[" * 5_000])
def test_malformed_arguments_are_no_call(given):
    with pytest.raises(Unreadable):
        read(tool(("look", given)))


def test_no_task_has_the_action_that_stands_for_no_call():
    for name in task_names():
        assert UNREADABLE not in {row["name"] for row in play_start(name)["available_actions"]}


# What is asked for ------------------------------------------------------------------------------------------


def play_start(task):
    from safeact_env import Episode

    return Episode(get_task(task), "test", 0).observation()


@pytest.mark.parametrize("task", task_names())
def test_the_forms_take_every_call_of_the_expert_and_no_other_action(task):
    actions = play_start(task)["available_actions"]
    tools = {
        entry["function"]["name"]: Draft202012Validator(entry["function"]["parameters"])
        for entry in form_of("tools", actions)["tools"]
    }
    schema = form_of("json_schema", actions)["response_format"]["json_schema"]["schema"]
    Draft202012Validator.check_schema(schema)
    whole = Draft202012Validator(schema)
    for turn in play(get_task(task), "test", 0, "expert").turns:
        name, given = turn.call.action_name, dict(turn.call.parameters)
        assert tools[name].is_valid({"reasoning": "why", **given})
        assert whole.is_valid({"reasoning": "why", "action_name": name, "parameters": given})
        assert not tools[name].is_valid({"reasoning": "why", **given, "more": 1})
        assert not tools[name].is_valid(given)
        for wrong in ({"action_name": "nothing"}, {"parameters": {**given, "more": 1}}):
            assert not whole.is_valid({"reasoning": "why", "action_name": name, "parameters": given, **wrong})
    assert list(tools) == [row["name"] for row in actions]


def test_an_optional_parameter_may_be_left_out():
    (row,) = (r for r in play_start("easy")["available_actions"] if r["name"] == "escalate_to_human")
    (entry,) = form_of("tools", [row])["tools"]
    assert entry["function"]["parameters"]["required"] == ["reasoning", "reason", "action_being_considered"]


def test_one_call_is_asked_for_and_text_asks_for_no_form():
    assert form_of("tools", [])["tool_choice"] == "required"
    assert form_of("tools", [])["parallel_tool_calls"] is False
    assert form_of("json_object", []) == {"response_format": {"type": "json_object"}}
    assert form_of("text", []) == {}
