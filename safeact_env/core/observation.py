"""Observations as bytes of JSON: what the agent sees, never more than 64 KiB of it.

Owns the form of an observation and its bounds in bytes. Must not know facts or rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from pydantic_core import to_json

from safeact_env.core.action import clip
from safeact_env.core.record import Grade, Turn
from safeact_env.core.scenario import Start
from safeact_env.core.state import Knowledge
from safeact_env.core.variant import Variant

__all__ = ["MAX_RESULT", "OPENING", "ObservationWriter", "Shown", "end_metadata", "fitting"]

MAX_RESULT = 800
"""Longest result sentence in an observation, in bytes of JSON."""
MAX_HISTORY = 40_000
"""Most bytes of the history, shared evenly by the steps of the budget; the record keeps everything whole."""
MAX_ACTION = 80
"""Most bytes of an action's name in the history."""
MAX_SHOWN = 480
"""Most bytes of one call's parameters in the history, and at most a third of its entry."""
OPENING = "The job is open. Nothing has been done yet."
"""The last result before the first step."""


class Shown(NamedTuple):
    """An observation as bytes of JSON.

    Attributes:
        observation: The whole observation, without `reward` and `done`.
        metadata: Its `metadata` alone: `{}` before the end.
    """

    observation: bytes
    metadata: bytes


class ObservationWriter:
    """Writes the observations of one episode.

    It keeps what it has written: the parts that never change, and the history, which only grows.

    Args:
        start: The start of the episode.
        budget: The steps that the history has room for.
    """

    __slots__ = ("_head", "_history", "_last_result", "_middle", "_room", "_written")

    def __init__(self, start: Start[Any], budget: int) -> None:
        self._head = b'{"task_description":%b,"current_state":' % to_json(start.description)
        self._middle = b',"available_actions":%b,"action_history":[' % to_json(start.available)
        self._history = b""
        self._last_result = to_json(OPENING)
        self._written = 0
        self._room = MAX_HISTORY // budget

    def write(self, knowledge: Knowledge, turns: Sequence[Turn], steps_left: int, metadata: bytes) -> Shown:
        """The observation after these turns, which go on from those of the last call."""
        self._extend_history(turns)
        parts = (
            self._head,
            to_json(knowledge.tables),
            self._middle,
            self._history,
            b'],"steps_remaining":%d,"last_action_result":' % steps_left,
            self._last_result,
            b',"metadata":',
            metadata,
            b"}",
        )
        return Shown(b"".join(parts), metadata)

    def _extend_history(self, turns: Sequence[Turn]) -> None:
        """Write the turns that are not in the history yet."""
        for number in range(self._written, len(turns)):
            call, result, _points, _risk = turns[number]
            self._last_result = written = to_json(result)
            entry = b'%b{"step":%d,"action":%b,"params":%b,"result":' % (
                b"," if number else b"",
                number + 1,
                to_json(fitting(call.action_name, MAX_ACTION)),
                to_json(_shown_parameters(call.parameters, min(MAX_SHOWN, self._room // 3))),
            )
            room = self._room - len(entry) - len(b'""}')
            if len(written) - len(b'""') > room:
                written = to_json(fitting(result, room))
            self._history += b"%b%b}" % (entry, written)
        self._written = len(turns)


def end_metadata(grade: Grade, seed: int, split: str, variant: Variant) -> bytes:
    """What the last observation of an episode adds."""
    return to_json(
        {
            "score": grade.score,
            "components": grade.components,
            "harm": grade.harm,
            "over_escalations": grade.over_escalations,
            "outcome": grade.outcome,
            "steps": grade.steps,
            "seed": seed,
            "split": split,
            **variant.to_json(),
        }
    )


def _shown_parameters(parameters: Mapping[str, Any], most: int) -> dict[str, Any]:
    """A call's parameters as the history shows them: bounded, so that an observation stays small."""
    if _is_short(parameters, most):
        return dict(parameters)
    shown: dict[str, Any] = _clipped(dict(parameters))
    size = _json_size(shown)
    return shown if size <= most else {"omitted": f"{size} bytes of parameters"}


def _is_short(parameters: Mapping[str, Any], room: int) -> bool:
    """Whether parameters certainly fit as they are: a quick answer for the usual call."""
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
    sizes = accumulate(map(_character_size, text))
    return text[: sum(so_far <= room for so_far in sizes)] + "…"


@lru_cache(1024)
def _character_size(character: str) -> int:
    return _json_size(character) - 2


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
