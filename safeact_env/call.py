"""The call envelope: what an agent sends, and the limits every door enforces (rule 0).

Owns the shape of a call. Must not know any task: whether an action exists is the engine's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "MAX_DEPTH",
    "MAX_INT",
    "MAX_PARAMETERS",
    "MAX_STRING",
    "MAX_VALUES",
    "Call",
    "EnvelopeError",
    "check_text",
    "whole",
]

MAX_STRING = 4_000
"""Longest string in an action, in characters."""
MAX_PARAMETERS = 16
"""Most keys in `parameters`, and most entries in any object or list inside it."""
MAX_VALUES = 1_024
"""Most values in `parameters`, at any depth."""
MAX_DEPTH = 4
"""Deepest nesting of `parameters`, itself counted as 1."""
MAX_INT = 2**63 - 1
"""Largest magnitude of an integer, and the largest seed."""


class EnvelopeError(ValueError):
    """A call that is not well-formed. It is refused before anything acts and uses no step.

    Args:
        field: Which part of the envelope is at fault, such as `parameters`.
        message: What is wrong and what to send instead. Never contains the client's text.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def check_text(field: str, value: object, *, empty: bool = False) -> str:
    """Return `value` if it is text that can be stored and sent on, else raise `EnvelopeError`."""
    if not isinstance(value, str):
        raise EnvelopeError(field, "must be a string")
    if not value.strip() and not empty:
        raise EnvelopeError(field, "must not be empty")
    if len(value) > MAX_STRING:
        raise EnvelopeError(field, f"must be at most {MAX_STRING} characters long")
    if "\x00" in value:
        raise EnvelopeError(field, "must not contain a null character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise EnvelopeError(field, "must be valid Unicode, without lone surrogates") from None
    return value


def whole(value: Any) -> Any:
    """A whole float of 64 bits as the integer that it is in JSON Schema, 180 for 180.0; else the value."""
    if isinstance(value, float) and abs(value) <= MAX_INT and value.is_integer():
        return int(value)
    return value


def _checked_json(value: object, depth: int) -> Any:
    """A copy of a JSON value within the limits, so that the record cannot change behind the episode."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return check_text("parameters", value, empty=True)
    if isinstance(value, float) and not math.isfinite(value):
        raise EnvelopeError("parameters", "a number must be finite (no NaN, no infinity)")
    value = whole(value)
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            raise EnvelopeError("parameters", "an integer must fit into 64 bits")
        return value
    if isinstance(value, float):
        return value
    if not isinstance(value, (dict, list)):  # a union is made anew each time
        raise EnvelopeError("parameters", "must hold JSON values only")
    if depth >= MAX_DEPTH:
        raise EnvelopeError("parameters", f"must be nested at most {MAX_DEPTH} deep")
    if len(value) > MAX_PARAMETERS:
        raise EnvelopeError("parameters", f"must have at most {MAX_PARAMETERS} entries")
    if isinstance(value, list):
        return [_checked_json(item, depth + 1) for item in value]
    return {
        check_text("parameters", key, empty=True): _checked_json(item, depth + 1)
        for key, item in value.items()
    }


def _values_in(value: Any) -> int:
    """How many values a JSON value holds, itself left out."""
    if not isinstance(value, (dict, list)):  # a union is made anew each time
        return 0
    return len(value) + sum(map(_values_in, value.values() if isinstance(value, dict) else value))


def _copied(value: Any) -> Any:
    """A copy of a JSON value that shares no container with it."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _are_plain(parameters: dict[Any, Any]) -> bool:
    """Whether parameters are some printable ASCII text, as nearly all are: then nothing is left to check."""
    if len(parameters) > MAX_PARAMETERS:
        return False
    for key, value in parameters.items():
        if type(value) is not str or type(key) is not str or len(value) > MAX_STRING or len(key) > MAX_STRING:
            return False
        if not (value.isascii() and value.isprintable() and key.isascii() and key.isprintable()):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Call:
    """One action as the agent asks for it.

    Attributes:
        action_name: Name of the action, 1 to 4,000 characters.
        parameters: JSON object, at most 16 keys, at most 4 deep, at most 1,024 values in all. Whole numbers
            are integers: 180.0 is 180.
        reasoning: Why the agent does it, 1 to 4,000 characters. Recorded, never interpreted.
    """

    action_name: str
    parameters: Mapping[str, Any]
    reasoning: str

    def __post_init__(self) -> None:
        """Refuse what is not well-formed, so that no door can let it in, and own the parameters."""
        check_text("action_name", self.action_name)
        if not isinstance(self.parameters, dict):
            raise EnvelopeError("parameters", "must be an object, for example {}")
        plain = _are_plain(self.parameters)
        own = dict(self.parameters) if plain else _checked_json(self.parameters, 0)
        if not plain and _values_in(own) > MAX_VALUES:
            raise EnvelopeError("parameters", f"must hold at most {MAX_VALUES} values")
        object.__setattr__(self, "parameters", own)
        check_text("reasoning", self.reasoning)

    @classmethod
    def parse(cls, action_name: object, parameters: object, reasoning: object) -> Call:
        """Check an envelope.

        Raises:
            EnvelopeError: If a field is missing (`None`), empty, mistyped or over a limit.
        """
        # The constructor checks what comes in.
        return cls(action_name, parameters, reasoning)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """The envelope as a JSON object."""
        return {
            "action_name": self.action_name,
            "parameters": _copied(self.parameters),
            "reasoning": self.reasoning,
        }
