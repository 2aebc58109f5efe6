"""An observation in few words, for models that follow two to four thousand tokens.

Owns how short actions, state and changes are said. Must not know prompts or endpoints. What can be told from
something else in the text is left out, and nothing else is.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["action_line", "call_text", "change_lines", "changed", "state_lines"]

STEM = 4
"""Words count as the same if they begin with the same letters, this many; shorter ones do not count."""
TELLING = 4
"""A description is shown if so many of its words stand in neither the action's name nor its parameters."""
LONG = 40
"""A text of so many characters that stands in the job is not said again in the state."""
UNKNOWN = "?"
GONE = "gone"
MOST_OF_A_VALUE = 80
"""Characters shown of a parameter of an earlier call."""


def action_line(row: Mapping[str, Any]) -> str:
    """An action of `available_actions`: its signature, and its description if the name does not tell it."""
    params = ", ".join(f"{name}: {kind}" for name, kind in row["parameters"].items())
    known = {word[:STEM] for word in _words(f"{row['name']} {params}")}
    new = [word for word in _words(row["description"]) if len(word) >= STEM and word[:STEM] not in known]
    about = f": {row['description']}" if len(new) >= TELLING else ""
    return f"{row['name']}({params}){about}"


def _words(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


def call_text(name: str, parameters: Mapping[str, Any]) -> str:
    """A call as text on one line."""
    given = (
        f"{key}={' '.join(_value(value).split())[:MOST_OF_A_VALUE]}" for key, value in parameters.items()
    )
    return f"{name}({', '.join(given)})"


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a state that differ from those before, with the same nesting; lists are taken whole."""
    found = {
        key: changed(before[key], value)
        if isinstance(value, dict) and isinstance(before.get(key), dict)
        else value
        for key, value in after.items()
        if key not in before or not _same(before[key], value)
    }
    return found | dict.fromkeys((key for key in before if key not in after), GONE)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: unlike in Python, 1 is neither `true` nor 1.0."""
    if one is None or isinstance(one, str | int):
        return type(one) is type(other) and bool(one == other)
    return json.dumps(one) == json.dumps(other)


def change_lines(fields: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Changed fields, a line for those of one object.

    Args:
        fields: As `changed` returns them.
        place: Where the object is in the state.
    """
    plain = {key: value for key, value in fields.items() if not isinstance(value, dict)}
    if plain:
        yield f"{place}: {_fields(plain)}" if place else _fields(plain)
    for key, value in fields.items():
        if isinstance(value, dict):
            yield from change_lines(value, f"{place} {key}".strip())


def state_lines(state: Mapping[str, Any], job: str, unknown: str) -> Iterator[str]:
    """The state, a line per entity. What is the same, or unknown, for all of a kind is said once.

    Args:
        state: The state.
        job: The text that it stands beside.
        unknown: What to call fields that are not known yet.
    """
    missing = [name for name, value in state.items() if value is None]
    for name, value in _unsaid(state, job).items():
        if value is None:
            continue
        if not _is_table(value):
            yield f"{name}: {_fields(value) if isinstance(value, dict) else _value(value)}"
            continue
        rows = list(value.values())
        everywhere = {
            key: told
            for key, told in rows[0].items()
            if all(key in row and _same(row[key], told) for row in rows) and (told is None or len(rows) > 1)
        }
        common = _fields({key: told for key, told in everywhere.items() if told is not None})
        nowhere = ", ".join(key for key, told in everywhere.items() if told is None)
        said = [f"all {common}" if common else "", f"{unknown} {nowhere}" if nowhere else ""]
        yield f"{name} ({'; '.join(filter(None, said))})" if any(said) else name
        for key, row in value.items():
            own = _fields({field: told for field, told in row.items() if field not in everywhere})
            yield f"- {key}: {own}" if own else f"- {key}"
    if missing:
        yield f"{unknown}: {', '.join(missing)}"


def _unsaid(value: Any, job: str) -> Any:
    """A value without the long texts that stand in the job."""
    if not isinstance(value, dict):
        return value
    return {
        key: _unsaid(one, job)
        for key, one in value.items()
        if not (isinstance(one, str) and len(one) >= LONG and one in job)
    }


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(row, dict) for row in value.values())


def _fields(fields: Mapping[str, Any]) -> str:
    return "; ".join(f"{key}={_value(value)}" for key, value in fields.items())


def _value(value: Any) -> str:
    """A value without the marks that JSON needs, as far as it stays clear."""
    if value is None:
        return UNKNOWN
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, Mapping):
        return f"{{{_fields(value)}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)
