"""The conversation of one episode, cut to the model's window.

Owns which turns are sent. Must not know endpoints. Job, actions and state are never left out: when old turns
are left out, the first message shows the state after them instead.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from safeact_env.call import Call
from safeact_env.llm.call_formats import CallFormat, Read
from safeact_env.llm.prompts import Observation, Prompt
from safeact_env.llm.thoughts import without_thoughts

Message = dict[str, Any]

CHARS_PER_TOKEN = 3.0
"""First estimate; the endpoint's own counts replace it."""
LEAST_RATIO, MOST_RATIO = 1.5, 5.0
MARGIN = 0.95
ROOM = 0.75
"""Share of the window that is still used after turns are left out. The start of the conversation then stays
the same for some turns, so that an endpoint can cache it."""
MOST_SAID = 4_000
"""Characters of an answer that are kept."""


class Conversation:
    """The messages between a model and the environment.

    Args:
        prompt: The texts around the observations.
        call_format: How the model calls.
        window: Tokens for a request and its answer together.
        answer: Tokens kept free for the answer.
        form_size: Characters of each request besides the messages.
    """

    def __init__(
        self, prompt: Prompt, call_format: CallFormat, window: int, answer: int, form_size: int = 0
    ) -> None:
        self.prompt = prompt
        self.call_format = call_format
        self.room = min(max(window - answer, 1), prompt.room or window)
        self.form_size = form_size
        self.cuts: list[dict[str, int]] = []
        """Where turns were left out: before which call, and how many turns from then on."""
        self._system: Message = {"role": "system", "content": prompt.opening(call_format)}
        self._turns: list[list[Message]] = []
        self._calls: list[Call | None] = []
        self._shown: list[Observation] = []
        self._first = 0
        self._ratio = CHARS_PER_TOKEN
        self._sent = 0

    @property
    def transcript(self) -> list[Message]:
        """All messages in order, including turns that were left out, or were sent as a line."""
        return self._from(0, 0)

    def begin(self, observation: Observation) -> None:
        """Show the first observation."""
        self._shown.append(observation)

    def said(self, read: Read, text: str, more: Mapping[str, Any] | None = None) -> None:
        """Keep an answer that was a call, without the thoughts that some models write before it.

        Args:
            read: The call.
            text: The text of the answer.
            more: Further fields of the message. They and the call go back as they came: some endpoints sign
                them, and refuse a conversation without.
        """
        text = without_thoughts(text).strip()
        if len(text) > MOST_SAID:
            text = "" if read.tool else read.as_json(predict=self.prompt.predicts)
        message: Message = {"role": "assistant", "content": text, **(more or {})}
        if read.tool is not None:
            function = {"name": read.tool.name, "arguments": read.tool.arguments}
            made = {"id": read.tool.id, "type": "function", "function": function}
            message["tool_calls"] = [dict(read.tool.came or made)]
        self._turns.append([message])
        self._calls.append(read.call)

    def said_unreadable(self, text: str) -> None:
        """Keep an unreadable answer as text: an endpoint may refuse its own malformed calls."""
        self._turns.append([{"role": "assistant", "content": text[:MOST_SAID]}])
        self._calls.append(None)

    def answer(self, observation: Observation, note: str = "") -> None:
        """Show the result of the last answer."""
        content = self.prompt.turn(self._shown[-1], observation, note)
        calls = self._turns[-1][0].get("tool_calls")
        if calls:
            self._turns[-1].append({"role": "tool", "tool_call_id": calls[0]["id"], "content": content})
        else:
            self._turns[-1].append({"role": "user", "content": content})
        self._shown.append(observation)

    def messages(self) -> list[Message]:
        """The messages to send now."""
        if self._tokens(self._first) > self.room:
            while self._first < len(self._turns) and self._tokens(self._first) > ROOM * self.room:
                self._first += 1
            self._note_cut()
        chosen = self._from(self._first)
        self._sent = self._size(chosen)
        return chosen

    def measured(self, tokens: int) -> None:
        """Adjust the estimate to the tokens that the endpoint counted for the last request."""
        if tokens > 0:
            self._ratio = min(max(MARGIN * self._sent / tokens, LEAST_RATIO), MOST_RATIO)

    def shorten(self) -> bool:
        """Leave out half of the turns still sent, after the endpoint found the request too long.

        Returns:
            Whether there was a turn to leave out.
        """
        left = len(self._turns) - self._first
        if not left:
            return False
        self._first += -(-left // 2)
        self.room = min(self.room, max(int(self._tokens(self._first) / ROOM), 1))
        self._note_cut()
        return True

    def _note_cut(self) -> None:
        self.cuts.append({"before_call": len(self._turns) + 1, "turns": self._first})

    def _from(self, first: int, whole: int | None = None) -> list[Message]:
        """The messages from a turn on; the turns before `whole` in a line each, if the prompt has a bound."""
        if whole is None:
            whole = first if self.prompt.room is None else max(first, len(self._turns) - 1)
        shown = self._shown
        lines = [
            self.prompt.line(at + 1, self._calls[at], shown[at], shown[at + 1]) for at in range(first, whole)
        ]
        start = self.prompt.start(shown[first], self.call_format, omitted=first > 0, earlier=lines)
        turns = [message for turn in self._turns[whole:] for message in turn]
        return [self._system, {"role": "user", "content": start}, *turns]

    def _tokens(self, first: int) -> float:
        return self._size(self._from(first)) / self._ratio

    def _size(self, messages: Sequence[Mapping[str, Any]]) -> int:
        return self.form_size + sum(_length(message) for message in messages)


def _length(message: Mapping[str, Any]) -> int:
    """The characters of a message: of its content as such, of all else as JSON."""
    said = sum(
        len(value) if name == "content" and isinstance(value, str) else len(json.dumps(value))
        for name, value in message.items()
        if name not in ("role", "tool_call_id")
    )
    return said + 8
