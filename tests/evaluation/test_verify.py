"""`safeact verify`: a true report holds, and every way to forge one is named."""

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from safeact_env.cli import app
from safeact_env.core.episode import Episode
from safeact_env.evaluation import SUITES, Agent, policy_player, run_suite, verify
from safeact_env.evaluation.record import record_of
from safeact_env.evaluation.replay import replayed
from safeact_env.version import VERSION
from tests.suites import (
    TINY,
    model_run,
    policy_run,
    program_run,
    records,
    rewrite_records,
    rewrite_report,
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SUITES, "tiny", TINY)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    policy_run(folder / "policy")
    model_run(folder / "model")
    return folder


@pytest.fixture
def policy(runs: Path, tmp_path: Path) -> Path:
    """A run of `guesser` that may be changed."""
    return Path(shutil.copytree(runs / "policy", tmp_path / "policy"))


@pytest.fixture
def model(runs: Path, tmp_path: Path) -> Path:
    """A run of a model that may be changed."""
    return Path(shutil.copytree(runs / "model", tmp_path / "model"))


def mismatches(folder: Path) -> dict[str, list[str]]:
    """What does not hold, by check."""
    return {check.name: check.mismatches for check in verify(folder) if check.mismatches}


def run(path: Path) -> Result:
    env = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(app, ["verify", str(path)], env=env)


def output(result: Result) -> str:
    return " ".join((result.stdout + result.stderr).replace("│", " ").split())


# What holds ------------------------------------------------------------------------------------------------


def test_a_true_report_holds(policy: Path, model: Path, tmp_path: Path) -> None:
    assert mismatches(policy) == {}
    assert mismatches(model / "report.json") == {}
    assert mismatches(program_run(tmp_path)) == {}
    result = run(policy)
    assert result.exit_code == 0
    assert result.stdout.count("as reported") == 9
    assert result.stdout.endswith("The report holds.\n")


