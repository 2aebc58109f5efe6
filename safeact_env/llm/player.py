"""A model as a player of one episode: it gets observations and returns calls.

Owns the loop around one answer: asking, reading, limits, and the record. Must not know how the environment is
reached.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from safeact_env.call import Call
from safeact_env.evaluation.record import Said
from safeact_env.llm.answers import Answer
from safeact_env.llm.call_formats import UNREADABLE, CallFormat, Unreadable, form_of, read
from safeact_env.llm.client import Message
from safeact_env.llm.conversation import Conversation
from safeact_env.llm.errors import (
    ContextFull,
    Failed,
    Limit,
    LimitReached,
    Refused,
    Rejected,
    RunLimitReached,
    Unusable,
)
from safeact_env.llm.prompts import Observation, Prompt
from safeact_env.llm.settings import Endpoint

__all__ = ["EPISODE", "Limits", "Meter", "ModelPlayer"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may use. It is stopped before the next answer.

    Attributes:
        calls: Answers of the model, at least 1; `None` for no limit.
        tokens: Tokens read and written, likewise.
        seconds: Wall-clock time, likewise. A pending answer is cancelled when the time is up.
    """

    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None


EPISODE = Limits(calls=100, tokens=1_000_000, seconds=1_800)
"""The default limits of an episode."""


class ModelClient(Protocol):
    """What a player needs of a client; `EndpointClient` is one."""

    @property
    def temperature(self) -> float | None:
        """The sampling temperature in force; `None` if the endpoint does not let it be chosen."""

    @property
    def endpoint(self) -> Endpoint:
        """The model, and how many tokens it may read and write."""

    async def ask(
        self,
        messages: Sequence[Message],
        form: Mapping[str, Any],
        *,
        seed: int | None = None,
        within_s: float | None = None,
    ) -> Answer:
        """Ask for the model's next answer; see `EndpointClient.ask`."""


class Meter:
    """Counts what is used, and compares it with limits.

    Args:
        limits: Limits from now on.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.latencies: list[float] = []
        self.tokens_in = 0
        self.tokens_out = 0
        self.without_temperature = False
        """Whether a request went without the temperature that was asked for."""
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
        """Seconds left; `None` without a limit."""
        limit = self.limits.seconds
        return None if limit is None else limit - (time.monotonic() - self._started)

    def exceeded(self) -> Limit | None:
        """The limit that has been reached, if any."""
        limits = self.limits
        if limits.calls is not None and len(self.latencies) >= limits.calls:
            return "calls"
        if limits.tokens is not None and self.tokens >= limits.tokens:
            return "tokens"
        return "seconds" if self.left_s is not None and self.left_s <= 0 else None


class ModelPlayer:
    """Plays one episode.

    Args:
        client: An opened client of an endpoint, or a model in this process.
        call_format: How the model calls.
        prompt: The prompt. If it asks for predictions, so does the call format.
        limits: Limits of this episode.
        run: Counts and limits what the whole run uses.
        seed: Sampling seed.

    Attributes:
        predictions: The prediction of every call so far; `None` if none are asked for.
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
        self.predictions: list[Said] | None = [] if prompt.predicts else None
        self._form: dict[str, Any] = {}
        self._talk: Conversation | None = None
        self._note = ""

    async def act(self, observation: Observation) -> Call:
        """Return the model's next call; `unparsable_answer` if its answer was not a call.

        Raises:
            LimitReached: If the episode has reached a limit.
            RunLimitReached: If the run has reached a limit.
            Refused: If the endpoint does not answer this conversation.
            Failed: If the endpoint did not answer.
            Unusable: If the endpoint cannot be used at all.
        """
        talk = self._shown(observation)
        answer = await self._ask(talk)
        self._note = ""
        try:
            found = read(answer, predict=self.prompt.predicts)
        except Unreadable as problem:
            self.unreadable += 1
            self._predicted(None)
            talk.said_unreadable(_as_text(answer))
            self._note = self.prompt.texts["unreadable"].format(why=problem)
            return Call(UNREADABLE, {}, f"The answer of the model could not be read as an action: {problem}.")
        self._predicted(found.undo_chance)
        talk.said(found, answer.text, answer.more)
        if found.offered > 1:
            self._note = self.prompt.texts["several"].format(count=found.offered)
        return found.call

    def ended(self, observation: Observation) -> None:
        """Receive the last observation: it ends the transcript, and no answer follows."""
        self._shown(observation)

    def part(self, stop: Limit | None) -> dict[str, Any]:
        """Return the part `model` of the episode's record.

        Args:
            stop: The limit that ended the episode, if any.
        """
        talk = self._talk
        return {
            "name": self.client.endpoint.model,
            "endpoint": self.client.endpoint.shown,
            **self.client.endpoint.terms,
            "prompt": self.prompt.name,
            "prompt_version": self.prompt.version,
            "prompt_sha256": self.prompt.sha256,
            "mode": self.call_format,
            "temperature": None if self.meter.without_temperature else self.client.temperature,
            "tokens_in": self.meter.tokens_in,
            "tokens_out": self.meter.tokens_out,
            "latency_s": self.meter.latencies,
            "unreadable": self.unreadable,
            "stop": stop or "done",
            "cuts": talk.cuts if talk else [],
            "messages": talk.transcript if talk else [],
        }

    def _predicted(self, said: Said) -> None:
        if self.predictions is not None:
            self.predictions.append(said)

    def _shown(self, observation: Observation) -> Conversation:
        if self._talk is None:
            actions, predict = observation["available_actions"], self.prompt.predicts
            try:
                self._form = form_of(self.call_format, actions, predict=predict)
            except ValueError as error:
                raise Unusable(f"The job cannot be played: {error}.") from None
            endpoint = self.client.endpoint
            # The local server makes a grammar of a schema, which takes no tokens.
            takes_tokens = "tools" in self._form or endpoint.kind != "local"
            size = len(json.dumps(self._form)) if self._form and takes_tokens else 0
            self._talk = Conversation(self.prompt, self.call_format, endpoint.window, endpoint.answer, size)
            self._talk.begin(observation)
        else:
            self._talk.answer(observation, self._note)
        return self._talk

    async def _ask(self, talk: Conversation) -> Answer:
        while True:
            self._check_limits()
            own, whole = self.meter.left_s, self.run.left_s
            left = min((seconds for seconds in (own, whole) if seconds is not None), default=None)
            try:
                answer = await self.client.ask(talk.messages(), self._form, seed=self.seed, within_s=left)
            except ContextFull as error:
                if not talk.shorten():
                    raise Failed(
                        f"The job does not fit the window of {self.client.endpoint.model}: {error}"
                    ) from None
                continue
            except Rejected as error:
                # The probe was answered in this form, so it is this conversation that is refused.
                raise Refused(str(error)) from None
            except TimeoutError:
                raise (RunLimitReached if left == whole else LimitReached)("seconds") from None
            for meter in (self.meter, self.run):
                meter.count(answer)
                meter.without_temperature |= self.client.temperature is None
            talk.measured(answer.tokens_in)
            return answer

    def _check_limits(self) -> None:
        if (reached := self.run.exceeded()) is not None:
            raise RunLimitReached(reached)
        if (reached := self.meter.exceeded()) is not None:
            raise LimitReached(reached)


def _as_text(answer: Answer) -> str:
    """An answer as plain text, for the conversation."""
    calls = [f"{call.name}({call.arguments})" for call in answer.calls]
    return "\n".join([part for part in (answer.text, *calls) if part]) or "(empty)"
