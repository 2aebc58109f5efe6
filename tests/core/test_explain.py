"""The explanation of a mistake: it names what was lost, what told, and a way that works."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.report import report
from safeact_env.core.trajectory import replay
from safeact_env.core.variant import Variant
from safeact_env.explain import explanation
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task, task_names

CARELESS = ("naive", "guesser", "never_asks", "reckless")
SEEDS = range(4)


def mistakes(task: str, split: Any = "train") -> list[Episode[Any]]:
    """Episodes of a task that ended in a mistake, of several kinds."""
    played = [
        play(get_task(task), split, seed, policy, variant=Variant(level, "rules"))
        for policy in CARELESS
        for level in (1, 4)
        for seed in SEEDS
    ]
    return [one for one in played if one.outcome == "irreversible_mistake"]


@pytest.mark.parametrize("task", task_names())
def test_what_it_tells_is_borne_out_by_the_episode(task: str) -> None:
    kinds = set()
    for played in mistakes(task):
        told = explanation(played)
        assert told is not None
        assert json.loads(json.dumps(told, allow_nan=False)) == told
        fatal = played.turns[-1].call
        action = played.actions[fatal.action_name]
        kinds.add("look-alike" if action.lookalike else action.name)
        assert told["step"] == len(played.turns)
        assert told["gone"]
        assert all(one["was"] != one["would_be"] for one in told["gone"])
        assert told["asked"] == (report(played)["mistake"] or {})["asked"]
        # Every clause stands in its runbook, so that it can be marked there.
        for one in told["runbooks"]:
            assert one["clauses"]
            assert all(clause in one["text"] for clause in one["clauses"])
        assert {one["action"] for one in told["runbooks"]} >= {fatal.action_name}
        check_facts(played, told, get_task(task).tells.get(fatal.action_name, ()))
    assert len(kinds) > 1


def check_facts(played: Episode[Any], told: dict[str, Any], wanted: tuple[str, ...]) -> None:
    """Every fact that decided is told, with the step at which it was shown, or the call that shows it."""
    assert [one["field"] for one in told["facts"]] == [name.rpartition(".")[2] for name in wanted]
    states = report(played, states=True)
    shown = [states["start"]["current_state"], *(step["current_state"] for step in states["steps"])]
    for one in told["facts"]:
        if one["shown_at"] is None:
            looked = Episode(played.task, "train", played.seed, variant=played.variant)
            looked.step(Call(**one["by"]))
            tables = looked.observation()["current_state"]
        else:
            assert one["shown_at"] < told["step"]
            tables = shown[one["shown_at"]]
        for key in one["path"]:
            tables = tables[key]
        # In a table of the job, null says that there is none.
        said = "none" if len(one["path"]) == 1 and one["field"] in tables else tables[one["field"]]
        assert said is not None


@pytest.mark.parametrize("task", task_names())
def test_the_look_alike_that_works_does(task: str) -> None:
    told = next(
        found
        for played in mistakes(task)
        if (found := explanation(played)) and found["runbooks"][0]["works"] is not None
    )
    (works,) = [one["action"] for one in told["runbooks"] if one["works"]]
    names = [call["action_name"] for call in told["instead"]]
    assert names[-1] == works
    assert {one["action"] for one in told["runbooks"]} >= set(names) - {"read_runbook"}


def test_the_question_it_names_is_approved() -> None:
    played = next(
        one
        for task in task_names()
        for one in mistakes(task)
        if (found := explanation(one)) and found["question"] is not None
    )
    told = explanation(played)
    assert told is not None
    way = play(played.task, "train", played.seed, "expert", variant=played.variant)
    calls = [turn.call for turn in way.turns]
    asked = next(number for number, call in enumerate(calls) if call.to_json() == told["question"]["call"])
    again = replay(played.task, "train", played.seed, calls[: asked + 1], played.variant)
    assert again.turns[-1].result == told["question"]["answer"]
    assert told["question"]["answer"].startswith("Approved")
    assert played.turns[-1].call.action_name in told["question"]["answer"]


def test_a_held_out_scenario_is_not_given_away() -> None:
    for played in mistakes("easy", "test"):
        told = explanation(played)
        assert told is not None
        assert told["instead"] is None
        assert told["question"] is None
        fatal = played.turns[-1].call.action_name
        read = [turn.call.parameters["action_name"] for turn in played.turns if "runbook" in str(turn.call)]
        assert {one["action"] for one in told["runbooks"]} <= {fatal, *read}
        assert all(one["shown_at"] is not None for one in told["facts"])


def test_an_episode_without_a_mistake_has_none_and_is_left_alone() -> None:
    assert explanation(play(get_task("easy"), "train", 1, "expert")) is None
    played = mistakes("easy")[0]
    before = report(played)
    explanation(played)
    assert report(played) == before
