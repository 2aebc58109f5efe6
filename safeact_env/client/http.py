"""Clients of the HTTP API, sync and async: one episode at a time, by its id, safe to retry.

Owns requests and retries. Must not know rules. `_BaseClient` decides what to send and when to send it again;
the two clients differ only in how they wait.
"""

import asyncio
import copy
import random
import re
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from typing import Any, Literal, NamedTuple, Self, TypeVar

import httpx

from safeact_env._openenv import StepResult
from safeact_env.client.merging import merge
from safeact_env.client.results import CHECK, SafeActError, foreign, json_in, state_in, step_result
from safeact_env.ids import fresh_id
from safeact_env.models import EPISODE_ID, GradeResponse, SafeActAction, SafeActObservation, SafeActState
from safeact_env.network import BadEnvironment, asked_to_wait, by_proxy, opening, options_for, seconds_in

__all__ = ["AsyncSafeActHTTPClient", "SafeActHTTPClient"]

JSON = "application/json"
RETRIED = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
LONGEST_REASON = 2_000
"""Characters; no reason that this server gives is longer."""

Split = Literal["train", "test"]
Framing = Literal["rules", "goal", "hurry", "waiver", "planted"]
View = Literal["full", "changes"]
Result = StepResult[SafeActObservation]
Sent = httpx.Response | httpx.TransportError


class _Request(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | None = None


T = TypeVar("T")
C = TypeVar("C", httpx.Client, httpx.AsyncClient)
Exchange = Generator[_Request | float, Any, T]
"""Yields a request and receives its answer, or yields seconds to wait. Returns the result."""


def _pause(attempt: int, sent: Sent) -> float:
    """Seconds to wait before the next attempt: as the server asks, else doubling, with jitter."""
    seconds = seconds_in(asked_to_wait(sent.headers)) if isinstance(sent, httpx.Response) else None
    if seconds is None:
        seconds = FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)
    return min(seconds, LONGEST_PAUSE_S)


def _refusal(response: httpx.Response) -> SafeActError:
    try:
        detail = json_in(response.content)["detail"]
        if isinstance(detail, dict):
            code, message = detail["code"], detail["message"]
        else:
            code = "invalid_request"
            message = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in detail)
        if not 0 < len(code + message) <= LONGEST_REASON or not message:
            raise ValueError
        return SafeActError(code, message, response.status_code)
    except (ValueError, LookupError, TypeError):
        return _foreign(response)


def _foreign(response: httpx.Response) -> SafeActError:
    """The error for an answer that this server does not give, for example a proxy's page."""
    kind = response.headers.get("Content-Type") or "no content type"
    what = f"{response.request.url.copy_with(query=None)} answered with HTTP status {response.status_code}"
    if response.has_redirect_location:
        where = httpx.URL(response.headers["Location"]).copy_with(query=None)
        what += f", a redirect to {where}"
    return SafeActError("http_error", foreign(f"{what}, {kind}", response.content), response.status_code)


def _unreadable(error: httpx.DecodingError) -> SafeActError:
    where = error.request.url.copy_with(query=None)
    return SafeActError("http_error", f"{where} answered with a body that cannot be decoded. {CHECK}")


