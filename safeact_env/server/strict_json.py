"""Strict JSON: finite numbers, no lone surrogate, no key twice in one object, bounded nesting.

Owns which JSON the server accepts. Must not know what it is for.
"""

import json
import math
from typing import Any

from pydantic_core import from_json

from safeact_env.unique_json import repeated_key

MALFORMED = (
    "the body is not valid JSON (numbers must be finite, strings valid Unicode, nesting moderate, no key "
    "twice in one object); send an object such as {}"
)
MAX_NESTING = 32


def strict_json(data: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: If it is not strict JSON.
    """
    try:
        value = from_json(data, allow_inf_nan=False)
        check_keys(data, value)
    except RecursionError:
        raise ValueError("nested too deep") from None
    check_json(value)
    return value


def check_keys(data: bytes | str, value: Any) -> None:
    """Refuse JSON in which an object has a key twice: readers differ in which of the values they take.

    Args:
        data: The JSON.
        value: What it was parsed to.

    Raises:
        ValueError: If one has.
    """
    # Every key has a colon, also one that stands twice and was parsed once. If there are no more colons than
    # keys, none does; if there are, some may be within strings. Numbers are not wanted then.
    colons = data.count(":") if isinstance(data, str) else data.count(b":")
    if colons != (_keys_in(value) if isinstance(value, (dict, list)) else 0):
        json.loads(data, object_pairs_hook=_once, parse_int=len, parse_float=len)


def _keys_in(value: Any) -> int:
    """How many keys the objects in a value have."""
    found, items = (len(value), value.values()) if isinstance(value, dict) else (0, value)
    for item in items:
        if isinstance(item, (dict, list)):  # a union is made anew each time
            found += _keys_in(item)
    return found


def _once(pairs: list[tuple[str, Any]]) -> None:
    if repeated_key(pairs) is not None:
        raise ValueError("a key stands twice in one object")


def check_json(value: Any, depth: int = 0) -> None:
    """Refuse values that the parser accepts and strict JSON does not.

    Raises:
        ValueError: If a number is not finite, a string is not valid Unicode, or the nesting is too deep.
    """
    if depth > MAX_NESTING:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        for key, item in value.items():
            check_json(key, depth)
            check_json(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_json(item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    elif isinstance(value, str) and not value.isascii():
        value.encode()
