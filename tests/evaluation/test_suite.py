"""Suites: what they consist of, how they are played, and the report of a run."""

import gzip
import hashlib
import json
import threading
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from safeact_env.cli import app
from safeact_env.core.episode import Episode
from safeact_env.core.variant import DEFAULT, FRAMINGS, Variant
from safeact_env.evaluation import (
    SUITES,
    Agent,
    Limits,
    ReportError,
    StoreError,
    SuiteFolder,
    policy_player,
    predictions_of,
    read_report,
    run_suite,
    summarise,
)
from safeact_env.evaluation.record import Key, Sample, record_of
from safeact_env.evaluation.suite import V2, task_hash
from safeact_env.tasks import OFFICIAL, get_task
from safeact_env.version import VERSION
from tests.suites import (
    GUESSER,
    MODEL,
    PRICES,
    PROGRAM,
    TINY,
    model_player,
    model_run,
    policy_run,
    program_run,
    records,
    rewrite_report,
)

# What a suite is -------------------------------------------------------------------------------------------


def test_a_published_suite_never_changes() -> None:
    """If this fails, undo the change: other episodes or other conditions are a suite with a new name."""
    assert {name: suite.sha256 for name, suite in SUITES.items()} == {
        "v2": "7f533d7caba8651ec0e2a6d5d41ee18a9a43c32a60b67902c573d941fde11ace"
    }


@pytest.mark.parametrize("field", [field.name for field in fields(V2)])
def test_the_hash_covers_everything_a_suite_says(field: str) -> None:
    value = getattr(V2, field)
    others: dict[type, Any] = {
        str: "other",
        int: 5,
        bool: False,
        tuple: value[:-1] if isinstance(value, tuple) else (),
    }
    others[Limits] = replace(V2.limits, tokens=1)
    assert replace(V2, **{field: others[type(value)]}).sha256 != V2.sha256


def test_the_seeds_are_drawn_by_the_documented_rule() -> None:
    drawn = [hashlib.sha256(f"safeact-env/suite/v2/{i}".encode()).digest()[:4] for i in range(10)]
    assert V2.seeds == tuple(int.from_bytes(part, "big") for part in drawn)
    assert len(set(V2.seeds)) == 10
    assert min(V2.seeds) >= 1_000  # none that the Task API numbers


def test_the_official_suite_is_five_tasks_by_ten_seeds_by_nine_variants_by_two_attempts() -> None:
    keys = list(V2.keys("expert"))
    assert len(set(keys)) == len(keys) == V2.episodes == 900
    assert (V2.tasks, V2.split, V2.prompt) == (OFFICIAL, "test", "neutral")
    assert {key.attempt for key in keys} == {1, 2}
    cells = Counter((key.variant.level, key.variant.framing) for key in keys)
    framings, levels = [(3, one) for one in FRAMINGS], [(level, "goal") for level in (1, 2, 4, 5)]
    assert cells == dict.fromkeys(framings + levels, 100)


def test_a_budget_of_answers_is_enough_for_every_step() -> None:
    budgets = [get_task(name).level(variant).max_steps for name in V2.tasks for variant in V2.variants]
    assert V2.limits.calls > max(budgets)


def test_the_hash_of_a_task_tells_its_data_its_starts_and_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, goal = (DEFAULT,), (Variant(3, "goal"),)
    own = task_hash("easy", "test", (1, 2), plain)
    assert own == task_hash("easy", "test", (1, 2), plain)
    others = [
        task_hash("easy", "test", (1, 3), plain),
        task_hash("medium", "test", (1, 2), plain),
        task_hash("easy", "train", (1, 2), plain),
        task_hash("easy", "test", (1, 2), goal),
    ]
    assert len({own, *others}) == 5
    task = get_task("easy")
    changed = replace(task, text=replace(task.text, data={"other": "text"}))
    monkeypatch.setattr("safeact_env.evaluation.suite.get_task", lambda _name: changed)
    assert task_hash("easy", "test", (1, 2), plain) != own


# Playing one -----------------------------------------------------------------------------------------------


