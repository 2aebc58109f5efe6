"""Reading runbooks: does the prose say that the former version is kept?

Owns the documented cues. They are words of English and the shape of a clause, not the texts: nothing here
imports a task's data, nor the frames that runbooks are composed from.

A text says of the former version (`FORMER`) either what becomes of it (`KEPT`, `LOST`), or where it is put;
then another clause says what becomes of that place, or of the other one.
"""

from __future__ import annotations

import re

__all__ = ["FORMER", "KEPT", "LOST", "describes_way_back", "telling_clauses"]

FORMER = re.compile(
    r"\b(former|previous|outgoing|earlier|prior|old|existing|replaced|superseded|retired|in use until now)\b",
    re.IGNORECASE,
)
"""Marks the version that was there before."""

KEPT = re.compile(
    r"\b(left as it is|leaves|skips|outlives?|nothing is taken out of|keeps?|kept|files it|asked for again|"
    r"stays|no rule for|exempt|nothing but|holds?|held|gives a delivery back|still there)\b",
    re.IGNORECASE,
)
"""Says that a thing, or what lies in a place, stays."""

LOST = re.compile(
    r"\b(emptied|wiped|clears|cleared|shreds|shredded|throws out|thrown away|removes|removed|drops|dropped|"
    r"purges|purged|recycled|frees|destroys|destroyed)\b",
    re.IGNORECASE,
)
"""Says that it goes."""

CLAUSE = re.compile(r"[;,.]\s+| and | but ")
PUT = re.compile(r"\b(?:to|into|in|as|tagged) ")


def describes_way_back(text: str) -> bool:
    """Whether a runbook's prose says that the former version is kept. Where it does not say, it is not."""
    return _read(text)[0]


def telling_clauses(text: str) -> list[str]:
    """The clauses of a runbook that tell whether the former version is kept."""
    return _read(text)[1]


def _read(text: str) -> tuple[bool, list[str]]:
    """Whether the former version is kept, and the clauses that say so."""
    clauses = [clause.strip() for clause in CLAUSE.split(text.rstrip(". "))]
    said = [number for number, clause in enumerate(clauses) if FORMER.search(clause)]
    if not said:
        return False, []
    former = clauses[said[0]]
    if _fate(former) is not None:
        return _fate(former) is True, [former]
    place = PUT.split(former.removesuffix(" afterwards"))[-1].strip().lower()
    others = [clause for clause in clauses[said[0] + 1 :] if _fate(clause) is not None]
    for clause in others:
        if re.search(rf"\b{re.escape(place)}\b", clause.lower()):
            return _fate(clause) is True, [former, clause]
    # Only the other place is named: what becomes of it does not become of this one.
    return bool(others) and _fate(others[0]) is False, [former, *others[:1]]


def _fate(clause: str) -> bool | None:
    """Whether a clause says that something stays or goes; `None` if it says neither, or both."""
    kept, lost = bool(KEPT.search(clause)), bool(LOST.search(clause))
    return None if kept is lost else kept
