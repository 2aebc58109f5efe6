"""The code blocks of the documents, so that a test can run each."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def blocks(page: str, language: str = "python") -> list[str]:
    """The code blocks of a page in this language.

    Args:
        page: The page's path from the root.
        language: The language that the blocks name.
    """
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
