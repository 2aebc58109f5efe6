"""Call formats: how a model is asked for a call and how its answer is read; functions, or JSON in text.

Owns the parts of a request that ask for a call, and the reading of an answer. Must not know endpoints or
conversations, nor which actions exist: the engine judges unknown actions.

An answer that is not exactly one readable call is no call. Nothing is guessed: it is not replaced by a
question or by the end of the job.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from safeact_env.call import MAX_STRING, Call, EnvelopeError
from safeact_env.llm.thoughts import without_thoughts

if TYPE_CHECKING:
    from safeact_env.llm.answers import Answer, ToolCall

__all__ = ["CALL_FORMATS", "UNREADABLE", "CallFormat", "Read", "Unreadable", "form_of", "read"]

CallFormat = Literal["tools", "json_schema", "json_object", "text"]
CALL_FORMATS: tuple[CallFormat, ...] = ("tools", "json_schema", "json_object", "text")
"""The call formats, the one that needs most support from an endpoint first."""

UNREADABLE = "unparsable_answer"
"""Name of the action for an answer that was not a call. No task has it, so it costs a step."""
NO_REASON = "No reason was given."

NAMES = ("action_name", "action", "name")
PARAMETERS = ("parameters", "arguments", "params")
"""Names that models use for the parts of a call; the prompt asks for the first."""
MOST_READ = 100_000
"""Characters of an answer that are read, besides its thoughts."""
MOST_QUOTED = 3
"""How often arguments may be JSON text within JSON text."""

TYPES = {"str": "string", "int": "integer"}
FENCED = re.compile(r"```[A-Za-z_]*\s*\n(.*?)```", re.DOTALL)


class Unreadable(ValueError):
    """An answer that is not exactly one call. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Read:
    """An answer, read as a call.

    Attributes:
        call: The call.
        tool: The function call that it came from, if any.
        offered: Number of calls in the answer; only the first is made.
    """

    call: Call
    tool: ToolCall | None = None
    offered: int = 1


def form_of(call_format: CallFormat, actions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parts of a request that ask for one call of one of these actions."""
    if call_format == "tools":
        return {
            "tools": [_tool(row) for row in actions],
            "tool_choice": "required",
            "parallel_tool_calls": False,
        }
    if call_format == "json_schema":
        schema = {"name": "call", "schema": _schema(actions)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if call_format == "json_object":
        return {"response_format": {"type": "json_object"}}
    return {}


def _tool(row: Mapping[str, Any]) -> dict[str, Any]:
    why = {"type": "string", "description": "Why, in a sentence."}
    shape = _shape(row["parameters"])
    return {
        "type": "function",
        "function": {
            "name": row["name"],
            "description": row["description"],
            "parameters": {
                **shape,
                "properties": {"reasoning": why, **shape["properties"]},
                "required": ["reasoning", *shape["required"]],
            },
        },
    }


def _schema(actions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of all possible calls, each with its own parameters."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "reasoning": {"type": "string"},
                    "action_name": {"type": "string", "enum": [row["name"]]},
                    "parameters": _shape(row["parameters"]),
                },
                "required": ["reasoning", "action_name", "parameters"],
                "additionalProperties": False,
            }
            for row in actions
        ]
    }


def _shape(parameters: Mapping[str, str]) -> dict[str, Any]:
    """The schema of parameters that are given as an observation lists them."""
    return {
        "type": "object",
        "properties": {
            name: {"type": TYPES.get(kind.rstrip("?"), "string")} for name, kind in parameters.items()
        },
        "required": [name for name, kind in parameters.items() if not kind.endswith("?")],
        "additionalProperties": False,
    }


def read(answer: Answer) -> Read:
    """Read the call in an answer, in whichever call format it came.

    Raises:
        Unreadable: If there is none, the text holds several different calls, or the call is malformed.
    """
    if answer.calls:
        first = answer.calls[0]
        given = _arguments(first.arguments, cut=answer.cut)
        why = given.pop("reasoning", None) or without_thoughts(answer.text)
        return Read(_call(first.name, given, why), first, len(answer.calls))
    return Read(_of_text(answer))


def _arguments(text: str, *, cut: bool) -> dict[str, Any]:
    given: Any = text
    try:
        for _ in range(MOST_QUOTED):
            if isinstance(given, str):
                given = json.loads(given) if given.strip() else {}
    except (ValueError, RecursionError):
        problem = "it was cut off" if cut else "the arguments are not valid JSON"
        raise Unreadable(problem) from None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Unreadable("the arguments are not a JSON object")
    return given


def _of_text(answer: Answer) -> Call:
    text = _besides_thoughts(answer.text)[:MOST_READ].strip()
    if not text:
        thought = " besides its thoughts" if answer.text.strip() else ""
        raise Unreadable(_early_end(answer) or f"it was empty{thought}")
    found: list[Call] = []
    problem: Unreadable | None = None
    for value in _objects(text):
        # The wire format has the call under `action`.
        value = value["action"] if isinstance(value.get("action"), dict) else value
        name, params = _first(value, NAMES), _first(value, PARAMETERS)
        if name is None:
            continue
        try:
            call = _call(name, {} if params is None else params, value.get("reasoning"))
        except Unreadable as error:
            problem = error
            continue
        if not any((call.action_name, call.parameters) == (one.action_name, one.parameters) for one in found):
            found.append(call)
    if problem is not None and not found:
        raise problem
    if not found:
        raise Unreadable(_early_end(answer) or "it holds no JSON object with action_name")
    if len(found) > 1 or problem is not None:
        raise Unreadable("it holds more than one call, and it is not clear which is meant")
    return found[0]


def _besides_thoughts(text: str) -> str:
    """An answer without its thoughts. In one that is a JSON object and nothing else, marks are mere text."""
    try:
        whole = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        whole = False
    return text if whole else without_thoughts(text)


def _early_end(answer: Answer) -> str | None:
    """Why an answer may lack its call, if it was not the model that ended it."""
    if answer.filtered:
        return "the endpoint's content filter held it back"
    return "it was cut off" if answer.cut else None


def _first(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text: those in fences, or without any, those anywhere."""
    fenced = [value for block in FENCED.findall(text) for value in _scanned(block)]
    yield from fenced or _scanned(text)


def _scanned(text: str) -> Iterator[dict[str, Any]]:
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        end = at + 1
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield value
        at = text.find("{", end)


def _call(name: Any, params: Any, why: Any) -> Call:
    if isinstance(params, str):
        # Some models write the object as a string.
        params = _arguments(params, cut=False)
    reason = why.strip()[:MAX_STRING] if isinstance(why, str) else ""
    reason = reason.replace("\x00", "").encode(errors="ignore").decode()
    try:
        return Call.parse(name, params, reason or NO_REASON)
    except EnvelopeError as error:
        raise Unreadable(f"it is not well-formed: {error}") from None
