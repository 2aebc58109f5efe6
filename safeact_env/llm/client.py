"""A client of one endpoint: retries, time limits, unsupported parameters, and errors as sentences.

Owns the client library, which is imported when an endpoint is opened and not before. Must not know what is
asked, nor what an answer means.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self

from safeact_env.llm.errors import ContextFull, Failed, Rejected, Unusable
from safeact_env.llm.settings import NO_KEY, Endpoint

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

__all__ = ["Answer", "EndpointClient", "RetryPolicy", "ToolCall"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
LONGEST_SILENCE_S = 3_600.0
AGAIN = frozenset({408, 409, 429})
"""Statuses below 500 after which the same request may succeed."""
OPTIONAL = ("parallel_tool_calls", "tool_choice", "temperature", "seed")
"""Parameters that are left out from then on if an endpoint rejects them by name."""
FULL = (
    "context_length",
    "context size",
    "context length",
    "context window",
    "exceed_context",
    "prompt is too long",
)
"""What endpoints say when a request is longer than the model's window."""
NO_QUOTA = ("insufficient_quota", "billing", "exceeded your current quota", "credits")
CHARS_PER_TOKEN = 4
MAX_TOLD = 300

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call in the endpoint's form: id, name of the function, arguments as JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer.

    Attributes:
        text: Text outside of calls.
        calls: Function calls, in order.
        cut: Whether it reached the limit on the length of an answer.
        tokens_in: Tokens read; estimated if the endpoint does not say.
        tokens_out: Tokens written; likewise.
        seconds: Time from the request that succeeded to its answer.
    """

    text: str
    calls: tuple[ToolCall, ...]
    cut: bool
    tokens_in: int
    tokens_out: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait for an endpoint, and how often to retry.

    Attributes:
        timeout_s: Time for one answer, in seconds.
        retries: How often to repeat a request that got no answer, 429 or a server error.
    """

    timeout_s: float = 120.0
    retries: int = 5


