"""Episodes in words, and the forms that libraries without a release of their own expect of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from safeact_env.call import Call
from safeact_env.client import merge
from safeact_env.core.episode import Episode
from safeact_env.core.report import report
from safeact_env.core.variant import Variant
from safeact_env.integrations.openenv_class import SilentEnvironment
from safeact_env.integrations.text import (
    Running,
    TextEpisode,
    checked,
    scenario_columns,
    scenario_in,
    token_headers,
)
from safeact_env.integrations.torchforge import SafeActForgeEnv
from safeact_env.models import SafeActAction
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.tasks import get_task
from tests.integrations.rollouts import VARIED, answers, played, serving, told

TASKS = ["easy", "medium", "hard", "medical", "cloud_infra"]


@pytest.fixture(params=[False, True], ids=["here", "server"])
def url(request):
    """None, or a server to play on."""
    return request.getfixturevalue("live_url") if request.param else None


# Episodes in words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["expert", "naive"])
@pytest.mark.parametrize("task", TASKS)
def test_an_episode_in_words_is_the_engines(task, policy, url):
    right = played(task, 8, policy)
    episode = TextEpisode(task, "train", 8, base_url=url)
    said = [message["content"] for message in episode.opening()]
    replies = [episode.say(text) for text in answers(right)]
    assert [reply.reward for reply in replies] == [turn.reward for turn in right.turns]
    assert [reply.text.partition("\n")[0] for reply in replies] == [
        f"RESULT: {turn.result}".partition("\n")[0] for turn in right.turns
    ]
    assert [reply.done for reply in replies] == [False] * (len(replies) - 1) + [True]
    assert told([*said, *(reply.text for reply in replies)]) == []
    assert episode.grade() == right.grade()
    assert episode.total == right.grade().total
    assert episode.report() == report(right)
    assert episode.metrics()["mistake"] == float(policy == "naive")
    episode.close()
    episode.close()


def test_predictions_are_kept_beside_the_calls_and_the_environment_gets_none(url):
    episode = played("easy", 3)
    plain = TextEpisode("easy", "train", 3, base_url=url)
    asking = TextEpisode("easy", "train", 3, base_url=url, predict=True)
    assert "undo_chance" in asking.system
    assert "undo_chance" not in plain.system
    said = []
    for number, turn in enumerate(episode.turns):
        said.append((number, "unreadable", None)[number % 3])
        value = {0: {"undo_chance": number}, 1: {"undo_chance": "some"}, 2: {}}[number % 3]
        answer = turn.call.to_json()
        assert asking.say(json.dumps({**answer, **value})) == plain.say(json.dumps(answer))
    assert (asking.predictions, plain.predictions) == (said, None)
    assert asking.calls == plain.calls == [turn.call for turn in episode.turns]
    for one in (asking, plain):
        one.close()


def test_a_planted_reward_is_noticed():
    right = played("easy", 8)
    episode = TextEpisode("easy", "train", 8, show_rewards=True)
    reply = episode.say(next(answers(right)))
    assert told([reply.text]) == ["REWARD"]
    assert told([json.dumps(report(right))])


def test_risk_classes_are_not_told_before_the_end():
    episode = TextEpisode("easy", "train", 0)
    with pytest.raises(Running, match="after the end"):
        episode.report()
    episode.step(Call("list_directory", {}, "Look."))
    with pytest.raises(Running, match="after the end"):
        episode.report()
    assert episode.grade().outcome is None


def test_an_answer_that_is_no_call_costs_a_step_and_says_why():
    episode = TextEpisode("easy", "train", 0)
    reply = episode.say("I would look.")
    assert reply.reward == -0.2
    assert reply.text.startswith("Your answer could not be read as an action: it holds no JSON object")
    assert "cut off" in episode.say("", cut=True).text
    assert episode.metrics()["unreadable"] == 2


def test_nothing_comes_after_the_end(url):
    episode = TextEpisode("easy", "train", 0, base_url=url)
    episode.step(Call("finish", {"summary": "Nothing."}, "Done."))
    with pytest.raises(ValueError, match="over"):
        episode.say("{}")
    assert len(episode.calls) == 1


def test_a_token_of_the_environment_is_sent(monkeypatch):
    app, seen = create_app(Settings()), set()

    async def watched(scope, receive, send):
        seen.update(
            dict(scope.get("headers", [])).get(b"authorization", b"none") for _ in scope.get("path", "")
        )
        await app(scope, receive, send)

    with serving(watched) as port:
        for token, sent in (("", b"none"), ("a-planted-token", b"Bearer a-planted-token")):
            monkeypatch.setenv("SAFEACT_API_TOKEN", token)
            url = f"http://127.0.0.1:{port}"
            episode = TextEpisode("easy", "train", 0, base_url=url, headers=token_headers())
            assert episode.start() == TextEpisode("easy", "train", 0).start()
            episode.close()
            assert seen == {sent}
            seen.clear()


@pytest.mark.parametrize("variant", VARIED, ids=str)
def test_a_variant_is_played_here_and_on_a_server_alike(variant, url):
    whole = played("easy", 3, variant=variant)
    episode = TextEpisode("easy", "train", 3, variant.level, variant.framing, base_url=url)
    shown = [episode.observation, *(episode.step(turn.call) for turn in whole.turns)]
    episode.close()
    again = Episode(get_task("easy"), "train", 3, variant=variant)
    assert shown[0] == again.observation()
    assert shown[-1] == whole.observation()
    assert episode.grade() == whole.grade()
    assert episode.report()["level"] == variant.level
    assert shown[-1]["metadata"].items() >= variant.to_json().items()


def test_rows_mix_levels_and_framings_and_name_them():
    columns = list(scenario_columns(["easy"], [7, 8], "test", (1, 2, 3), ("rules", "goal")))
    assert [tuple(one.values()) for one in columns] == [
        ("easy", "test", seed, level, framing)
        for seed in (7, 8)
        for level in (1, 2, 3)
        for framing in ("rules", "goal")
    ]
    for one in (*columns, {"task": "easy", "seed": 7}):
        episode = TextEpisode(*scenario_in(one))
        assert episode.variant == Variant.of(one)
    with pytest.raises(ValueError, match="level must be an integer from 1 to 5"):
        list(scenario_columns(["easy"], [7], "test", (0,), ("rules",)))


@pytest.mark.parametrize(
    ("level", "framing", "wrong"),
    [
        *((level, "rules", "level must be an integer from 1 to 5") for level in (0, 6, "1", 1.0, True, None)),
        *(
            (3, framing, "framing must be one of rules, goal, h")
            for framing in ("Goal", "", None, 3, ["goal"])
        ),
    ],
)
def test_what_is_no_variant_is_said(level, framing, wrong):
    with pytest.raises(ValueError, match=wrong):
        TextEpisode("easy", "train", 0, level, framing)
    with pytest.raises(ValueError, match=wrong):
        SafeActForgeEnv(None, "easy", level=level, framing=framing)
    with pytest.raises(ValueError, match=wrong):
        SilentEnvironment().reset("easy", level=level, framing=framing)


def test_a_variant_that_the_task_lacks_is_said(monkeypatch):
    few = replace(get_task("easy"), levels={3: get_task("easy").levels[3]})
    monkeypatch.setattr("safeact_env.integrations.text.get_task", lambda _name: few)
    with pytest.raises(ValueError, match="easy has no level 1; it has 3"):
        TextEpisode("easy", "train", 0, 1)


def test_integers_of_a_data_table_are_levels():
    assert TextEpisode("easy", "train", np.int64(3), np.int64(1)).variant == Variant(1)


@pytest.mark.parametrize(
    ("task", "split", "seed", "wrong"),
    [
        ("nope", "train", 0, "easy"),
        (["easy"], "train", 0, "easy"),
        (None, "train", 0, "easy"),
        ("easy", "dev", 0, "train, test"),
        ("easy", None, 0, "train, test"),
        ("easy", "train", -1, "from 0 to"),
        ("easy", "train", 2**63, "from 0 to"),
        ("easy", "train", 1.0, "integer"),
        ("easy", "train", "1", "integer"),
        ("easy", "train", True, "integer"),
        ("easy", "train", None, "integer"),
    ],
)
def test_what_is_no_scenario_is_said(task, split, seed, wrong):
    with pytest.raises(ValueError, match=wrong):
        checked(task, split, seed)
    with pytest.raises(ValueError, match=wrong):
        TextEpisode(task, split, seed)


# torchforge's rollouts --------------------------------------------------------------------------------------


def rollout(env, said, max_turns):
    """What torchforge (commit 1ef307d) does: `do_single_rollout` of apps/blackjack/main_v2.py."""
    messages = [*env.messages]
    try:
        messages.append({"role": "user", "content": env.reset()})
        final_reward, done, turns = 0.0, False, 0
        result = None
        while not done and turns < max_turns:
            text = next(said)
            messages.append({"role": "assistant", "content": text})
            result = env.step(action_text=text)
            final_reward = result.reward
            done = result.done
            turns += 1
            if not result.done:
                messages.append({"role": "user", "content": result.observation["content"]})
        return messages, final_reward, done, dict(result.metadata)
    finally:
        env.close()


@pytest.mark.parametrize("task", TASKS)
def test_the_last_reward_of_torchforges_rollout_is_the_return(task, url):
    episode = played(task, 2)
    env = SafeActForgeEnv(url, task, seed=2)
    messages, reward, done, metadata = rollout(env, answers(episode), 60)
    assert (reward, done, metadata["grade"]) == (1.0, True, 1.0)
    assert [message["role"] for message in messages[:3]] == ["system", "user", "assistant"]
    assert told(m["content"] for m in messages if m["role"] != "assistant") == []


@pytest.mark.parametrize("variant", VARIED, ids=str)
def test_torchforge_and_the_silent_environment_play_a_variant(variant):
    episode = played("easy", 2, variant=variant)
    named = variant.to_json()
    _, reward, done, _ = rollout(SafeActForgeEnv(None, "easy", seed=2, **named), answers(episode), 99)
    assert (reward, done) == (1.0, True)
    env = SilentEnvironment()
    shown = [env.reset("easy", seed=2, **named)]
    shown += [env.step(SafeActAction(**turn.call.to_json())) for turn in episode.turns]
    assert shown[-1].metadata["score"] == 1.0
    assert shown[-1].metadata.items() >= named.items()


def test_a_rollout_that_is_cut_short_or_fails_gets_what_it_has_earned():
    episode = played("easy", 2)
    _, reward, done, _ = rollout(SafeActForgeEnv(None, "easy", seed=2), answers(episode), 5)
    assert not done
    assert reward == pytest.approx(sum(turn.reward for turn in episode.turns[:5]))
    wrong = played("hard", 2, "naive")
    _, reward, done, metadata = rollout(SafeActForgeEnv(None, "hard", seed=2), answers(wrong), 60)
    assert (done, metadata["mistake"]) == (True, 1.0)
    assert reward == pytest.approx(sum(turn.reward for turn in wrong.turns))


def test_a_group_starts_alike_and_an_instance_can_be_used_again(url):
    first, second = (SafeActForgeEnv(url, "medium", seed=5) for _ in range(2))
    assert first.reset() == second.reset()
    start = first.step("nothing").observation["content"]
    assert first.reset() == second.reset()
    assert first.step("nothing").observation["content"] == start
    first.close()
    second.close()
    with pytest.raises(ValueError, match="reset first"):
        SafeActForgeEnv(None, "easy").step("{}")


# The class for libraries that make environments themselves --------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_an_observation_of_the_silent_environment_has_its_reward_but_does_not_tell_it(task):
    episode = played(task, 3)
    env = SilentEnvironment()
    shown = [env.reset(task_name=task, seed=3)]
    shown += [env.step(SafeActAction(**turn.call.to_json())) for turn in episode.turns]
    assert [one.reward for one in shown] == [0.0, *(turn.reward for turn in episode.turns)]
    assert not any("reward" in one.model_dump() for one in shown)
    assert shown[-1].done
    with pytest.raises(ValueError, match="over"):
        env.step(SafeActAction(**episode.turns[0].call.to_json()))
    env.close()
    with pytest.raises(ValueError, match="reset first"):
        env.step(SafeActAction(**episode.turns[0].call.to_json()))


@pytest.mark.parametrize("task", TASKS)
def test_the_silent_environment_hands_a_model_what_a_step_changed(task):
    episode = played(task, 3)
    env, full = SilentEnvironment(), SilentEnvironment()
    before = full.reset(task_name=task, seed=3, view="full").model_dump()
    assert env.reset(task_name=task, seed=3).model_dump() == before
    for turn in episode.turns:
        action = SafeActAction(**turn.call.to_json())
        shown, after = env.step(action).model_dump(), full.step(action).model_dump()
        # An empty list of actions would tell a model that there are none.
        assert after.keys() - shown.keys() == {"task_description", "available_actions"}
        assert shown["action_history"] == after["action_history"][-1:]
        named = {"task_description": "", "available_actions": []}
        state = merge(before, {**shown, **named})["current_state"]
        assert state == after["current_state"]
        before = after
    with pytest.raises(ValueError, match="full or changes"):
        env.reset(view="all")


def test_the_silent_environment_draws_a_seed_if_none_is_given():
    starts = {json.dumps(SilentEnvironment().reset().model_dump()) for _ in range(4)}
    assert len(starts) > 1
    with pytest.raises(ValueError, match="train, test"):
        SilentEnvironment().reset(split="dev")
