"""Chats for the small language model, and its script as far as it goes without torch."""

import re
from dataclasses import replace
from random import Random

import pytest

from safeact_env import get_task, play
from safeact_env.core.runbooks import FRAMES, compose
from safeact_env.core.variant import Variant
from safeact_env.llm.call_formats import UNREADABLE
from safeact_env.tasks import OFFICIAL
from scripts import train_lm
from scripts.training.lm_chats import Source, call_of, called, clause, drill, text_of

LEVEL_1 = (Variant(1, "rules"),)
WHOLE = Source(("easy",), LEVEL_1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--seed", "10"], "--seed must be from 0 to 9"),
        (["--width", "100"], "--width must be a multiple of 32"),
        (["--drills", "1.5"], "--drills must be from 0 to 1"),
        (["--group", "1"], "--group must be from 2 to 64"),
        (["--learning-rate", "0"], "must be finite and above 0"),
        (["--reward-learning-rate", "nan"], "must be finite and above 0"),
        (["--steps", "100000", "--batch", "64"], "--steps times --batch"),
        (["--evaluate", "3-1"], "--evaluate: the range 3-1 is empty"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    arguments, match, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert train_lm.main(arguments) == 2
    assert match in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_lm, "find_spec", lambda name: None if name == "torch" else object())
    assert train_lm.main([]) == 2
    assert capsys.readouterr().err == "torch not installed; `make train-lm` installs what it needs.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", OFFICIAL)
def test_every_call_of_a_chat_is_read_back(task):
    played = play(get_task(task), "train", 3, "expert", variant=LEVEL_1[0])
    texts = [text_of(one) for one in Source((task,), LEVEL_1).messages(3) if called(one)[0]]
    assert [call_of(get_task(task), text) for text in texts] == [turn.call for turn in played.turns]


@pytest.mark.parametrize("text", ["", "Hm?", " Hm?\n no_such_tool", " Hm?\n run_upkeep", "\n read_handbook"])
def test_what_is_no_call_is_not_made_into_one(text):
    assert call_of(get_task("easy"), text).action_name == UNREADABLE


def test_what_is_too_much_is_left_for_the_engine_to_judge():
    assert call_of(get_task("easy"), " Rules?\n read_handbook\nx").parameters == {"x": ""}


def test_a_number_is_read_as_one_and_nothing_else_is():
    task = get_task("cloud_infra")
    name, key = next(
        (tool, name)
        for tool, schema in task.schemas.items()
        for name, one in schema["properties"].items()
        if one.get("type") == "integer"
    )
    assert call_of(task, f" Why.\n {name}\n{key}: 7").parameters == {key: 7}
    assert call_of(task, f" Why.\n {name}\n{key}: seven").action_name == UNREADABLE


def test_a_drill_is_the_choice_alone():
    whole = WHOLE.messages(1)
    short = drill(whole)
    assert short[0]["content"].startswith("UPKEEP ACTIONS")
    assert [called(one)[0] for one in short[1::2]] == ["read_runbook", "read_runbook", "run_upkeep"]
    assert short[1:] == whole[-len(short) : -1]
    assert replace(WHOLE, drills=1.0).messages(1) == short


@pytest.mark.parametrize("task", OFFICIAL)
@pytest.mark.parametrize("kept", [True, False])
def test_a_clause_says_where_the_former_version_is_and_what_becomes_of_it(task, kept):
    parts = get_task(task).text.pools["train"].parts
    for seed in range(60):
        text = compose(Random(seed), parts, keeps_former=kept)
        where, _, fate = clause(text, parts, kept=kept).partition(": ")
        former, _, holder = where.partition(", ")
        assert fate == ("kept" if kept else "lost")
        assert former in parts.former
        if not holder:
            continue
        # Both sentences once more, from their frames: the place of the former version is what decides.
        kind = next(one for one in ("places", "owners", "labels") if holder in getattr(parts, one))
        put, other = (
            text.lower(),
            next(one for one in getattr(parts, kind) if one != holder and one.lower() in text.lower()),
        )
        byproduct = next(one for one in parts.byproducts if one in put)
        things = {"x": former, "p": holder, "y": byproduct, "q": other}
        swapped = {"x": byproduct, "p": other, "y": former, "q": holder}
        fates = {"k": holder, "l": other} if kept else {"k": other, "l": holder}
        ways = [
            f"{one.lower().format(**order)} {two.lower().format(**fates)}".lower()
            for one in FRAMES["train"][kind]["put"]
            for order in (things, swapped)
            for two in FRAMES["train"][kind]["fate"]
        ]
        assert put in ways


def test_the_clause_stands_behind_the_runbook_it_is_of():
    found = [called(one) for one in replace(WHOLE, drills=1.0, reasons="clause").messages(1)[1::2]]
    assert [arguments["reasoning"].rpartition(": ")[2] for _, arguments in found[1:]] == ["lost", "kept"]
    assert found[0][1]["reasoning"] == "Is there a way back?"


def test_made_up_names_are_the_same_everywhere_in_a_chat():
    plain = replace(WHOLE, reasons="clause").messages(1)
    made = replace(WHOLE, reasons="clause", renamed=1.0).messages(1)
    assert [called(one)[0] for one in made] == [called(one)[0] for one in plain]
    names = [arguments["action_name"] for name, arguments in map(called, made) if name == "read_runbook"]
    old = [arguments["action_name"] for name, arguments in map(called, plain) if name == "read_runbook"]
    assert not set(names) & set(old)
    text = "".join(map(text_of, made))
    assert not any(name in text for name in old)
    assert all(f"- {name}()" in text and f"Runbook of {name}:" in text for name in names)
    held = [arguments["reasoning"] for name, arguments in map(called, made) if name == "run_upkeep"]
    assert held[0].rpartition(":")[0].rpartition(", ")[2] in text


@pytest.mark.parametrize("task", OFFICIAL)
def test_nothing_keeps_its_name(task):
    """Names of one letter or of common words may be anywhere; others are gone, a person's too."""
    for number in range(10):
        episode = play(get_task(task), "train", number, "expert", variant=LEVEL_1[0])
        tables = [one for one in episode.observation()["current_state"].values() if isinstance(one, dict)]
        things = {
            name.rpartition("/")[2] for one in tables for name, row in one.items() if isinstance(row, dict)
        }
        made = Source((task,), LEVEL_1, renamed=1.0).messages(number)
        text = "".join(map(text_of, made))
        assert things
        assert not [name for name in things if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text)]


def test_a_chat_is_of_train_and_each_number_another_scenario():
    chats = [WHOLE.messages(number) for number in range(20)]
    assert len({text_of(one[0]) for one in chats}) == 20
    read = [arguments for chat in chats for name, arguments in map(called, chat) if name == "read_runbook"]
    names = {one.name for one in get_task("easy").text.pools["train"].names}
    assert {arguments["action_name"] for arguments in read} <= names
