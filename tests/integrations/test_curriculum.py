"""The curriculum: a simulated learner moves up as it learns, and back when it forgets."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeact_env import get_task, play
from safeact_env.core.variant import LEVELS, Variant
from safeact_env.integrations.curriculum import Curriculum
from safeact_env.integrations.trl import rows
from tests.documents import blocks


class Learner:
    """Does a level in full the more surely, the further its skill is above it."""

    def __init__(self, seed: int) -> None:
        self.skill = 1.0
        self._rng = Random(seed)

    def grade(self, level: int) -> float:
        return 1.0 if self._rng.random() < min(max(self.skill - level + 0.5, 0.05), 0.95) else 0.4


def walk(make: Callable[..., Curriculum], episodes: int = 4_000) -> tuple[list[int], list[int]]:
    """The levels of a learner that learns for half of its episodes and then forgets twice as fast."""
    curriculum, learner = make(window=40), Learner(3)
    there, back = [], []
    for number in range(episodes):
        rises = number < episodes // 2
        learner.skill += (5.0 if rises else -10.0) / (episodes // 2)
        learner.skill = max(learner.skill, 0.0)
        (there if rises else back).append(curriculum.level)
        curriculum.add(curriculum.level, learner.grade(curriculum.level))
    return there, back


def climbs_and_steps_back(levels: tuple[list[int], list[int]]) -> bool:
    there, back = levels
    moves = [after - before for before, after in zip(there + back, (there + back)[1:], strict=False)]
    return (
        there[0] == 1
        and there[-1] == 5
        and back[-1] == 1
        and set(there) == set(LEVELS)
        and set(moves) == {-1, 0, 1}
    )


def test_a_learner_moves_up_as_it_learns_and_back_as_it_forgets() -> None:
    assert climbs_and_steps_back(walk(Curriculum))


class Stubborn(Curriculum):
    def add(self, level: int, grade: float) -> int:
        before = self.level
        self.level = max(super().add(level, grade), before)
        return self.level


class Hasty(Curriculum):
    def add(self, level: int, grade: float) -> int:
        self.level = LEVELS[-1] if super().add(level, grade) > level else self.level
        return self.level


class Stuck(Curriculum):
    def add(self, level: int, grade: float) -> int:
        return self.level


@pytest.mark.parametrize("broken", [Stubborn, Hasty, Stuck])
def test_a_broken_curriculum_is_caught(broken: type[Curriculum]) -> None:
    assert not climbs_and_steps_back(walk(broken))


@given(
    st.lists(st.tuples(st.sampled_from(LEVELS), st.sampled_from([0.0, 0.5, 0.999, 1.0])), max_size=80),
    st.integers(1, 6),
)
def test_it_moves_only_on_a_whole_window_of_the_present_level(
    ended: list[tuple[int, float]], window: int
) -> None:
    curriculum, since = Curriculum(window=window, promote=0.75, demote=0.25), list[float]()
    for level, grade in ended:
        before = curriculum.level
        after = curriculum.add(level, grade)
        if level == before:
            since.append(grade)
        latest = since[-window:]
        share = sum(one == 1.0 for one in latest) / window
        wanted = 0
        if level == before and len(latest) == window:
            wanted = (share >= 0.75) - (share < 0.25)
        assert after == curriculum.level == min(max(before + wanted, 1), 5)
        if after != before:
            since.clear()
            assert curriculum.share is None


def test_episodes_that_began_before_a_move_count_for_nothing() -> None:
    curriculum = Curriculum(window=2)
    assert [curriculum.add(1, 1.0) for _ in range(2)] == [1, 2]
    assert [curriculum.add(1, 0.0) for _ in range(9)] == [2] * 9
    assert [curriculum.add(2, 0.0) for _ in range(2)] == [2, 1]


def test_the_example_of_the_chapter_moves_up(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("docs/train/curriculum.md")
    exec(compile(block, "curriculum.md", "exec"), {})
    levels = [int(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert levels[0] in (1, 2)
    assert levels[-1] == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"levels": ()}, "ascending"),
        ({"levels": (2, 1)}, "ascending"),
        ({"levels": (1, 1)}, "ascending"),
        ({"levels": (0,)}, "level must be an integer from 1 to 5"),
        ({"promote": 0.2}, "promote must be above demote"),
        ({"promote": 1.2}, "promote must be above demote"),
        ({"demote": -0.1}, "promote must be above demote"),
        *(({"window": one}, "window must be an integer of at least 1") for one in (0, 2.5, True, "5", None)),
        *(({"level": one}, "level must be an integer from 1 to 5") for one in (True, 1.0)),
        ({"levels": (1, 2), "level": 3}, "level must be one of 1, 2"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Curriculum(**arguments)


def test_a_level_or_a_grade_that_is_none_is_refused() -> None:
    curriculum = Curriculum(levels=(1, 2), window=1)
    for level, grade in ((3, 1.0), (1, -0.2), (1, 1.5)):
        with pytest.raises(ValueError, match="must be"):
            curriculum.add(level, grade)
    assert (curriculum.level, curriculum.share) == (1, None)


def test_it_goes_with_the_rows_of_a_trainer() -> None:
    """The expert masters every level; a policy that does nothing stays on the first."""
    levels = []
    for policy in ("expert", "do_nothing"):
        curriculum = Curriculum(levels=(1, 2), window=3)
        for start in (0, 3):
            for row in rows(["easy"], range(start, start + 3), levels=[curriculum.level]):
                variant = Variant(row["level"], row["framing"])
                played = play(get_task(row["task"]), row["split"], row["seed"], policy, variant=variant)
                curriculum.add(row["level"], played.grade().score)
        levels.append(curriculum.level)
    assert levels == [2, 1]
