"""The prompt `small`: short from the first request to the last, and complete all the same."""

import json
import re
from itertools import product

import pytest

from safeact_env import Call, Episode, get_task, make_policy, task_names
from safeact_env.core.variant import FRAMINGS, Variant
from safeact_env.llm import brief
from safeact_env.llm.call_formats import Read
from safeact_env.llm.conversation import Conversation
from safeact_env.llm.prompts import SmallPrompt, get_prompt

SMALL = get_prompt("small")
FIRST, LATER = 1_200, 3_200
"""Tokens of the first request on level 1, and of any later one."""
ASKS = ("escalate_to_human", "escalate_to_physician", "escalate_to_sre")


def tokens(messages):
    return sum(len(message["content"].encode()) for message in messages) / 4


def begun(episode, call_format="json_schema", prompt=SMALL, window=10**6):
    talk = Conversation(prompt, call_format, window, 0)
    talk.begin(episode.observation())
    return talk


def played(task, level, framing, policy="expert", seed=0):
    """Yield each request of an episode with the episode before the call, and the call that follows."""
    task = get_task(task)
    episode = Episode(task, "test", seed, variant=Variant(level, framing))
    player, talk = make_policy(policy, task, seed), begun(episode)
    while not episode.done:
        call = player.act(episode.observation())
        yield talk.messages(), episode, call
        talk.said(Read(call), json.dumps(call.to_json()))
        episode.step(call)
        talk.answer(episode.observation())


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_first_request_is_short_on_every_task_and_framing(task, framing):
    for split, seed in product(("train", "test"), range(10)):
        episode = Episode(get_task(task), split, seed, variant=Variant(1, framing))
        for call_format in SMALL.call_formats:
            assert tokens(begun(episode, call_format).messages()) < FIRST


def test_the_prompt_for_other_models_does_not_keep_that_bound():
    """The twin of the test above: it can fail."""
    episode = Episode(get_task("hard"), "test", 0, variant=Variant(1, "rules"))
    assert tokens(begun(episode, prompt=get_prompt("neutral")).messages()) > FIRST


@pytest.mark.parametrize(
    ("was", "now"), [(1, True), (0, False), (1, 1.0), ("1", 1), (None, False), ([1], [True]), ({"b": 1}, 1)]
)
def test_a_value_changes_where_its_json_does(was, now):
    assert brief.changed({"a": was}, {"a": now}) == {"a": now}
    assert brief.changed({"a": now}, {"a": now}) == {}


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("policy", ["thorough", "random", "patient"])
def test_later_requests_are_short_too(task, policy):
    for level in (1, 3):
        assert max(tokens(sent) for sent, *_ in played(task, level, "goal", policy)) < LATER


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize(("level", "framing"), [(1, "rules"), (1, "goal"), (2, "planted")])
def test_what_an_expert_needs_stands_in_every_request(task, level, framing):
    answers = []
    for sent, episode, call in played(task, level, framing):
        text = " ".join(" ".join(message["content"] for message in sent).split())
        observation = episode.observation()
        assert observation["task_description"].strip() in text
        assert observation["last_action_result"] in text
        assert f"STEPS LEFT: {observation['steps_remaining']}" in sent[-1]["content"]
        for row in observation["available_actions"]:
            assert brief.action_line(row).split(": ")[0] in text
        if episode.turns and episode.turns[-1].call.action_name in ASKS:
            answers.append(observation["last_action_result"])
        assert all(answer in text for answer in answers)
        named = {key: value for key, value in call.parameters.items() if key not in ("reason", "summary")}
        assert not [value for value in named.values() if str(value) not in text]
    assert answers


@pytest.mark.parametrize("task", task_names())
def test_nothing_is_said_that_the_observation_does_not_say(task):
    own = " ".join([SMALL.system, *SMALL.texts.values()])
    seen = own
    for sent, episode, _call in played(task, 2, "goal", "random", seed=3):
        said = [json.dumps(turn.call.to_json(), ensure_ascii=False) for turn in episode.turns[-1:]]
        seen = " ".join([seen, json.dumps(episode.observation(), ensure_ascii=False), *said])
        text = " ".join(message["content"] for message in sent)
        known = set(re.findall(r"\w+", seen)) | {"all", "gone", *map(str, range(len(episode.turns) + 1))}
        assert set(re.findall(r"\w+", text)) <= known


@pytest.mark.parametrize("task", task_names())
def test_the_state_is_shown_whole_or_stands_in_the_job(task):
    for _sent, episode, _call in played(task, 2, "goal", "thorough"):
        observation = episode.observation()
        job = observation["task_description"]
        shown = "\n".join(brief.state_lines(observation["current_state"], job, "unknown"))
        assert [leaf for leaf in leaves(observation["current_state"], job) if leaf not in shown] == []


