"""The generator of scenarios draws what `random.Random` draws."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from safeact_env.core.draws import Draws


def drawn(rng: Random) -> list[Any]:
    """Some of all kinds of draws, from ranges of many sizes, one after another."""
    found: list[Any] = []
    for size in (1, 2, 3, 7, 16, 21, 22, 60, 90, 400):
        pool = [f"name {number}" for number in range(size)]
        found += [rng.choice(pool), rng.randint(-3, size), rng.randrange(size), rng.randrange(size, 2 * size)]
        found += [rng.sample(pool, k) for k in (0, 1, 5, 6, 20, size) if k <= size]
        found += [rng.sample(range(size), min(size, 3)), rng.random()]
        shuffled = [*pool]
        rng.shuffle(shuffled)
        found.append(shuffled)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_the_same_as_the_library(seed: int) -> None:
    assert drawn(Draws(f"seed {seed}")) == drawn(Random(f"seed {seed}"))


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("choice", ([],)),
        ("randint", (3, 2)),
        ("randrange", (0,)),
        ("randrange", (0, 10, 2)),
        ("sample", ([1, 2], 3)),
        ("sample", ([1, 2], -1)),
    ],
)
def test_what_cannot_be_drawn_is_refused(method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises((IndexError, ValueError), match=r"cannot|no integer"):
        getattr(Draws(1), method)(*arguments)
