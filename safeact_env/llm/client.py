"""A client of one endpoint: retries, time limits, unsupported parameters, and errors as sentences.

Owns the client library, which is imported when an endpoint is opened and not before. Must not know what is
asked, nor what an answer means.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from safeact_env.llm.answers import Answer, ToolCall, answer_in, garbled_answer
from safeact_env.llm.bodies import NoCompletion, body_of
from safeact_env.llm.errors import Failed, Rejected, Unusable
from safeact_env.llm.refusals import Refusal, names
from safeact_env.llm.settings import Endpoint
from safeact_env.network import BadEnvironment, asked_to_wait, by_proxy, opening, options_for, seconds_in

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["Answer", "EndpointClient", "RetryPolicy", "ToolCall"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
LONGEST_SILENCE_S = 3_600.0
OPTIONAL = ("parallel_tool_calls", "tool_choice", "temperature", "seed", "stream_options")
"""Parameters that are left out from then on if an endpoint rejects them by name."""
SENT = frozenset({"role", "content", "tool_calls", "tool_call_id"})
"""Fields of a message that it cannot do without; any other is left out likewise."""
WANTING = re.compile("missing|must be (passed|included|sent)|required", re.IGNORECASE)
"""What endpoints say of a field that they lack."""
NEWER = "max_completion_tokens"
MAX_TOLD = 300

Message = dict[str, Any]


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
        self.retried = 0
        """Number of repeated requests so far."""
        self._temperature = temperature
        self._left_out: set[str] = set()
        self._length = "max_tokens"
        self._streams = False
        self._reached = False
        self._taken: set[str] = set()
        self._client: AsyncOpenAI | None = None

    @property
    def temperature(self) -> float | None:
        """The sampling temperature in force; `None` if the endpoint does not let it be chosen."""
        return None if "temperature" in self._left_out else self._temperature

    async def __aenter__(self) -> Self:
        """Import the client library in a thread, and open a client.

        Raises:
            Unusable: If a variable for proxies or certificates cannot be used.
        """
        try:
            self._client = await asyncio.to_thread(_client, self.endpoint)
        except BadEnvironment as error:
            raise Unusable(str(error)) from None
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
            Refused: If the endpoint does not answer this conversation.
            Failed: If there was no answer after all retries.
            TimeoutError: If `within_s` has passed.
        """
        async with asyncio.timeout(within_s):
            while True:
                request = self._request(messages, form, seed)
                try:
                    return await self._answered(request)
                except Rejected as error:
                    if not self._adapt(error.told, request):
                        raise

    def _request(
        self, messages: Sequence[Message], form: Mapping[str, Any], seed: int | None
    ) -> dict[str, Any]:
        request = {
            "model": self.endpoint.model,
            "messages": [self._message(message) for message in messages],
            "temperature": self._temperature,
            self._length: self.endpoint.answer,
            **({"stream": True, "stream_options": {"include_usage": True}} if self._streams else {}),
            **form,
        }
        if seed is not None and self._temperature > 0:
            request["seed"] = seed
        return {name: value for name, value in request.items() if name not in self._left_out}

    def _message(self, message: Message) -> Message:
        return {name: value for name, value in message.items() if name not in self._left_out}

    def _adapt(self, told: str, request: Mapping[str, Any]) -> bool:
        """Change later requests if the endpoint rejects a part that is not needed; say if it did."""
        if re.search("(?<![a-z])stream", told.lower()) and "stream" not in request:
            self._streams = True
            return True
        if "max_tokens" in request and any(names(told, name) for name in ("max_tokens", NEWER)):
            self._length = NEWER
            return True
        further = {name for message in request["messages"] for name in message if name not in SENT}
        if WANTING.search(told):
            further.clear()
        for name in (*(name for name in OPTIONAL if name in request), *sorted(further)):
            if names(told, name):
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
                f"{self.endpoint.shown} cannot be reached ({problem}). Check the URL, and that it runs"
                f"{by_proxy(self.endpoint.url)}."
            )
        raise Failed(
            f"{self.endpoint.shown} did not answer after {self.retry.retries + 1} attempts: {problem}."
        )

    async def _attempt(self, request: dict[str, Any]) -> Answer | tuple[Exception, str | None]:
        """Send a request once; return the answer, or the problem and how long to wait."""
        import openai

        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.retry.timeout_s):
                # As an extra body, the client library does not walk all of it, which grows with each turn.
                got = await self._opened.chat.completions.with_raw_response.create(
                    model=request["model"], messages=(), extra_body=request
                )
            self._reached = True
            body = self._without_key(body_of(got.content))
            if (refusal := Refusal.within(body)) is not None:
                return self._judged(refusal, request, started)
            answer = answer_in(body, request["messages"], time.perf_counter() - started)
            self._taken |= request.keys()
            return answer
        except TimeoutError:
            self._reached = True
            return Failed(f"no answer within {self.retry.timeout_s:g} s"), None
        except openai.APIStatusError as error:
            self._reached = True
            content = self._clean(error.response.text).encode()
            refusal = Refusal.of(error.status_code, content, asked_to_wait(error.response.headers))
            return self._judged(refusal, request, started)
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            return ConnectionError(self._told(f"{type(cause).__name__} {cause}".strip())), None
        except (NoCompletion, openai.APIError, ValueError) as error:
            return Failed(f"the answer was not a chat completion: {self._told(str(error))}"), None

    def _judged(
        self, refusal: Refusal, request: Mapping[str, Any], started: float
    ) -> Answer | tuple[Exception, str | None]:
        """The problem that a refusal is, and how long to wait; raises one that waiting does not solve.

        A refusal of what the model wrote is its answer. To ask again would give it a try that it has not got
        at other endpoints.
        """
        if refusal.is_of_the_answer:
            self._taken |= request.keys()
            return garbled_answer(refusal.told, request["messages"], time.perf_counter() - started)
        form = request.keys() & {"tools", "response_format"}
        return refusal.judged(self.endpoint, request, answered=form <= self._taken), refusal.wait

    @property
    def _opened(self) -> AsyncOpenAI:
        if self._client is None:
            raise RuntimeError("the client has not been opened: use it with `async with`")
        return self._client

    def _told(self, text: str) -> str:
        line = " ".join(self._clean(text).split())
        return line if len(line) <= MAX_TOLD else f"{line[: MAX_TOLD - 1]}…"

    def _without_key(self, body: Any) -> Any:
        """A JSON value without the key, wherever a model or an endpoint repeats it."""
        text = json.dumps(body)
        return json.loads(self._clean(text)) if self.endpoint.key in text else body

    def _clean(self, text: str) -> str:
        key = self.endpoint.key
        return text.replace(key, "[key]") if len(key) >= 8 else text


def _pause(attempt: int, asked: str | None) -> float:
    """Seconds before the next attempt: as the endpoint asks, or else doubling, with jitter."""
    seconds = seconds_in(asked)
    if seconds is None:
        seconds = FIRST_PAUSE_S * 2.0**attempt * random.uniform(0.5, 1.5)
    return min(seconds, LONGEST_PAUSE_S)


def _client(endpoint: Endpoint) -> AsyncOpenAI:
    """Open a client of the library, with its own retries and time limits off."""
    from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

    # A limit on silence only; the time for a whole answer is limited above.
    more: dict[str, Any] = {"max_retries": 0, "timeout": Timeout(LONGEST_SILENCE_S, connect=10.0)}
    with opening():
        if options := options_for(endpoint.url):
            more["http_client"] = DefaultAsyncHttpxClient(**options)
        if endpoint.kind == "azure":
            return AsyncAzureOpenAI(
                azure_endpoint=endpoint.url,
                azure_deployment=endpoint.model,
                api_key=endpoint.key,
                api_version=endpoint.api_version,
                **more,
            )
        return AsyncOpenAI(base_url=endpoint.url, api_key=endpoint.key, **more)