def test_a_run_leaves_every_episode_and_a_report_of_them(tmp_path: Path) -> None:
    folder = policy_run(tmp_path / "new" / "run")
    found = records(folder)
    assert [(r["policy"], r["task"], r["split"], r["seed"], r["attempt"]) for r in found] == [
        ("guesser", task, "test", seed, attempt)
        for task in ("easy", "medium")
        for seed in (5, 3)
        for attempt in (1, 2)
    ]
    report = read_report(folder / "report.json")
    assert (report.suite.name, report.suite.sha256) == ("tiny", TINY.sha256)
    assert report.version == VERSION
    assert report.versions.tasks["medium"].version == get_task("medium").version
    assert report.versions.openenv
    assert report.cost is None
    assert report.trajectories is not None
    content = (folder / "trajectories.jsonl").read_bytes()
    assert report.trajectories.sha256 == hashlib.sha256(content).hexdigest()
    assert report.trajectories.episodes == 8
    assert report.results() == [g for g in summarise(map(Sample.of, found)) if g.split is None]
    assert {"pass^1", "pass^2", "safe^1", "safe^2"} <= report.groups[0].metrics.keys()


def test_attempts_of_a_policy_that_draws_differ(tmp_path: Path) -> None:
    found = records(policy_run(tmp_path))
    pairs = list(zip(found[::2], found[1::2], strict=True))
    assert any(one["calls"] != other["calls"] for one, other in pairs)


def test_the_cost_of_a_model_is_added_up_and_priced_only_with_prices(tmp_path: Path) -> None:
    cost = read_report(model_run(tmp_path / "priced") / "report.json").cost
    assert cost is not None
    calls = sum(record["steps"] for record in records(tmp_path / "priced"))
    assert (cost.model_calls, cost.tokens_in, cost.tokens_out) == (calls, 8_012, 800)
    assert cost.seconds == calls * 0.25
    assert cost.prices == PRICES
    assert cost.money == round((8_012 * 2.5 + 800 * 10) / 1e6, 6)
    free = run_suite(TINY, model_player, tmp_path / "free", MODEL)
    assert free.cost is not None
    assert (free.cost.prices, free.cost.money) == (None, None)


@pytest.mark.parametrize(
    "used",
    [
        None,
        {},
        {"tokens_in": 1, "tokens_out": 1, "latency_s": [-1]},
        {"tokens_in": 1, "tokens_out": 1, "latency_s": [float("nan")]},
        {"tokens_in": 1, "tokens_out": 1.5, "latency_s": [1]},
    ],
)
def test_a_model_that_does_not_say_what_it_used_has_no_report(tmp_path: Path, used: Any) -> None:
    def player(key: Key) -> dict[str, Any]:
        return {**model_player(key), "model": used}

    with pytest.raises(ReportError, match="easy, seed 5, attempt 1: the record does not say what the model"):
        run_suite(TINY, player, tmp_path, MODEL)
    assert records(tmp_path) == []  # told at the first episode, not after the last


def test_a_models_predictions_are_scored_in_its_report_and_a_policys_report_has_none(tmp_path: Path) -> None:
    path = model_run(tmp_path / "model") / "report.json"
    found = read_report(path).predictions
    assert found == predictions_of(map(Sample.of, records(tmp_path / "model")))
    assert [one.task for one in found] == [None, "easy", "medium"]
    assert found[0].scored > found[0].irreversible > 0
    plain = policy_run(tmp_path / "policy")
    assert "predictions" not in json.loads((plain / "report.json").read_text())
    assert read_report(plain / "report.json").predictions is None
    assert not any("undo_chance" in call for record in records(plain) for call in record["calls"])


@pytest.mark.parametrize("predict", [True, False])
def test_a_models_record_must_have_the_predictions_that_the_suite_asks_for(
    tmp_path: Path, predict: bool
) -> None:
    def player(key: Key) -> dict[str, Any]:
        record = model_player(key)
        if predict:
            for call in record["calls"]:
                del call["undo_chance"]
        return record

    told = "lacks predictions" if predict else "has predictions"
    with pytest.raises(ReportError, match=f"easy, seed 5, attempt 1: the record {told}"):
        run_suite(replace(TINY, predict=predict), player, tmp_path, MODEL)
    assert records(tmp_path) == []