@pytest.mark.parametrize(("name", "plays"), [("guesser", 1), ("thorough", 1 / 2)])
def test_an_episode_of_a_policy_is_played_once(
    name: str, plays: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that draws nothing for both attempts."""
    policy = tmp_path / name
    run_suite(TINY, policy_player(name), policy, Agent(name=name, kind="policy"))
    mismatches(policy)  # what is kept from run to run, such as the expert's approvals
    steps, real = 0, Episode.step

    def step(self: Episode[Any], call: Any) -> Any:
        nonlocal steps
        steps += 1
        return real(self, call)

    monkeypatch.setattr(Episode, "step", step)
    assert mismatches(policy) == {}
    assert steps == plays * sum(len(one["calls"]) for one in records(policy))


def test_an_attempt_without_draws_that_is_another_one_is_caught(tmp_path: Path) -> None:
    run_suite(TINY, policy_player("expert"), tmp_path, Agent(name="expert", kind="policy"))
    rewrite_records(tmp_path, lambda found: found[1]["calls"][0].update(reasoning="Because."))
    assert mismatches(tmp_path) == {"agent": [f"{SECOND}expert plays other calls here."]}


def test_compressed_records_are_the_same_records(policy: Path) -> None:
    path = policy / "trajectories.jsonl"
    (policy / "trajectories.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert mismatches(policy) == {}


def test_the_order_of_the_records_is_nobodys_business(model: Path) -> None:
    rewrite_records(model, list.reverse)
    assert mismatches(model) == {}


def test_a_model_that_a_limit_stopped_is_graded_as_it_stands(tmp_path: Path) -> None:
    from safeact_env.evaluation.record import record_of
    from safeact_env.tasks import get_task
    from tests.suites import MODEL, model_player

    def player(key: Any) -> dict[str, Any]:
        record = model_player(key)
        if key.attempt == 2:
            unplayed = Episode(get_task(key.task), key.split, key.seed)
            fresh = record_of(unplayed, MODEL.name, key.attempt, predictions=[])
            record = {**fresh, "model": {**record["model"]}}
            record["model"] |= {"latency_s": [1.0], "tokens_in": 3_000_000, "stop": "tokens"}
        return record

    run_suite(TINY, player, tmp_path, MODEL)
    assert mismatches(tmp_path) == {}
    for other in ("done", "boredom", None, [], {}, 1):
        rewrite_records(tmp_path, lambda found, stop=other: found[1]["model"].update(stop=stop))
        assert mismatches(tmp_path) == {
            "agent": [
                f"{SECOND}the episode is not over, and the record does not name the limit that stopped the "
                "model."
            ]
        }
    for stop, why in (("calls", "1 answers"), ("tokens", "1102 tokens")):
        change = {"stop": stop, "tokens_in": 1_002}
        rewrite_records(tmp_path, lambda found, change=change: found[1]["model"].update(change))
        said = f"{SECOND}the record says that {why} were all that the suite allows."
        assert mismatches(tmp_path)["agent"] == [said]


# What does not ---------------------------------------------------------------------------------------------


def forge(found: list[dict[str, Any]], **changes: Any) -> None:
    found[1].update(changes)


SECOND = "easy, seed 5, attempt 2: "

FORGED_RECORDS: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], dict[str, str]]] = {
    "a changed score": (
        lambda f: forge(f, score=0.9876),
        {"replay": f"{SECOND}score: recorded 0.9876, replayed"},
    ),
    "a changed outcome": (
        lambda f: forge(f, outcome="budget_exhausted"),
        {"replay": f'{SECOND}outcome: recorded "budget_exhausted", replayed'},
    ),
    "a changed reward": (
        lambda f: f[1]["rewards"].__setitem__(0, 0.5),
        {"replay": f"{SECOND}step 1, reward: recorded 0.5, replayed"},
    ),
    "a hidden mistake": (
        lambda f: [one.update(mistake=not one["mistake"]) for one in f[1:2]],
        {"replay": f"{SECOND}mistake: recorded "},
    ),
    "a hidden question": (
        lambda f: forge(f, questions=17),
        {"replay": f"{SECOND}questions: recorded 17, replayed"},
    ),
    "a score that is left out": (lambda f: f[1].pop("score"), {"replay": f"{SECOND}score: not recorded."}),
    "a changed call": (
        lambda f: f[1]["calls"][0].update(action_name="no_such_action"),
        {"replay": f"{SECOND}step 1, reward: recorded"},
    ),
    "a call after the end": (
        lambda f: f[1]["calls"].append(f[1]["calls"][0]),
        {"replay": f"{SECOND}the episode is over after"},
    ),
    "a call that is none": (
        lambda f: f[1]["calls"].append(17),
        {"replay": f"{SECOND}the trajectory cannot be read"},
    ),
    "another task version": (
        lambda f: forge(f, task_version=1),
        {
            "replay": f"{SECOND}recorded on version 1 of the task easy, and this is version 2; the same "
            "calls would be another episode."
        },
    ),
    "another package version": (
        lambda f: forge(f, version="0.9.9"),
        {"replay": f"{SECOND}recorded with safeact-env 0.9.9, and this is {VERSION}"},
    ),
    "a missing episode": (
        lambda f: f.pop(1),
        {"episodes": f"{SECOND}missing.", "metrics": "all tasks, episodes: reported 8, found 7."},
    ),
    "a duplicated episode": (lambda f: f.append(f[1]), {"episodes": f"{SECOND}there 2 times."}),
    "an attempt that was tried again": (lambda f: forge(f, attempt=1), {"episodes": f"{SECOND}missing."}),
    "a seed that is not the suite's": (
        lambda f: forge(f, seed=6),
        {"episodes": "easy, seed 6, attempt 2: not an episode of this run."},
    ),
    "another split": (
        lambda f: forge(f, split="train"),
        {"episodes": f"{SECOND[:-2]}, split train: not an episode of this run."},
    ),
    "another player's episode": (
        lambda f: forge(f, policy="expert"),
        {"episodes": f"{SECOND[:-2]}, played by expert: not an episode of this run."},
    ),
    "a larger budget": (
        lambda f: forge(f, max_steps=100),
        {"agent": f"{SECOND}played under a budget of 100 steps instead of the task's 36."},
    ),
}


@pytest.mark.parametrize("twin", FORGED_RECORDS)
def test_a_forged_record_is_caught_although_the_hash_was_made_to_fit(policy: Path, twin: str) -> None:
    change, expected = FORGED_RECORDS[twin]
    rewrite_records(policy, change)
    found = mismatches(policy)
    assert "file" not in found
    for check, sentence in expected.items():
        assert any(mismatch.startswith(sentence) for mismatch in found[check]), found


def test_the_command_names_what_does_not_hold_and_ends_with_code_1(policy: Path) -> None:
    change, expected = FORGED_RECORDS["a missing episode"]
    rewrite_records(policy, change)
    result = run(policy)
    assert result.exit_code == 1
    assert all(f"{check}: {sentence}" in result.stdout for check, sentence in expected.items())
    assert result.stdout.endswith("The report does not hold: episodes, metrics.\n")


PROGRAMS: dict[str, tuple[Callable[[Path], Any], dict[str, list[str]]]] = {
    "an episode that is not over": (
        lambda folder: rewrite_records(folder, lambda found: found[1].update(cut_short(found[1]))),
        {"agent": [f"{SECOND}the episode is not over."]},
    ),
    "the name of a reference policy": (
        lambda folder: (
            rewrite_records(folder, lambda found: [one.update(policy="expert") for one in found]),
            rewrite_report(folder, renamed),
        ),
        {"agent": ["expert is the name of a reference policy; a program needs another one."]},
    ),
    "a record of a model": (
        lambda folder: rewrite_records(folder, lambda found: found[1].update(model={"prompt": "hinted"})),
        {"agent": [f"{SECOND}the record says how a model played, and a program uses none."]},
    ),
    "a prompt": (
        lambda folder: rewrite_report(
            folder,
            lambda report: report["agent"].update(
                prompt={"name": "neutral", "version": "1", "sha256": "ab" * 32}
            ),
        ),
        {"agent": ["A program reads no prompt, and the agent has one; with a prompt it is a model."]},
    ),
}
"""Reports of a program that cannot be, with what is said of them."""


def cut_short(record: dict[str, Any]) -> dict[str, Any]:
    """The record of an episode without its last call, with figures that are true of it."""
    episode = replayed({**record, "calls": record["calls"][:-1]})
    return record_of(episode, record["policy"], record["attempt"])


def renamed(report: dict[str, Any]) -> None:
    """Give the report's agent the name of a reference policy, everywhere."""
    report["agent"]["name"] = "expert"
    report["selection"]["policies"] = ["expert"]
    for one in (*report["groups"], *report["comparisons"]):
        one["policy"] = "expert"


@pytest.mark.parametrize("case", PROGRAMS)
def test_the_report_of_a_program_that_cannot_be_is_caught(tmp_path: Path, case: str) -> None:
    forge, said = PROGRAMS[case]
    forge(program_run(tmp_path))
    found = mismatches(tmp_path)
    assert {name: found[name] for name in said} == said


def test_a_record_changed_without_its_hash_is_another_file(model: Path) -> None:
    path = model / "trajectories.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"reasoning":"What ', b'"reasoning":"That ', 1))
    found = mismatches(model)
    assert list(found) == ["file"]  # reasons are recorded, never interpreted
    (sentence,) = found["file"]
    assert sentence.startswith("The hash of trajectories.jsonl is ")
    assert "changed after the run" in sentence


def test_a_policy_that_did_not_play_its_own_calls_is_caught(policy: Path) -> None:
    from safeact_env.evaluation.record import play_attempt, record_of

    better = record_of(play_attempt("easy", "test", 5, "expert", 2), "guesser", 2)
    rewrite_records(policy, lambda found: found.__setitem__(1, better))
    found = mismatches(policy)
    assert found["agent"] == [f"{SECOND}guesser plays other calls here."]
    assert "replay" not in found
    assert "metrics" in found


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"prompt": "hinted"}, "the model did not get the prompt neutral, version 1."),
        ({"prompt_version": "2"}, "the model did not get the prompt neutral, version 1."),
        ({"prompt_sha256": "cd" * 32}, "the text of the prompt was another one than the report's."),
        ({"latency_s": [0.1] * 151}, "151 answers were asked for, and the suite allows 150."),
        (
            {"latency_s": [250] * 18},
            "the model was asked again after the 3600 seconds that the suite allows.",
        ),
        ({"latency_s": [1] * 3}, "18 calls came of 3 answers, and an answer is one call."),
        (
            {"stop": "tokens"},
            "the episode is over, and the record says that its limit of tokens stopped the m",
        ),
        ({"name": "tiny-1"}, 'the model\'s name was "tiny-1", and the report\'s is "clever-1".'),
        ({"mode": "text"}, 'the model\'s mode was "text", and the report\'s is "tools".'),
        ({"temperature": 1.5}, "the model's temperature was 1.5, and the report's is 0.0."),
    ],
)
def test_a_model_outside_the_conditions_is_caught(model: Path, part: dict[str, Any], sentence: str) -> None:
    rewrite_records(model, lambda found: found[1]["model"].update(part))
    (said,) = mismatches(model)["agent"]
    assert said.startswith(SECOND + sentence)


