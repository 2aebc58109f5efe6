"""An endpoint's refusal: its sentence, in whichever form it comes, and what it means for the run.

Owns the reading of refusals. Must not know how requests are sent, nor what they ask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from safeact_env.llm.bodies import NoCompletion, body_of
from safeact_env.llm.errors import ContextFull, Failed, Refused, Rejected, Unusable
from safeact_env.llm.settings import NO_KEY, Endpoint

__all__ = ["Refusal", "advice", "names"]

AGAIN = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which the same request may succeed."""
REJECTED, MISSING = frozenset({400, 422, 501}), frozenset({404, 405, 415})
"""Statuses with which endpoints refuse a part of a request; the second ones also mean the whole address."""
PARTS = (
    "tools",
    "tool",
    "tool_choice",
    "function",
    "functions",
    "response_format",
    "json_schema",
    "grammar",
    "jinja",
)
"""What they call that form, where the status is that of a fault of theirs."""
SENTENCES = (
    *("message", "msg", "detail", "error_description", "error_message", "error_msg", "error", "errors"),
    *("details", "reason", "description", "title"),
)
"""Fields that hold the sentence, or an object that holds it; the first that is there counts."""
CODES = ("code", "type", "status", "error_type", "error_code", "param")
FULL = re.compile(
    r"context.?(length|size|window)|exceed_context|(prompt|input) is too long|maximum context"
    r"|context the overflows|tokens to keep from the initial prompt|input token count|request too large"
    r"|max_new_tokens` must be",
    re.IGNORECASE,
)
"""What endpoints say when a request is longer than the model's window."""
LENGTH = re.compile(
    r"max_(completion_|output_|new_)?tokens|(completion|output) tokens|maxoutputtokens", re.IGNORECASE
)
SIZE = re.compile(
    r"too (large|long|high|big|many)|at most|exceed|maximum|less than|greater than|above|[<>]=?|range|limit",
    re.IGNORECASE,
)
"""Both together: the answer that is asked for is longer than the model gives."""
OTHER_NAME = re.compile("unsupported|not supported|instead", re.IGNORECASE)
"""With the first: its length is asked for by the wrong name."""
EMPTY = frozenset(
    (
        *("insufficient_quota", "insufficient_balance", "insufficient_credits", "insufficient_user_quota"),
        *("billing_hard_limit_reached", "billing_not_active", "billing_error", "credit_balance_too_low"),
        *("exceeded_current_quota_error", "account_deactivated", "arrearage", "payment_required"),
    )
)
"""Codes of accounts that are used up. Sentences do not tell: a limit per minute is worded as billing, too."""
FILTER = re.compile(
    r"content.?(management|filter|polic)|moderation|flagged|responsibleai|data_inspection"
    r"|inappropriate content|usage polic|safety system|prohibited_content",
    re.IGNORECASE,
)
GARBLED_CODES = frozenset({"tool_use_failed", "json_validate_failed"})
GARBLED = re.compile(
    r"error parsing tool call|failed to parse input at pos|failed to (call a function|generate json)"
    r"|tool call validation failed",
    re.IGNORECASE,
)
"""What endpoints say when the model did answer, and they could not read the call that it wrote: Groq
(https://github.com/groq/groq-typescript/issues/28), Ollama (https://github.com/ollama/ollama/issues/17638),
llama.cpp (https://github.com/ggml-org/llama.cpp/issues/23838)."""
UNKNOWN_MODEL = re.compile(
    r"model.{0,80}(not found|not exist|unknown|invalid|not available|not supported)|model_not_found"
    r"|(unknown|invalid|no such) model",
    re.IGNORECASE,
)
WAITING = re.compile(r"(?:retry|try again) (?:in|after) (\d+(?:\.\d+)?\s?(?:ms|s|m)\b)", re.IGNORECASE)
MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
MOST_TOLD, MOST_DEEP = 300, 6


