"""JSON of files: no key twice in one object, as readers differ in which of the values they take.

Owns that check and where a key was repeated. Must not know what a file is for.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

__all__ = ["RepeatedKey", "repeated_key", "unique_json"]

MOST_SHOWN = 60
"""Most characters of a key in a sentence."""
STRING_OR_END = re.compile(r'"(?:[^"\\]|\\.)*"|\}')


class RepeatedKey(ValueError):
    """An object has a key twice.

    Attributes:
        line: Line on which the object ends, from 1.
    """

    def __init__(self, key: str, line: int) -> None:
        super().__init__(f"the key {key[:MOST_SHOWN]!a} stands twice in one object; leave one of them")
        self.line = line


def repeated_key(pairs: Sequence[tuple[str, Any]]) -> str | None:
    """Return the first key that stands twice among the pairs of an object; `None` if each stands once."""
    if len(dict(pairs)) == len(pairs):
        return None
    times = Counter(name for name, _value in pairs)
    return next(name for name in times if times[name] > 1)


def unique_json(data: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        RepeatedKey: If an object has a key twice.
        ValueError: If it is not JSON.
    """
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data))
    objects = 0

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Called where an object ends, for one after the other.
        nonlocal objects
        objects += 1
        if (key := repeated_key(pairs)) is not None:
            raise RepeatedKey(key, _line(text, objects))
        return dict(pairs)

    return json.loads(text, object_pairs_hook=once)


def _line(text: str, number: int) -> int:
    """The line on which the object ends that is the `number`-th to end."""
    ends = (one.start() for one in STRING_OR_END.finditer(text) if one[0] == "}")
    at = next(end for count, end in enumerate(ends, start=1) if count == number)
    return text.count("\n", 0, at) + 1