def test_a_model_whose_record_has_no_model_is_caught(model: Path) -> None:
    rewrite_records(model, lambda found: found[1].pop("model"))
    found = mismatches(model)
    assert found["agent"] == [f"{SECOND}the record has no part `model`."]
    assert found["cost"][0].startswith(f"{SECOND}the record does not say what the model used")


@pytest.mark.parametrize(
    "part",
    [
        *({"tokens_in": one} for one in (-1, 1.0, True, 10**13, 10**400)),
        *({"latency_s": one} for one in ("", {}, [True], [-1], [1e308] * 3, [10**400])),
    ],
)
def test_a_model_that_does_not_say_what_it_used_is_caught(model: Path, part: dict[str, Any]) -> None:
    rewrite_records(model, lambda found: found[1]["model"].update(part))
    found = mismatches(model)
    assert list(found) == ["cost"]
    assert found["cost"][0].startswith(f"{SECOND}the record does not say what the model used")


def test_a_model_that_was_asked_for_no_predictions_is_caught(model: Path) -> None:
    def forget(found: list[dict[str, Any]]) -> None:
        for call in found[1]["calls"]:
            del call["undo_chance"]

    rewrite_records(model, forget)
    found = mismatches(model)
    assert found["agent"] == [f"{SECOND}the suite is played with predictions, and this was not."]
    assert found["predictions"][0].startswith("clever-1 all tasks, calls: reported ")
    suite = replace(TINY, predict=False)
    assert {check.name for check in verify(model, {"tiny": suite}) if check.mismatches} >= {"suite", "agent"}


