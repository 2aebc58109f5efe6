"""What is read out of the file cleanup."""

from __future__ import annotations

from safeact_env.integrations.lenses import Lens

__all__ = ["LENS"]

LENS = Lens(
    rows=28,
    words={
        "status": ("present", "archived", "deleted"),
        "type": ("temp",),
        "important": ("unclassified",),
    },
)
