"""What a model is told: versioned, complete, and nothing beside what an agent may know."""

import hashlib
import json

import pytest

from safeact_env import Episode, get_task, play, task_names
from safeact_env.call import Call
from safeact_env.llm import prompts
from safeact_env.llm.call_formats import CALL_FORMATS, Read
from safeact_env.llm.conversation import Conversation
from safeact_env.llm.prompts import PROMPTS, changes, get_prompt, state_lines
from tests.play import unscored
from tests.toy import TOY

TEXTS = {
    ("neutral", "1"): "ec6a4ed14c9c3f097358c903092bca20f744078e907c6b99c3fa600031bcbf36",
    ("hinted", "1"): "0eb36ec94ed4b55db7146fbe9e3ace3220b8b0b8319294544357c713e078be8b",
    ("small", "1"): "f7e39f33eb554a9cd2f8773ce665a6bbe4ab237f949dbc846cf2f1538a507841",
}
"""Hash of the texts of each version of a prompt. A changed text needs a new version: numbers played with one
text must not be taken for another's. The suites name the version they are played with."""

TALKS = {
    ("neutral", "1"): "85f6e4d6ca6b7619e4e723662c08c292bff6c1adab2cf45ec0c27c24b23aa90f",
    ("hinted", "1"): "bc6297f229098634f91daac699cf0687768159fe5d6bc9725a8bee49b572f0bf",
    ("small", "1"): "c0460756fb030b2662e50b21ebbf08cdc51059fdc0f5cce97e19913c248d3159",
}
"""Hash of whole conversations: how observations are shown belongs to the version, too."""


def conversation(prompt, call_format, task, policy="expert", window=10**9):
    """What a model that plays like a policy would have read and said."""
    episode, played = Episode(task, "test", 0), play(task, "test", 0, policy)
    talk = Conversation(get_prompt(prompt), call_format, window, 0)
    talk.begin(episode.observation())
    for turn in played.turns:
        talk.said(Read(turn.call), json.dumps(turn.call.to_json()))
        episode.step(turn.call)
        talk.answer(episode.observation())
    return talk


def talks(prompt):
    made = [
        conversation(prompt, call_format, TOY, policy)
        for call_format in CALL_FORMATS
        for policy in ("expert", "random")
    ]
    whole = [message for talk in made for message in talk.transcript]
    if get_prompt(prompt).room is not None:
        # Not all of it is sent as it is recorded.
        whole += [message for talk in made for message in talk.messages()]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("name", PROMPTS)
def test_a_text_changes_with_its_version_only(name):
    prompt = get_prompt(name)
    assert TEXTS[name, prompt.version] == prompt.sha256, "give the prompt a new version"
    assert TALKS[name, prompt.version] == talks(name), "give every prompt a new version"


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("part", ["system", "tools", "unreadable"])
def test_a_change_to_a_text_changes_the_hash(name, part):
    prompt = get_prompt(name)
    texts = dict(prompt.texts)
    system = prompt.system + " " if part == "system" else prompt.system
    if part != "system":
        texts[part] += " "
    assert prompts.Prompt(name, prompt.version, system, texts).sha256 != prompt.sha256


def test_an_unknown_prompt_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="neutral, hinted, small"):
        get_prompt("friendly")


# What is not in it ------------------------------------------------------------------------------------------

SECRETS = (
    "reward",
    "score",
    "grade",
    "penalt",
    "progress",
    "risk class",
    "irreversible",
    "trap",
    "look-alike",
)


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("call_format", CALL_FORMATS)
@pytest.mark.parametrize("task", task_names())
def test_no_reward_and_no_verdict_is_shown(name, call_format, task):
    for policy in ("expert", "naive", "random"):
        for message in conversation(name, call_format, get_task(task), policy).transcript:
            said = unscored(message["content"]).lower()
            if message["role"] != "assistant":
                assert not [word for word in SECRETS if word in said]


def test_an_observation_that_held_a_reward_would_not_show_it():
    """The twin of the test above: it can fail."""
    observation = Episode(get_task("easy"), "test", 0).observation()
    observation["reward"] = 0.123
    observation["metadata"] = {"score": 0.456}
    shown = get_prompt("neutral").start(observation, "text", omitted=False)
    assert "0.123" not in shown
    assert "0.456" not in shown
    observation["last_action_result"] = "reward 0.123"
    assert "reward" in get_prompt("neutral").start(observation, "text", omitted=False)


@pytest.mark.parametrize("name", ["neutral", "small"])
def test_a_prompt_that_leaves_the_discipline_to_the_model_names_nothing_of_any_task(name):
    text = get_prompt(name).system + " ".join(get_prompt(name).texts.values())
    words = {
        word
        for task in task_names()
        for action in get_task(task).fixed_actions
        if action.name != "finish"
        for word in (action.name, *action.params.types())
    }
    assert not [word for word in words if "_" in word and word in text and word != "action_name"]
    assert "runbook" not in text
    assert "runbook" in get_prompt("hinted").system


# What is in it ----------------------------------------------------------------------------------------------


def leaves(value):
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif value is not None:
        yield json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("task", task_names())
def test_an_observation_is_shown_whole(task):
    played = play(get_task(task), "test", 3, "random")
    episode = Episode(get_task(task), "test", 3)
    for turn in played.turns:
        episode.step(turn.call)
        observation = episode.observation()
        shown = get_prompt("neutral").start(observation, "text", omitted=False)
        for text in (observation["task_description"], observation["last_action_result"]):
            assert text in shown
        assert f"STEPS LEFT: {observation['steps_remaining']}" in shown
        assert not [leaf for leaf in leaves(observation["current_state"]) if leaf not in shown]
        for row in observation["available_actions"]:
            assert f"- {row['name']}(" in shown
            assert row["description"] in shown