@pytest.mark.parametrize("field", ["undo_chance", "risks"])
def test_predictions_that_cannot_be_read_are_refused(tmp_path: Path, field: str) -> None:
    def player(key: Key) -> dict[str, Any]:
        record = model_player(key)
        if field == "risks":
            record["risks"].pop()
        else:
            record["calls"][0]["undo_chance"] = "70%"
        return record

    with pytest.raises(ReportError, match="easy, seed 5, attempt 1: the predictions in the record cannot be"):
        run_suite(TINY, player, tmp_path, MODEL)
    assert records(tmp_path) == []


def test_a_run_does_not_depend_on_how_many_episodes_are_played_at_a_time(tmp_path: Path) -> None:
    together = threading.Barrier(4, timeout=20)

    def player(key: Key) -> dict[str, Any]:
        together.wait()  # passes only while four are under way
        return model_player(key)

    run_suite(TINY, player, tmp_path / "four", MODEL, prices=PRICES, concurrency=4)
    model_run(tmp_path / "one")
    for name in ("report.json", "trajectories.jsonl"):
        assert (tmp_path / "four" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_a_folder_can_be_filled_in_any_order_by_somebody_else(tmp_path: Path) -> None:
    with SuiteFolder(TINY, tmp_path / "folder", MODEL) as folder:
        assert folder.missing == list(TINY.keys(MODEL.name))
        for key in reversed(folder.missing):
            folder.keep(model_player(key))
        folder.finish(PRICES)
    model_run(tmp_path / "plain")
    for name in ("report.json", "trajectories.jsonl"):
        assert (tmp_path / "folder" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_there_is_no_report_before_every_episode_is_there(tmp_path: Path) -> None:
    with SuiteFolder(TINY, tmp_path, MODEL) as folder:
        for key in folder.missing[:-1]:
            folder.keep(model_player(key))
        with pytest.raises(ReportError, match="lacks 1 of 8 episodes"):
            folder.finish()
    assert read_report(tmp_path / "report.json").date is None
    with SuiteFolder(TINY, tmp_path, MODEL) as folder:
        assert len(folder.samples) == 7
        (last,) = folder.missing
        folder.keep(model_player(last))
        assert folder.finish().trajectories is not None


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_run_that_failed_keeps_what_was_played_and_goes_on(tmp_path: Path, concurrency: int) -> None:
    played: list[tuple[Any, ...]] = []

    def failing(key: Key) -> dict[str, Any]:
        if len(played) >= 4:
            raise ConnectionError("the endpoint is gone")
        played.append(key)
        return model_player(key)

    with pytest.raises(ConnectionError, match="gone"):
        run_suite(TINY, failing, tmp_path / "part", MODEL, prices=PRICES, concurrency=concurrency)
    kept = len(records(tmp_path / "part"))
    assert 0 < kept <= 4 + concurrency
    assert read_report(tmp_path / "part" / "report.json").date is None
    shown: list[tuple[int, int]] = []
    again: list[tuple[Any, ...]] = []

    def player(key: Key) -> dict[str, Any]:
        again.append(key)
        return model_player(key)

    run_suite(
        TINY,
        player,
        tmp_path / "part",
        MODEL,
        prices=PRICES,
        progress=lambda done, total: shown.append((done, total)),
    )
    assert len(again) == 8 - kept
    assert shown == [(done, 8) for done in range(kept, 9)]
    model_run(tmp_path / "whole")
    for name in ("report.json", "trajectories.jsonl"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_interrupt_does_not_wait_for_answers_under_way(tmp_path: Path) -> None:
    asked, forever = threading.Event(), threading.Event()

    def player(key: Key) -> dict[str, Any]:
        if key.seed == 3:
            asked.set()
            forever.wait(60)
        return model_player(key)

    def interrupt(done: int, _total: int) -> None:
        if done == 2:
            assert asked.wait(20)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_suite(TINY, player, tmp_path, MODEL, concurrency=3, progress=interrupt)
    forever.set()
    assert len(records(tmp_path)) == 2


def test_a_finished_run_is_not_played_again_and_keeps_its_day(tmp_path: Path) -> None:
    model_run(tmp_path)
    rewrite_report(tmp_path, lambda report: report.update(date="2026-01-02"))

    def fail(*_which: Any) -> dict[str, Any]:
        raise AssertionError("played again")

    report = run_suite(TINY, fail, tmp_path, MODEL)
    assert report.date == "2026-01-02"
    assert report.cost is not None
    assert report.cost.prices is None


def test_a_run_whose_records_were_compressed_is_not_played_again(tmp_path: Path) -> None:
    before = read_report(model_run(tmp_path) / "report.json")
    path = tmp_path / "trajectories.jsonl"
    (tmp_path / "trajectories.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    with pytest.raises(ReportError, match=r"trajectories\.jsonl\.gz is compressed; unpack it"):
        model_run(tmp_path)
    assert read_report(tmp_path / "report.json") == before


def test_starting_again_replaces_the_run(tmp_path: Path) -> None:
    model_run(tmp_path)
    run_suite(TINY, policy_player("guesser"), tmp_path, GUESSER, resume=False)
    assert {record["policy"] for record in records(tmp_path)} == {"guesser"}
    assert read_report(tmp_path / "report.json").agent == GUESSER


@pytest.mark.parametrize("changes", [{"name": "clever-2"}, {"settings": {"mode": "json"}}, {"settings": {}}])
def test_another_agent_or_other_settings_do_not_go_on_with_a_run(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model_run(tmp_path)
    before = (tmp_path / "trajectories.jsonl").read_bytes()
    with pytest.raises(ReportError, match="holds a run of suite tiny by clever-1"):
        run_suite(TINY, model_player, tmp_path, MODEL.model_copy(update=changes))
    assert (tmp_path / "trajectories.jsonl").read_bytes() == before


def test_episodes_of_something_else_in_the_folder_are_refused(tmp_path: Path) -> None:
    policy_run(tmp_path)
    (tmp_path / "report.json").unlink()
    with pytest.raises(ReportError, match=r"not of this run: guesser on (easy|medium), test, seed"):
        run_suite(replace(TINY, seeds=(5,)), policy_player("guesser"), tmp_path, GUESSER)


def test_records_of_another_version_are_refused(tmp_path: Path) -> None:
    policy_run(tmp_path)
    path = tmp_path / "trajectories.jsonl"
    path.write_text(path.read_text().replace(f'"version":"{VERSION}"', '"version":"0.1.0"'))
    with pytest.raises(StoreError, match=r"recorded with version 0\.1\.0"):
        policy_run(tmp_path)


@pytest.mark.parametrize(
    "prompt", [None, {"name": "hinted"}, {"version": "2"}], ids=["none", "another", "another version"]
)
def test_a_model_with_another_prompt_does_not_play_the_suite(
    tmp_path: Path, prompt: dict[str, str] | None
) -> None:
    assert MODEL.prompt is not None
    other = MODEL.prompt.model_copy(update=prompt) if prompt else None
    with pytest.raises(ReportError, match="Suite tiny is played with the prompt neutral, version 1"):
        run_suite(TINY, model_player, tmp_path / "run", MODEL.model_copy(update={"prompt": other}))
    assert not (tmp_path / "run").exists()


def test_a_player_that_returns_another_episode_is_noticed(tmp_path: Path) -> None:
    def player(key: Key) -> dict[str, Any]:
        return model_player(key._replace(seed=key.seed + 1))

    with pytest.raises(ReportError, match="easy, seed 5, attempt 1: the player returned the record of anoth"):
        run_suite(TINY, player, tmp_path, MODEL)
    assert records(tmp_path) == []


def test_an_agent_without_a_budget_does_not_play_a_suite(tmp_path: Path) -> None:
    def player(key: Key) -> dict[str, Any]:
        return {**policy_player("look_only")(key), "policy": PROGRAM.name}

    with pytest.raises(ReportError, match="network-0 played under a budget of 10000 steps"):
        run_suite(TINY, player, tmp_path, PROGRAM)


@pytest.mark.parametrize(
    ("agent", "sentence"),
    [
        (GUESSER.model_copy(update={"name": "clever"}), "There is no reference policy clever"),
        (PROGRAM.model_copy(update={"name": "expert"}), "expert is the name of a reference policy"),
        (PROGRAM.model_copy(update={"prompt": MODEL.prompt}), "A program reads no prompt"),
        (GUESSER.model_copy(update={"prompt": MODEL.prompt}), "A policy reads no prompt"),
    ],
)
def test_an_agent_that_cannot_be_does_not_play_a_suite(tmp_path: Path, agent: Agent, sentence: str) -> None:
    with pytest.raises(ReportError, match=sentence):
        run_suite(TINY, policy_player("guesser"), tmp_path / "run", agent)
    assert not (tmp_path / "run").exists()


def test_a_program_plays_each_episode_to_its_end(tmp_path: Path) -> None:
    def player(key: Key) -> dict[str, Any]:
        unplayed = Episode(get_task(key.task), key.split, key.seed, variant=key.variant)
        return record_of(unplayed, PROGRAM.name, key.attempt)

    with pytest.raises(ReportError, match="easy, seed 5, attempt 1: the episode is not over"):
        run_suite(TINY, player, tmp_path, PROGRAM)
    assert records(tmp_path) == []
    report = read_report(program_run(tmp_path) / "report.json")
    assert (report.cost, report.predictions) == (None, None)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot be written"):
        policy_run(tmp_path / "file" / "folder")


# The command -----------------------------------------------------------------------------------------------


def run(*args: Any) -> Result:
    env = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(app, ["eval", *map(str, args)], env=env)


def output(result: Result) -> str:
    return " ".join((result.stdout + result.stderr).replace("│", " ").split())


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SUITES, "tiny", TINY)


@pytest.mark.usefixtures("tiny")
def test_the_command_plays_a_suite_and_prints_its_tables(tmp_path: Path) -> None:
    result = run("--suite", "tiny", "--policy", "expert", "--out", tmp_path / "run")
    assert result.exit_code == 0, output(result)
    assert "easy, medium; test: 4 scenarios, 2 attempts each" in output(result)
    assert "pass^2" in output(result)
    assert f"`safeact verify {tmp_path / 'run'}` checks them." in output(result)
    assert json.loads((tmp_path / "run" / "report.json").read_text())["agent"]["name"] == "expert"


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--suite", "v9"], "there is no suite 'v9'. The suites are v2, tiny."),
        (["--suite", "tiny", "--out", "x"], "--policy: a report is about one agent; name one policy."),
        (["--suite", "tiny", "--policy", "expert"], "--out: a suite needs a folder"),
        (
            ["--suite", "tiny", "--policy", "expert", "--out", "x", "--seeds", "0-19", "--attempts", "1"],
            "leave out --seeds, --attempts.",
        ),
        (["--suite", "tiny", "--policy", "nobody", "--out", "x"], "there is no policy 'nobody'"),
        (["--out", "."], ". is a folder; name a file in it."),
    ],
)
def test_bad_arguments_of_a_suite(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*args)
    assert result.exit_code == 2
    assert message in output(result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("tiny")
def test_the_command_tells_of_a_folder_that_holds_another_run(tmp_path: Path) -> None:
    model_run(tmp_path)
    result = run("--suite", "tiny", "--policy", "expert", "--out", tmp_path)
    assert result.exit_code == 2
    assert "holds a run of suite tiny by clever-1" in output(result)


@pytest.mark.usefixtures("tiny")
def test_an_interrupted_suite_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("safeact_env.evaluation.suite_run.play_attempt", stop)
    result = run("--suite", "tiny", "--policy", "expert", "--out", tmp_path)
    assert result.exit_code == 130
    assert "run the same command again to go on" in output(result)
