"""Runbooks of look-alikes, composed so that reading tells the two roles apart and word statistics do not.

In either role something is kept and something is given up, by the same verbs. Only what is kept decides. Most
texts say it in two sentences: where the former version and a by-product are put, and what becomes of either
place. The frames are in `runbooks.toml`, the nouns in the task's texts.

Owns the composition. Must not know any concrete task.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from random import Random
from typing import Any

__all__ = ["FRAMES", "Parts", "compose"]

FRAMES: dict[str, Any] = tomllib.loads((files(__package__) / "runbooks.toml").read_text(encoding="utf-8"))
"""Sentence frames by split."""

JOINED = 0.8
"""Share of the texts that have to be joined from two sentences. In a single sentence the pair of a noun and a
verb decides, which a learner of word pairs finds as soon as it knows the nouns."""

HOLDERS = ("places", "places", "owners", "labels")
"""What things are put into; a place is drawn twice as often as the others."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The nouns that a task's runbooks are composed from, all of them singular.

    Attributes:
        split: Whose frames they go into, `train` or `test`.
        former: Phrases for the version that was there before, at least 4.
        byproducts: Phrases for other things that the upkeep leaves behind, at least 4.
        places: Where a thing can be put, at least 5.
        owners: Who it can be handed to, at least 4.
        labels: What it can be marked as, at least 4.
    """

    split: str
    former: tuple[str, ...]
    byproducts: tuple[str, ...]
    places: tuple[str, ...]
    owners: tuple[str, ...]
    labels: tuple[str, ...]

    @classmethod
    def from_data(cls, split: str, data: Mapping[str, list[str]]) -> Parts:
        """Read the table `runbooks` of a split."""
        return cls(split, **{name: tuple(phrases) for name, phrases in data.items()})


def compose(rng: Random, parts: Parts, *, keeps_former: bool) -> str:
    """One text, in which the former version is kept, or a by-product in its stead."""
    frames = FRAMES[parts.split]
    former, byproduct = rng.choice(parts.former), rng.choice(parts.byproducts)
    if rng.random() >= JOINED:
        kept, lost = (former, byproduct) if keeps_former else (byproduct, former)
        return _filled(rng.choice(frames["plain"]["sentence"]), k=kept, l=lost)
    holder = rng.choice(HOLDERS)
    home, other = rng.sample(getattr(parts, holder), 2)
    kept, lost = (home, other) if keeps_former else (other, home)
    (first, first_in), (second, second_in) = rng.sample([(former, home), (byproduct, other)], 2)
    put = _filled(rng.choice(frames[holder]["put"]), x=first, p=first_in, y=second, q=second_in)
    return f"{put} {_filled(rng.choice(frames[holder]['fate']), k=kept, l=lost)}"


class _Phrases(dict[str, str]):
    """Phrases by placeholder; a capital placeholder begins a sentence."""

    def __missing__(self, name: str) -> str:
        phrase = self[name.lower()]
        return phrase[0].upper() + phrase[1:]


def _filled(frame: str, **phrases: str) -> str:
    """A frame with its phrases."""
    return frame.format_map(_Phrases(phrases))
