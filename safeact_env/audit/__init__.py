"""The proof: each promise of the environment as a check that anyone can run, on any task.

Owns the list of audits. One module per promise; each has a broken task in the tests that it must catch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safeact_env.audit.base import Audit

    AUDITS: tuple[Audit, ...]
    """Every audit, in the order in which a table shows them."""

__all__ = ["AUDITS", "AUDIT_NAMES"]

_WHERE = {
    "determinism": ("determinism", "DETERMINISM"),
    "replay": ("replays", "REPLAY"),
    "interference": ("interference", "INTERFERENCE"),
    "labels": ("labels", "LABELS"),
    "returns": ("returns", "RETURNS"),
    "solvable": ("reference_policies", "SOLVABLE"),
    "free-points": ("reference_policies", "FREE_POINTS"),
    "dominance": ("reference_policies", "DOMINANCE"),
    "diversity": ("draws", "DIVERSITY"),
    "names": ("draws", "NAMES"),
    "harm": ("harm", "HARM"),
    "oracle": ("competence", "ORACLE"),
    "start": ("start", "START"),
    "texts": ("texts", "TEXTS"),
    "fair": ("competence", "FAIR"),
    "words": ("words", "WORDS"),
    "framings": ("framings", "FRAMINGS_ALIKE"),
    "views": ("views", "VIEWS_MERGE"),
}

AUDIT_NAMES = tuple(_WHERE)
"""The names of the audits, in the order of `AUDITS`."""


def __getattr__(name: str) -> Any:
    """Import the audits when they are first asked for: a program that runs one of them needs no other."""
    if name != "AUDITS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return tuple(
        getattr(import_module(f"{__name__}.{module}"), attribute) for module, attribute in _WHERE.values()
    )
