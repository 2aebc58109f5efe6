"""Find out which call format an endpoint supports, once, before the first episode.

Owns the choice of a call format. Must not know the environment. The probe also shows, before anything is
played, whether address, key and model are right.
"""

from typing import Literal

from safeact_env.llm.call_formats import CALL_FORMATS, CallFormat, Unreadable, form_of, read
from safeact_env.llm.client import Answer, EndpointClient
from safeact_env.llm.errors import Rejected, Unusable
from safeact_env.llm.player import Meter

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


async def probe(client: EndpointClient, wanted: Wanted, run: Meter) -> CallFormat:
    """Return the first of the wanted call formats that the endpoint accepts and the model answers in.

    Of a format that was chosen by name, only the endpoint's support is tested: whether the model keeps to it
    shows in its episodes.

    Raises:
        Unusable: If the endpoint cannot be used, or accepts none of them.
        Failed: If it does not answer.
    """
    call_formats = WANTED[wanted]
    refusal = ""
    for call_format in call_formats:
        asked = ASKED["tools" if call_format == "tools" else "json"]
        try:
            answer = await client.ask([{"role": "user", "content": asked}], form_of(call_format, [READY]))
        except Rejected as error:
            refusal = str(error)
            continue
        run.count(answer)
        if call_format == call_formats[-1] or _kept(call_format, answer):
            return call_format
    raise Unusable(
        f"{refusal} The endpoint does not support the call format {wanted}; try --mode "
        f"{'text' if wanted == 'auto' else 'auto'}."
    )


def _kept(call_format: CallFormat, answer: Answer) -> bool:
    """Whether an answer came in the form that was asked for."""
    if call_format == "tools":
        return any(call.name == "ready" for call in answer.calls)
    try:
        return read(answer).call.action_name == "ready"
    except Unreadable:
        return False
