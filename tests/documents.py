"""The code blocks of the documents, so that a test can run each."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def blocks(page: str, language: str = "python") -> list[str]:
    """The code blocks of a page, by its path from the root, in this language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
