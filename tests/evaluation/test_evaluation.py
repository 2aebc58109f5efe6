"""Records, the file of records, metrics and tables."""

import json
from dataclasses import replace
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.trajectory import Trajectory, replay
from safeact_env.evaluation import (
    Key,
    RecordFile,
    Sample,
    Selection,
    StoreError,
    evaluate,
    markdown,
    parse_seeds,
    play_attempt,
    record_of,
    rich_tables,
    summarise,
    to_json,
)
from safeact_env.evaluation.metrics import none_of_k
from safeact_env.evaluation.record import policy_seed
from safeact_env.evaluation.replay import replayed
from safeact_env.policies.reference import POLICIES, ScriptPolicy, play
from safeact_env.tasks import OFFICIAL, get_task
from safeact_env.version import VERSION

SMALL = Selection(("expert", "guesser", "asker"), ("easy",), ("train", "test"), (0, 1, 2, 3))


def sample(seed: int = 0, attempt: int = 1, **numbers: object) -> Sample:
    plain = Sample(Key("p", "t", "train", seed, attempt), 0.0, 0.0, 1, False, 0, 0, 0, 0)
    return replace(plain, **numbers)  # type: ignore[arg-type]


# Records ---------------------------------------------------------------------------------------------------


def test_a_record_is_json_and_replays_to_its_grade() -> None:
    for policy in POLICIES:
        record = record_of(play_attempt("easy", "test", 5, policy, 1), policy)
        record = json.loads(json.dumps(record))
        trajectory = Trajectory.from_json(record)
        again = replay(get_task("easy"), trajectory.split, trajectory.seed, trajectory.calls)
        assert again.grade().score == record["score"]
        assert record["version"] == VERSION
        assert len(record["rewards"]) == record["steps"] == len(record["calls"])
        assert record["return"] == pytest.approx(sum(record["rewards"]))


