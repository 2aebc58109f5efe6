"""Call formats: how a model is asked for a call and how its answer is read; functions, or JSON in text.

Owns the parts of a request that ask for a call, and the reading of an answer. Must not know endpoints or
conversations, nor which actions exist: the engine judges unknown actions. Where predictions are asked for, a
call comes with `undo_chance`, which is taken off it: the engine never gets it.

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
from safeact_env.evaluation.record import UNDO_CHANCE, Said
from safeact_env.llm.thoughts import without_thoughts
from safeact_env.unique_json import repeated_key

if TYPE_CHECKING:
    from safeact_env.llm.answers import Answer, ToolCall

__all__ = [
    "CALL_FORMATS",
    "CHANCE_ABOUT",
    "UNREADABLE",
    "CallFormat",
    "Read",
    "Unreadable",
    "chance_in",
    "form_of",
    "read",
]

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

CHANCE_ABOUT = (
    "From 0 to 100: how likely it is that what the call does could be taken back by the actions at hand."
)
CHANCE = {"type": "integer", "description": CHANCE_ABOUT}
"""The schema of a prediction. Its bounds stand in words, as some endpoints refuse others."""
PERCENT = re.compile(r"(100|[1-9]?[0-9])\s?%?")
"""A prediction as text."""

TYPES = {"str": "string", "int": "integer"}


class Unreadable(ValueError):
    """An answer that is not exactly one call. The message says what is wrong."""


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (twice := repeated_key(pairs)) is not None:
        raise Unreadable(f"it gives {twice!r} twice in one object, and it is not clear which is meant")
    return dict(pairs)


DECODER = json.JSONDecoder(object_pairs_hook=_each_key_once)
BROKEN = re.compile(r"""\{\s*(?:["']|[^{}\s][^{}]*\{)""")
"""How an object of an answer begins, if it is no mere brace in a sentence: with a key, or around another."""


@dataclass(frozen=True, slots=True)
class Read:
    """An answer, read as a call.

    Attributes:
        call: The call.
        tool: The function call that it came from, if any.
        offered: Number of calls in the answer; only the first is made.
        undo_chance: The prediction that came with it, where one was asked for.
    """

    call: Call
    tool: ToolCall | None = None
    offered: int = 1
    undo_chance: Said = None

    def as_json(self, *, predict: bool) -> str:
        """The call as JSON text, with its prediction if one was asked for."""
        said = {UNDO_CHANCE: self.undo_chance} if predict else {}
        return json.dumps({**self.call.to_json(), **said}, ensure_ascii=False)


def form_of(
    call_format: CallFormat, actions: Sequence[Mapping[str, Any]], *, predict: bool = False
) -> dict[str, Any]:
    """Return the parts of a request that ask for one call of one of these actions.

    Args:
        call_format: How the model calls.
        actions: As an observation lists them.
        predict: Whether a prediction is asked for with the call.

    Raises:
        ValueError: If a prediction is asked for, and an action has a parameter of that name.
    """
    asked = {UNDO_CHANCE: CHANCE} if predict else {}
    for row in actions:
        if asked.keys() & row["parameters"]:
            raise ValueError(
                f"the action {row['name']} has a parameter {UNDO_CHANCE}, which is the name of a prediction; "
                "play it without predictions, or rename the parameter"
            )
    if call_format == "tools":
        return {
            "tools": [_tool(row, asked) for row in actions],
            "tool_choice": "required",
            "parallel_tool_calls": False,
        }
    if call_format == "json_schema":
        schema = {"name": "call", "schema": _schema(actions, asked)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if call_format == "json_object":
        return {"response_format": {"type": "json_object"}}
    return {}


def _tool(row: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    why = {"type": "string", "description": "Why, in a sentence."}
    shape = _shape(row["parameters"])
    return {
        "type": "function",
        "function": {
            "name": row["name"],
            "description": row["description"],
            "parameters": {
                **shape,
                "properties": {"reasoning": why, **shape["properties"], **asked},
                "required": ["reasoning", *shape["required"], *asked],
            },
        },
    }


def _schema(actions: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of all possible calls, each with its own parameters."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "reasoning": {"type": "string"},
                    "action_name": {"type": "string", "enum": [row["name"]]},
                    "parameters": _shape(row["parameters"]),
                    **asked,
                },
                "required": ["reasoning", "action_name", "parameters", *asked],
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


def read(answer: Answer, *, predict: bool = False) -> Read:
    """Read the call in an answer, in whichever call format it came.

    Args:
        answer: The answer.
        predict: Whether a prediction was asked for. It is then taken off the call, wherever it stands: among
            the parameters or beside them. A call without one is read all the same.

    Raises:
        Unreadable: If there is none, the text holds several different calls, or the call is malformed.
    """
    if answer.garbled:
        raise Unreadable(f"the endpoint could not read it: {answer.garbled}")
    if answer.calls:
        first = answer.calls[0]
        given = _arguments(first.arguments, cut=answer.cut)
        why = given.pop("reasoning", None) or without_thoughts(answer.text)
        said = _agreed(_taken(given)) if predict else None
        return Read(_call(first.name, given, why), first, len(answer.calls), said)
    call, predictions = _of_text(answer, predict=predict)
    return Read(call, undo_chance=_agreed(predictions))


def chance_in(value: Any) -> Said:
    """Read a prediction as a model gives it.

    Args:
        value: Any JSON value. An integer from 0 to 100 is read; so are a whole float, such as 70.0, and the
            texts `70` and `70%`. A share such as 0.7 is not: whether it is 70 or 1 would be guessed.

    Returns:
        The prediction; `None` for `None`; `unreadable` for anything else.
    """
    if value is None:
        return None
    if isinstance(value, str):
        found = PERCENT.fullmatch(value.strip())
        return int(found[1]) if found else "unreadable"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= 100 else "unreadable"


def _taken(*places: Any) -> set[Said]:
    """Take the predictions off the objects of a call; return the different ones."""
    return {chance_in(place.pop(UNDO_CHANCE, None)) for place in places if isinstance(place, dict)}


def _agreed(found: set[Said]) -> Said:
    """The one prediction that was given; of several different ones it is not clear which is meant."""
    given = found - {None}
    return next(iter(given), None) if len(given) <= 1 else "unreadable"


def _arguments(text: str, *, cut: bool) -> dict[str, Any]:
    if cut and not text.strip():
        raise Unreadable("it was cut off")
    given: Any = text
    try:
        for _ in range(MOST_QUOTED):
            if isinstance(given, str):
                given = DECODER.decode(given.strip()) if given.strip() else {}
    except Unreadable:
        raise
    except (ValueError, RecursionError):
        problem = "it was cut off" if cut else "the arguments are not valid JSON"
        raise Unreadable(problem) from None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Unreadable("the arguments are not a JSON object")
    return given


def _of_text(answer: Answer, *, predict: bool) -> tuple[Call, set[Said]]:
    """The call in a text, and the different predictions that stand with it."""
    text = _besides_thoughts(answer.text)[:MOST_READ].strip()
    if not text:
        thought = " besides its thoughts" if answer.text.strip() else ""
        raise Unreadable(_early_end(answer) or f"it was empty{thought}")
    found: list[Call] = []
    predictions: set[Said] = set()
    problem: Unreadable | None = None
    for whole in _objects(text, answer):
        # The wire format has the call under `action`.
        value = whole["action"] if isinstance(whole.get("action"), dict) else whole
        if all(value.get(name) is None for name in NAMES):
            continue
        try:
            name, params = _only(value, NAMES), _only(value, PARAMETERS)
            if isinstance(params, str):
                # Some models write the object as a string.
                params = _arguments(params, cut=False)
            if predict:
                predictions |= _taken(whole, value, params)
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
    return found[0], predictions


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


def _only(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value under one of these names; `None` if there is none."""
    given = [value[name] for name in names if value.get(name) is not None]
    if any(one != given[0] for one in given):
        raise Unreadable(f"of {', '.join(names)} it gives several, and it is not clear which is meant")
    return given[0] if given else None


def _objects(text: str, answer: Answer) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text.

    Raises:
        Unreadable: If one is broken or cut off: a call within it may be one that the model rejects.
    """
    at = text.find("{")
    while at >= 0:
        try:
            value, end = DECODER.raw_decode(text, at)
        except Unreadable:
            raise
        except (ValueError, RecursionError):
            if BROKEN.match(text, at):
                raise Unreadable(_early_end(answer) or "it holds an object that is not valid JSON") from None
            end = at + 1
        else:
            yield value
        at = text.find("{", end)


def _call(name: Any, params: Any, why: Any) -> Call:
    reason = why.strip()[:MAX_STRING] if isinstance(why, str) else ""
    reason = reason.replace("\x00", "").encode(errors="ignore").decode()
    try:
        return Call.parse(name, params, reason or NO_REASON)
    except EnvelopeError as error:
        raise Unreadable(f"it is not well-formed: {error}") from None