def predictions(found: list[dict[str, Any]], step: int, said: Any) -> None:
    found[1]["calls"][step]["undo_chance"] = said


FORGED_PREDICTIONS: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], dict[str, str]]] = {
    "one percent more": (
        lambda f: predictions(f, 1, 91),
        {"predictions": "clever-1 all tasks, brier: reported "},
    ),
    "one that was not given": (
        lambda f: predictions(f, 2, 100),
        {"predictions": "clever-1 all tasks, not given: reported "},
    ),
    "one that could not be read": (
        lambda f: predictions(f, 6, None),
        {"predictions": "clever-1 all tasks, not given: reported "},
    ),
    "a value that is none": (
        lambda f: predictions(f, 0, "high"),
        {"replay": f"{SECOND}step 1: undo_chance must be an integer from 0 to 100"},
    ),
    "another class": (
        lambda f: f[1]["risks"].__setitem__(0, "irreversible"),
        {"replay": f'{SECOND}step 1, risk: recorded "irreversible", replayed "safe".'},
    ),
    "classes that are left out": (
        lambda f: f[1].pop("risks"),
        {"replay": f"{SECOND}risks: not recorded."},
    ),
}


@pytest.mark.parametrize("twin", FORGED_PREDICTIONS)
def test_a_forged_prediction_is_caught_although_the_hash_was_made_to_fit(model: Path, twin: str) -> None:
    change, expected = FORGED_PREDICTIONS[twin]
    rewrite_records(model, change)
    found = mismatches(model)
    assert "file" not in found
    for check, sentence in expected.items():
        assert any(mismatch.startswith(sentence) for mismatch in found[check]), found