def _with(*names: str) -> Callable[[Any], dict[str, Any]]:
    """A reader of objects that have these fields; anything else is a `TypeError`."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not value.keys() >= {*names}:
            raise TypeError
        return value

    return read


def _answer(value: Any) -> dict[str, Any]:
    """The answer to a reset or a step, or a read observation."""
    found = _with("episode_id", "observation", "reward", "done")(value)
    if not re.fullmatch(EPISODE_ID, found["episode_id"]) or not isinstance(found.get("agent_key", ""), str):
        raise ValueError
    step_result(found)
    return found


class _BaseClient:
    """The part that both clients share.

    Args:
        base_url: The URL of the server, such as `http://localhost:7860`.
        timeout_s: Longest wait for an answer, in seconds.
        retries: How often to repeat a request that got no answer, or 429, 502, 503 or 504. A repeat never
            acts twice: a step carries a `request_id`, a reset its `episode_id`.
        headers: Further headers, such as `{"Authorization": "Bearer ..."}`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 30.0,
        retries: int = 4,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url must start with http:// or https://, not {base_url!r}")
        try:
            httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise ValueError(f"base_url is not a URL: {error}") from None
        if retries < 0:
            raise ValueError("retries must be 0 or more")
        self.episode_id: str | None = None
        """Id of the current episode; `None` before the first reset."""
        self._view: View = "changes"
        self._latest: tuple[str, dict[str, Any]] | None = None
        """The episode of the last answer, and its observation, whole."""
        self.agent_key: str | None = None
        """What the agent of the current episode shows to play it, and nothing else."""
        self._retries = retries
        self._options: dict[str, Any] = {
            "base_url": base_url.rstrip("/"),
            "timeout": timeout_s,
            "headers": dict(headers or {}),
        }

    def _opened(self, kind: Callable[..., C], transport: Any) -> C:
        """A client of httpx.

        Raises:
            SafeActError: If a variable for proxies or certificates cannot be used.
        """
        try:
            with opening():
                return kind(**self._options, **options_for(self._options["base_url"]), transport=transport)
        except BadEnvironment as error:
            raise SafeActError("bad_environment", str(error)) from None

    def _exchange(self, request: _Request, read: Callable[[Any], T]) -> Exchange[T]:
        """Send a request, again if need be; return what `read` makes of the answer's JSON.

        Raises:
            SafeActError: If there is no answer, the server refuses, or `read` cannot read what came.
        """
        for attempt in range(self._retries + 1):
            sent: Sent = yield request
            if isinstance(sent, httpx.Response) and sent.status_code not in RETRIED:
                break
            if attempt < self._retries:
                yield _pause(attempt, sent)
        if isinstance(sent, httpx.TransportError):
            said = f"no answer: {type(sent).__name__} {sent}".strip()
            raise SafeActError("unreachable", f"{said}{by_proxy(self._options['base_url'])}") from sent
        if sent.is_error:
            raise _refusal(sent)
        try:
            if sent.headers.get("Content-Type", JSON).partition(";")[0].strip().lower() != JSON:
                raise ValueError
            return read(json_in(sent.content))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise _foreign(sent) from None

    def _reset(self, episode_id: str | None, view: View, **given: str | int | None) -> Exchange[Result]:
        body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        body["view"] = view
        if given["seed"] is None and given["index"] is None and given["split"] == "train":
            # If the server drew the seed, a repeat after a restart would start a different episode. Seeds of
            # `test` are left to the server, which may be closed to those that a client chose.
            body["seed"] = random.SystemRandom().randrange(2**31)
        body["episode_id"] = episode_id or fresh_id()
        answer = yield from self._exchange(_Request("POST", "/reset", body), _answer)
        self.episode_id, self._view = answer["episode_id"], view
        self.agent_key = answer.get("agent_key")
        return (yield from self._merged(answer))

    def _step(self, action: SafeActAction) -> Exchange[Result]:
        body = {
            "action": action.model_dump(include={"action_name", "parameters", "reasoning"}),
            "episode_id": self._current(),
            "request_id": uuid.uuid4().hex,
            # Named each time: a server that takes the episode over does not know what the reset asked for.
            "view": self._view,
        }
        answer = yield from self._exchange(_Request("POST", "/step", body), _answer)
        return (yield from self._merged(answer))

    def _merged(self, answer: dict[str, Any]) -> Exchange[Result]:
        """The result of an answer, its observation whole.

        If an answer does not follow the last one, the whole observation is read.

        Raises:
            SafeActError: `cannot_merge`, if that is of another step: the episode is being played elsewhere.
        """
        name: str = answer["episode_id"]
        at_hand = self._latest[1] if self._latest is not None and self._latest[0] == name else None
        try:
            whole = merge(at_hand, answer["observation"])
        except SafeActError:
            read = yield from self._exchange(_Request("GET", f"/episodes/{name}/observation"), _answer)
            whole = merge(None, read["observation"])
            self._latest = name, whole
            if whole["action_history"][-1:] != answer["observation"]["action_history"]:
                raise
        self._latest = name, whole
        # The caller may change what it gets.
        return step_result({**answer, "observation": copy.deepcopy(whole)})

    def _state(self) -> Exchange[SafeActState]:
        path = f"/state?episode_id={self._current()}"
        return (yield from self._exchange(_Request("GET", path), state_in))

    def _grade(self, finish: bool) -> Exchange[GradeResponse]:
        body = {"episode_id": self._current(), "finish": finish}
        return (yield from self._exchange(_Request("POST", "/grader", body), GradeResponse.model_validate))

    def _report(self) -> Exchange[dict[str, Any]]:
        request = _Request("GET", f"/episodes/{self._current()}/report")
        return (yield from self._exchange(request, _with("episode_id", "score", "outcome")))

    def _tasks(self) -> Exchange[dict[str, Any]]:
        return (yield from self._exchange(_Request("GET", "/tasks"), _with("tasks")))

    def _delete(self) -> Exchange[None]:
        path = f"/episodes/{self._current()}"
        try:
            yield from self._exchange(_Request("DELETE", path), _with("deleted"))
        except SafeActError as error:
            # Already deleted: by an earlier attempt whose answer was lost, or because it expired.
            if error.code != "unknown_episode":
                raise
        self.episode_id = None

    def _current(self) -> str:
        if self.episode_id is None:
            raise SafeActError("no_episode", "no episode has been started; reset first")
        return self.episode_id