@dataclass(frozen=True, slots=True)
class Refusal:
    """An endpoint's refusal.

    Attributes:
        status: HTTP status, also where the answer's own was 200 and its body tells another.
        whole: Its sentence.
        codes: Its codes, in lower case.
        wait: How long it asks to wait, as it says it.
    """

    status: int
    whole: str
    codes: frozenset[str]
    wait: str | None = None

    @classmethod
    def of(cls, status: int, content: bytes, wait: str | None = None) -> Self:
        """Read a body that came with a status of its own."""
        try:
            body = body_of(content)
        except NoCompletion:
            body = content.decode("utf-8", errors="replace")
        return cls._read(status, body, wait)

    @classmethod
    def within(cls, body: Any) -> Self | None:
        """Return the refusal in a body that came with 200, if it is one."""
        choices = body.get("choices") if isinstance(body, dict) else None
        first = choices[0] if isinstance(choices, list) and choices else {}
        error = first.get("error") if isinstance(first, dict) else None
        if isinstance(body, dict) and not error:
            error = body.get("error") or (None if choices else body)
        elif not isinstance(body, dict):
            error = body
        if not error or not _sentence(error):
            return None
        codes = frozenset(_codes(error))
        given = next((int(code) for code in codes if code.isdecimal() and 400 <= int(code) <= 599), None)
        asked_wrongly = any(re.search("invalid|unsupported|bad_?request", code) for code in codes)
        return cls._read(given or (400 if asked_wrongly else 502), error)

    @classmethod
    def _read(cls, status: int, body: Any, wait: str | None = None) -> Self:
        codes = frozenset(_codes(body))
        whole = _sentence(body) or (body if isinstance(body, str) else json.dumps(body)) or "nothing"
        telling = (code for code in codes if "_" in code and code not in whole.lower())
        said = min(telling, key=lambda code: (code.endswith("error"), code), default=None)
        if wait is None and (found := WAITING.search(whole)):
            wait = found[1]
        whole = f"{whole} ({said})" if said else whole
        return cls(status, " ".join(whole.split()), codes, wait)

    @property
    def told(self) -> str:
        """Its sentence, on one short line."""
        return self.whole if len(self.whole) <= MOST_TOLD else f"{self.whole[: MOST_TOLD - 1]}…"

    @property
    def is_of_the_answer(self) -> bool:
        """Whether it is the model's answer that was refused, and not what it was asked."""
        return bool(self.codes & GARBLED_CODES) or GARBLED.search(self.whole) is not None

    def judged(self, endpoint: Endpoint, request: Mapping[str, Any], *, answered: bool) -> Failed:
        """Return an error that another attempt may avoid; raise any other.

        Args:
            endpoint: Who refused.
            request: What was asked.
            answered: Whether a request of this form was answered before.

        Raises:
            Unusable: If no request of this run can be answered.
            Rejected: If a request of another form may be.
            ContextFull: If a shorter one may be.
            Refused: If this conversation is what it does not answer.
            Failed: If another attempt would not help.
        """
        where, status = endpoint.shown, self.status
        has_form = bool(request.keys() & {"tools", "response_format"})
        if self.codes & EMPTY or (status == 402 and self.wait is None):
            raise Unusable(
                f"{where} answers no more requests of this account ({status}). It says: {self.told}"
            )
        if status == 402:
            return Failed(f"HTTP status {status}: {self.told}")
        if status < 500 and status not in AGAIN and any(map(FILTER.search, (self.whole, *self.codes))):
            raise Refused(f"{where} refused what it was asked ({status}). It says: {self.told}")
        if status in (401, 403):
            raise Unusable(self._about_the_key(endpoint))
        if status != 429 and FULL.search(self.whole):
            raise ContextFull(self.told)
        is_about_length = LENGTH.search(self.whole) and SIZE.search(self.whole)
        if status in REJECTED and is_about_length and not OTHER_NAME.search(self.whole):
            raise Unusable(
                f"{where} does not give answers of {endpoint.answer} tokens ({status}). Give --answer-tokens "
                f"a smaller number. It says: {self.told}"
            )
        if status == 404 and not has_form:
            raise Unusable(
                f"{where} does not know the model {endpoint.model}, or is not the address of a chat API "
                f"(404). Check MODEL_NAME and the URL. It says: {self.told}"
            )
        lacks_form = has_form and not answered and any(names(self.whole, part) for part in PARTS)
        if status in REJECTED or (has_form and status in MISSING) or (status >= 500 and lacks_form):
            told = " ".join((self.whole, *sorted(self.codes)))
            raise Rejected(
                f"{where} does not take the request ({status}). It says: {self.told}", told, status
            )
        if status not in AGAIN and status < 500:
            raise Failed(f"{where} refused the request ({status}). It says: {self.told}")
        return Failed(f"HTTP status {status}: {self.told}")

    def _about_the_key(self, endpoint: Endpoint) -> str:
        variable = "AZURE_OPENAI_API_KEY" if endpoint.kind == "azure" else "OPENAI_API_KEY or HF_TOKEN"
        problem = "no key is set" if endpoint.key == NO_KEY else "it does not accept the key"
        where, status = endpoint.shown, self.status
        return f"{where} refused the request ({status}): {problem}. Check {variable}. It says: {self.told}"


def names(told: str, part: str) -> bool:
    """Whether a sentence names a part of a request, as `tool_choice` or as "tool choice"."""
    words = re.sub(r"[^a-z0-9]+", "_", told.lower())
    return f"_{part}_" in f"_{words}_"


def advice(told: str) -> str:
    """What to do about the refusal of a request in plain text, as far as its sentence tells."""
    if UNKNOWN_MODEL.search(told):
        return "Check MODEL_NAME."
    return "It refuses plain text as well, so another --mode does not help."


def _sentence(found: Any, depth: int = 0) -> str:
    """The sentence in a body: text, markup, an object, or a list of them."""
    if isinstance(found, str):
        return _plain(found, depth)
    if depth > MOST_DEEP:
        return ""
    if isinstance(found, list):
        return "; ".join(dict.fromkeys(filter(None, (_sentence(one, depth + 1) for one in found[:5]))))
    if not isinstance(found, dict):
        return ""
    fields = {str(name).lower(): value for name, value in found.items()}
    said = next((text for name in SENTENCES if (text := _sentence(fields.get(name), depth + 1))), "")
    place = fields.get("loc")
    if said and isinstance(place, list):
        # A validation error of FastAPI or pydantic names the part here and not in its sentence.
        said = f"{'.'.join(map(str, place))}: {said}"
    metadata = fields.get("metadata")
    inner = _sentence(metadata.get("raw"), depth + 1) if isinstance(metadata, dict) else ""
    # A router's own sentence says less than that of the provider behind it.
    return f"{said}: {inner}" if said and inner else said or inner


def _plain(text: str, depth: int) -> str:
    text = text.strip()
    if text[:1] in ("{", "[") and depth < MOST_DEEP:
        try:
            return _sentence(json.loads(text), depth + 1) or text
        except (ValueError, RecursionError):
            return text
    return " ".join(MARKUP.sub(" ", text).split()) if text.startswith("<") else text


def _codes(found: Any, depth: int = 0) -> Iterator[str]:
    """The codes in a body, at any depth."""
    if depth > MOST_DEEP:
        return
    if isinstance(found, list):
        for one in found[:5]:
            yield from _codes(one, depth + 1)
    elif isinstance(found, dict):
        for name, value in found.items():
            if str(name).lower() in CODES and isinstance(value, str | int) and not isinstance(value, bool):
                yield str(value).lower()
            else:
                yield from _codes(value, depth + 1)