def test_one_changed_byte_of_a_prediction_is_found(model: Path) -> None:
    path = model / "trajectories.jsonl"
    content = path.read_bytes()
    changed = content.replace(b'"undo_chance":90', b'"undo_chance":91', 1)
    assert sum(one != other for one, other in zip(content, changed, strict=True)) == 1
    path.write_bytes(changed)
    assert set(mismatches(model)) == {"file", "predictions"}


def test_a_policy_that_predicts_is_caught(policy: Path) -> None:
    rewrite_records(policy, lambda found: [call.update(undo_chance=9) for call in found[0]["calls"]])
    found = mismatches(policy)
    assert found["agent"] == ["easy, seed 5, attempt 1: guesser plays other calls here."]
    assert found["predictions"][0] == "guesser all tasks: not in the report."


def metric(report: dict[str, Any], name: str) -> dict[str, float]:
    found: dict[str, float] = report["groups"][0]["metrics"][name]
    return found


FORGED_REPORTS: dict[str, dict[str, tuple[Callable[[dict[str, Any]], Any], str]]] = {
    "metrics": {
        "a changed metric": (
            lambda r: metric(r, "grade").update(value=0.99),
            "all tasks, grade: reported 0.99 [",
        ),
        "a narrower interval": (
            lambda r: metric(r, "steps").update(low=metric(r, "steps")["value"]),
            "all tasks, steps: reported ",
        ),
        "a changed pass^k": (
            lambda r: metric(r, "pass^2").update(value=0.7),
            "all tasks, pass^2: reported 0.7 [",
        ),
        "a metric that is left out": (
            lambda r: r["groups"][1]["metrics"].pop("mistakes"),
            "easy, mistakes: reported nothing, found",
        ),
        "a metric of its own": (
            lambda r: r["groups"][0]["metrics"].update(glory=metric(r, "grade")),
            "all tasks, glory: reported",
        ),
        "a task that is left out": (lambda r: r["groups"].pop(), "medium: not in the report."),
        "results of nothing": (
            lambda r: r["groups"].append({**r["groups"][0], "policy": "ghost"}),
            "all tasks, ghost, all splits: results that no episode gives.",
        ),
        "two results for one": (
            lambda r: r["groups"].append(r["groups"][0]),
            "The report has two results for the same episodes.",
        ),
        "results in an order of its own": (
            lambda r: r["groups"].reverse(),
            "The report's results stand in another order than a run writes them in.",
        ),
    },
    "predictions": {
        "a better score": (
            lambda r: r["predictions"][0].update(brier=0.1),
            "clever-1 all tasks, brier: reported 0.1, found 0.",
        ),
        "fewer that were known and done": (
            lambda r: r["predictions"][0]["knew"].update(did=r["predictions"][0]["knew"]["did"] + 1),
            "clever-1 all tasks, knew: reported did=",
        ),
        "a smoother curve": (
            lambda r: r["predictions"][0]["bins"][0].update(true=0.123),
            "clever-1 all tasks, bins: reported [low=",
        ),
        "no predictions": (
            lambda r: r.pop("predictions"),
            "clever-1 all tasks: not in the report.",
        ),
        "a task that is left out": (
            lambda r: r["predictions"].pop(1),
            "clever-1 easy: not in the report.",
        ),
        "predictions of nothing": (
            lambda r: r["predictions"].append({**r["predictions"][0], "task": "hard"}),
            "clever-1 hard: no call has a prediction.",
        ),
        "two scores for one": (
            lambda r: r["predictions"].append(r["predictions"][0]),
            "The report scores the predictions of the same calls twice.",
        ),
        "scores in an order of their own": (
            lambda r: r["predictions"].reverse(),
            "The report's scores of predictions stand in another order than a run writes them in.",
        ),
    },
    "cost": {
        "fewer tokens": (lambda r: r["cost"].update(tokens_in=1), "tokens in: reported 1, found 8012."),
        "less money": (lambda r: r["cost"].update(money=0.001), "money: reported 0.001, found "),
        "no sum of money": (lambda r: r["cost"].update(money=None), "money: reported None, found "),
        "no cost": (lambda r: r.update(cost=None), "The report does not say what the model used."),
        "a policy with a cost": (
            lambda r: r["agent"].update(kind="policy"),
            "A policy uses no model, and the report names a cost.",
        ),
    },
    "suite": {
        "another suite of the same name": (
            lambda r: r["suite"].update(sha256="0" * 64),
            "The report is of another suite tiny: its hash is 000",
        ),
        "other seeds": (
            lambda r: r["selection"].update(seeds=[1, 2]),
            "The report's selection is not the suite's.",
        ),
        "a number of attempts that is no whole one": (
            lambda r: r["selection"].update(attempts=2.0),
            "The report's selection is not the suite's.",
        ),
        "another kind of interval": (
            lambda r: r["interval"].update(level=0.5),
            "The report's interval is not the suite's.",
        ),
    },
    "tasks": {
        "a task that was changed": (
            lambda r: r["versions"]["tasks"]["easy"].update(sha256="0" * 64),
            "easy: the report's hash of the task is 000",
        ),
        "a task that is not named": (
            lambda r: r["versions"]["tasks"].pop("easy"),
            "easy: the report does not say which version was played.",
        ),
        "a task too many": (
            lambda r: r["versions"]["tasks"].update(hard=r["versions"]["tasks"]["easy"]),
            "hard: not a task of the suite.",
        ),
    },
    "file": {
        "fewer episodes": (
            lambda r: r["trajectories"].update(episodes=7),
            "trajectories.jsonl has 8 episodes, and the report says 7.",
        ),
    },
    "agent": {
        "another prompt": (
            lambda r: r["agent"]["prompt"].update(name="hinted"),
            "The report's prompt is not neutral, version 1, as the suite asks.",
        ),
        "no prompt": (
            lambda r: r["agent"].update(prompt=None),
            "The report's prompt is not neutral, version 1, as the suite asks.",
        ),
        "a model as a policy": (
            lambda r: r["agent"].update(kind="policy"),
            "There is no reference policy clever-1.",
        ),
        "the name of a policy": (
            lambda r: r["agent"].update(name="Expert"),
            "Expert is the name of a reference policy; a model needs another one.",
        ),
        **{
            f"the name {name!r}": (
                lambda r, name=name: r["agent"].update(name=name),
                f"The name {name!a} is none for an agent: ",
            )
            for name in ("expert ", "\u0435xpert", "expert\u200b", "a\nb", "a | 1.0", "<b>", "a`b")
        },
    },
    "episodes": {
        "another name": (lambda r: r["agent"].update(name="cleverer-2"), "easy, seed 5, attempt 1: missing."),
    },
}


