"""Rule 0: the envelope, every limit at its edge and one past it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeact_env.call import MAX_INT, Call, EnvelopeError

LONG = "x" * 4_000
KEYS = {f"k{n}": n for n in range(16)}
MOST = {"a": [[[0] * 16] * 15] * 3 + [[0] * 16] * 13, "b": [0] * 16, "c": [0] * 16}
"""1,024 values."""
GOOD_TEXTS = ["x", LONG, "é", "\U0001f600" * 4_000, " x ", "a\nb\x01"]
BAD_TEXTS = [
    "",
    " ",
    "\n\t",
    LONG + "x",
    "a\x00b",
    "\ud800",
    "a\udfffb",
    None,
    1,
    True,
    1.5,
    [],
    {},
    b"x",
    (),
]
GOOD_PARAMETERS: list[Any] = [
    {},
    KEYS,
    {"a": LONG},
    {LONG: 1},
    {"": ""},
    {"a": MAX_INT},
    {"a": -MAX_INT},
    {"a": 1e308},
    {"a": None, "b": True, "c": False},
    {"a": {"b": {"c": {}}}},
    {"a": [[[]]]},
    {"a": list(range(16))},
    MOST,
]
BAD_PARAMETERS: list[Any] = [
    None,
    [],
    "{}",
    1,
    True,
    (),
    {**KEYS, "one": "more"},
    {"a": list(range(17))},
    {**MOST, "d": 0},
    {"a": {**KEYS, "one": "more"}},
    {"a": LONG + "x"},
    {LONG + "x": 1},
    {"a": MAX_INT + 1},
    {"a": -MAX_INT - 2},
    {"a": 10**400},
    {"a": float("nan")},
    {"a": float("inf")},
    {"a": [float("-inf")]},
    {"a": {"b": {"c": {"d": {}}}}},
    {"a": [[[[]]]]},
    {"a": "\x00"},
    {"a\x00": 1},
    {"a": "\ud800"},
    {"\udfff": 1},
    {1: "a"},
    {None: "a"},
    {("a",): "a"},
    {"a": {1}},
    {"a": (1,)},
    {"a": b"x"},
    {"a": object()},
    {"a": 1j},
]


@pytest.mark.parametrize("text", GOOD_TEXTS)
def test_texts_at_the_edge_are_taken(text: str) -> None:
    call = Call.parse(text, {}, text)
    assert (call.action_name, call.reasoning) == (text, text)


@pytest.mark.parametrize("text", BAD_TEXTS, ids=repr)
def test_texts_past_the_edge_are_refused(text: object) -> None:
    with pytest.raises(EnvelopeError) as name:
        Call.parse(text, {}, "why")
    with pytest.raises(EnvelopeError) as reasoning:
        Call.parse("finish", {}, text)
    assert (name.value.field, reasoning.value.field) == ("action_name", "reasoning")


@pytest.mark.parametrize("parameters", GOOD_PARAMETERS)
def test_parameters_at_the_edge_are_taken(parameters: dict[str, Any]) -> None:
    assert Call.parse("a", parameters, "why").to_json()["parameters"] == parameters


@pytest.mark.parametrize("parameters", BAD_PARAMETERS)
def test_parameters_past_the_edge_are_refused(parameters: object) -> None:
    with pytest.raises(EnvelopeError) as error:
        Call.parse("a", parameters, "why")
    assert error.value.field == "parameters"


@pytest.mark.parametrize("fields", [("", {}, "why"), ("a", {"x": float("nan")}, "why"), ("a", {}, None)])
def test_the_constructor_is_a_door_too(fields: Any) -> None:
    with pytest.raises(EnvelopeError):
        Call(*fields)


def test_a_cycle_is_refused() -> None:
    cycle: dict[str, Any] = {}
    cycle["a"] = cycle
    with pytest.raises(EnvelopeError):
        Call.parse("a", cycle, "why")


@pytest.mark.parametrize("parameters", [{"a": "SECRET" + LONG}, {"SECRET": float("nan")}])
def test_an_error_does_not_echo_the_client(parameters: dict[str, Any]) -> None:
    with pytest.raises(EnvelopeError) as error:
        Call.parse("a", parameters, "why")
    assert "SECRET" not in str(error.value)


def test_a_call_cannot_be_changed_from_outside() -> None:
    parameters = {"a": {"b": [1]}}
    call = Call.parse("a", parameters, "why")
    parameters["a"]["b"].append(2)
    call.to_json()["parameters"]["a"]["b"].append(3)
    assert call.parameters == {"a": {"b": [1]}}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), json_values, max_size=18))
def test_what_is_taken_survives_json_and_what_is_not_raises_one_error(parameters: dict[str, Any]) -> None:
    try:
        call = Call.parse("a", parameters, "why")
    except EnvelopeError:
        return
    again = json.loads(json.dumps(call.to_json(), allow_nan=False))
    assert Call.parse(again["action_name"], again["parameters"], again["reasoning"]) == call
