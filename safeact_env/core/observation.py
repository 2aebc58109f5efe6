"""Observations as bytes of JSON: what the agent sees, never more than 64 KiB of it.

Owns the form of an observation, its views and its bounds in bytes. Must not know facts or rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Literal, NamedTuple, get_args

from pydantic_core import to_json

from safeact_env.core.action import clip
from safeact_env.core.record import Grade, Turn
from safeact_env.core.scenario import Start
from safeact_env.core.state import Knowledge
from safeact_env.core.variant import Variant

__all__ = [
    "MAX_RESULT",
    "OPENING",
    "VIEWS",
    "ObservationWriter",
    "Shown",
    "View",
    "difference",
    "end_metadata",
    "fitting",
]

View = Literal["full", "changes"]
"""What of an observation is sent: all of it, or what the last step changed."""
VIEWS: tuple[View, ...] = get_args(View)

MAX_RESULT = 800
"""Longest result sentence in an observation, in bytes of JSON."""
MAX_HISTORY = 40_000
"""Most bytes of the history, shared evenly by the steps of the budget; the record keeps everything whole."""
MAX_ACTION = 80
"""Most bytes of an action's name in the history."""
MAX_SHOWN = 480
"""Most bytes of one call's parameters in the history, and at most a third of its entry."""
MAX_KEY = 80
"""Longest key within them, in characters; a text may have twice as many."""
PLAIN = frozenset({str, int, bool, type(None)})
"""Types of JSON of which equal values have equal bytes; of floats, 0.0 and -0.0 have not."""
CHANGED = b'{"task_description":"","current_state":'
NO_ACTIONS = b',"available_actions":[],"action_history":['
OPENING = "The job is open. Nothing has been done yet."
"""The last result before the first step."""


class Shown(NamedTuple):
    """An observation as bytes of JSON.

    Attributes:
        observation: The observation in its view, without `reward` and `done`.
        metadata: Its `metadata` alone: `{}` before the end.
    """

    observation: bytes
    metadata: bytes


class ObservationWriter:
    """Writes the observations of one episode.

    It keeps what it has written: the parts that never change and the history, which only grows.

    Args:
        start: The start of the episode.
        budget: The steps that the history has room for.
    """

    __slots__ = (
        "_entry",
        "_head",
        "_history",
        "_last_result",
        "_latest",
        "_middle",
        "_room",
        "_written",
    )

    def __init__(self, start: Start[Any], budget: int) -> None:
        self._head = b'{"task_description":%b,"current_state":' % to_json(start.description)
        self._middle = b',"available_actions":%b,"action_history":[' % to_json(start.available)
        self._history = self._entry = b""
        self._last_result = to_json(OPENING)
        self._latest: dict[str, Any] = {}
        self._written = 0
        self._room = MAX_HISTORY // budget

    def write(
        self,
        knowledge: Knowledge,
        turns: Sequence[Turn],
        steps_left: int,
        metadata: bytes,
        view: View = "full",
    ) -> Shown:
        """The observation after these turns, which go on from those of the last call.

        In the view `changes` it holds what the last turn changed. It is whole all the same where that is not
        known, as before the first turn, and where a field came, went or moved within an object, which changes
        cannot express.
        """
        self._extend_history(turns)
        before = knowledge.before if view == "changes" else None
        changed = None if before is None else difference(before, knowledge.tables)
        if changed is None:
            parts = [self._head, knowledge.written(), self._middle, self._history]
        else:
            parts = [CHANGED, to_json(changed), NO_ACTIONS, self._entry]
        parts += [
            b'],"steps_remaining":%d,"last_action_result":' % steps_left,
            self._last_result,
            b',"metadata":',
            metadata,
            b"}",
        ]
        return Shown(b"".join(parts), metadata)

    def last_entry(self, turns: Sequence[Turn]) -> list[dict[str, Any]]:
        """The entry of the last turn in the history, which shares its parameters; none before the first."""
        self._extend_history(turns)
        return [self._latest] if turns else []

    def _extend_history(self, turns: Sequence[Turn]) -> None:
        """Write the turns that are not in the history yet."""
        for number in range(self._written, len(turns)):
            call, result, _points, _risk = turns[number]
            self._last_result = written = to_json(result)
            name = fitting(call.action_name, MAX_ACTION)
            params, as_json = _shown_parameters(call.parameters, min(MAX_SHOWN, self._room // 3))
            entry = b'{"step":%d,"action":%b,"params":%b' % (number + 1, to_json(name), as_json)
            # All but the first have a comma before them.
            room = self._room - len(entry) - len(b',"result":""}') - (number > 0)
            if len(written) - len(b'""') > room:
                result = fitting(result, room)
                written = to_json(result)
            self._latest = {"step": number + 1, "action": name, "params": params, "result": result}
            self._entry = b'%b,"result":%b}' % (entry, written)
            self._history += b",%b" % self._entry if number else self._entry
        self._written = len(turns)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of an object of JSON that differ from those before, with the same nesting.

    Values are compared as bytes of JSON. Lists, and values that were or became anything but an object, are
    in it whole.

    Returns:
        The fields, in their order; `None` if a field came, went or moved within an object.
    """
    if list(before) != list(after):
        return None
    found: dict[str, Any] = {}
    for name, now in after.items():
        was, kind = before[name], type(now)
        if was is now:
            continue
        if type(was) is kind and kind in PLAIN:
            # They need not be encoded to tell whether they have the same bytes.
            if was != now:
                found[name] = now
        elif isinstance(was, dict) and isinstance(now, dict):
            inner = difference(was, now)
            if inner is None:
                return None
            if inner:
                found[name] = inner
        elif to_json(was) != to_json(now):
            found[name] = now
    return found


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


def _shown_parameters(parameters: Mapping[str, Any], most: int) -> tuple[Mapping[str, Any], bytes]:
    """A call's parameters as the history shows them, also as JSON: bounded, as an observation has to be."""
    written = to_json(parameters)
    # The usual call. The size that counts has spaces after commas and colons, so at most twice the bytes.
    if 2 * len(written) <= most and (
        len(written) <= MAX_KEY or all(map(_is_short, parameters, parameters.values()))
    ):
        return parameters, written
    shown: dict[str, Any] = _clipped(dict(parameters))
    size = _json_size(shown)
    shown = shown if size <= most else {"omitted": f"{size} bytes of parameters"}
    return shown, to_json(shown)


def _is_short(key: str, value: Any) -> bool:
    return len(key) <= MAX_KEY and type(value) is str and len(value) <= 2 * MAX_KEY


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
        return clip(value, 2 * MAX_KEY)
    if isinstance(value, dict):
        return {clip(key, MAX_KEY): _clipped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clipped(item) for item in value]
    return value
