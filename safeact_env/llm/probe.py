"""Find out which call format an endpoint supports, once, before the first episode.

Owns the choice of a call format. Must not know the environment. The probe also shows, before anything is
played, whether address, key and model are right.
"""

from collections.abc import Collection
from typing import Literal

from safeact_env.llm.answers import Answer
from safeact_env.llm.call_formats import CALL_FORMATS, CallFormat, Unreadable, form_of, read
from safeact_env.llm.client import EndpointClient
from safeact_env.llm.errors import ContextFull, Rejected, Unusable
from safeact_env.llm.player import Meter
from safeact_env.llm.refusals import advice

__all__ = ["WANTED", "Wanted", "probe"]

Wanted = Literal["auto", "tools", "json", "text"]
WANTED: dict[Wanted, tuple[CallFormat, ...]] = {
    "auto": CALL_FORMATS,
    "tools": ("tools",),
    "json": ("json_schema", "json_object"),
    "text": ("text",),
}
"""The call formats that each choice tries, in order."""

READY = {"name": "ready", "description": "Say that you are ready.", "parameters": {}}
ASKED = {
    "tools": "Call the function `ready`.",
    "json": 'Answer with this JSON object and nothing else: {"reasoning": "I am ready.", '
    '"action_name": "ready", "parameters": {}}',
}


async def probe(
    client: EndpointClient, wanted: Wanted, run: Meter, tried: Collection[CallFormat] = CALL_FORMATS
) -> CallFormat:
    """Return the first of the wanted call formats that the endpoint accepts and the model answers in.

    Of a format that was chosen by name, only the endpoint's support is tested: whether the model keeps to it
    shows in its episodes.

    Args:
        client: An opened client.
        wanted: The wanted call formats.
        run: Counts what the probe uses.
        tried: The call formats that `auto` may choose.

    Raises:
        Unusable: If the endpoint cannot be used, or accepts none of them.
        Failed: If it does not answer.
    """
    call_formats = WANTED[wanted]
    if wanted == "auto":
        call_formats = tuple(one for one in call_formats if one in tried)
    refusal: Rejected | None = None
    for call_format in call_formats:
        try:
            answer = await _asked(client, call_format)
        except Rejected as error:
            refusal = error
            continue
        run.count(answer)
        if call_format == call_formats[-1] or _kept(call_format, answer):
            return call_format
    if "text" not in call_formats:
        # Whether it is the form that is refused shows in a request without one.
        try:
            run.count(await _asked(client, "text"))
        except Rejected as error:
            refusal = error
        else:
            raise _unusable(
                refusal, f"The endpoint does not support the call format {wanted}; try --mode auto."
            )
    raise _unusable(refusal, advice(refusal.told if refusal else ""))


def _unusable(refusal: Rejected | None, what_to_do: str) -> Unusable:
    said = str(refusal)
    return Unusable(f"{said}{'' if said.endswith(('.', '!', '?')) else '.'} {what_to_do}")


async def _asked(client: EndpointClient, call_format: CallFormat) -> Answer:
    """The answer to the smallest request in a call format."""
    asked = ASKED["tools" if call_format == "tools" else "json"]
    try:
        return await client.ask([{"role": "user", "content": asked}], form_of(call_format, [READY]))
    except ContextFull as error:
        endpoint = client.endpoint
        raise Unusable(
            f"An answer of {endpoint.answer} tokens does not fit the window of {endpoint.model}: give "
            f"--answer-tokens a smaller number, and --window the size of its window. It says: {error}"
        ) from None


def _kept(call_format: CallFormat, answer: Answer) -> bool:
    """Whether an answer came in the form that was asked for."""
    if call_format == "tools":
        return any(call.name == "ready" for call in answer.calls)
    try:
        return read(answer).call.action_name == "ready"
    except Unreadable:
        return False
