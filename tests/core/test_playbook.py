"""Moves, and the reference policies on the toy."""

from __future__ import annotations

import pytest

from safeact_env.core.playbook import Move
from safeact_env.policies.reference import POLICIES, make_policy, play
from tests.checks import check_books
from tests.toy import CANONICAL, TOY, Facts, Task


def test_a_move_is_a_call() -> None:
    call = Move("look", {"box": "amber"}, "why").call()
    assert (call.action_name, call.parameters, call.reasoning) == ("look", {"box": "amber"}, "why")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("task", [TOY, CANONICAL], ids=lambda task: task.name)
def test_every_policy_plays_any_task(task: Task[Facts], policy: str) -> None:
    for seed in range(5):
        one, two = (play(task, "train", seed, policy) for _ in range(2))
        assert one.points == two.points
        check_books(one)


def test_an_unknown_policy_is_named_with_the_others() -> None:
    with pytest.raises(ValueError, match="expert"):
        make_policy("nothing", TOY, 0)
