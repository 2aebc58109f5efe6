"""Ids of episodes: how a fresh one is drawn, and how one is told from a name that somebody chose.

Must not know what an id opens.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode

__all__ = ["fresh_id", "is_drawn"]

DRAWN = re.compile(r"[A-Za-z0-9_-]{16}")
UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[47][0-9a-f]{3}\1[89ab][0-9a-f]{3}\1[0-9a-f]{12}")
"""The versions that hold random bits (RFC 9562). Others are made of a clock, or of a name, as digests are."""
LEAST_DIGITS = 8
"""Different digits of a UUID. Of a million drawn ones not one has fewer; one that was typed may."""


def fresh_id() -> str:
    """A random id of 16 characters: 72 random bits, which nobody guesses, and 24 that check them.

    It is short, as every answer repeats it.
    """
    drawn = secrets.token_urlsafe(9)
    return drawn + _check(drawn)


def is_drawn(episode_id: str) -> bool:
    """Whether an id was drawn at random, by `fresh_id` or as a random UUID: whoever knows one was told."""
    if DRAWN.fullmatch(episode_id):
        return episode_id[12:] == _check(episode_id[:12])
    return UUID.fullmatch(episode_id) is not None and len({*episode_id} - {"-"}) >= LEAST_DIGITS


def _check(drawn: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(drawn.encode()).digest()[:3]).decode()
