"""OpenEnv's client, typed for this environment.

Owns the payloads of `EnvClient`. Must not know the HTTP API. Works with every OpenEnv that has `EnvClient`:
openenv-core 0.2.3 to openenv 0.10.
"""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from json import JSONDecodeError
from typing import Any

from websockets.exceptions import InvalidHandshake

from safeact_env._openenv import EnvClient, StepResult
from safeact_env.client.merging import merge
from safeact_env.client.results import SafeActError, Unconnected, foreign, state_in, step_result
from safeact_env.models import SafeActAction, SafeActObservation, SafeActState

__all__ = ["SafeActEnv"]

PINGS = "websocket_ping_interval_s"
"""Option of OpenEnv's newer clients: seconds between keepalive pings."""


class SafeActEnv(EnvClient[SafeActAction, SafeActObservation, SafeActState]):
    """One episode at a time over a WebSocket; async, or sync through `.sync()`.

    `reset` takes what `POST /reset` does: `task_name`, `seed`, `split`, `index`, `level`, `framing`,
    `episode_id` and `view`, here `changes` by default; results are whole in either view. If the server
    refuses a request, the method raises `RuntimeError` with the reason, and the connection stays usable. What
    no SafeAct-Env server answers is a `SafeActError` that quotes it.

    The client sends no keepalive pings unless `websocket_ping_interval_s` says so: their answers are read by
    the event loop, and a loop that is busy for minutes, with training for example, would lose its episode.
    """

    _latest: dict[str, Any] | None = None
    """The last observation, whole."""

    @wraps(EnvClient.__init__)  # type: ignore[misc]  # callers look up its options
    def __init__(
        self, *arguments: Any, websocket_ping_interval_s: float | None = None, **options: Any
    ) -> None:
        if PINGS in signature(EnvClient.__init__).parameters:
            options[PINGS] = websocket_ping_interval_s
        super().__init__(*arguments, **options)

    async def _connect_async(self) -> Any:
        with _told():
            return await super()._connect_async()

    if not hasattr(EnvClient, "_connect_async"):

        async def connect(self) -> Any:
            """Open the socket, as releases of OpenEnv before 0.4 do it."""
            with _told():
                return await super().connect()

    async def _send_and_receive(self, message: dict[str, Any]) -> dict[str, Any]:
        # Every release of OpenEnv sends a reset through this method.
        if message["type"] == "reset":
            message = {**message, "data": {"view": "changes", **message["data"]}}
        try:
            return await super()._send_and_receive(message)
        except JSONDecodeError as error:
            raise _foreign(error.doc) from None
        except AttributeError:
            raise _foreign("JSON, but no object") from None
        except (ValueError, RecursionError):
            raise _foreign("JSON that is too deep, or has numbers that are too long") from None

    def _step_payload(self, action: SafeActAction) -> dict[str, Any]:
        payload = action.model_dump(include={"action_name", "parameters", "reasoning"})
        return payload if self._latest is not None else {**payload, "view": "full"}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[SafeActObservation]:
        # If the session was played from elsewhere as well, this fails, and the next step asks for all.
        before, self._latest = self._latest, None
        try:
            step_result(payload)
            self._latest = merge(before, payload["observation"])
        except (ValueError, LookupError, TypeError, AttributeError):
            raise _foreign(json.dumps(payload)) from None
        # The caller may change what it gets.
        return step_result({**payload, "observation": copy.deepcopy(self._latest)})

    def _parse_state(self, payload: dict[str, Any]) -> SafeActState:
        try:
            return state_in(payload)
        except (ValueError, LookupError, TypeError):
            raise _foreign(json.dumps(payload)) from None


def _foreign(body: str) -> SafeActError:
    return SafeActError("foreign_answer", foreign("the socket was answered with a frame", body))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:
        raise _unconnected(error) from error.__cause__


def _unconnected(error: ConnectionError) -> Unconnected:
    """The error with what the server answered instead of opening a WebSocket, if it answered at all."""
    cause: BaseException | None = error
    while cause is not None and not hasattr(cause, "response"):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        code = "http_error" if isinstance(error.__cause__, InvalidHandshake) else "unreachable"
        return Unconnected(code, str(error))
    response: Any = cause.response  # that of a handshake
    kind = response.headers.get("Content-Type") or "no content type"
    what = f"no WebSocket was opened, but HTTP status {response.status_code} came with {kind}"
    if 300 <= response.status_code < 400 and (where := response.headers.get("Location")):
        # What follows the path of a login page may be a secret.
        what += f", a redirect to {where.partition('#')[0].partition('?')[0][:200]}"
    return Unconnected("http_error", foreign(what, bytes(response.body or b"")), response.status_code)
