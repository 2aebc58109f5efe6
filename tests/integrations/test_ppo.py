"""The small policy, with torch: skipped in the ordinary suite, run by `make integrations`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from safeact_env.core.episode import Episode
from safeact_env.integrations.encoding import Encoder
from safeact_env.integrations.gymnasium import SafeActVectorEnv
from safeact_env.policies.calls import random_call
from safeact_env.tasks import OFFICIAL, get_task
from tests.documents import blocks

torch = pytest.importorskip("torch", reason="torch is not installed here; `make integrations` runs this test")

from scripts import ppo_table, train_ppo  # noqa: E402
from scripts.ppo import Config, Learner, Scorer, prior  # noqa: E402

SMALL = Config(steps=512, envs=8, horizon=16)


def network(encoder: Encoder, hidden: int = 16) -> Scorer:
    torch.manual_seed(0)
    return Scorer(encoder.row_features, encoder.job_features, encoder.grid.columns, hidden)


def inputs(encoder: Encoder, seed: int = 0) -> tuple[Any, Any, Any]:
    encoded = encoder.encode(Episode(encoder.task, "train", seed).observation())
    parts = (encoded.rows, encoded.job, encoded.mask.reshape(-1).copy())
    return tuple(torch.from_numpy(part)[None] for part in parts)  # type: ignore[return-value]


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_prior_draws_names_as_the_random_policy_does(name: str) -> None:
    task, encoder = get_task(name), Encoder(get_task(name))
    obs = Episode(task, "train", 3).observation()
    encoded = encoder.encode(obs)
    chances = prior(torch.from_numpy(encoded.mask.copy())[None], encoder.grid.columns)[0]
    found: Counter[str] = Counter()
    for cell, move in encoded.menu.cells.items():
        found[move.name] += float(chances[cell])
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)
    rng = Random(1)
    draws = Counter(
        random_call(obs, task.schemas, task.escalation.name, rng.choice).name for _ in range(20_000)
    )
    # A look-alike that takes a table has a row for each, and so a larger share.
    fixed = [action for action in task.schemas if action in found]
    assert set(fixed) == {action for action in draws if action in task.schemas}
    assert len({round(found[action], 5) for action in fixed}) == 1
    assert all(draws[action] / 20_000 == pytest.approx(1 / len(draws), abs=0.01) for action in fixed)


def test_only_calls_are_drawn() -> None:
    encoder = Encoder(get_task("easy"))
    rows, job, mask = inputs(encoder)
    policy, _values = network(encoder).policy(rows, job, mask, 0.1)
    assert float(policy.probs.detach()[mask == 0].max()) == 0
    # All but the one that hands the job over.
    assert int((policy.probs > 0).sum()) == int(mask.sum()) - 1


def test_the_order_of_rows_does_not_matter() -> None:
    encoder = Encoder(get_task("medium"))
    rows, job, mask = inputs(encoder)
    net, columns = network(encoder), len(encoder.grid.columns)
    order = torch.randperm(rows.shape[1])
    there, _prior, value = net(rows, job, mask)
    moved = mask.unflatten(1, (-1, columns))[:, order].flatten(1)
    again, _prior, value2 = net(rows[:, order], job, moved)
    assert torch.allclose(there.unflatten(1, (-1, columns))[:, order].flatten(1), again, atol=1e-5)
    assert torch.allclose(value, value2, atol=1e-5)


def test_advantages_are_those_of_the_definition() -> None:
    learner = Learner(SafeActVectorEnv(8, "easy", autoreset_mode="SameStep"), SMALL, 0)
    config = learner.config
    batch = learner._play()
    assert len(batch.action) == config.envs * config.horizon
    with torch.no_grad():
        policy, values = learner.net.policy(batch.rows, batch.job, batch.mask, learner.explore)
        assert torch.allclose(policy.log_prob(batch.action), batch.logp, atol=1e-4)
    assert torch.allclose(batch.target - batch.advantage, values, atol=1e-4)


def test_a_run_is_the_same_every_time() -> None:
    def weights() -> Any:
        learner = Learner(SafeActVectorEnv(8, "easy", autoreset_mode="SameStep"), SMALL, 5)
        assert list(learner.updates()) == [128, 256, 384, 512]
        return torch.cat([part.flatten() for part in learner.net.parameters()])

    assert torch.equal(weights(), weights())


def test_a_learner_needs_episodes_that_restart_at_once() -> None:
    with pytest.raises(ValueError, match="restart episodes"):
        Learner(SafeActVectorEnv(8), SMALL, 0)


def test_training_makes_fewer_mistakes() -> None:
    config = Config(steps=24_576, envs=32, horizon=16)
    env: Any = SafeActVectorEnv(config.envs, "easy", autoreset_mode="SameStep")
    learner = Learner(env, config, 0)
    rates = []
    for _ in range(2):
        episodes = train_ppo.play_all(learner.net, env.encoder, "test", range(40), drawn=True)
        rates.append(np.mean([one.outcome == "irreversible_mistake" for one in episodes]))
        list(learner.updates())
    assert rates[0] > 0.8
    assert rates[1] < rates[0] / 2


def test_runs_are_recorded_once_and_tabled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--task", "easy", "--clues", "names", "--seeds", "0-1", "--steps", "2048"]
    assert train_ppo.main([*arguments, "--out", str(tmp_path)]) == 0
    assert "names easy 0: {'played': 0" in capsys.readouterr().out
    first, second = ppo_table.trained(tmp_path)
    assert first.run == {"task": "easy", "seed": 0, "clues": "names"}
    assert second.versions["torch"] == torch.__version__
    assert [point["played"] for point in first.points] == [0, 2048]
    assert len(first.points[-1]["episodes"]) == 200
    assert first.points[-1]["grade"] == pytest.approx(
        np.mean([score for score, *_ in first.points[-1]["episodes"]]), abs=1e-6
    )
    assert "| `easy` | look-alikes by name only | 2 | 2,048 |" in ppo_table.ppo_table(tmp_path)
    assert train_ppo.main([*arguments, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""
    assert json.dumps(first.config)


def test_the_examples_of_the_chapter_run(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("PPO rollout"):
        exec(compile(block, "TECHNICAL", "exec"), {})
    assert capsys.readouterr().out.startswith("128 ")
