"""An answer in all its forms: parts, calls, streams. What cannot be read is no empty call."""

import json

import pytest

from safeact_env.llm.answers import answer_in
from safeact_env.llm.bodies import NoCompletion, body_of
from safeact_env.llm.call_formats import Unreadable, read
from tests.llm.providers import streamed

CALL = '{"reasoning": "why", "action_name": "look", "parameters": {}}'


def said(message, finish="stop", **more):
    return answer_in({"choices": [{"message": message, "finish_reason": finish}], **more}, [], 0.1)


# Contents ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": CALL}],
        [{"type": "text", "text": CALL[:20]}, {"type": "text", "text": CALL[20:]}],
        [{"type": "output_text", "text": CALL, "annotations": []}],
        [{"type": "text", "text": {"value": CALL}}],
        [{"text": CALL}],
        [CALL],
        {"type": "text", "text": CALL},
        json.loads(CALL),
        [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": CALL}],
        [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "text", "text": CALL}],
        [{"type": "reasoning", "text": CALL.replace("look", "bad")}, {"type": "text", "text": CALL}],
        [{"type": "redacted_thinking", "data": "ZW5j"}, {"type": "text", "text": CALL}],
        [{"type": "reasoning_text", "text": "hm"}, {"type": "output_text", "text": CALL}],
        [{"type": "summary_text", "text": "hm"}, {"type": "output_text", "text": CALL}],
        [{"text": CALL.replace("look", "bad"), "thought": True}, {"text": CALL}],
        [{"type": "text", "text": "<think>hm</think>"}, {"type": "text", "text": CALL}],
        [{"type": "image_url", "image_url": {"url": "x"}}, None, 7, {"type": "text", "text": CALL}],
    ],
)
def test_the_text_of_all_parts_is_read_and_their_thoughts_are_not(content):
    assert read(said({"content": content})).call.action_name == "look"


@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "thinking", "thinking": CALL}]},
        {"content": [{"type": "reasoning", "text": CALL}]},
        {"content": [{"type": "thought", "text": CALL}]},
        {"content": [{"text": CALL, "thought": True}]},
        {"content": None, "reasoning_content": CALL},
        {"content": "", "reasoning": CALL},
        {"content": None, "reasoning_details": [{"type": "reasoning.text", "text": CALL}]},
        {"content": None, "thinking": CALL},
        {"content": []},
        {"content": 7},
        {},
    ],
)
def test_no_call_is_taken_from_what_came_as_thought(message):
    with pytest.raises(Unreadable, match="empty"):
        read(said(message))


@pytest.mark.parametrize(
    "finish", ["length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens"]
)
def test_an_answer_that_was_cut_says_so_in_every_dialect(finish):
    with pytest.raises(Unreadable, match="cut off"):
        read(said({"content": None, "reasoning_content": "on and on"}, finish))


def test_an_answer_that_was_held_back_is_not_called_empty():
    with pytest.raises(Unreadable, match="content filter"):
        read(said({"content": ""}, "content_filter"))
    with pytest.raises(Unreadable, match="no JSON object"):
        read(said({"content": None, "refusal": "I cannot help with that."}))


# Calls ------------------------------------------------------------------------------------------------------


def calling(arguments, **more):
    return said({"tool_calls": [{"id": "1", "function": {"name": "look", "arguments": arguments, **more}}]})


GIVEN = {"reasoning": "why", "path": "/a"}


@pytest.mark.parametrize(
    "arguments",
    [GIVEN, json.dumps(GIVEN), json.dumps(json.dumps(GIVEN)), f"  {json.dumps(GIVEN)}\n"],
)
def test_arguments_are_read_as_text_as_an_object_and_as_text_in_text(arguments):
    call = read(calling(arguments)).call
    assert (call.action_name, dict(call.parameters), call.reasoning) == ("look", {"path": "/a"}, "why")


@pytest.mark.parametrize("arguments", [None, "", " ", "{}", {}, "null", '""'])
def test_arguments_that_were_not_given_are_none(arguments):
    assert dict(read(calling(arguments)).call.parameters) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [1],
        ["path", "/a"],
        "[]",
        7,
        True,
        "7",
        "path=/a",
        '"path"',
        '{"path": "/a"',
        '{"path": NaN}',
        "[" * 9_000,
    ],
)
def test_arguments_that_cannot_be_read_are_never_an_empty_call(arguments):
    with pytest.raises(Unreadable):
        read(calling(arguments))


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [{"function": {"name": "look", "parameters": GIVEN}}]},
        {"tool_calls": [{"name": "look", "arguments": GIVEN}]},
        {"tool_calls": {"id": "1", "function": {"name": "look", "arguments": GIVEN}}},
        {"function_call": {"name": "look", "arguments": json.dumps(GIVEN)}},
        {"content": [{"type": "tool_use", "id": "1", "name": "look", "input": GIVEN}]},
        {
            "content": [
                {"type": "text", "text": "So:"},
                {"type": "tool_call", "name": "look", "arguments": GIVEN},
            ]
        },
        {"content": [{"type": "functionCall", "name": "look", "args": json.dumps(GIVEN)}]},
    ],
)
def test_a_call_in_an_odd_place_is_read_with_its_arguments(message):
    assert dict(read(said(message)).call.parameters) == {"path": "/a"}