@pytest.mark.parametrize(
    ("check", "twin"), [(check, twin) for check in FORGED_REPORTS for twin in FORGED_REPORTS[check]]
)
def test_a_forged_report_is_caught(model: Path, check: str, twin: str) -> None:
    change, sentence = FORGED_REPORTS[check][twin]
    rewrite_report(model, change)
    found = mismatches(model)
    assert any(mismatch.startswith(sentence) for mismatch in found[check]), found
    if check in ("metrics", "cost", "suite", "tasks", "file") and "policy" not in twin:
        assert list(found) == [check]


def test_a_reward_as_large_as_a_rounding_is_caught(policy: Path) -> None:
    def nudge(report: dict[str, Any]) -> None:
        metric(report, "return")["value"] += 0.00001

    rewrite_report(policy, nudge)
    assert [mismatch[:24] for mismatch in mismatches(policy)["metrics"]] == ["all tasks, return: repor"]


def test_a_suite_that_was_changed_here_is_noticed(policy: Path) -> None:
    other = {"tiny": replace(TINY, seeds=(5, 4))}
    found = {check.name: check.mismatches for check in verify(policy, other)}
    assert "The report is of another suite tiny" in found["suite"][0]
    assert "easy, seed 4, attempt 1: missing." in found["episodes"]


