"""Typed results of both clients.

Owns the way from an answer on the wire to a `StepResult`, and the error of a refused request. Must not
know how requests are sent.
"""

from dataclasses import fields
from typing import Any

from pydantic_core import from_json

from safeact_env._openenv import StepResult
from safeact_env.models import SafeActObservation, SafeActState

__all__ = ["SafeActError", "Unconnected", "foreign", "json_in", "state_in", "step_result"]

QUOTED = 60
"""Most characters of a foreign answer that an error quotes."""
CHECK = (
    "This is no answer of a SafeAct-Env server: check base_url, and whether a login page, a proxy or another "
    "service answers there"
)

# OpenEnv before 0.4 has no `metadata` beside the observation.
HAS_METADATA = "metadata" in {field.name for field in fields(StepResult)}


class SafeActError(RuntimeError):
    """A request that the server refused, or that did not reach the server.

    Args:
        code: The server's code, such as `episode_done`; `unreachable` if there was no answer.
        message: What to do instead.
        status: HTTP status; `None` if there was no answer.
    """

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.status = status


class Unconnected(SafeActError, ConnectionError):
    """No WebSocket could be opened."""


def foreign(what: str, body: bytes | str) -> str:
    """The sentences about an answer that this server does not give, with the start of its body."""
    # Its charset may be wrong, or no charset at all.
    begin = body[: 4 * QUOTED]
    text = " ".join((begin.decode(errors="replace") if isinstance(begin, bytes) else begin).split())
    start = f"a body that starts {text[:QUOTED]!r}" if text else "an empty body"
    return f"{what} and {start}. {CHECK}"


def json_in(body: bytes | str) -> Any:
    """The JSON of an answer.

    Raises:
        ValueError: If it is not JSON as a server sends it: in UTF-8, with finite numbers, not nested deeply.
    """
    return from_json(body, allow_inf_nan=False)


def step_result(answer: dict[str, Any]) -> StepResult[SafeActObservation]:
    """The result of a reset or a step. On the wire, reward and done are beside the observation.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: If it is anything else.
    """
    shown = answer["observation"]
    metadata = shown.get("metadata") or answer.get("metadata") or {}
    beside: dict[str, Any] = {"reward": answer["reward"], "done": answer["done"]}
    if type(beside["done"]) is not bool or type(beside["reward"]) is bool or not -1 <= beside["reward"] <= 1:
        raise ValueError
    observation = SafeActObservation.model_validate({**shown, **beside, "metadata": metadata})
    more: dict[str, Any] = {"metadata": metadata} if HAS_METADATA else {}
    return StepResult(observation=observation, **beside, **more)


def state_in(answer: Any) -> SafeActState:
    """The state in an answer. The model's fields have defaults, but a server sends them all.

    Raises:
        ValueError, LookupError, TypeError: If it is anything else.
    """
    if not isinstance(answer, dict) or not answer.keys() >= {"episode_id", "task_name"}:
        raise TypeError
    return SafeActState.model_validate(answer)
