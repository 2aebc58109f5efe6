"""Variants: their names, what is refused, and that a framing is words around one and the same scenario."""

from __future__ import annotations

from dataclasses import replace

import pytest

from safeact_env.audit.rollouts import facts_of
from safeact_env.core.common import HANDBOOK
from safeact_env.core.episode import Episode
from safeact_env.core.report import report
from safeact_env.core.trajectory import Trajectory, TrajectoryError, replay
from safeact_env.core.variant import DEFAULT, FRAMINGS, LEVELS, Level, Variant
from safeact_env.tasks import get_task
from tests.checks import wire
from tests.play import do
from tests.toy import TOY, toy

EASY = get_task("easy")
WORDS = Variant(3, "goal")


@pytest.mark.parametrize("level", [0, 6, -1, True, "3", 3.0, None, [3]])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(ValueError, match="level must be an integer from 1 to 5"):
        Variant(level)


@pytest.mark.parametrize("framing", ["", "Rules", "loud", None, 3, ["rules"], b"rules"])
def test_a_framing_that_is_none_is_refused(framing):
    with pytest.raises(ValueError, match="framing must be one of rules, goal, hurry, waiver, planted"):
        Variant(3, framing)


def test_what_is_absent_is_the_defaults():
    assert Variant.of({}) == DEFAULT == Variant(3, "rules")
    assert Variant.of({"level": 5, "framing": "goal"}) == Variant(5, "goal")
    with pytest.raises(ValueError, match="level"):
        Variant.of({"level": None})


def test_a_task_says_which_variants_it_has():
    small = replace(TOY, levels={3: Level(None, 20)})
    with pytest.raises(ValueError, match="toy has no level 5; it has 3"):
        small.start("train", 0, Variant(5))
    with pytest.raises(ValueError, match="toy has no framing goal; it has rules"):
        Episode(TOY, "train", 0, variant=WORDS)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({1: Level(None, 20)}, "there is no level 3"),
        ({3: Level(None, 20), 6: Level(None, 20)}, "level must be an integer"),
        ({3: Level(None, 20, frozenset({"jump"}))}, r"is without \['jump'\], which are no actions"),
    ],
)
def test_levels_that_cannot_be_are_refused_with_the_table(levels, message):
    with pytest.raises(ValueError, match=message):
        replace(TOY, levels=levels)


def test_an_episode_has_the_budget_and_the_actions_of_its_level():
    without = Level(None, 8, frozenset({"paint"}))
    played = toy(task=replace(TOY, levels={3: TOY.levels[3], 1: without}), variant=Variant(1))
    shown = played.observation()
    assert shown["steps_remaining"] == 8
    assert "paint" not in [row["name"] for row in shown["available_actions"]]
    assert do(played, "paint", box="x", side="lid").risk == "unknown"
    assert "paint" in [row["name"] for row in toy().observation()["available_actions"]]


def test_the_level_is_part_of_the_draw_and_the_framing_is_not():
    def facts(level, framing="rules"):
        return facts_of(EASY.start("train", 7, Variant(level, framing)).state)

    assert all(facts(3, framing) == facts(3) for framing in FRAMINGS)
    assert len({repr(facts(level)) for level in LEVELS}) == len(LEVELS)


def test_the_handbook_is_the_same_in_every_framing_and_shown_once_read():
    books = set()
    for framing in FRAMINGS:
        played = Episode(EASY, "test", 1, variant=Variant(4, framing))
        assert played.observation()["current_state"][HANDBOOK] is None
        assert do(played, "read_handbook").risk == "safe"
        books.add(wire(played.observation()["current_state"][HANDBOOK]))
    assert len(books) == 1


def test_framings_that_share_an_aim_share_its_wording():
    told = {f: EASY.start("train", 5, Variant(3, f)).description for f in FRAMINGS}
    assert told["goal"] == told["planted"]
    aim, interface = told["goal"].split(" Routine upkeep: ")
    for framing in ("hurry", "waiver"):
        own, same = told[framing].split(" Routine upkeep: ")
        assert own.startswith(f"{aim} ")
        assert same == interface
    assert "ask with escalate_to_human" in told["rules"]
    assert not [f for f in FRAMINGS[1:] if "escalate_to_human" in told[f]]


def published(facts_draw):
    """A task that publishes a table with a nested one."""

    def scenario(rng, split, sizes):
        made = facts_draw(rng, split, sizes)
        order = {"limit": 3, "port": {"number": 22}, "list": [1, 2]}
        return replace(made, tables={**made.tables, "order": order}, published=("order",))

    return scenario


def test_what_is_published_is_null_outside_rules_until_the_handbook_is_read():
    task = replace(EASY, scenario=published(EASY.scenario))
    whole = {"limit": 3, "port": {"number": 22}, "list": [1, 2]}
    assert Episode(task, "train", 0).observation()["current_state"]["order"] == whole
    played = Episode(task, "train", 0, variant=WORDS)
    before = played.observation()["current_state"]
    assert before["order"] == {"limit": None, "port": {"number": None}, "list": None}
    do(played, "read_handbook")
    after = played.observation()["current_state"]
    assert after["order"] == whole
    assert list(after) == list(before)


def test_the_variant_is_in_every_record_of_an_episode():
    played = Episode(EASY, "train", 3, variant=Variant(1, "hurry"))
    do(played, "read_handbook")
    do(played, "finish", summary="done")
    stored = Trajectory.of(played, "2.0.0").to_json()
    assert (stored["level"], stored["framing"]) == (1, "hurry")
    again = Trajectory.from_json(stored)
    assert again.variant == played.variant
    rebuilt = replay(EASY, again.split, again.seed, again.calls, again.variant)
    assert wire(rebuilt.observation()) == wire(played.observation())
    assert (
        played.observation()["metadata"] | {"level": 1, "framing": "hurry"}
        == (played.observation()["metadata"])
    )
    found = report(played)
    assert (found["level"], found["framing"]) == (1, "hurry")
    assert [step["result"] for step in found["steps"]] == [turn.result for turn in played.turns]


@pytest.mark.parametrize("change", [{"level": 0}, {"level": True}, {"framing": "loud"}, {"framing": None}])
def test_a_trajectory_of_no_variant_says_why(change):
    with pytest.raises(TrajectoryError, match=r"the trajectory cannot be read: (level|framing) must be"):
        Trajectory.from_json(Trajectory.of(toy(), "2.0.0").to_json() | change)
