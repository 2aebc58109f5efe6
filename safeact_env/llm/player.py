"""A model as a player of one episode: it is shown an observation and gives a call.

Owns the loop around one answer: asking, reading, limits, what is recorded. Must not know how the
environment is reached.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from safeact_env.call import Call
from safeact_env.llm.call_formats import UNREADABLE, CallFormat, Unreadable, form_of, read
from safeact_env.llm.client import Answer, Message
from safeact_env.llm.conversation import Conversation
from safeact_env.llm.errors import ContextFull, Failed, Limit, LimitReached, RunLimitReached
from safeact_env.llm.prompts import Observation, Prompt
from safeact_env.llm.settings import Endpoint

__all__ = ["EPISODE", "Limits", "Meter", "ModelPlayer"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may use. It is stopped before the answer that would come after.

    Attributes:
        calls: Answers asked of it, at least 1; `None` for any number.
        tokens: Tokens read and written, likewise.
        seconds: Wall-clock time, likewise. An answer under way is given up when it is over.
    """

    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None


EPISODE = Limits(calls=60, tokens=1_000_000, seconds=1_800)
"""The limits of an episode, if no others are asked for."""


class ModelClient(Protocol):
    """What a player asks of a `EndpointClient`."""

    temperature: float

    @property
    def endpoint(self) -> Endpoint:
        """Which model, and how much it may read and write."""

    async def ask(
        self,
        messages: Sequence[Message],
        form: Mapping[str, Any],
        *,
        seed: int | None = None,
        within_s: float | None = None,
    ) -> Answer:
        """The model's next answer, as of `EndpointClient.ask`."""


class Meter:
    """Counts what has been used against limits.

    Args:
        limits: What may be used from now on.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.latencies: list[float] = []
        self.tokens_in = 0
        self.tokens_out = 0
        self._started = time.monotonic()

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.tokens_in + self.tokens_out

    def count(self, answer: Answer) -> None:
        """Count an answer."""
        self.latencies.append(answer.seconds)
        self.tokens_in += answer.tokens_in
        self.tokens_out += answer.tokens_out

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, if they are limited."""
        limit = self.limits.seconds
        return None if limit is None else limit - (time.monotonic() - self._started)

    def exceeded(self) -> Limit | None:
        """Which limit has been reached, if one has."""
        limits = self.limits
        if limits.calls is not None and len(self.latencies) >= limits.calls:
            return "calls"
        if limits.tokens is not None and self.tokens >= limits.tokens:
            return "tokens"
        return "seconds" if self.left_s is not None and self.left_s <= 0 else None


class ModelPlayer:
    """Plays one episode.

    Args:
        client: What answers: an endpoint, opened, or a model in this process.
        call_format: How calls are asked for.
        prompt: What the model is told.
        limits: Of this episode.
        run: What the whole run has used, and may.
        seed: Of the sampling.
    """

    def __init__(
        self,
        client: ModelClient,
        call_format: CallFormat,
        prompt: Prompt,
        limits: Limits = EPISODE,
        run: Meter | None = None,
        seed: int | None = None,
    ) -> None:
        self.client = client
        self.call_format: CallFormat = call_format
        self.prompt = prompt
        self.meter = Meter(limits)
        self.run = run or Meter(Limits())
        self.seed = seed
        self.unreadable = 0
        self._form: dict[str, Any] = {}
        self._talk: Conversation | None = None
        self._note = ""

    async def act(self, observation: Observation) -> Call:
        """The model's next call; `unparsable_answer` if its answer was none.

        Raises:
            LimitReached: If the episode has used up what it may.
            RunLimitReached: If the run has.
            Failed: If the endpoint did not answer.
            Unusable: If it cannot be used at all.
        """
        talk = self._shown(observation)
        answer = await self._ask(talk)
        self._note = ""
        try:
            found = read(answer)
        except Unreadable as problem:
            self.unreadable += 1
            talk.said_unreadable(_as_text(answer))
            self._note = self.prompt.texts["unreadable"].format(why=problem)
            return Call(UNREADABLE, {}, f"The answer of the model could not be read as an action: {problem}.")
        talk.said(found, answer.text)
        if found.offered > 1:
            self._note = self.prompt.texts["several"].format(count=found.offered)
        return found.call

    def ended(self, observation: Observation) -> None:
        """Take note of the last observation: it ends the transcript, and no answer follows."""
        self._shown(observation)

    def part(self, stop: Limit | None) -> dict[str, Any]:
        """The part `model` of the episode's record.

        Args:
            stop: Which limit ended it, if one did.
        """
        talk = self._talk
        return {
            "name": self.client.endpoint.model,
            "endpoint": self.client.endpoint.shown,
            "prompt": self.prompt.name,
            "prompt_version": self.prompt.version,
            "prompt_sha256": self.prompt.sha256,
            "mode": self.call_format,
            "temperature": self.client.temperature,
            "tokens_in": self.meter.tokens_in,
            "tokens_out": self.meter.tokens_out,
            "latency_s": self.meter.latencies,
            "unreadable": self.unreadable,
            "stop": stop or "done",
            "cuts": talk.cuts if talk else [],
            "messages": talk.transcript if talk else [],
        }

    def _shown(self, observation: Observation) -> Conversation:
        if self._talk is None:
            self._form = form_of(self.call_format, observation["available_actions"])
            endpoint = self.client.endpoint
            size = len(json.dumps(self._form)) if self._form else 0
            self._talk = Conversation(self.prompt, self.call_format, endpoint.window, endpoint.answer, size)
            self._talk.begin(observation)
        else:
            self._talk.answer(observation, self._note)
        return self._talk

    async def _ask(self, talk: Conversation) -> Answer:
        while True:
            self._check_limits()
            own, whole = self.meter.left_s, self.run.left_s
            left = min((s for s in (own, whole) if s is not None), default=None)
            try:
                answer = await self.client.ask(talk.messages(), self._form, seed=self.seed, within_s=left)
            except ContextFull as error:
                if not talk.shorten():
                    raise Failed(
                        f"The job does not fit the window of {self.client.endpoint.model}: {error}"
                    ) from None
                continue
            except TimeoutError:
                raise (RunLimitReached if left == whole else LimitReached)("seconds") from None
            self.meter.count(answer)
            self.run.count(answer)
            talk.measured(answer.tokens_in)
            return answer

    def _check_limits(self) -> None:
        if (reached := self.run.exceeded()) is not None:
            raise RunLimitReached(reached)
        if (reached := self.meter.exceeded()) is not None:
            raise LimitReached(reached)


def _as_text(answer: Answer) -> str:
    """An answer without its form, for the conversation."""
    calls = [f"{call.name}({call.arguments})" for call in answer.calls]
    return "\n".join([part for part in (answer.text, *calls) if part]) or "(empty)"
