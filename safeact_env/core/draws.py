"""A generator that draws what `random.Random` draws, without its checks of types and arguments.

Owns the draws of scenarios: half of a start is spent in them. Must not know what is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log
from random import Random
from typing import Any, TypeVar

__all__ = ["Draws"]

T = TypeVar("T")


class Draws(Random):
    """Draws from the same bits the same values as its base does; only what scenarios use is written anew.

    The algorithms are those of CPython 3.11. A later version of Python may change its own, but not these.
    """

    def _below(self, most: int) -> int:
        """An integer from 0 to below `most`, each as likely as any other."""
        bits, draw = most.bit_length(), self.getrandbits
        found = draw(bits)
        while found >= most:
            found = draw(bits)
        return found

    def choice(self, seq: Any) -> Any:
        """One of a sequence that is not empty."""
        most = len(seq)
        if not most:
            raise IndexError("cannot choose from an empty sequence")
        # `_below`, without the call: most draws are of this kind.
        bits, draw = most.bit_length(), self.getrandbits
        found = draw(bits)
        while found >= most:
            found = draw(bits)
        return seq[found]

    def randint(self, a: int, b: int) -> int:
        """An integer from `a` to `b`, both included."""
        if b < a:
            raise ValueError(f"there is no integer from {a} to {b}")
        return a + self._below(b - a + 1)

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """An integer below `start`, or from `start` to below `stop`."""
        if stop is None:
            start, stop = 0, start
        if step != 1 or stop <= start:
            raise ValueError(f"cannot draw from range({start}, {stop}, {step})")
        return start + self._below(stop - start)

    def shuffle(self, x: Any) -> None:
        """Put a list into another order, in place."""
        for place in range(len(x) - 1, 0, -1):
            other = self._below(place + 1)
            x[place], x[other] = x[other], x[place]

    def sample(self, population: Sequence[T], k: int, *, counts: Any = None) -> list[T]:
        """So many of a sequence, no place twice."""
        size = len(population)
        if counts is not None or not 0 <= k <= size:
            raise ValueError(f"cannot draw {k} of {size}")
        # As in CPython: from a shrinking copy, or by places where that takes less memory.
        if size <= (21 if k <= 5 else 21 + 4 ** ceil(log(k * 3, 4))):
            left, found = list(population), []
            for last in range(size - 1, size - 1 - k, -1):
                place = self._below(last + 1)
                found.append(left[place])
                left[place] = left[last]
            return found
        places: dict[int, None] = {}
        while len(places) < k:
            places[self._below(size)] = None
        return [population[place] for place in places]
