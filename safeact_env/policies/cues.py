r"""Reading runbooks: does the prose say that there is a way back?

Owns the documented cues. They are phrases of English, not the texts: nothing here imports a task's data.

A runbook describes a way back if it says that the former version stays somewhere or can be returned
(`KEPT`), and says nowhere that it is overwritten, removed or out of reach (`LOST`).
"""

from __future__ import annotations

import re

__all__ = ["KEPT", "LOST", "describes_way_back", "keeps_something", "loses_something"]

_FORMER = r"\b(former|previous|earlier|prior|existing|old|older|replaced|outgoing|was in use|current|last)\b"
_STAYS = (
    r"\b(keeps?|kept|retain(s|ed)|saved?|saves|preserve[sd]|set aside|stays|remains|parked|stored|held|left|"
    r"available|copied|untouched)\b"
)

KEPT = (
    rf"{_FORMER}[^.;]*{_STAYS}",
    rf"{_STAYS}[^.;]*{_FORMER}",
    r"\b(can|may) be (brought back|put back|reinstated|returned|swapped back|switched back|restored)\b",
    r"\broll_back_upkeep\b",
    r"\bgenerations exist\b",
)
"""Phrases that say where the way back lies."""

LOST = (
    r"\boverwrit",
    r"\b(re)?written (over|in place)\b",
    r"\bin place\b",
    r"\bno (\w+ ){0,2}(copy|copies|version|generation|set|backup|trace|record)\b",
    r"\bnothing (to return|is left|is kept|remains|of)\b",
    r"\bfinds nothing\b",
    r"\b(is|are) not\b(?! (touched|changed|affected|altered|part))",
    r"\bcannot be\b",
    r"\bno longer\b",
    r"\bno (way|means|road) back\b",
    r"\bone-way\b",
    r"\bfor good\b",
    r"\b(purg|eras|discard|wip|shredd?|destroy|delet|dissolv)(e|es|ed|ing|s)?\b",
    r"\b(released|reclaimed|freed|dropped|truncated|emptied|lost|gone)\b",
)
"""Phrases that say there is none. One of them outweighs any number of the others."""

_KEPT = tuple(re.compile(pattern, re.IGNORECASE) for pattern in KEPT)
_LOST = tuple(re.compile(pattern, re.IGNORECASE) for pattern in LOST)


def keeps_something(text: str) -> bool:
    """Whether a runbook's prose says where a way back lies."""
    return any(cue.search(text) for cue in _KEPT)


def loses_something(text: str) -> bool:
    """Whether a runbook's prose says that there is none."""
    return any(cue.search(text) for cue in _LOST)


def describes_way_back(text: str) -> bool:
    """Whether a runbook's prose says that its action can be taken back."""
    return keeps_something(text) and not loses_something(text)