def test_actions_are_listed_unless_they_are_sent_as_functions():
    observation = Episode(get_task("easy"), "test", 0).observation()
    shown = {
        call_format: get_prompt("neutral").start(observation, call_format, omitted=False)
        for call_format in CALL_FORMATS
    }
    assert [("ACTIONS" in shown[call_format]) for call_format in CALL_FORMATS] == [False, True, True, True]


def applied(before, lines):
    """A state with changes applied, read from the lines that show them."""
    state = json.loads(json.dumps(before))
    for line in lines:
        head, _, value = line[2:].partition(": ")
        name, _, key = head.partition(", ")
        if key == "no longer there":
            for gone in value.split(", "):
                del state[name][gone]
        elif key:
            state[name].setdefault(key, {}).update(json.loads(value))
        else:
            state[name] = json.loads(value)
    return state


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("policy", ["expert", "random", "naive"])
def test_the_changes_of_a_step_are_all_that_changed(task, policy):
    episode = Episode(get_task(task), "test", 5)
    for turn in play(get_task(task), "test", 5, policy).turns:
        before = episode.observation()["current_state"]
        episode.step(turn.call)
        after = episode.observation()["current_state"]
        lines = list(changes(before, after))
        assert applied(before, lines) == after
        assert bool(lines) == (before != after)


def test_changes_of_every_kind():
    before = {"a": {"x": {"p": 1, "q": None}, "y": {"p": 2}}, "b": 1, "c": [1], "d": {}}
    after = {
        "a": {"x": {"p": 1, "q": 3}, "z": {"p": 4}},
        "b": None,
        "c": [1],
        "d": {"n": {"m": 1}},
        "e": "new",
    }
    assert list(changes(before, after)) == [
        '- a, x: {"q": 3}',
        '- a, z: {"p": 4}',
        "- a, no longer there: y",
        "- b: null",
        '- d, n: {"m": 1}',
        '- e: "new"',
    ]


def test_what_is_not_known_of_all_is_said_once():
    state = {
        "files": {"a": {"size": 1, "owner": None, "type": None}, "b": {"size": 2, "owner": "x", "type": None}}
    }
    assert list(state_lines(state, "unknown")) == [
        "files, unknown: type",
        '- a: {"size": 1}; unknown: owner',
        '- b: {"size": 2, "owner": "x"}',
    ]


# Long conversations -----------------------------------------------------------------------------------------


def test_everything_is_sent_while_it_fits():
    talk = conversation("neutral", "text", get_task("easy"))
    assert talk.messages() == talk.transcript
    assert talk.cuts == []


def test_beyond_the_window_old_turns_are_left_out_and_never_the_job():
    whole = conversation("neutral", "text", get_task("easy"))
    size = sum(len(message["content"]) for message in whole.transcript)
    talk = conversation("neutral", "text", get_task("easy"), window=int(size / 3.0 * 0.8))
    sent = talk.messages()
    assert [message["role"] for message in sent[:3]] == ["system", "user", "assistant"]
    assert sent[0] == whole.transcript[0]
    left_out = talk.cuts[-1]["turns"]
    assert 0 < left_out < 20
    assert sent[2:] == whole.transcript[2 + 2 * left_out :]
    assert "Earlier turns are left out" in sent[1]["content"]
    job = whole.transcript[1]["content"].split("\n\n")[0]
    assert sent[1]["content"].startswith(job)
    assert talk.transcript == whole.transcript
    # The state is the one after the turns that were left out: what they showed is not lost.
    episode = Episode(get_task("easy"), "test", 0)
    for turn in play(get_task("easy"), "test", 0, "expert").turns[:left_out]:
        episode.step(turn.call)
    for line in state_lines(episode.observation()["current_state"], "not known yet"):
        assert line in sent[1]["content"]


def test_the_beginning_stays_the_same_for_some_turns():
    episode = Episode(get_task("easy"), "test", 0)
    talk = Conversation(get_prompt("neutral"), "text", 3_200, 0)
    talk.begin(episode.observation())
    starts = []
    while not episode.done:
        starts.append(talk.messages()[1]["content"])
        call = Call(
            "read_file_metadata", {"path": next(iter(episode.observation()["current_state"]["files"]))}, "why"
        )
        talk.said(Read(call), json.dumps(call.to_json()))
        episode.step(call)
        talk.answer(episode.observation())
    assert 2 <= len(set(starts)) <= len(starts) / 3


def test_what_the_endpoint_counts_replaces_the_estimate():
    talk = conversation("neutral", "text", get_task("easy"), window=100_000)
    sent = talk.messages()
    size = sum(len(message["content"]) for message in sent)
    talk.measured(90_000)  # far more tokens than there are letters: the ratio is bounded
    assert talk.messages() == talk.transcript
    talk.room = int(size / 3.0)  # would fit by the first estimate
    assert len(talk.messages()) < len(sent)


def test_turns_are_halved_until_none_is_left():
    talk = conversation("neutral", "text", get_task("easy"))
    count = len(talk.messages())
    while talk.shorten():
        assert len(talk.messages()) < count
        count = len(talk.messages())
    assert count == 2
    assert "JOB" in talk.messages()[1]["content"]
