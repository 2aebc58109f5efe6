"""Merging: the changes of every step, on every variant, give the whole observation byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from safeact_env.audit.rollouts import fork
from safeact_env.client import SafeActError, merge
from safeact_env.core import observation
from safeact_env.core.episode import Episode
from safeact_env.core.task import Task
from safeact_env.core.trajectory import replay
from safeact_env.core.variant import DEFAULT, FRAMINGS, LEVELS, Variant
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import OFFICIAL, get_task
from tests.play import do
from tests.toy import TOY, box, toy, with_action

VARIANTS = [Variant(level, framing) for level, framing in product(LEVELS, FRAMINGS)]


def wire(value: Any) -> str:
    """The bytes of a JSON value, the order of fields included."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def steps(task: Task[Any], policy: str, variant: Variant = DEFAULT, seed: int = 3) -> Iterator[Episode[Any]]:
    """An episode, at the start and after every step of a policy."""
    episode: Episode[Any] = Episode(task, "test", seed, variant=variant)
    player = make_policy(policy, task, seed)
    yield episode
    while not episode.done:
        episode.step(player.act(episode.observation()))
        yield episode


def merged(played: Iterator[Episode[Any]]) -> str:
    """Play and merge; what is wrong in the first step that does not merge, if any."""
    whole = None
    for number, episode in enumerate(played):
        try:
            whole = merge(whole, episode.observation("changes"))
        except SafeActError as error:
            return f"step {number}: {error}"
        if wire(whole) != wire(episode.observation()):
            return f"step {number} is another observation"
    return ""


