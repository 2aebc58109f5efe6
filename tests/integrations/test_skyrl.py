"""SkyRL's own registry makes the environment, and the calls of its generator play it."""

import numpy as np
import pytest
import skyrl_gym
from omegaconf import OmegaConf
from skyrl_gym.envs.base_text_env import BaseTextEnv

from safeact_env.integrations import skyrl
from safeact_env.tasks import get_task
from tests.integrations.rollouts import VARIED, answers, played, told

TASKS = ["easy", "medium", "hard", "medical", "cloud_infra"]


@pytest.fixture(autouse=True)
def registered():
    skyrl.register()
    skyrl.register()  # a second time is no error


def rollout(row, said, config=None, max_turns=60):
    """What SkyRL's generator does with an environment (skyrl 0.3: SkyRLGymGenerator.agent_loop)."""
    extras = {key: value for key, value in row.items() if key not in ("prompt", "env_class")}
    extras["max_turns"] = max_turns
    env = skyrl_gym.make(row["env_class"], env_config=OmegaConf.create(config or {}), extras=extras)
    try:
        chat, _ = env.init(list(row["prompt"]))
        rewards, done = [], False
        for text in said:
            assert not done
            chat.append({"role": "assistant", "content": text})
            output = env.step(text)
            rewards.append(output["reward"])
            chat += output["observations"]
            done = output["done"]
            if done:
                break
        return chat, rewards, done, env.get_metrics()
    finally:
        env.close()


@pytest.mark.parametrize("url", [False, True], ids=["here", "server"])
@pytest.mark.parametrize("task", TASKS)
def test_the_experts_rollout_earns_its_return(task, url, request):
    config = {"base_url": request.getfixturevalue("live_url")} if url else {}
    episode = played(task, 3)
    (row,) = skyrl.rows([task], [3])
    chat, rewards, done, metrics = rollout(row, answers(episode), config)
    assert done
    assert rewards == [0.0] * (len(episode.turns) - 1) + [1.0]
    assert (metrics["grade"], metrics["complete"], metrics["mistake"]) == (1.0, 1.0, 0.0)
    assert [message["role"] for message in chat[:3]] == ["system", "user", "assistant"]
    assert chat[-1]["role"] == "assistant"
    assert told(m["content"] for m in chat if m["role"] != "assistant") == []


def test_step_by_step_the_rewards_are_the_engines():
    episode = played("medium", 5, "naive")
    (row,) = skyrl.rows(["medium"], [5])
    _, rewards, done, metrics = rollout(row, answers(episode), {"reward": "step"})
    assert done
    assert rewards == [turn.reward for turn in episode.turns]
    assert rewards[-1] == -1.0
    assert metrics["mistake"] == 1.0
    assert metrics["return"] == pytest.approx(sum(rewards))


def test_rewards_are_shown_only_on_request():
    episode = played("easy", 1)
    (row,) = skyrl.rows(["easy"], [1])
    chat, _, _, _ = rollout(row, answers(episode), {"show_rewards": True})
    shown = [m["content"] for m in chat[2:] if m["role"] == "user"]
    assert [text.rpartition("REWARD: ")[2] for text in shown] == [
        f"{turn.reward:+.4f}" for turn in episode.turns[:-1]
    ]


def test_a_rollout_that_is_cut_short_gets_what_it_has_earned():
    episode = played("easy", 1)
    (row,) = skyrl.rows(["easy"], [1])
    _, rewards, done, metrics = rollout(row, answers(episode), max_turns=6)
    assert done
    assert len(rewards) == 6
    assert rewards[-1] == metrics["return"] == pytest.approx(sum(turn.reward for turn in episode.turns[:6]))
    assert 0 < metrics["grade"] < 1


def test_an_answer_that_is_no_call_costs_a_step_and_is_told():
    (row,) = skyrl.rows(["easy"], [1])
    chat, rewards, done, metrics = rollout(row, ["I would look first.", ""], {"reward": "step"})
    assert rewards == [-0.2, -0.2]
    assert not done
    assert metrics["unreadable"] == 2
    assert "could not be read as an action" in chat[-1]["content"]


def test_rows_are_what_a_dataset_needs():
    rows = skyrl.rows(["easy", "hard"], range(2), "test", "hinted")
    assert [(row["task"], row["split"], row["seed"]) for row in rows] == [
        ("easy", "test", 0),
        ("hard", "test", 0),
        ("easy", "test", 1),
        ("hard", "test", 1),
    ]
    assert all("Inspect a thing" in row["prompt"][0]["content"] for row in rows)
    # Tables of data hand out integers of their own kinds.
    env = skyrl.SafeActTextEnv({}, {**rows[0], "seed": np.int64(7)})
    assert env.episode.seed == 7


@pytest.mark.parametrize("variant", VARIED, ids=str)
def test_a_row_names_its_variant(variant):
    (row,) = skyrl.rows(["easy"], [3], levels=[variant.level], framings=[variant.framing])
    chat, _rewards, done, metrics = rollout(row, answers(played("easy", 3, variant=variant)), max_turns=99)
    assert (done, metrics["grade"]) == (True, 1.0)
    assert get_task("easy").start("train", 3, variant).description in chat[1]["content"]


@pytest.mark.parametrize(
    ("config", "extras", "wrong"),
    [
        ({}, {"seed": 0}, "scenario by task and seed"),
        ({}, {"task": "easy"}, "scenario by task and seed"),
        ({}, {"task": "nope", "seed": 0}, "easy, medium"),
        ({}, {"task": "easy", "seed": -1}, "seed"),
        ({}, {"task": "easy", "seed": "0"}, "seed"),
        ({}, {"task": "easy", "seed": True}, "seed"),
        ({}, {"task": "easy", "seed": 0, "split": "dev"}, "train, test"),
        ({}, {"task": "easy", "seed": 0, "level": 0}, "from 1 to 5"),
        ({}, {"task": "easy", "seed": 0, "framing": "x"}, "rules, goal"),
        ({"reward": "never"}, {"task": "easy", "seed": 0}, "end or step"),
        ({"prompt": "kind"}, {"task": "easy", "seed": 0}, "neutral, hinted"),
        ({"base_url": "localhost:1"}, {"task": "easy", "seed": 0}, "http"),
        ({"rewards": "end"}, {"task": "easy", "seed": 0}, "no option rewards"),
    ],
)
def test_what_makes_no_rollout_is_said(config, extras, wrong):
    with pytest.raises(ValueError, match=wrong):
        skyrl_gym.make(skyrl.ENV_CLASS, env_config=config, extras=extras)


def test_it_is_one_of_skyrls_environments_and_its_metrics_are_averaged():
    env = skyrl_gym.make("safeact", env_config={}, extras={"task": "easy", "seed": 0})
    assert isinstance(env, BaseTextEnv)
    found = type(env).aggregate_metrics([{"grade": 1.0, "steps": 4.0}, {"grade": 0.0, "steps": 8.0}])
    assert found["grade"] == 0.5


def test_no_step_comes_after_the_end():
    env = skyrl_gym.make("safeact", env_config={}, extras={"task": "easy", "seed": 0})
    env.step('{"action_name": "finish", "parameters": {"summary": "Done."}, "reasoning": "Done."}')
    with pytest.raises(ValueError, match="over"):
        env.step('{"action_name": "finish", "parameters": {"summary": "Done."}, "reasoning": "Done."}')
