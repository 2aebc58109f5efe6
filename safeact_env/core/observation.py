"""What an observation shows of a call: bounded, so that no observation ever grows past 64 KiB.

Owns the bounds in bytes. Must not know rules.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

from safeact_env.core.action import clip

__all__ = ["MAX_RESULT", "fitting", "shown_parameters"]

MAX_RESULT = 800
"""Longest result sentence in an observation, in bytes of JSON."""
MAX_SHOWN = 480
"""Most bytes of one call's parameters in an observation's history; the record keeps them whole."""


def shown_parameters(parameters: Any) -> Any:
    """A call's parameters as the history shows them: bounded, so that an observation stays small."""
    if _is_short(parameters):
        return dict(parameters)
    shown = _clipped(dict(parameters))
    size = _json_size(shown)
    return shown if size <= MAX_SHOWN else {"omitted": f"{size} bytes of parameters"}


def _is_short(parameters: Any) -> bool:
    """Whether parameters certainly fit as they are: a quick answer for the usual call."""
    room = MAX_SHOWN
    for key, value in parameters.items():
        if type(value) is not str or not (value.isascii() and value.isprintable() and key.isprintable()):
            return False
        if len(value) > 160 or len(key) > 80:
            return False
        room -= 4 * len(key) + 2 * len(value) + 8
    return room > 0


def fitting(text: str, size: int) -> str:
    """`text`, cut where it would take more than `size` bytes as JSON."""
    if 2 * len(text) <= size and text.isascii() and text.isprintable():
        return text
    text = clip(text, size)
    if _json_size(text) <= size + 2:
        return text
    room = size - len("…".encode())
    sizes = accumulate(_json_size(character) - 2 for character in text)
    return text[: sum(so_far <= room for so_far in sizes)] + "…"


def _json_size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _clipped(value: Any) -> Any:
    if isinstance(value, str):
        return clip(value, 160)
    if isinstance(value, dict):
        return {clip(key, 80): _clipped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clipped(item) for item in value]
    return value