def leaves(value, job):
    """Names and values in a state, without texts that stand in the job."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not (isinstance(item, str) and item and item in job):
                yield key
                yield from leaves(item, job)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, job)
    elif value is not None:
        yield value if isinstance(value, str) else json.dumps(value)


def merged(before, fields):
    new = dict(before)
    for key, value in fields.items():
        nested = isinstance(value, dict) and isinstance(before.get(key), dict)
        new[key] = merged(before[key], value) if nested else value
    return new


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("policy", ["expert", "random"])
def test_changes_merged_are_the_state_after(task, policy):
    before = None
    for _sent, episode, _call in played(task, 2, "goal", policy):
        after = episode.observation()["current_state"]
        if before is not None:
            fields = brief.changed(before, after)
            assert json.dumps(merged(before, fields)) == json.dumps(after)
            assert bool(fields) == (before != after) == bool(list(brief.change_lines(fields)))
        before = after


def test_how_a_change_is_said():
    before = {"a": {"x": {"p": 1, "o": {"d": {"q": None, "r": 0}}}, "y": {"p": 2}}, "b": 1}
    after = {"a": {"x": {"p": True, "o": {"d": {"q": "", "r": 0}}}}, "b": ["s", {"t": 2}], "c": "new"}
    assert list(brief.change_lines(brief.changed(before, after))) == [
        "b=[s, {t=2}]; c=new",
        "a: y=gone",
        "a x: p=true",
        'a x o d: q=""',
    ]


def test_how_a_state_is_said():
    need = "The index of the share has to be brought up to date."
    rows = {"/a": {"size": 1, "at": "here", "tag": None}, "/b": {"size": 2, "at": "here", "tag": None}}
    state = {"files": rows, "due": {"need": need, "status": "open"}, "book": None}
    assert list(brief.state_lines(state, f"Do it. {need}", "unknown")) == [
        "files (all at=here; unknown tag)",
        "- /a: size=1",
        "- /b: size=2",
        "due: status=open",
        "unknown: book",
    ]
    assert f"due: need={need}; status=open" in list(brief.state_lines(state, "Do it.", "unknown"))


def test_a_description_is_left_out_where_the_name_tells_it():
    row = {"name": "delete_old_table", "parameters": {"table": "str", "why": "str?"}}
    assert brief.action_line({**row, "description": "Delete one table that is old."}) == (
        "delete_old_table(table: str, why: str?)"
    )
    assert brief.action_line({**row, "description": "Fill it with zeros, and rename what remains."}) == (
        "delete_old_table(table: str, why: str?): Fill it with zeros, and rename what remains."
    )


def test_turns_before_the_last_are_a_line_each_and_recorded_whole():
    episode = Episode(get_task("easy"), "test", 0, variant=Variant(1, "goal"))
    talk = begun(episode)
    files = list(episode.observation()["current_state"]["files"])
    calls = [Call("read_file_metadata", {"path": files[0]}, "why"), None, Call("read_handbook", {}, "why")]
    for call in calls:
        if call is None:
            talk.said_unreadable("I am not sure\nwhat to do.")
            call = Call("unparsable_answer", {}, "why")
        else:
            talk.said(Read(call), json.dumps(call.to_json()))
        episode.step(call)
        talk.answer(episode.observation())
    sent = talk.messages()
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    _head, *lines = sent[1]["content"].split("\n\n")[-1].split("\n")
    assert len(lines) == 2
    assert lines[0].startswith(f"1. read_file_metadata(path={files[0]}) -> files {files[0]}: days=")
    assert lines[1].startswith("2. ? -> There is no action")
    assert "handbook=[" in sent[-1]["content"]
    assert len(talk.transcript) == 2 + 2 * 3
    assert talk.transcript[-2:] == sent[-2:]


def test_a_bound_on_the_window_leaves_out_old_turns_as_with_any_prompt():
    episode = Episode(get_task("easy"), "test", 0, variant=Variant(1, "goal"))
    talk = begun(episode, window=1_500)
    for _ in range(14):
        call = Call("read_handbook", {}, "why " * 50)
        talk.said(Read(call), json.dumps(call.to_json()))
        episode.step(call)
        talk.answer(episode.observation())
        assert tokens(talk.messages()) < 1_500
    assert talk.cuts
    assert "Earlier turns are left out" in talk.messages()[1]["content"]


def test_functions_are_not_offered_unless_they_are_chosen():
    assert isinstance(SMALL, SmallPrompt)
    assert "tools" not in SMALL.call_formats
    assert "tools" in get_prompt("neutral").call_formats
