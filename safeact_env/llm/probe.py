"""Finding out how an endpoint takes calls, once, before the first episode.

Owns the choice of a mode. Must not know the environment. The probe also shows, before anything is played,
that address, key and model are right.
"""

from __future__ import annotations

from typing import Literal

from safeact_env.llm.call_formats import MODES, Mode, Unreadable, form_of, read
from safeact_env.llm.errors import Rejected, Unusable
from safeact_env.llm.player import Meter
from safeact_env.llm.provider import Answer, Provider

__all__ = ["WANTED", "Wanted", "probe"]

Wanted = Literal["auto", "tools", "json", "text"]
WANTED: dict[Wanted, tuple[Mode, ...]] = {
    "auto": MODES,
    "tools": ("tools",),
    "json": ("json_schema", "json_object"),
    "text": ("text",),
}
"""The modes that each choice tries, in order."""

READY = {"name": "ready", "description": "Say that you are ready.", "parameters": {}}
ASKED = {
    "tools": "Call the function `ready`.",
    "json": 'Answer with this JSON object and nothing else: {"reasoning": "I am ready.", '
    '"action_name": "ready", "parameters": {}}',
}


async def probe(provider: Provider, wanted: Wanted, run: Meter) -> Mode:
    """The first of the wanted modes that the endpoint takes and the model answers in.

    A mode that was asked for by name is only tried for being taken: whether the model keeps to it shows in
    what it plays.

    Raises:
        Unusable: If the endpoint cannot be used, or takes none of them.
        Failed: If it does not answer.
    """
    modes = WANTED[wanted]
    refusal = ""
    for mode in modes:
        asked = ASKED["tools" if mode == "tools" else "json"]
        try:
            answer = await provider.ask([{"role": "user", "content": asked}], form_of(mode, [READY]))
        except Rejected as error:
            refusal = str(error)
            continue
        run.count(answer)
        if mode == modes[-1] or _kept(mode, answer):
            return mode
    raise Unusable(
        f"{refusal} So calls cannot be asked for in the mode {wanted}; try --mode "
        f"{'text' if wanted == 'auto' else 'auto'}."
    )


def _kept(mode: Mode, answer: Answer) -> bool:
    """Whether an answer came in the form that was asked for."""
    if mode == "tools":
        return any(call.name == "ready" for call in answer.calls)
    try:
        return read(answer).call.action_name == "ready"
    except Unreadable:
        return False
