"""A model's answer, read from a completion: text, function calls, and what must go back as it came.

Owns the forms in which endpoints give an answer. Must not know how it came, nor what a call means.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from safeact_env.llm.bodies import NoCompletion

__all__ = ["Answer", "ToolCall", "answer_in", "garbled_answer"]

CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
"""What endpoints call the end of an answer that reached the limit on its length."""
FILTERED = frozenset({"content_filter", "safety", "prohibited_content", "blocklist", "spii"})
"""What they call the end of one that they held back."""
OWN = frozenset({"role", "content", "tool_calls", "function_call", "refusal"})
"""Fields of a message that are read; the others go back as they came."""
ARGUMENTS = ("arguments", "parameters", "input", "args")
THOUGHT = re.compile("think|thought|reason|summary|analysis", re.IGNORECASE)
"""In the type of a part that is not part of the answer."""
CALL = re.compile("(tool|function)_?(use|call)", re.IGNORECASE)
"""The type of a part that is a call."""
CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call: id, name of the function, arguments as JSON text.

    Attributes:
        came: The call as it came, which is how it goes back: some endpoints sign it.
    """

    id: str
    name: str
    arguments: str
    came: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer.

    Attributes:
        text: Text outside of calls and of thoughts that came apart from it.
        calls: Function calls, in order.
        cut: Whether it reached the limit on the length of an answer.
        tokens_in: Tokens read; estimated if the endpoint does not say.
        tokens_out: Tokens written; likewise.
        seconds: Time from the request that succeeded to its answer.
        more: Further fields of the message, which go back as they came; `content` if it came in parts.
        filtered: Whether the endpoint held it back.
        garbled: What the endpoint says of it if it could not read the call itself, else empty.
    """

    text: str
    calls: tuple[ToolCall, ...]
    cut: bool
    tokens_in: int
    tokens_out: int
    seconds: float
    more: Mapping[str, Any] = field(default_factory=dict)
    filtered: bool = False
    garbled: str = ""


def garbled_answer(told: str, asked: Sequence[Any], seconds: float) -> Answer:
    """An answer that the endpoint could not read and did not pass on."""
    tokens = _count(None, "", asked), _count(None, "", told)
    return Answer("", (), False, *tokens, round(seconds, 3), garbled=told)


def answer_in(body: Any, asked: Sequence[Any], seconds: float) -> Answer:
    """Read a completion. It may be anything: endpoints differ, and nothing has validated it.

    Args:
        body: The JSON value.
        asked: The messages that it answers, to estimate tokens from.
        seconds: How long it took.

    Raises:
        NoCompletion: If it has no message.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise NoCompletion("it has no message")
    content, finish = message.get("content"), str(choice.get("finish_reason")).lower()
    more = {name: value for name, value in message.items() if name not in OWN and value is not None}
    if isinstance(content, list) and content:
        # Calls go back in the place for calls.
        more["content"] = [part for part in content if not _is_call(part)]
    usage = body.get("usage")
    return Answer(
        text=_text(content) or _text(message.get("refusal")),
        calls=tuple(_calls(message)),
        cut=finish in CUT,
        tokens_in=_count(usage, "prompt_tokens", asked),
        tokens_out=_count(usage, "completion_tokens", message),
        seconds=round(seconds, 3),
        more=more,
        filtered=finish in FILTERED,
    )


def _text(content: Any) -> str:
    """The text of a content: itself, the text of its parts, or an object in place of its JSON."""
    if isinstance(content, dict) and not content.keys() & {"type", "text"}:
        return json.dumps(content, ensure_ascii=False)
    if isinstance(content, dict | list):
        return "".join(map(_part, content if isinstance(content, list) else [content]))
    return content if isinstance(content, str) else ""


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return part if isinstance(part, str) else ""
    if part.get("thought") is True or THOUGHT.search(str(part.get("type"))):
        return ""
    text = part.get("text") or part.get("refusal")
    text = text.get("value") if isinstance(text, dict) else text
    return text if isinstance(text, str) else ""


def _is_call(part: Any) -> bool:
    """Whether a part of a content is a call, such as one of type `tool_use`."""
    return isinstance(part, dict) and CALL.fullmatch(str(part.get("type"))) is not None


def _calls(message: Mapping[str, Any]) -> Iterator[ToolCall]:
    given = message.get("tool_calls")
    if not given and isinstance(message.get("function_call"), dict):
        given = {"function": message["function_call"]}
    parts = message.get("content")
    if not given and isinstance(parts, list):
        given = [{"id": part.get("id"), "function": part} for part in parts if _is_call(part)]
    given = [given] if isinstance(given, dict) else given
    for number, entry in enumerate(given if isinstance(given, list) else ()):
        # What is no call has no name, so that the answer is unreadable and no other call is taken for it.
        call = entry if isinstance(entry, dict) else {}
        function = call["function"] if isinstance(call.get("function"), dict) else call
        name, id_ = function.get("name"), call.get("id")
        id_ = id_ if isinstance(id_, str) and id_ else f"call-{number}"
        named = [function[key] for key in ARGUMENTS if function.get(key) is not None]
        # Arguments under two names are read as a list, which no call takes.
        arguments = (named[0] if all(one == named[0] for one in named) else named) if named else ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        came = {**call, "id": id_, "type": call.get("type") or "function"}
        if _is_call(function):
            came["function"] = {"name": name, "arguments": arguments}
        yield ToolCall(id_, name if isinstance(name, str) else "", arguments, came)


def _count(usage: Any, name: str, said: Any) -> int:
    found = usage.get(name) if isinstance(usage, dict) else None
    if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
        return found
    return -(-len(str(said)) // CHARS_PER_TOKEN)
