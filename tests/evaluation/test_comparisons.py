"""What other words, or another level, change: differences, what they show, and their place in reports."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from safeact_env.cli import app
from safeact_env.core.variant import DEFAULT, FRAMINGS, Variant
from safeact_env.evaluation import (
    Selection,
    compare,
    evaluate,
    findings,
    markdown,
    policy_player,
    rich_tables,
    run_suite,
    summarise,
    to_json,
)
from safeact_env.evaluation.record import Key, Sample
from safeact_env.evaluation.report import read_report
from safeact_env.evaluation.verify import verify
from tests.suites import GUESSER, VARIED, rewrite_report

ALL = tuple(Variant(3, framing) for framing in FRAMINGS)


def sample(
    seed: int, score: float, framing: Any = "rules", level: int = 3, attempt: int = 1, task: str = "a"
) -> Sample:
    key = Key("p", task, "test", seed, attempt, Variant(level, framing))
    return Sample(key, score, score, 1, score == 0, 0, 0, 0, 0)


def grades(samples: list[Sample], task: str | None = None) -> dict[tuple[str, str], Any]:
    found = [one for one in compare(samples) if one.metric == "grade" and one.task == task]
    return {(one.this, one.that): one for one in found}


# Differences -----------------------------------------------------------------------------------------------


def test_one_variant_is_compared_with_nothing() -> None:
    assert compare([sample(seed, 1.0) for seed in range(4)]) == []


def test_framings_are_compared_within_scenarios() -> None:
    """Scenarios differ widely, the framings by the same amount on each: the interval has no width."""
    plain = [sample(seed, seed / 20) for seed in range(10)]
    goal = [sample(seed, seed / 20 + 0.25, "goal") for seed in range(10)]
    found = grades(plain + goal)["goal", "rules"]
    assert (found.difference.value, found.difference.low, found.difference.high) == (0.25, 0.25, 0.25)
    assert (found.scenarios, found.changed, found.finding) == (10, 10, "higher")


def test_attempts_on_a_scenario_count_as_one() -> None:
    plain = [sample(seed, 0.5, attempt=n) for seed in range(4) for n in (1, 2)]
    goal = [sample(seed, 0.5 + 0.25 * (-1) ** n, "goal", attempt=n) for seed in range(4) for n in (1, 2)]
    found = grades(plain + goal)["goal", "rules"]
    assert (found.scenarios, found.changed, found.difference.value) == (4, 0, 0.0)


def test_pressure_is_compared_with_the_goal_alone() -> None:
    played = [sample(seed, 1.0, framing) for seed in range(3) for framing in FRAMINGS]
    assert list(grades(played)) == [
        ("goal", "rules"),
        ("hurry", "goal"),
        ("waiver", "goal"),
        ("planted", "goal"),
    ]


def test_only_what_was_played_in_both_counts() -> None:
    played = [sample(1, 1.0), sample(2, 1.0), sample(2, 0.0, "goal"), sample(3, 0.0, "goal")]
    found = grades(played)["goal", "rules"]
    assert (found.scenarios, found.difference.value) == (1, -1.0)


def test_framings_of_another_level_are_other_scenarios() -> None:
    assert grades([sample(1, 1.0), sample(1, 0.0, "goal", level=1)]) == {}


@pytest.mark.parametrize(
    ("shifts", "finding"),
    [
        ([0.0] * 8, "the same on every scenario"),
        ([0.25, -0.25] * 4, "no difference that chance would not give"),
        ([0.25, 0.5] * 4, "higher"),
        ([-0.25, -0.5] * 4, "lower"),
    ],
)
def test_a_difference_is_put_in_words(shifts: list[float], finding: str) -> None:
    played = [sample(seed, 0.5) for seed in range(8)]
    played += [sample(seed, 0.5 + shift, "goal") for seed, shift in enumerate(shifts)]
    assert grades(played)["goal", "rules"].finding == finding
    assert f"goal against rules, grade: {finding} for p." in findings(compare(played))


def test_levels_are_compared_with_the_third_by_seed() -> None:
    played = [sample(seed, 1.0 - level / 10, level=level) for seed in range(4) for level in (1, 3, 5)]
    found = grades(played)
    assert {pair: one.difference.value for pair, one in found.items()} == {("1", "3"): 0.2, ("5", "3"): -0.2}
    assert found["1", "3"].scenarios == 4


def test_a_seed_in_several_framings_is_one_observation_of_its_level() -> None:
    played = [
        sample(seed, 1.0 - level / 10, framing, level=level)
        for seed in range(4)
        for level in (1, 3)
        for framing in ("rules", "goal")
    ]
    assert grades(played)["1", "3"].scenarios == 4


def test_tasks_are_compared_apart_and_together() -> None:
    played = [sample(1, 1.0, framing, task=task) for task in "ab" for framing in ("rules", "goal")]
    played[1] = replace(played[1], score=0.0)
    assert grades(played)["goal", "rules"].difference.value == -0.5
    assert grades(played, "a")["goal", "rules"].difference.value == -1.0
    assert grades(played, "b")["goal", "rules"].difference.value == 0.0


# The control -----------------------------------------------------------------------------------------------


def test_words_change_nothing_for_a_policy_that_goes_by_rules() -> None:
    selection = Selection(("expert", "cautious", "guesser"), ("easy",), ("test",), (0, 1, 2), variants=ALL)
    found = [one for one in compare(evaluate(selection, workers=1)) if one.by == "framing"]
    assert len(found) == 3 * 2 * 4 * 3  # policies, all tasks and each, pairs, metrics
    assert {one.changed for one in found} == {0}


# Metrics and tables ----------------------------------------------------------------------------------------


def test_metrics_are_given_by_variant_only_where_there_are_several() -> None:
    assert {group.level for group in summarise([sample(1, 1.0), sample(2, 0.0)])} == {None}
    groups = summarise([sample(1, 1.0), sample(1, 0.5, "goal"), sample(1, 0.0, "goal", level=1)])
    found = {(group.level, group.framing): group.metrics["grade"].value for group in groups if not group.task}
    assert found == {(None, None): 0.5, (3, "rules"): 1.0, (3, "goal"): 0.5, (1, "goal"): 0.0}
    whole = groups[0]
    assert (whole.scenarios, whole.episodes) == (2, 3)
    assert whole.metrics["pass^1"].value == round(1 / 3, 6)


def test_the_tables_and_the_json_tell_the_same() -> None:
    selection = Selection(("p",), ("a",), ("test",), (1, 2), variants=(DEFAULT, Variant(3, "goal")))
    played = [
        sample(seed, score, framing) for seed in (1, 2) for framing, score in (("rules", 1.0), ("goal", 0.5))
    ]
    groups, found = summarise(played), compare(played)
    titles = [str(table.title) for table in rich_tables(selection, groups, found)]
    assert any("By level and framing" in title for title in titles)
    text = markdown(selection, groups, found)
    assert "| p | goal - rules | -0.500 | -0.500 to -0.500 | +0.000 | +0.000 to +0.000 |" in text
    assert "goal against rules, grade: lower for p." in text
    told = to_json(selection, groups, found)
    assert told["selection"]["variants"] == (
        {"level": 3, "framing": "rules"},
        {"level": 3, "framing": "goal"},
    )
    assert told["comparisons"][0]["finding"] == "lower"
    assert {(group["level"], group["framing"]) for group in told["groups"]} == {
        (None, None),
        (3, "rules"),
        (3, "goal"),
    }


# The command line ------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    env = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(app, ["eval", "--task", "easy", "--workers", "1", *arguments], env=env)


def test_all_framings_are_played_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    chosen = ("--policy", "expert", "--seeds", "0-1", "--split", "test")
    result = run(*chosen, "--framing", "all", "--json", str(path))
    assert result.exit_code == 0, result.output
    assert "planted against goal, grade: the same on every scenario for expert." in result.output
    assert len(json.loads(path.read_text())["selection"]["variants"]) == 5
    assert max(map(len, result.output.splitlines())) <= 80


def test_levels_are_played_and_compared() -> None:
    result = run("--policy", "cautious", "--seeds", "0-1", "--level", "1", "--level", "3")
    assert result.exit_code == 0, result.output
    assert "level 1 against 3, grade:" in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--level", "6"], "must be 1, 2, 3, 4, 5 or all, not '6'."),
        (["--level", "3.0"], "must be 1, 2, 3, 4, 5 or all, not '3.0'."),
        (["--framing", "Rules"], "must be rules, goal, hurry, waiver, planted or all, not 'Rules'."),
    ],
)
def test_a_variant_that_there_is_not_is_refused(arguments: list[str], sentence: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.replace("│", " ").split())


# Suites ----------------------------------------------------------------------------------------------------


@pytest.fixture
def varied(tmp_path: Path) -> Path:
    run_suite(VARIED, policy_player("guesser"), tmp_path, GUESSER)
    return tmp_path


def mismatches(folder: Path) -> list[str]:
    return [one for check in verify(folder, {"varied": VARIED}) for one in check.mismatches]


def test_a_suite_of_several_variants_is_reported_compared_and_verified(varied: Path) -> None:
    report = read_report(varied / "report.json")
    assert {(one.by, one.this, one.that) for one in report.comparisons} == {
        ("framing", "goal", "rules"),
        ("level", "1", "3"),
    }
    assert mismatches(varied) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(finding="lower"),
        lambda one: one.update(changed=99),
        lambda one: one["difference"].update(value=0.5),
        lambda one: one.update(this="hurry"),
    ],
)
def test_a_forged_comparison_is_found(varied: Path, change: Any) -> None:
    rewrite_report(varied, lambda report: change(report["comparisons"][0]))
    assert mismatches(varied)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda found: found.insert(0, {**found[0], "task": "all tasks", "finding": "higher"}),
            "but not played",
        ),
        (lambda found: found.insert(0, {**found[0], "task": "", "finding": "higher"}), "but not played"),
        (
            lambda found: found.insert(0, {**found[0], "finding": "higher"}),
            "compares the same episodes twice",
        ),
        (list.reverse, "comparisons stand in another order"),
    ],
)
def test_a_comparison_behind_another_one_is_found(varied: Path, change: Any, sentence: str) -> None:
    rewrite_report(varied, lambda report: change(report["comparisons"]))
    assert any(sentence in one for one in mismatches(varied))


def test_a_comparison_that_is_left_out_is_found(varied: Path) -> None:
    rewrite_report(varied, lambda report: report["comparisons"].pop())
    assert [one for one in mismatches(varied) if "not in the report" in one]
