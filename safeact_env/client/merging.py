"""Merging: observations of the view `changes` put together again.

Owns the one function. Must not know how answers are sent.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from safeact_env.client.results import SafeActError

__all__ = ["merge"]

AGAIN = "read the whole observation (GET /episodes/{id}/observation) and go on from that"


def merge(previous: Mapping[str, Any] | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The whole observation after a step, from the one before it and what the step changed.

        whole = merge(None, reset_answer["observation"])
        whole = merge(whole, step_answer["observation"])

    Merged so, the answers in the view `changes` are those of the view `full`, byte for byte. An observation
    that is whole itself, as the first of an episode always is, is returned as it is: it lists actions.

    Args:
        previous: The whole observation one step earlier; `None` if there is none.
        changes: The observation of an answer, in either view. Fields besides those of the view are kept.

    Returns:
        The observation, in the order of its fields. It shares no container with either argument.

    Raises:
        SafeActError: `cannot_merge`, if `previous` is not the observation one step before these changes, or
            one of the two is no observation.
    """
    try:
        return _merged(previous, from_json(to_json(changes)))
    except (AttributeError, LookupError, TypeError):
        raise _unfit("one of the two is no observation of this environment") from None


def _merged(previous: Mapping[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    if after["available_actions"]:
        return after
    if previous is None:
        raise _unfit("the changes of a step came first")
    before = from_json(to_json(previous))
    history, latest = before["action_history"], after["action_history"]
    if [entry["step"] for entry in latest] != [len(history) + 1]:
        raise _unfit(
            f"the observation at hand is that after step {len(history)}, and the next step is not theirs"
        )
    if after["steps_remaining"] != before["steps_remaining"] - 1:
        raise _unfit("the observation at hand is of an episode with another budget")
    return {
        **after,
        "task_description": before["task_description"],
        "current_state": _updated(before["current_state"], after["current_state"]),
        "available_actions": before["available_actions"],
        "action_history": [*history, *latest],
    }


def _updated(before: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """An object with the fields that changed."""
    for name, value in changes.items():
        if name not in before:
            raise _unfit(f"the observation at hand has no {name[:80]!r}")
        was = before[name]
        both = isinstance(was, dict) and isinstance(value, dict)
        before[name] = _updated(was, value) if both else value
    return before


def _unfit(why: str) -> SafeActError:
    return SafeActError("cannot_merge", f"these changes do not fit: {why}; {AGAIN}")
