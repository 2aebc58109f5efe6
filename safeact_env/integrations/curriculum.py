"""A curriculum: which level a learner plays next, by how often it does the present one in full.

Owns the rule of promotion. Must not know any learner or library: a trainer asks for the level and tells how
its episodes ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from safeact_env.core.variant import LEVELS, check_level

__all__ = ["Curriculum"]

FULL = 1.0


class Curriculum:
    """Moves a learner up a level when it has learned the present one, and back when it no longer does it.

        curriculum = Curriculum(levels=(1, 2, 3))
        data = rows(["easy"], seeds, levels=[curriculum.level])
        ...
        curriculum.add(level, grade)  # for each episode that ended

    Episodes of different tasks can share one, or have one each.

    Args:
        levels: The levels to go through, ascending.
        promote: Share of full grades in the window from which on the next level follows, above `demote` and
            at most 1.
        demote: Share of full grades below which the level before follows, at least 0.
        window: How many episodes of the present level are looked at, the latest, at least 1. Nothing moves
            before there are so many.
            Failures end sooner than successes, so with fewer than play at once a window of the first to end
            holds too many of them: tell episodes in the order in which they began, or make it much larger.
        level: The level to begin with; by default the first. A training that goes on gives its last one.

    Raises:
        ValueError: If an argument is not what it must be.

    Attributes:
        levels: Those to go through.
        level: The one to play next.
    """

    def __init__(
        self,
        levels: Sequence[int] = LEVELS,
        *,
        promote: float = 0.8,
        demote: float = 0.3,
        window: int = 50,
        level: int | None = None,
    ) -> None:
        self.levels = tuple(map(check_level, levels))
        if not self.levels or list(self.levels) != sorted(set(self.levels)):
            raise ValueError("levels must be ascending, and at least one")
        if not 0 <= demote < promote <= 1:
            raise ValueError("promote must be above demote, and both from 0 to 1")
        if type(window) is not int or window < 1:
            raise ValueError("window must be an integer of at least 1")
        self.level = self.levels[0] if level is None else check_level(level)
        if self.level not in self.levels:
            raise ValueError(f"level must be one of {', '.join(map(str, self.levels))}")
        self._promote, self._demote = promote, demote
        self._full: deque[bool] = deque(maxlen=window)

    @property
    def share(self) -> float | None:
        """Share of full grades in the window; `None` before it is filled."""
        return sum(self._full) / len(self._full) if len(self._full) == self._full.maxlen else None

    def add(self, level: int, grade: float) -> int:
        """Count an episode that ended.

        Args:
            level: The level it was played on. If that is not the present one, it counts for nothing.
            grade: Its grade, in [0, 1].

        Returns:
            The level to play next.

        Raises:
            ValueError: If the level is not one of the curriculum, or the grade not in its range.
        """
        if level not in self.levels:
            raise ValueError(f"level must be one of {', '.join(map(str, self.levels))}")
        if not 0 <= grade <= FULL:
            raise ValueError("grade must be from 0 to 1; a return is none")
        if level == self.level:
            self._full.append(grade == FULL)
            self._move()
        return self.level

    def _move(self) -> None:
        share, place = self.share, self.levels.index(self.level)
        if share is None:
            return
        if share >= self._promote:
            place = min(place + 1, len(self.levels) - 1)
        elif share < self._demote:
            place = max(place - 1, 0)
        if self.levels[place] != self.level:
            self.level = self.levels[place]
            self._full.clear()
