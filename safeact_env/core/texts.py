"""The texts of a task: a file `texts.toml` in its folder.

Owns where the file is. Must not know what is in it.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

__all__ = ["read_texts"]


def read_texts(package: str) -> dict[str, Any]:
    """Read `texts.toml` of a package: a task calls it with its own `__package__`."""
    return tomllib.loads((files(package) / "texts.toml").read_text(encoding="utf-8"))