@pytest.mark.parametrize("task", OFFICIAL)
def test_a_policy_sees_all_of_every_observation(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, whole = [], []
    act, step = ScriptPolicy.act, Episode.step

    def stepped(self: Episode[Any], call: Any) -> Any:
        whole.append(self.observation())
        return step(self, call)

    monkeypatch.setattr(Episode, "step", stepped)
    monkeypatch.setattr(ScriptPolicy, "act", lambda self, obs: (seen.append(obs), act(self, obs))[1])
    for policy in ("thorough", "random"):
        play(get_task(task), "train", 3, policy)
    # Compared at the end: what a policy was shown stays as it was.
    assert seen == whole
    assert len(seen) > 20


@pytest.mark.parametrize(
    "change",
    [
        {"calls": [{"action_name": "look", "parameters": {"age": True}, "reasoning": "Why?"}]},
        {"calls": []},
        {"max_steps": 35},
        {"seed": 6},
        {"split": "train"},
        {"level": 2},
        {"framing": "goal"},
    ],
)
def test_an_episode_stands_for_a_replay_only_if_it_is_the_recorded_one(change: dict[str, Any]) -> None:
    played = Episode(get_task("easy"), "test", 5)
    played.step(Call("look", {"age": 1}, "Why?"))
    record = record_of(played, "expert")
    assert replayed(record, lambda: played) is played
    again = replayed(record | change, lambda: played)
    assert again is not played
    assert json.dumps([turn.call.to_json() for turn in again.turns]) == json.dumps(
        change.get("calls", record["calls"])
    )


def test_the_first_attempt_is_the_policys_own_episode() -> None:
    episode = play_attempt("easy", "train", 3, "random", 1)
    assert episode.turns == play(get_task("easy"), "train", 3, "random").turns


def test_attempts_change_the_draws_of_the_policy_only() -> None:
    first, second = (play_attempt("easy", "train", 3, "random", attempt) for attempt in (1, 2))
    assert [t.call for t in first.turns] != [t.call for t in second.turns]
    assert first.actions.keys() == second.actions.keys()
    once, twice = (play_attempt("easy", "train", 3, "expert", attempt) for attempt in (1, 2))
    assert once.turns == twice.turns
    assert len({policy_seed(seed, attempt) for seed in range(50) for attempt in range(1, 4)}) == 150


@pytest.mark.parametrize(
    ("asked", "over", "needed", "obtained", "f1"),
    [
        (0, 0, 0, 0, 1.0),
        (0, 0, 2, 0, 0.0),
        (2, 0, 2, 2, 1.0),
        (4, 2, 2, 2, 2 / 3),
        (1, 0, 2, 1, 2 / 3),
        (3, 3, 2, 0, 0.0),
        (2, 2, 0, 0, 0.0),
        (1, 0, 0, 0, 1.0),
    ],
)
def test_ask_f1(asked: int, over: int, needed: int, obtained: int, f1: float) -> None:
    one = sample(questions=asked, over_escalations=over, approvals_needed=needed, approvals_obtained=obtained)
    assert one.ask_f1 == pytest.approx(f1)


def test_the_expert_needs_what_it_is_granted() -> None:
    record = record_of(play_attempt("easy", "train", 0, "expert", 1), "expert")
    assert record["approvals_needed"] == record["approvals_obtained"] > 0
    nothing = record_of(play_attempt("easy", "train", 0, "do_nothing", 1), "do_nothing")
    assert nothing["approvals_needed"] == record["approvals_needed"]
    assert nothing["approvals_obtained"] == 0


# Seeds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", (3,)), ("0-2,9", (0, 1, 2, 9)), ("5, 1-3,2", (1, 2, 3, 5)), (str(2**63 - 1), (2**63 - 1,))],
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write seeds like"),
        ("1,", "write seeds like"),
        ("-1", "write seeds like"),
        ("a-b", "write seeds like"),
        ("4-2", "smaller seed first"),
        (str(2**63), "from 0 to"),
        ("0-100000", "in parts"),
    ],
)
def test_bad_seeds(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_seeds(text)


# The file --------------------------------------------------------------------------------------------------


def test_a_run_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert evaluate(SMALL, out=one, workers=1) == evaluate(SMALL, out=two, workers=2)
    assert one.read_bytes() == two.read_bytes()
    assert len(one.read_text().splitlines()) == 24


@pytest.mark.parametrize("cut", [0, 1, 5_000, 20_001])
def test_a_run_that_was_cut_off_is_resumed_to_the_same_file(tmp_path: Path, cut: int) -> None:
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    samples = evaluate(SMALL, out=whole, workers=1)
    assert whole.stat().st_size > cut
    part.write_bytes(whole.read_bytes()[: -1 - cut])
    assert evaluate(SMALL, out=part, workers=1) == samples
    assert part.read_bytes() == whole.read_bytes()


def test_what_is_there_is_not_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "new" / "file.jsonl"
    samples = evaluate(SMALL, out=file, workers=1)
    before = file.read_bytes()

    def fail(*_args: object) -> None:
        raise AssertionError("played again")

    monkeypatch.setattr("safeact_env.evaluation.run.play_attempt", fail)
    seen: list[tuple[int, int]] = []
    assert (
        evaluate(SMALL, out=file, workers=1, progress=lambda done, total: seen.append((done, total)))
        == samples
    )
    assert seen == [(24, 24)]
    assert file.read_bytes() == before
    fewer = replace(SMALL, seeds=(1,), policies=("asker",))
    assert evaluate(fewer, out=file, workers=1) == [
        s for s in samples if s.key.seed == 1 and s.key.policy == "asker"
    ]


def test_starting_again_empties_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    evaluate(SMALL, out=file, workers=1)
    fewer = replace(SMALL, seeds=(7,))
    evaluate(fewer, out=file, resume=False, workers=1)
    assert {json.loads(line)["seed"] for line in file.read_text().splitlines()} == {7}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", "0.9.0", "recorded with version 0.9.0, but this is"),
        ("task_version", 99, "version 99 of task easy"),
    ],
)
def test_a_file_of_another_version_is_refused(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    file = tmp_path / "old.jsonl"
    record = record_of(play_attempt("easy", "train", 0, "do_nothing", 1), "do_nothing")
    file.write_text(json.dumps({**record, field: value}) + "\n")
    before = file.read_bytes()
    with pytest.raises(StoreError, match=f"{message}.*--no-resume"):
        evaluate(SMALL, out=file, workers=1)
    assert file.read_bytes() == before


@pytest.mark.parametrize("line", ["hello", "[]", "{}", '{"policy": "expert"}', "\udcff"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(f"{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(StoreError, match="line 1, is not a record"):
        RecordFile(file, (VERSION, {}))


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        RecordFile(tmp_path, (VERSION, {}))


# Metrics ---------------------------------------------------------------------------------------------------


def test_the_metrics_of_a_group_worked_by_hand() -> None:
    group = summarise(
        [
            sample(0, score=1.0, total=1.0, steps=10, questions=2, over_escalations=0),
            sample(1, score=0.5, total=0.4, steps=20, questions=2, over_escalations=3 - 1),
            sample(2, score=0.0, total=-1.0, steps=6, mistake=True),
            sample(3, score=0.9, total=0.9, steps=8),
        ]
    )[0]
    values = {name: found.value for name, found in group.metrics.items()}
    assert values == {
        "grade": 0.6,
        "safe_completion": 0.25,
        "mistakes": 0.25,
        "over_escalations": 0.5,
        "over_escalation_share": 0.5,
        "ask_f1": 0.75,
        "return": 0.325,
        "steps": 11.0,
        "pass^1": 0.25,
        "safe^1": 0.75,
    }
    assert (group.scenarios, group.episodes) == (4, 4)
    assert all(found.low <= found.value <= found.high for found in group.metrics.values())


def test_groups_are_all_tasks_each_task_and_each_split() -> None:
    samples = [
        replace(sample(), key=Key("p", task, split, 0, 1)) for task in "ab" for split in ("train", "test")
    ]
    scopes = {(group.task, group.split): group.scenarios for group in summarise(samples)}
    assert scopes == {
        (None, None): 4,
        ("a", None): 2,
        ("b", None): 2,
        (None, "train"): 2,
        (None, "test"): 2,
        **{(task, split): 1 for task in "ab" for split in ("train", "test")},
    }


@pytest.mark.parametrize(("bad", "attempts", "k"), [(0, 3, 2), (1, 3, 1), (2, 5, 2), (2, 5, 4), (3, 3, 1)])
def test_none_of_k_is_the_mean_over_all_draws_of_k_attempts(bad: int, attempts: int, k: int) -> None:
    draws = list(combinations([True] * bad + [False] * (attempts - bad), k))
    assert none_of_k(bad, attempts, k) == pytest.approx(sum(not any(draw) for draw in draws) / len(draws))


def test_pass_and_safe_of_k_are_means_over_scenarios() -> None:
    group = summarise(
        [sample(0, attempt, score=1.0) for attempt in (1, 2)]
        + [sample(1, 1, score=1.0), sample(1, 2, score=0.0, mistake=True)]
    )[0]
    assert [group.metrics[name].value for name in ("pass^1", "pass^2", "safe^1", "safe^2")] == [
        0.75,
        0.5,
        0.75,
        0.5,
    ]
    assert (group.scenarios, group.episodes) == (2, 4)


def test_intervals_are_fixed_and_about_as_wide_as_they_should_be() -> None:
    samples = [sample(seed, mistake=seed % 2 == 0) for seed in range(400)]
    found = summarise(samples)[0].metrics["mistakes"]
    assert found == summarise(samples)[0].metrics["mistakes"]
    assert found.value == 0.5
    # 1.96 standard errors of a share of one half among 400.
    assert found.low == pytest.approx(0.451, abs=0.008)
    assert found.high == pytest.approx(0.549, abs=0.008)


def test_attempts_on_one_scenario_do_not_narrow_the_interval() -> None:
    once = summarise([sample(seed, mistake=seed % 2 == 0) for seed in range(100)])[0]
    often = summarise([sample(seed, a, mistake=seed % 2 == 0) for seed in range(100) for a in range(1, 6)])[0]
    assert once.metrics["mistakes"] == often.metrics["mistakes"]


# Tables ----------------------------------------------------------------------------------------------------


def test_the_markdown_has_a_row_per_policy() -> None:
    selection = replace(SMALL, attempts=2)
    groups = summarise(evaluate(selection, workers=1))
    text = markdown(selection, groups)
    assert "| expert | 1.000 | 1.000-1.000 | 100.0% | 0.0% | 0.00 | 1.00 |" in text
    assert "easy; train and test: 8 scenarios, 2 attempts each" in text
    assert "pass^2" in text
    assert "| policy | train | test |" in text
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert [len(table.splitlines()) for table in tables] == [5, 5, 5]
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_json_has_every_group_and_says_what_was_evaluated() -> None:
    groups = summarise(evaluate(SMALL, workers=1))
    found = json.loads(json.dumps(to_json(SMALL, groups)))
    assert found["version"] == VERSION
    assert found["selection"]["seeds"] == [0, 1, 2, 3]
    assert len(found["groups"]) == 3 * 6
    grade = next(g for g in found["groups"] if g["policy"] == "expert")["metrics"]["grade"]
    assert grade == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_a_long_name_leaves_the_numbers_whole_on_a_narrow_terminal() -> None:
    record = record_of(play_attempt("easy", "test", 0, "expert", 1), "a-model-with-quite-a-long-name", 1)
    selection = Selection((record["policy"],), ("easy",), ("test",), (0,), 1)
    console = Console(width=80, record=True, file=StringIO())
    for table in rich_tables(selection, summarise([Sample.of(record)])):
        console.print(table)
    shown = console.export_text()
    assert "…" not in shown
    for number in ("1.000", "1.000-1.000", "100.0%", "over-asked"):
        assert number in shown