class EndpointClient:
    """Asks an endpoint. Use it as an async context manager; several episodes may share it.

    Args:
        endpoint: The endpoint.
        retry: Time limit and retries.
        temperature: Sampling temperature.
    """

    def __init__(
        self, endpoint: Endpoint, retry: RetryPolicy | None = None, *, temperature: float = 0.0
    ) -> None:
        self.endpoint = endpoint
        self.retry = retry or RetryPolicy()
        self.temperature = temperature
        self.retried = 0
        """Number of repeated requests so far."""
        self._left_out: set[str] = set()
        self._length = "max_tokens"
        self._reached = False
        self._client: AsyncOpenAI | None = None

    async def __aenter__(self) -> Self:
        """Import the client library in a thread, and open a client."""
        self._client = await asyncio.to_thread(_client, self.endpoint)
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._client is not None:
            await self._client.close()

    async def ask(
        self,
        messages: Sequence[Message],
        form: Mapping[str, Any],
        *,
        seed: int | None = None,
        within_s: float | None = None,
    ) -> Answer:
        """Ask for the model's next answer.

        Args:
            messages: The conversation.
            form: Further parts of the request: tools, or a response format.
            seed: Sampling seed; sent if the temperature is above 0.
            within_s: Time limit in seconds, including retries.

        Raises:
            Unusable: If the endpoint cannot be used at all.
            Rejected: If the endpoint does not accept a request of this form.
            ContextFull: If the request is longer than the model's window.
            Failed: If there was no answer after all retries.
            TimeoutError: If `within_s` has passed.
        """
        async with asyncio.timeout(within_s):
            while True:
                request = self._request(messages, form, seed)
                try:
                    return await self._answered(request)
                except Rejected as error:
                    if not self._adapt(str(error).lower(), request):
                        raise

    def _request(
        self, messages: Sequence[Message], form: Mapping[str, Any], seed: int | None
    ) -> dict[str, Any]:
        request = {
            "model": self.endpoint.model,
            "messages": list(messages),
            "temperature": self.temperature,
            self._length: self.endpoint.answer,
            **form,
        }
        if seed is not None and self.temperature > 0:
            request["seed"] = seed
        return {name: value for name, value in request.items() if name not in self._left_out}

    def _adapt(self, told: str, request: Mapping[str, Any]) -> bool:
        """Change later requests if the endpoint rejects a parameter that is not needed; say if it did."""
        if "max_completion_tokens" in told and self._length == "max_tokens" and "max_tokens" in request:
            self._length = "max_completion_tokens"
            return True
        for name in OPTIONAL:
            if name in told and name in request:
                self._left_out.add(name)
                return True
        return False

    async def _answered(self, request: dict[str, Any]) -> Answer:
        """Send a request until it is answered."""
        problem: Exception = Failed("no request was sent")
        for attempt in range(self.retry.retries + 1):
            outcome = await self._attempt(request)
            if isinstance(outcome, Answer):
                return outcome
            problem, asked_to_wait = outcome
            if isinstance(problem, ConnectionError) and not self._reached and attempt >= 1:
                # More likely a wrong address than a bad moment.
                break
            if attempt < self.retry.retries:
                self.retried += 1
                await asyncio.sleep(_pause(attempt, asked_to_wait))
        if isinstance(problem, ConnectionError) and not self._reached:
            raise Unusable(
                f"{self.endpoint.shown} cannot be reached ({problem}). Check the URL, and that it runs."
            )
        raise Failed(
            f"{self.endpoint.shown} did not answer after {self.retry.retries + 1} attempts: {problem}."
        )

    async def _attempt(self, request: dict[str, Any]) -> Answer | tuple[Exception, str | None]:
        """Send a request once; return the answer, or the problem and the `Retry-After` header."""
        import openai

        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.retry.timeout_s):
                # As an extra body, the client library does not walk all of it, which grows with each turn.
                got = await self._opened.chat.completions.create(
                    model=request["model"], messages=(), extra_body=request
                )
            self._reached = True
            return self._read(got, request, time.perf_counter() - started)
        except TimeoutError:
            self._reached = True
            return Failed(f"no answer within {self.retry.timeout_s:g} s"), None
        except openai.APIStatusError as error:
            self._reached = True
            return self._judged(error), error.response.headers.get("Retry-After")
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            return ConnectionError(self._clean(f"{type(cause).__name__} {cause}".strip())), None
        except (_NoCompletion, openai.APIError, ValueError) as error:
            return Failed(f"the answer was not a chat completion: {self._clean(str(error))}"), None

    @property
    def _opened(self) -> AsyncOpenAI:
        if self._client is None:
            raise RuntimeError("the client has not been opened: use it with `async with`")
        return self._client

    def _judged(self, error: APIStatusError) -> Failed:
        """Return an error that another attempt may avoid; raise any other."""
        status, told = error.status_code, self._told(error)
        where = self.endpoint.shown
        if status in (401, 403):
            variable = (
                "AZURE_OPENAI_API_KEY" if self.endpoint.kind == "azure" else "OPENAI_API_KEY or HF_TOKEN"
            )
            problem = "no key is set" if self.endpoint.key == NO_KEY else "it does not accept the key"
            raise Unusable(
                f"{where} refused the request ({status}): {problem}. Check {variable}. It says: {told}"
            )
        if status == 404:
            raise Unusable(
                f"{where} does not know the model {self.endpoint.model}, or is not the address of a chat API "
                f"(404). Check MODEL_NAME and the URL. It says: {told}"
            )
        if status == 402 or (status == 429 and any(word in told.lower() for word in NO_QUOTA)):
            raise Unusable(f"{where} answers no more requests of this account ({status}). It says: {told}")
        if any(word in told.lower() for word in FULL) and status in (400, 413, 422):
            raise ContextFull(told)
        if status in (400, 422, 501):
            raise Rejected(f"{where} does not take the request ({status}). It says: {told}")
        if status not in AGAIN and status < 500:
            raise Failed(f"{where} refused the request ({status}). It says: {told}")
        return Failed(f"HTTP status {status}: {told}")

    def _told(self, error: APIStatusError) -> str:
        """The endpoint's message about an error, as one short line without the key."""
        body = error.body
        found: object = body.get("message") if isinstance(body, dict) else body
        if not isinstance(found, str) or not found.strip():
            found = error.message
        code = getattr(error, "code", None)
        return self._clean(f"{found} ({code})" if isinstance(code, str) else found)

    def _clean(self, text: str) -> str:
        line = " ".join(self._without_key(text).split())
        return line if len(line) <= MAX_TOLD else f"{line[: MAX_TOLD - 1]}…"

    def _without_key(self, text: str) -> str:
        key = self.endpoint.key
        return text.replace(key, "[key]") if len(key) >= 8 else text

    def _read(self, got: Any, request: Mapping[str, Any], seconds: float) -> Answer:
        """Read a completion. It may be anything: endpoints differ, and nothing has validated it."""
        choices = getattr(got, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(choice, "message", None)
        if message is None:
            raise _NoCompletion("it has no message")
        calls = []
        for number, call in enumerate(getattr(message, "tool_calls", None) or ()):
            function = getattr(call, "function", None)
            name, arguments = getattr(function, "name", None), getattr(function, "arguments", None)
            if isinstance(name, str):
                text = arguments if isinstance(arguments, str) else ""
                id_ = getattr(call, "id", None)
                shown = self._without_key(text)
                calls.append(ToolCall(id_ if isinstance(id_, str) and id_ else f"call-{number}", name, shown))
        content = getattr(message, "content", None)
        text = self._without_key(content) if isinstance(content, str) else ""
        usage = getattr(got, "usage", None)
        said = sum(len(call.name) + len(call.arguments) for call in calls) + len(text)
        return Answer(
            text=text,
            calls=tuple(calls),
            cut=getattr(choice, "finish_reason", None) == "length",
            tokens_in=_count(usage, "prompt_tokens", len(str(request["messages"]))),
            tokens_out=_count(usage, "completion_tokens", said),
            seconds=round(seconds, 3),
        )


class _NoCompletion(ValueError):
    """An answer with status 200 that is not a completion."""


def _count(usage: Any, name: str, characters: int) -> int:
    found = getattr(usage, name, None)
    if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
        return found
    return -(-characters // CHARS_PER_TOKEN)


def _pause(attempt: int, asked: str | None) -> float:
    """Seconds before the next attempt: as the endpoint asks, or else doubling, with jitter."""
    seconds = FIRST_PAUSE_S * 2.0**attempt * random.uniform(0.5, 1.5)
    if asked is not None:
        with suppress(ValueError):
            # The header holds seconds, or a date from a clock that may differ from ours.
            seconds = float(asked) if asked.replace(".", "", 1).isdigit() else _until(asked)
    return min(max(seconds, 0.0), LONGEST_PAUSE_S)


def _until(date: str) -> float:
    then: datetime = parsedate_to_datetime(date)
    return ((then if then.tzinfo else then.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()


def _client(endpoint: Endpoint) -> AsyncOpenAI:
    """Open a client of the library, with its own retries and time limits off."""
    from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

    # A limit on silence only; the time for a whole answer is limited above.
    timeout = Timeout(LONGEST_SILENCE_S, connect=10.0)
    if endpoint.kind == "azure":
        return AsyncAzureOpenAI(
            azure_endpoint=endpoint.url,
            azure_deployment=endpoint.model,
            api_key=endpoint.key,
            api_version=endpoint.api_version,
            max_retries=0,
            timeout=timeout,
        )
    # On this machine: do not use a proxy.
    http = DefaultAsyncHttpxClient(trust_env=False) if endpoint.kind == "local" else None
    return AsyncOpenAI(
        base_url=endpoint.url, api_key=endpoint.key, max_retries=0, timeout=timeout, http_client=http
    )
