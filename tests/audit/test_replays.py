"""The audit of replays: clean on every task, and it catches hidden state."""

from __future__ import annotations

import pytest

from safeact_env.audit.replays import REPLAY
from safeact_env.core.trajectory import Trajectory
from safeact_env.tasks import OFFICIAL, get_task
from tests.audit.mutants import HIDDEN_STATE, scope_of


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_task_is_clean(name):
    result = REPLAY.run(scope_of(get_task(name), 2, "test"))
    assert not result.breaches
    assert result.checked > 50


def test_hidden_state_of_the_process_is_caught():
    found = REPLAY.run(scope_of(HIDDEN_STATE)).breaches
    assert "is not rebuilt as it was" in found[0].message
    assert found[0].calls


def test_a_trajectory_that_forgets_is_caught(monkeypatch):
    real = Trajectory.to_json

    def forgetful(self):
        whole = real(self)
        for call in whole["calls"]:
            call["parameters"].pop("path", None)
        return whole

    monkeypatch.setattr(Trajectory, "to_json", forgetful)
    assert REPLAY.run(scope_of(get_task("easy"))).breaches
