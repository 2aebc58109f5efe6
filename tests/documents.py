"""The code blocks of TECHNICAL.md, by chapter, so that each is run by a test of its own."""

from __future__ import annotations

import re
from pathlib import Path

TECHNICAL = Path(__file__).resolve().parents[1] / "TECHNICAL.md"


def chapters() -> dict[str, str]:
    """The text of each chapter, by its title without the number."""
    parts = re.split(r"^## (?:\d+\. )?(.+)\n", TECHNICAL.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(title: str, language: str = "python") -> list[str]:
    """The code blocks of a chapter in this language."""
    return re.findall(rf"```{language}\n(.*?)```", chapters()[title], re.DOTALL)