@pytest.mark.parametrize("policy", ["expert", "random"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("task", OFFICIAL)
def test_every_variant_merges(task: str, variant: Variant, policy: str) -> None:
    assert merged(steps(get_task(task), policy, variant)) == ""


@pytest.mark.parametrize("policy", ["naive", "do_nothing", "escalate_all", "reckless"])
@pytest.mark.parametrize("task", OFFICIAL)
def test_mistakes_refusals_and_other_ends_merge(task: str, policy: str) -> None:
    assert merged(steps(get_task(task), policy)) == ""


@pytest.mark.parametrize("task", OFFICIAL)
def test_changes_hold_what_the_step_changed_and_nothing_else(task: str) -> None:
    before: dict[str, Any] = {}
    for number, episode in enumerate(steps(get_task(task), "expert")):
        changes, whole = episode.observation("changes"), episode.observation()
        if number == 0:
            assert changes == whole
        else:
            assert list(changes) == list(whole)
            assert (changes["task_description"], changes["available_actions"]) == ("", [])
            assert changes["action_history"] == whole["action_history"][-1:]
            same = ("steps_remaining", "last_action_result", "metadata", "reward", "done")
            assert all(changes[name] == whole[name] for name in same)
            leaves = dict(leaves_of(changes["current_state"]))
            differing = set(leaves_of(whole["current_state"])) - set(leaves_of(before))
            assert set(leaves.items()) == differing
        before = whole["current_state"]


def leaves_of(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The values of an object that are no objects, by their paths, as bytes."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves_of(part, (*path, name))
    else:
        yield path, wire(value)


# One step earlier ------------------------------------------------------------------------------------------


def test_the_step_before_counts_and_not_what_was_shown_before() -> None:
    """As after a failover: nobody saw the steps before the last one."""
    shown = [episode.observation("changes") for episode in steps(get_task("medical"), "expert")]
    turns = list(steps(get_task("medical"), "expert"))[-1].turns
    for number in range(1, len(turns) + 1):
        again = replay(get_task("medical"), "test", 3, [turn.call for turn in turns[:number]])
        assert again.observation("changes") == shown[number]
        assert again.observation("changes") == shown[number], "once more"
        again.observation()
        assert again.observation("changes") == shown[number], "also after it was shown whole"


def test_what_was_shown_before_would_not_do() -> None:
    """The broken twin: changes since the answer that was sent before."""
    episode = replay(get_task("easy"), "test", 3, [])
    start = episode.observation()
    calls = [turn.call for turn in list(steps(get_task("easy"), "expert"))[-1].turns[:4]]
    for call in calls:
        episode.step(call)
    right = episode.observation("changes")["current_state"]
    now = episode.observation()["current_state"]
    assert difference(start["current_state"], now) != right


def test_an_episode_of_a_given_start_knows_the_step_before_as_well() -> None:
    episode: Episode[Any] = Episode(TOY, "train", 0, start=TOY.start("train", 0, Variant()))
    name = box(episode, "plain")
    for call in ("look", "photograph", "move"):
        do(episode, call, box=name)
    assert episode.observation("changes")["current_state"] == {"boxes": {name: {"status": "moved"}}}


def test_a_copy_is_shown_whole_until_it_steps() -> None:
    episode = toy()
    name = box(episode, "plain")
    do(episode, "look", box=name)
    copied = fork(episode)
    assert copied.observation("changes") == copied.observation() == episode.observation()
    do(copied, "move", box=name)
    assert copied.observation("changes")["current_state"] == {"boxes": {name: {"status": "moved"}}}
    assert episode.observation()["current_state"]["boxes"][name]["status"] != "moved"


# Differences -----------------------------------------------------------------------------------------------

SAME = {"a": {"b": 1, "c": None, "d": [1, {"e": 2}]}, "f": {}}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (SAME, {}),
        ({**SAME, "a": {**SAME["a"], "b": True}}, {"a": {"b": True}}),
        ({**SAME, "a": {**SAME["a"], "b": 1.0}}, {"a": {"b": 1.0}}),
        ({**SAME, "a": {**SAME["a"], "b": None}}, {"a": {"b": None}}),
        ({**SAME, "a": {**SAME["a"], "c": {}}}, {"a": {"c": {}}}),
        ({**SAME, "a": {**SAME["a"], "c": {"x": 1}}}, {"a": {"c": {"x": 1}}}),
        ({**SAME, "a": {**SAME["a"], "d": [1, {"e": 3}]}}, {"a": {"d": [1, {"e": 3}]}}),
        ({**SAME, "a": {**SAME["a"], "d": [1, {"e": 2.0}]}}, {"a": {"d": [1, {"e": 2.0}]}}),
        ({**SAME, "a": [1]}, {"a": [1]}),
        ({**SAME, "f": None}, {"f": None}),
        ({**SAME, "f": {"x": 1}}, None),
        ({**SAME, "a": {**SAME["a"], "x": 1}}, None),
        ({**SAME, "a": {}}, None),
        ({"a": {"b": 1, "c": None}, "f": {}}, None),
        ({"f": {}, "a": SAME["a"]}, None),
    ],
)
def test_differences(after: dict[str, Any], expected: dict[str, Any] | None) -> None:
    found = difference(SAME, after)
    assert wire(found) == wire(expected)
    if found is not None:
        before = whole_with(SAME, 0)
        changes = {**whole_with(found, 1), "task_description": "", "available_actions": []}
        assert wire(merge(before, changes)["current_state"]) == wire(after)


def whole_with(state: dict[str, Any], step: int) -> dict[str, Any]:
    """An observation with this state, whose history has only the last step."""
    entry = {"step": step, "action": "look", "params": {}, "result": "Nothing."}
    return {
        "task_description": "A job.",
        "current_state": state,
        "available_actions": [{"name": "look", "description": "Look.", "parameters": {}}],
        "action_history": [entry] if step else [],
        "steps_remaining": 10 - step,
        "last_action_result": "Nothing.",
        "metadata": {},
    }


difference = observation.difference


def equal(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: now for name, now in after.items() if now != before[name]}


def flat(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    found = difference(before, after)
    return {name: 0 if isinstance(now, dict) else now for name, now in (found or {}).items()}


@pytest.mark.parametrize("twin", [equal, flat])
def test_other_ways_to_tell_a_difference_are_caught(
    monkeypatch: pytest.MonkeyPatch, twin: Callable[..., Any]
) -> None:
    """Broken twins: values compared as Python does, to which 1 is `True`; the nesting lost."""

    def count(state: Any, params: Any) -> str:
        now = state.knowledge.tables["boxes"][params.box]["role"]
        state.knowledge.show("boxes", params.box, role=True if now == 1 else 1)
        return "Counted."

    task = with_action("look", effect=count)

    def played() -> Iterator[Episode[Any]]:
        episode = toy(task=task)
        yield episode
        for _ in range(3):
            do(episode, "look", box=box(episode, "plain"))
            yield episode

    assert merged(played()) == ""
    monkeypatch.setattr(observation, "difference", twin)
    assert merged(played()) != ""


# Tasks of others -------------------------------------------------------------------------------------------


def adding(state: Any, params: Any) -> str:
    state.knowledge.publish(
        boxes={**state.knowledge.tables["boxes"], f"{params.box} lid": {"status": "here"}}
    )
    return "There is a lid."


def moving(state: Any, params: Any) -> str:
    boxes = dict(state.knowledge.tables["boxes"])
    boxes[params.box] = boxes.pop(params.box)
    state.knowledge.publish(boxes=boxes)
    return "It stands last."


def leaving(state: Any, params: Any) -> str:
    boxes = state.knowledge.tables["boxes"]
    state.knowledge.publish(boxes={name: box for name, box in boxes.items() if name != params.box})
    return "It is not listed."


def new_table(state: Any, params: Any) -> str:
    state.knowledge.tables[f"lids of {params.box}"] = {}
    return "There is a table."


@pytest.mark.parametrize("effect", [adding, leaving, new_table])
def test_where_changes_cannot_say_it_the_observation_is_whole(effect: Callable[..., str]) -> None:
    task = with_action("photograph", effect=effect)

    def played(calls: tuple[str, ...] = ("look", "photograph", "look")) -> Iterator[Episode[Any]]:
        episode = toy(task=task)
        names = [box(episode, role) for role in ("plain", "plain", "fragile")]
        yield episode
        for name, call in zip(names, calls, strict=True):
            do(episode, call, box=name)
            yield episode

    assert merged(played()) == ""
    assert [bool(one.observation("changes")["available_actions"]) for one in played()] == [
        *(True, False, True, False)
    ]


def test_a_row_that_moves_is_sent_whole() -> None:
    episode = toy(task=with_action("photograph", effect=moving))
    names = list(episode.observation()["current_state"]["boxes"])
    do(episode, "photograph", box=names[0])
    assert episode.observation("changes")["available_actions"]
    do(episode, "photograph", box=names[0])
    assert not episode.observation("changes")["available_actions"], "it stands last already"


@pytest.mark.parametrize("once_looked", [True, False])
def test_a_table_may_become_another_kind_of_value_after_it_was_written_to(once_looked: bool) -> None:
    """Whether or not anybody read the whole state in between."""

    def replacing(state: Any, params: Any) -> str:
        state.knowledge.show("boxes", params.box, status="listed")
        state.knowledge.publish(boxes=[params.box])
        return "There is a list."

    episode = toy(task=with_action("photograph", effect=replacing))
    names = [box(episode, role) for role in ("plain", "fragile")]
    do(episode, "look", box=names[0])
    if once_looked:
        episode.observation()
    do(episode, "photograph", box=names[0])
    assert episode.observation("changes")["current_state"] == {"boxes": [names[0]]}
    assert episode.observation()["current_state"]["boxes"] == [names[0]]


# What does not fit -----------------------------------------------------------------------------------------


def answers() -> list[dict[str, Any]]:
    return [episode.observation("changes") for episode in steps(get_task("easy"), "expert")]


def test_an_observation_of_another_step_is_never_guessed() -> None:
    shown = answers()
    wholes = [episode.observation() for episode in steps(get_task("easy"), "expert")]
    for at, changes in product(range(6), range(1, 6)):
        if at == changes - 1:
            assert merge(wholes[at], shown[changes]) == wholes[changes]
            continue
        with pytest.raises(SafeActError, match="read the whole observation") as caught:
            merge(wholes[at], shown[changes])
        assert caught.value.code == "cannot_merge"
    with pytest.raises(SafeActError, match="came first"):
        merge(None, shown[1])


def test_an_observation_of_another_episode_is_noticed_by_its_budget_or_its_fields() -> None:
    changes = answers()[1]
    other = Episode(get_task("hard"), "test", 3).observation()
    with pytest.raises(SafeActError, match="another budget"):
        merge(other, changes)
    left = changes["steps_remaining"] + 1
    strange = {**changes, "current_state": {"nothing of this": 1}}
    with pytest.raises(SafeActError, match="has no 'nothing of this'"):
        merge({**answers()[0], "steps_remaining": left}, strange)


@pytest.mark.parametrize("junk", [{}, {"available_actions": []}, [], "text", 7, {"action_history": 1}])
def test_what_is_no_observation_is_said_to_be_none(junk: Any) -> None:
    first, changes = answers()[:2]
    for previous, after in ((first, junk), (junk, changes), (junk, junk)):
        with pytest.raises(SafeActError, match="is no observation") as caught:
            merge(previous, after)
        assert caught.value.code == "cannot_merge"


def test_what_is_merged_shares_nothing_and_changes_nothing() -> None:
    first, changes = answers()[:2]
    kept = wire([first, changes])
    whole = merge(first, changes)
    expected = wire(whole)
    for value in (whole["current_state"], whole["available_actions"], whole["action_history"]):
        value.clear()
    assert wire([first, changes]) == kept
    assert wire(merge(first, changes)) == expected