def test_many_mismatches_are_cut_short(policy: Path) -> None:
    rewrite_records(policy, lambda found: [one["rewards"].append(0) for one in found])
    found = run(policy).stdout
    assert "replay: and " not in found  # eight
    rewrite_records(policy, lambda found: [one.update(questions=99) for one in found])
    assert "replay: and 6 more." in run(policy).stdout


def test_a_hostile_report_cannot_steer_the_terminal(policy: Path) -> None:
    rewrite_records(policy, lambda found: forge(found, task="easy\x1b[2J\ud800"))
    result = run(policy)
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert "easy?[2J?, seed 5" in result.stdout


# What cannot be checked ------------------------------------------------------------------------------------

UNUSABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no report": (
        lambda folder: (folder / "report.json").unlink(),
        "report.json cannot be read: No such file",
    ),
    "no records": (
        lambda folder: (folder / "trajectories.jsonl").unlink(),
        "There is no trajectories.jsonl or trajectories.jsonl.gz in",
    ),
    "no JSON": (lambda folder: (folder / "report.json").write_text("hello"), "is not the report of a suite"),
    "no object": (lambda folder: (folder / "report.json").write_text("[]"), "is not the report of a suite"),
    "deep JSON": (
        lambda folder: (folder / "report.json").write_text("[" * 100_000),
        "is not the report of a suite",
    ),
    "no UTF-8": (
        lambda folder: (folder / "report.json").write_bytes(b'{"form": "\xff"}'),
        "is not the report of a suite",
    ),
    "a part that is missing": (
        lambda folder: rewrite_report(folder, lambda report: report.pop("agent")),
        "is not the report of a suite: agent: Field required",
    ),
    "a part that is something else": (
        lambda folder: rewrite_report(folder, lambda report: report.update(groups=[1])),
        "is not the report of a suite: groups.0: ",
    ),
    "a part too many": (
        lambda folder: rewrite_report(folder, lambda report: report.update(note="trust me")),
        "is not the report of a suite: note: ",
    ),
    "records elsewhere": (
        lambda folder: rewrite_report(
            folder, lambda report: report["trajectories"].update(file="../../other.jsonl")
        ),
        "is not the report of a suite: trajectories.file: ",
    ),
    "no form": (
        lambda folder: rewrite_report(folder, lambda report: report.pop("form")),
        "is not the report of a suite: form: Field required",
    ),
    "a day that is none": (
        lambda folder: rewrite_report(folder, lambda report: report.update(date="<b>today</b>")),
        "is not the report of a suite: date: ",
    ),
    "no day": (
        lambda folder: rewrite_report(folder, lambda report: report.update(date=None)),
        "is of a run that was not finished",
    ),
    "a number of five thousand digits": (
        lambda folder: (folder / "report.json").write_text(
            (folder / "report.json")
            .read_text()
            .replace('"settings": {', '"settings": {"n": ' + "1" * 5_000, 1)
        ),
        "is not the report of a suite: Invalid JSON",
    ),
    "records of a name that is too long": (
        lambda folder: rewrite_report(
            folder, lambda report: report["trajectories"].update(file="a" * 300 + ".jsonl")
        ),
        "cannot be read: ",
    ),
    "an unfinished run": (
        lambda folder: rewrite_report(folder, lambda report: report.update(trajectories=None)),
        "is of a run that was not finished",
    ),
    "an unknown suite": (
        lambda folder: rewrite_report(folder, lambda report: report["suite"].update(name="v7")),
        f"There is no suite 'v7' in safeact-env {VERSION}; the suites are v2, tiny.",
    ),
    "another package": (
        lambda folder: rewrite_report(folder, lambda report: report.update(version="3.0.0")),
        f"made with safeact-env 3.0.0, and this is {VERSION}. Verify it with safeact-env 3.0.0.",
    ),
    "another task version": (
        lambda folder: rewrite_report(
            folder, lambda report: report["versions"]["tasks"]["easy"].update(version=1)
        ),
        "of version 1 of the task easy, and this installation has version 2.",
    ),
    "a record that is no JSON": (
        lambda folder: rewrite_line(folder, b"{"),
        "trajectories.jsonl, line 2, is not the record of an episode",
    ),
    "a record that is no object": (
        lambda folder: rewrite_line(folder, b"[]"),
        "trajectories.jsonl, line 2, is not the record of an episode",
    ),
    "a record without a seed": (
        lambda folder: rewrite_records(folder, lambda found: found[1].pop("seed")),
        "trajectories.jsonl, line 2, is not the record of an episode",
    ),
    "a record with a strange key": (
        lambda folder: rewrite_records(folder, lambda found: forge(found, task=["easy"])),
        "trajectories.jsonl, line 2, is not the record of an episode",
    ),
    "a record with a seed that is true": (
        lambda folder: rewrite_records(folder, lambda found: forge(found, attempt=True)),
        "trajectories.jsonl, line 2, is not the record of an episode",
    ),
    "a deep record": (
        lambda folder: rewrite_line(folder, b"[" * 100_000),
        "trajectories.jsonl, line 2, is not the record of an episode",
    ),
    "records that begin with a mark": (
        lambda folder: (folder / "trajectories.jsonl").write_bytes(
            b"\xef\xbb\xbf" + (folder / "trajectories.jsonl").read_bytes()
        ),
        "trajectories.jsonl, line 1, is not the record of an episode",
    ),
    "records twice": (
        lambda folder: (folder / "trajectories.jsonl.gz").write_bytes(gzip.compress(b"{}\n")),
        "There are trajectories.jsonl and trajectories.jsonl.gz in",
    ),
    "compressed records without end": (
        lambda folder: (
            (folder / "trajectories.jsonl.gz").write_bytes(gzip.compress(b"\n" * 9_000_000, 1) * 60),
            (folder / "trajectories.jsonl").unlink(),
        ),
        "it unpacks to more than 536870912 bytes",
    ),
    "records that are a folder": (
        lambda folder: ((folder / "trajectories.jsonl").unlink(), (folder / "trajectories.jsonl").mkdir()),
        "trajectories.jsonl in",
    ),
    "compressed records that are cut off": (
        lambda folder: (
            (folder / "trajectories.jsonl.gz").write_bytes(gzip.compress(b"x" * 999)[:-9]),
            (folder / "trajectories.jsonl").unlink(),
        ),
        "cannot be read: ",
    ),
    "compressed records that are not compressed": (
        lambda folder: (folder / "trajectories.jsonl").rename(folder / "trajectories.jsonl.gz"),
        "cannot be read: ",
    ),
}


def rewrite_line(folder: Path, line: bytes) -> None:
    path = folder / "trajectories.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]))


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_checked_ends_with_code_2_and_a_sentence(policy: Path, case: str) -> None:
    change, sentence = UNUSABLE[case]
    change(policy)
    result = run(policy)
    assert result.exit_code == 2
    assert sentence in output(result)
    assert "Traceback" not in output(result)


def test_a_plain_evaluation_is_not_a_report(tmp_path: Path) -> None:
    path = tmp_path / "eval.json"
    path.write_text(json.dumps({"version": VERSION, "selection": {}, "groups": []}))
    assert run(path).exit_code == 2
    assert "is not the report of a suite" in output(run(path))


def test_the_official_suite_is_verified_whole(tmp_path: Path) -> None:
    env = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    played = CliRunner().invoke(
        app, ["eval", "--suite", "v2", "--policy", "do_nothing", "--out", str(tmp_path)], env=env
    )
    assert played.exit_code == 0, played.output
    assert len(records(tmp_path)) == 900
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    assert "all 900 of the suite, each once" in result.stdout