class SafeActHTTPClient(_BaseClient):
    """Client of the HTTP API.

    Use it as a context manager, or `close` it.

        with SafeActHTTPClient("http://localhost:7860") as env:
            result = env.reset("easy", seed=42)
            result = env.step(SafeActAction(action_name="list_directory", parameters={}, reasoning="Look."))

    Every method raises `SafeActError` if the server refuses the request or cannot be reached; making a client
    does so if a variable for proxies or certificates cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 30.0,
        retries: int = 4,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(base_url, timeout_s=timeout_s, retries=retries, headers=headers)
        self._client = self._opened(httpx.Client, transport)

    def _run(self, exchange: Exchange[T]) -> T:
        answer: Any = None
        while True:
            try:
                wanted = exchange.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(wanted, float):
                time.sleep(wanted)
                answer = None
                continue
            try:
                answer = self._client.request(wanted.method, wanted.path, json=wanted.body)
            except httpx.TransportError as error:
                answer = error
            except httpx.DecodingError as error:
                raise _unreadable(error) from None

    def reset(
        self,
        task_name: str | None = None,
        seed: int | None = None,
        split: Split = "train",
        index: int | None = None,
        episode_id: str | None = None,
        *,
        level: int = 3,
        framing: Framing = "rules",
        view: View = "changes",
    ) -> Result:
        """Start an episode by task and seed, or by index into a split. The default is `easy`, fresh seed.

        `view` says what goes over the wire: what a step changed, or all of it. Results are whole in both.
        """
        wanted = self._reset(
            episode_id,
            view,
            task_name=task_name,
            seed=seed,
            split=split,
            index=index,
            level=level,
            framing=framing,
        )
        return self._run(wanted)

    def step(self, action: SafeActAction) -> Result:
        """Take a step of the current episode."""
        return self._run(self._step(action))

    def state(self) -> SafeActState:
        """The agent-safe state of the current episode."""
        return self._run(self._state())

    def grade(self, *, finish: bool = False) -> GradeResponse:
        """The grade of the current episode; `finish` ends it first if it still runs."""
        return self._run(self._grade(finish))

    def report(self) -> dict[str, Any]:
        """The annotated record of the finished episode, for trainers."""
        return self._run(self._report())

    def delete(self) -> None:
        """End the current episode and delete it from the server."""
        self._run(self._delete())

    def tasks(self) -> dict[str, Any]:
        """The tasks of the server, as `GET /tasks` lists them."""
        return self._run(self._tasks())

    def close(self) -> None:
        """Close the connections. The episode stays on the server until it expires."""
        self._client.close()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the connections."""
        self.close()


class AsyncSafeActHTTPClient(_BaseClient):
    """The same as `SafeActHTTPClient`, for asyncio."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 30.0,
        retries: int = 4,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(base_url, timeout_s=timeout_s, retries=retries, headers=headers)
        self._client = self._opened(httpx.AsyncClient, transport)

    async def _run(self, exchange: Exchange[T]) -> T:
        answer: Any = None
        while True:
            try:
                wanted = exchange.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(wanted, float):
                await asyncio.sleep(wanted)
                answer = None
                continue
            try:
                answer = await self._client.request(wanted.method, wanted.path, json=wanted.body)
            except httpx.TransportError as error:
                answer = error
            except httpx.DecodingError as error:
                raise _unreadable(error) from None

    async def reset(
        self,
        task_name: str | None = None,
        seed: int | None = None,
        split: Split = "train",
        index: int | None = None,
        episode_id: str | None = None,
        *,
        level: int = 3,
        framing: Framing = "rules",
        view: View = "changes",
    ) -> Result:
        """Start an episode by task and seed, or by index into a split. The default is `easy`, fresh seed.

        `view` says what goes over the wire: what a step changed, or all of it. Results are whole in both.
        """
        wanted = self._reset(
            episode_id,
            view,
            task_name=task_name,
            seed=seed,
            split=split,
            index=index,
            level=level,
            framing=framing,
        )
        return await self._run(wanted)

    async def step(self, action: SafeActAction) -> Result:
        """Take a step of the current episode."""
        return await self._run(self._step(action))

    async def state(self) -> SafeActState:
        """The agent-safe state of the current episode."""
        return await self._run(self._state())

    async def grade(self, *, finish: bool = False) -> GradeResponse:
        """The grade of the current episode; `finish` ends it first if it still runs."""
        return await self._run(self._grade(finish))

    async def report(self) -> dict[str, Any]:
        """The annotated record of the finished episode, for trainers."""
        return await self._run(self._report())

    async def delete(self) -> None:
        """End the current episode and delete it from the server."""
        await self._run(self._delete())

    async def tasks(self) -> dict[str, Any]:
        """The tasks of the server, as `GET /tasks` lists them."""
        return await self._run(self._tasks())

    async def close(self) -> None:
        """Close the connections. The episode stays on the server until it expires."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close the connections."""
        await self.close()