def test_a_call_among_the_parts_goes_back_in_the_place_for_calls():
    thought, call = (
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "tool_use", "id": "a1", "name": "look", "input": GIVEN},
    )
    answer = said({"content": [thought, call]})
    assert answer.more["content"] == [thought]
    function = {"name": "look", "arguments": json.dumps(GIVEN)}
    assert answer.calls[0].came == {"id": "a1", "type": "function", "function": function}


@pytest.mark.parametrize("calls", [["x", {"function": {"name": "delete_file"}}], [None], [7]])
def test_what_is_no_call_is_unreadable_and_no_other_is_made_for_it(calls):
    with pytest.raises(Unreadable, match="action_name"):
        read(said({"tool_calls": calls}))


def test_arguments_under_two_names_are_not_chosen_from():
    for more in ({"input": {"path": "/b"}}, {"parameters": "{}"}):
        with pytest.raises(Unreadable, match="not a JSON object"):
            read(calling({"path": "/a"}, **more))
    assert dict(read(calling(GIVEN, input=GIVEN)).call.parameters) == {"path": "/a"}


@pytest.mark.parametrize("arguments", [None, "", " ", '{"path": "/'])
def test_a_call_that_was_cut_off_before_its_arguments_is_not_made_without(arguments):
    call = {"id": "1", "function": {"name": "look", "arguments": arguments}}
    with pytest.raises(Unreadable, match="cut off"):
        read(said({"tool_calls": [call]}, "length"))


def test_a_call_without_a_name_is_unreadable_and_no_other_is_made():
    with pytest.raises(Unreadable, match="action_name"):
        read(said({"tool_calls": [{"function": {"arguments": "{}"}}, {"function": {"name": "look"}}]}))


def test_calls_and_messages_are_kept_as_they_came():
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "a", "arguments": {}},
        "extra_content": {"s": 1},
    }
    content = [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}]
    answer = said(
        {"content": content, "tool_calls": [call], "reasoning_details": [1], "audio": None, "x": ""}
    )
    assert answer.calls[0].came == call
    assert answer.more == {"content": content, "reasoning_details": [1], "x": ""}


# Bodies -----------------------------------------------------------------------------------------------------


def streamed_answer(pieces, **more):
    return answer_in(body_of(streamed(pieces, **more).raw), [], 0.1)


def test_a_stream_is_read_as_the_answer_that_it_makes():
    first = {"index": 0, "id": "1", "type": "function", "function": {"name": "look", "arguments": '{"pa'}}
    answer = streamed_answer(
        [
            {"role": "assistant", "content": "", "reasoning_content": "a"},
            {"role": "assistant", "content": "I ", "reasoning_content": "b"},
            {"content": "look.", "tool_calls": [first]},
            {
                "tool_calls": [
                    {"index": 0, "id": "1", "function": {"name": "look", "arguments": 'th": "/a"}'}}
                ]
            },
            {"tool_calls": [{"index": 1, "id": "2", "function": {"name": "act", "arguments": "{}"}}]},
        ]
    )
    assert (answer.text, answer.more["reasoning_content"]) == ("I look.", "ab")
    assert [(c.id, c.name, c.arguments) for c in answer.calls] == [
        ("1", "look", '{"path": "/a"}'),
        ("2", "act", "{}"),
    ]
    assert (answer.tokens_in, answer.tokens_out) == (7, 3)


def test_calls_of_one_index_and_two_ids_are_two():
    """Some endpoints number all calls of a message 0."""
    made = [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in "ab"]
    assert [call.name for call in streamed_answer([{"tool_calls": [one]} for one in made]).calls] == [
        "a",
        "b",
    ]


def test_parts_that_come_in_pieces_are_joined():
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    pieces = [{"content": [thinking]}, {"content": CALL[:9]}, {"content": CALL[9:]}]
    assert read(streamed_answer(pieces, finish="stop")).call.action_name == "look"


@pytest.mark.parametrize("choices", [True, 7, "x", {"0": {}}, [None], ["x"], [[]], [{}, 7]])
def test_a_stream_of_something_else_is_no_answer(choices):
    event = json.dumps({"choices": choices}).encode()
    with pytest.raises(NoCompletion, match="no part of a completion"):
        body_of(b"data: " + event + b"\n\ndata: [DONE]\n\n")


def test_a_stream_that_ends_early_is_no_answer():
    with pytest.raises(NoCompletion, match="ended early"):
        body_of(streamed([{"content": CALL}], done=False).raw)


@pytest.mark.parametrize("body", [b"<html>", b"", b"data: {", b"[" * 100_000])
def test_what_is_not_json_is_no_answer(body):
    with pytest.raises(NoCompletion):
        body_of(body)


@pytest.mark.parametrize("body", [7, "x", None, [], {}, {"choices": 7}, {"choices": [7]}, {"choices": [{}]}])
def test_what_has_no_message_is_no_answer(body):
    with pytest.raises(NoCompletion, match="no message"):
        answer_in(body, [], 0.1)
