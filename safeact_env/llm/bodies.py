"""The body of an endpoint's answer: JSON, or a stream of events that is joined to the same form.

Owns how bytes become one completion. Must not know what a completion means.
"""

import json
from collections.abc import Iterator
from typing import Any

__all__ = ["NoCompletion", "body_of"]

EVENTS = ("data:", "event:", "id:", "retry:", ":")
"""How lines of a stream start (server-sent events)."""
WHOLE = frozenset({"id", "type", "role", "name", "index", "format", "object"})
"""Fields that are not continued by a later event: some endpoints repeat them in each."""


class NoCompletion(ValueError):
    """An answer with status 200 that is not a completion."""


def body_of(content: bytes) -> Any:
    """Return the JSON value of a body; the events of a stream are joined as if it had not been one.

    Raises:
        NoCompletion: If it is neither.
    """
    text = content.decode("utf-8-sig", errors="replace").strip()
    try:
        return _joined(text) if text.startswith(EVENTS) else json.loads(text)
    except NoCompletion:
        raise
    except (ValueError, RecursionError):
        raise NoCompletion(f"it is not JSON and begins with {text[:100]!r}") from None


def _events(text: str) -> Iterator[Any]:
    for line in text.split("\n"):
        if line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            yield None if data == "[DONE]" else json.loads(data)


def _joined(text: str) -> Any:
    message: Any = {}
    usage = finish = None
    ended = False
    for event in _events(text):
        if event is None:
            ended = True
            continue
        if not isinstance(event, dict) or event.get("error"):
            return event
        usage = event.get("usage") or usage
        choices = event.get("choices") or []
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise NoCompletion("an event of its stream is no part of a completion")
        for choice in choices:
            if choice.get("error"):
                return event
            message = _added(message, choice.get("delta") or choice.get("message") or {})
            finish = choice.get("finish_reason") or finish
    if not ended and finish is None:
        raise NoCompletion("its stream ended early")
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def _added(before: Any, more: Any) -> Any:
    """What a part of a message is after another piece of it."""
    if isinstance(before, dict) and isinstance(more, dict):
        new = {
            key: before[key] if key in WHOLE and before.get(key) else _added(before.get(key), value)
            for key, value in more.items()
        }
        return {**before, **new}
    if isinstance(before, list) and isinstance(more, list):
        items = list(before)
        for item in more:
            at = next((at for at, one in enumerate(items) if _is_same(one, item)), None)
            if at is None:
                items.append(item)
            else:
                items[at] = _added(items[at], item)
        return items
    if isinstance(before, list) and isinstance(more, str):
        return [*before, {"type": "text", "text": more}]
    if isinstance(before, str) and isinstance(more, list):
        return _added([{"type": "text", "text": before}] if before else [], more)
    if isinstance(before, str) and isinstance(more, str):
        return before + more
    return before if more is None else more


def _is_same(one: Any, item: Any) -> bool:
    """Whether a piece continues an entry of a list: it has its index and no other id."""
    if not (isinstance(one, dict) and isinstance(item, dict)) or item.get("index") is None:
        return False
    other = item.get("id") and one.get("id") and item["id"] != one["id"]
    return one.get("index") == item["index"] and not other
