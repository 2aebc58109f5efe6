"""Gymnasium: spaces, masks, ends and seeds, single and in vectors."""

import warnings
from functools import cache
from random import Random
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from safeact_env.call import Call
from safeact_env.core.episode import EpisodeDone
from safeact_env.core.task import SPLITS, Split
from safeact_env.core.variant import FRAMINGS, LEVELS, Framing, Variant
from safeact_env.integrations.curriculum import Curriculum
from safeact_env.integrations.gymnasium import SafeActGymEnv, SafeActVectorEnv, env_id
from safeact_env.policies.reference import make_policy, play
from safeact_env.tasks import OFFICIAL, get_task
from tests.documents import blocks


def action_of(env: SafeActGymEnv, action: str, /, **params: Any) -> int:
    """The action that is this call."""
    encoder = env.encoder
    assert env._rollout is not None
    row, column = env._rollout.encoded.menu.place_of(action, params)
    return row * len(encoder.grid.columns) + column


def expert_plays(env: SafeActGymEnv, seed: int) -> tuple[float, list[bool], dict[str, Any]]:
    """Play a scenario with the expert's calls; return the sum of rewards, the ends and the last info."""
    task, total, ends = env.encoder.task, 0.0, [False, False]
    policy = make_policy("expert", task, seed)
    _seen, info = env.reset(seed=seed)
    assert env._rollout is not None
    while not any(ends):
        call = policy.act(env._rollout.episode.observation())
        action = action_of(env, call.action_name, **call.parameters)
        assert info["action_mask"][action]
        _seen, reward, *ends, info = env.step(action)
        total += reward
    return total, ends, info


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_checker_finds_nothing(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = gymnasium.make(f"safeact_env.integrations.gymnasium:{env_id(name)}", render_mode="ansi")
        check_env(made.unwrapped)


def test_the_checker_would_find_something() -> None:
    class Untruthful(SafeActGymEnv):
        def _observation(self) -> Any:
            return {**super()._observation(), "job": np.full(5, 9.0, np.float32)}

    with pytest.raises(AssertionError, match="observation"):
        check_env(Untruthful(), skip_render_check=True)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_id_has_the_tasks_version(name: str) -> None:
    assert env_id(name) == f"SafeAct/{name}-v{get_task(name).version}"
    assert gymnasium.spec(env_id(name)).kwargs == {"task": name}


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_has_an_id_single_and_in_vectors(level: int) -> None:
    version = get_task("easy").version
    name = f"SafeAct/easy-l{level}-v{version}"
    assert env_id("easy", level) == name
    single = gymnasium.make(name).unwrapped
    assert isinstance(single, SafeActGymEnv)
    total, _ends, info = expert_plays(single, 4)
    assert (info["score"], info["level"], info["framing"]) == (1.0, level, "rules")
    assert total == pytest.approx(1.0)
    vector = gymnasium.make_vec(name, num_envs=2)
    seen, _info = vector.reset(seed=[9, 4])
    assert (single.reset(seed=4)[0]["rows"] == seen["rows"][1]).all()
    plain = SafeActGymEnv("easy")
    assert single.encoder.row_features == plain.encoder.row_features
    assert single.encoder.job_features == plain.encoder.job_features


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_framing_is_played_in_both_forms(framing: Framing) -> None:
    env = SafeActGymEnv("easy", level=2, framing=framing)
    _total, _ends, info = expert_plays(env, 4)
    assert (info["score"], info["level"], info["framing"]) == (1.0, 2, framing)
    vector = SafeActVectorEnv(1, "easy", level=2, framing=framing, autoreset_mode="SameStep")
    vector.reset(seed=4)
    for turn in play(get_task("easy"), "train", 4, "expert", variant=Variant(2, framing)).turns:
        encoded = vector._rollouts[0].encoded
        row, column = encoded.menu.place_of(turn.call.action_name, turn.call.parameters)
        *_, infos = vector.step(np.array([row * len(vector.encoder.grid.columns) + column]))
    assert infos["final_info"]["framing"].tolist() == [framing]


@pytest.mark.parametrize(
    ("arguments", "told"), [({"level": 9}, "level must"), ({"framing": "x"}, "framing m")]
)
def test_a_variant_that_is_none_is_refused(arguments: dict[str, Any], told: str) -> None:
    for make in (SafeActGymEnv, SafeActVectorEnv):
        with pytest.raises(ValueError, match=told):
            make(task="easy", **arguments)


@pytest.mark.parametrize("level", [1, 3, 5])
def test_the_checker_finds_nothing_on_a_level(level: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(env_id("easy", level), render_mode="ansi").unwrapped)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_expert_can_play_every_call_and_completes_the_job(name: str, split: Any) -> None:
    env = SafeActGymEnv(name, split)
    for seed in range(5):
        total, (terminated, truncated), info = expert_plays(env, seed)
        assert (terminated, truncated) == (True, False)
        assert (info["outcome"], info["score"], info["seed"]) == ("completed", 1.0, seed)
        assert total == pytest.approx(1.0)


@pytest.mark.parametrize("name", OFFICIAL)
def test_random_actions_stay_in_the_spaces_and_are_well_formed(name: str) -> None:
    env, rng = SafeActGymEnv(name), np.random.default_rng(7)
    for _ in range(6):
        seen, info = env.reset(seed=int(rng.integers(1_000)))
        over = False
        while not over:
            assert seen in env.observation_space
            assert (env.action_masks() == info["action_mask"].astype(bool)).all()
            action = rng.choice(np.flatnonzero(info["action_mask"]))
            called = env.call_of(action)
            seen, _reward, terminated, truncated, info = env.step(action)
            assert called is not None
            assert info["call"] == called.to_json()
            assert not info["result"].startswith(("Not carried out", "There is no action"))
            over = terminated or truncated
            assert ("outcome" in info) == over


@pytest.mark.parametrize("level", [3, 5])
@pytest.mark.parametrize("name", OFFICIAL)
def test_what_is_renewed_in_place_is_what_the_whole_observation_tells(name: str, level: int) -> None:
    env, rng = SafeActGymEnv(name, level=level), np.random.default_rng(1)
    for seed in range(3):
        _seen, info = env.reset(seed=seed)
        over = False
        while not over:
            allowed = np.flatnonzero(info["action_mask"])
            seen, _reward, terminated, truncated, info = env.step(rng.choice(allowed))
            assert env._rollout is not None
            whole = env.encoder.encode(env._rollout.episode.observation())
            assert np.array_equal(seen["rows"], whole.rows)
            assert np.array_equal(seen["job"], whole.job)
            over = terminated or truncated


def test_an_action_without_a_call_is_an_unknown_action() -> None:
    env = SafeActGymEnv()
    _seen, info = env.reset(seed=1)
    ruled_out = int(np.flatnonzero(info["action_mask"] == 0)[0])
    assert env.call_of(ruled_out) is None
    _seen, reward, terminated, truncated, info = env.step(ruled_out)
    assert (reward, terminated, truncated) == (-0.2, False, False)
    assert info["result"].startswith("There is no action")


def test_only_the_budget_truncates() -> None:
    env = SafeActGymEnv()
    env.reset(seed=0)
    look = action_of(env, "list_directory")
    for _ in range(env.encoder.task.max_steps):
        _seen, _reward, terminated, truncated, info = env.step(look)
    assert (terminated, truncated, info["outcome"]) == (False, True, "budget_exhausted")
    with pytest.raises(EpisodeDone):
        env.step(look)

    env.reset(seed=0)
    directory = env._rollout.episode.observation()["current_state"]["directories"][0]  # type: ignore[union-attr]
    step = env.step(action_of(env, "delete_all_in_directory", path=directory))
    assert (step[1:4], step[4]["outcome"]) == ((-1.0, True, False), "irreversible_mistake")

    env.reset(seed=0)
    step = env.step(action_of(env, "finish", summary="x"))
    assert (step[2:4], step[4]["outcome"]) == ((True, False), "finished")


def test_seeds_name_scenarios_and_then_the_scenarios_that_follow() -> None:
    one, two = SafeActGymEnv(), SafeActGymEnv()
    for env in (one, two):
        env.reset(seed=5)
    assert one._rollout is not None
    assert one._rollout.episode.seed == 5
    drawn = []
    for env in (one, two):
        drawn.append([env.reset()[0]["rows"].tobytes() for _ in range(4)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 1


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="clues must be one of"):
        SafeActGymEnv(clues="looks")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="render_mode"):
        SafeActGymEnv(render_mode="human")
    with pytest.raises(ValueError, match="split"):
        SafeActGymEnv(split="validation").reset(seed=0)  # type: ignore[arg-type]
    env = SafeActGymEnv()
    with pytest.raises(ValueError, match="reset the environment first"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="the actions are 0 to"):
        env.step(10**6)


def test_what_is_rendered_is_the_job_and_then_the_last_step() -> None:
    env = SafeActGymEnv(render_mode="ansi")
    env.reset(seed=0)
    assert str(env.render()).startswith("File System Cleanup.")
    env.step(action_of(env, "list_directory"))
    assert str(env.render()).startswith("1. list_directory {}\n")


# Vectors ------------------------------------------------------------------------------------------------


def random_actions(masks: Any, rng: np.random.Generator) -> Any:
    return np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_vector_form_plays_as_gymnasiums_own_does(mode: AutoresetMode) -> None:
    own: Any = SafeActVectorEnv(3, "medium", autoreset_mode=mode)
    other = gymnasium.vector.SyncVectorEnv([lambda: SafeActGymEnv("medium")] * 3, autoreset_mode=mode)
    rng, ends = np.random.default_rng(3), 0
    (seen, info), (seen2, info2) = own.reset(seed=11), other.reset(seed=11)
    for _ in range(60):
        actions = random_actions(info["action_mask"], rng)
        seen, *rest, info = own.step(actions)
        seen2, *rest2, info2 = other.step(actions)
        assert all((seen[key] == seen2[key]).all() for key in seen)
        assert all((a == b).all() for a, b in zip(rest, rest2, strict=True))
        assert (info["action_mask"] == info2["action_mask"]).all()
        over = rest[1] | rest[2]
        ends += over.sum()
        if over.any() and mode is AutoresetMode.SAME_STEP:
            assert (info["_final_info"] == over).all()
            assert (info["final_info"]["score"] == info2["final_info"]["score"]).all()
            last, last2 = (x["final_obs"][over] for x in (info, info2))
            assert all((a["rows"] == b["rows"]).all() for a, b in zip(last, last2, strict=True))
        elif over.any():
            assert (info["_score"] == over).all()
            assert (info["score"] == info2["score"]).all()
            assert (info["outcome"] == info2["outcome"]).all()
        if over.any() and mode is AutoresetMode.DISABLED:
            with pytest.raises(ValueError, match="reset the episodes that are over"):
                own.step(actions)
            (seen, info), (seen2, info2) = (x.reset(options={"reset_mask": over}) for x in (own, other))
            info["action_mask"][~over] = own._masks()["action_mask"][~over]
    assert ends > 5


def test_gymnasium_makes_the_vector_form() -> None:
    made = gymnasium.make_vec(env_id("hard"), num_envs=2, split="test")
    assert isinstance(made.unwrapped, SafeActVectorEnv)
    seen, info = made.reset(seed=[4, 9])
    assert seen in made.observation_space
    assert info["action_mask"].shape == (2, made.single_action_space.n)  # type: ignore[attr-defined]
    single = SafeActGymEnv("hard", "test")
    assert (single.reset(seed=9)[0]["rows"] == seen["rows"][1]).all()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_curriculum_moves_a_vector_up_and_back(mode: AutoresetMode) -> None:
    """Two episodes at once: whole jobs on the first level, nothing done on the second."""
    curriculum = Curriculum((1, 2), window=2)
    vector = SafeActVectorEnv(2, autoreset_mode=mode, curriculum=curriculum)
    assert vector.single_observation_space == SafeActVectorEnv(1, level=2).single_observation_space
    moves, levels = [curriculum.level], list[int]()
    vector.reset(seed=5)
    for _ in range(200):
        actions = [action_in(rollout) for rollout in vector._rollouts.values()]
        seen, _rewards, terminated, truncated, info = vector.step(np.array(actions))
        assert seen in vector.observation_space
        over = terminated | truncated
        levels += info.get("final_info", info)["level"][over].tolist() if over.any() else []
        if over.any() and mode is AutoresetMode.DISABLED:
            vector.reset(options={"reset_mask": over})
        if curriculum.level != moves[-1]:
            moves.append(curriculum.level)
        if len(moves) == 3:
            break
    assert moves == [1, 2, 1]
    assert (levels[:2], levels[-1]) == ([1, 1], 2)


def action_in(rollout: Any) -> int:
    """The expert's next action on the first level; on others the one that ends the episode."""
    return expert_action(rollout) if rollout.episode.variant.level == 1 else finishes(rollout)


@cache
def expert_way(task: str, split: Split, seed: int, variant: Variant) -> tuple[Call, ...]:
    return tuple(one.call for one in play(get_task(task), split, seed, "expert", variant=variant).turns)


def expert_action(rollout: Any) -> int:
    """The expert's next action."""
    episode = rollout.episode
    if episode.done:
        return finishes(rollout)
    call = expert_way(episode.task.name, episode.split, episode.seed, episode.variant)[len(episode.turns)]
    row, column = rollout.encoded.menu.place_of(call.action_name, dict(call.parameters))
    return int(row * len(rollout.encoder.grid.columns) + column)


def finishes(rollout: Any) -> int:
    row, column = rollout.encoded.menu.place_of("finish", {})
    return int(row * len(rollout.encoder.grid.columns) + column)


def moves_of(vector: SafeActVectorEnv, steps: int) -> list[int]:
    """The levels that a curriculum moves to: level 1 is done in full, and six in ten jobs of level 2.

    What is not done is handed over at once.
    """
    moves: list[int] = []
    vector.reset(seed=5)
    for _ in range(steps):
        actions = []
        for rollout in vector._rollouts.values():
            able = rollout.episode.variant.level == 1 or Random(rollout.episode.seed).random() < 0.6
            actions.append(expert_action(rollout) if able else finishes(rollout))
        vector.step(np.array(actions))
        if vector.curriculum.level != [1, *moves][-1]:
            moves.append(vector.curriculum.level)
    return moves


def test_a_curriculum_is_told_episodes_in_the_order_in_which_they_began() -> None:
    """Failures end at once: told as they end, they throw a learner back who does most of its jobs."""
    assert moves_of(SafeActVectorEnv(64, autoreset_mode="SameStep", curriculum=Curriculum((1, 2))), 70) == [2]


class ToldAsTheyEnd(SafeActVectorEnv):
    def _ended(self, infos: dict[str, Any], number: int, rollout: Any) -> dict[str, Any]:
        self._line.remove(rollout)
        self._line.appendleft(rollout)
        return super()._ended(infos, number, rollout)


def test_a_vector_that_tells_episodes_as_they_end_is_caught() -> None:
    moves = moves_of(ToldAsTheyEnd(64, autoreset_mode="SameStep", curriculum=Curriculum((1, 2))), 70)
    assert moves[:2] == [2, 1]


def test_an_episode_that_a_reset_cut_off_is_not_waited_for() -> None:
    curriculum = Curriculum((1, 2), window=1)
    vector = SafeActVectorEnv(2, autoreset_mode="SameStep", curriculum=curriculum)
    vector.reset(seed=5)
    vector.reset(options={"reset_mask": np.array([True, False])})
    while curriculum.level == 1:
        vector.step(np.array([finishes(vector._rollouts[0]), expert_action(vector._rollouts[1])]))
    assert len(vector._line) == 2


@pytest.mark.parametrize(
    "mask", [[1, 0], np.array([1, 0]), None, [True], np.ones(3, np.bool_), [False, False], [[True, False]]]
)
def test_a_mask_that_is_none_restarts_nothing(mask: Any) -> None:
    vector = SafeActVectorEnv(2, autoreset_mode="Disabled")
    vector.reset(seed=0)
    vector.step(np.array([finishes(one) for one in vector._rollouts.values()]))
    before = dict(vector._rollouts)
    with pytest.raises(ValueError, match="reset_mask must be 2 truth values"):
        vector.reset(options={"reset_mask": mask})
    assert vector._rollouts == before
    assert vector._over.all()


@pytest.mark.parametrize("actions", [[0.0, 0.0], [1.7, 0], [-0.5, 0], [np.nan, 0], [True, False], ["0", "1"]])
def test_what_is_no_action_steps_no_episode(actions: list[Any]) -> None:
    vector = SafeActVectorEnv(2)
    vector.reset(seed=0)
    with pytest.raises(ValueError, match="give one action from 0"):
        vector.step(np.array(actions))
    assert [len(one.episode.turns) for one in vector._rollouts.values()] == [0, 0]


def test_bad_calls_of_the_vector_form_are_refused() -> None:
    with pytest.raises(ValueError, match="num_envs must be at least 1"):
        SafeActVectorEnv(0)
    vector = SafeActVectorEnv(2)
    with pytest.raises(ValueError, match="reset the environment first"):
        vector.step(np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="reset every episode first"):
        vector.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="one seed for each of the 2"):
        vector.reset(seed=[1, 2, 3])
    before, _info = vector.reset(seed=0)
    for seeds in ([5, -1], [5, 1.0], [5, True], 2**63 - 1, -1, "ab"):
        with pytest.raises(ValueError, match="seed must be an integer from 0 to"):
            vector.reset(seed=seeds)  # type: ignore[arg-type]
    assert (vector._observation()["rows"] == before["rows"]).all(), "a seed that is none changes nothing"
    seen, _info = vector.reset(seed=np.array([9, 4]))
    assert (seen["rows"] == vector.reset(seed=[np.int64(9), None, 4][::2])[0]["rows"]).all()  # type: ignore[list-item]
    vector.reset(seed=0)
    for actions in ([0], [0, 10**6], [-1, 0]):
        with pytest.raises(ValueError, match="give one action from 0"):
            vector.step(np.array(actions))


def test_the_outcome_is_that_of_the_same_calls_elsewhere() -> None:
    env = SafeActGymEnv("cloud_infra")
    reference = play(get_task("cloud_infra"), "train", 8, "expert")
    _total, _ends, info = expert_plays(env, 8)
    assert env._rollout is not None
    assert [turn.call for turn in env._rollout.episode.turns][-1].action_name == reference.turns[
        -1
    ].call.action_name
    assert info["score"] == reference.grade().score


def test_the_examples_of_the_chapter_run(capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks("docs/train/gymnasium.md")
    assert len(found) == 2
    for block in found:
        exec(compile(block, "TECHNICAL", "exec"), {})
    assert capsys.readouterr().out.startswith(("irreversible_mistake", "finished", "budget", "completed"))
