"""Exported data: what stands in the rows, that labels are what replays show, what is refused."""

import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from safeact_env import Call, Episode, get_task, play
from safeact_env.cli import app
from safeact_env.core.variant import Variant
from safeact_env.evaluation import Selection, evaluate, record_of
from safeact_env.exports import (
    CANARY,
    Export,
    ExportError,
    Rollout,
    SourceError,
    export,
    pair_row,
    pairs_of,
    policy_rollouts,
    rated_rows,
    recorded_rollouts,
    sft_row,
)
from safeact_env.exports import files as files_module
from safeact_env.exports.export import FORMS
from safeact_env.exports.pairs import REASON
from safeact_env.exports.rows import ABOUT, COLUMNS
from safeact_env.exports.sources import policy_rollouts as fresh
from safeact_env.integrations.toolset import toolset_of
from safeact_env.tasks import OFFICIAL
from tests.documents import blocks
from tests.play import do, trap, unscored

RUNNER = CliRunner()


def episode(task, policy="expert", seed=0, split="train"):
    return Rollout(play(get_task(task), split, seed, policy), policy)


def rows_in(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def calls_in(messages, task):
    """The calls of a chat, read back from its messages alone."""
    tools = toolset_of(get_task(task))
    used = [message["tool_calls"][0]["function"] for message in messages if message["role"] == "assistant"]
    return [tools.call(one["name"], one["arguments"]) for one in used]


def replayed(row, *more):
    """The episode that a row's chat tells of, played again from what the row says."""
    variant = Variant(row["level"], row["framing"])
    again = Episode(get_task(row["task"]), row["split"], row["seed"], variant=variant)
    for call in calls_in([*row.get("messages", row.get("prompt")), *more], row["task"]):
        again.step(call)
    return again


# Chats -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", OFFICIAL)
def test_a_chat_holds_the_whole_episode_and_no_reward(task):
    one = episode(task, seed=3)
    row = sft_row(one)
    assert tuple(row) == COLUMNS["sft"]
    roles = [message["role"] for message in row["messages"]]
    assert roles == ["system", "user", *["assistant", "tool"] * len(one.episode.turns)]
    again = replayed(row)
    assert again.observation() == one.episode.observation()
    assert (row["score"], row["return"], row["outcome"]) == (1.0, 1.0, "completed")
    assert row["steps"] == len(one.episode.turns)
    said = unscored(json.dumps(row["messages"])).lower()
    assert not any(word in said for word in ("reward", "score", "irreversible", "risky"))
    used = {m["tool_calls"][0]["function"]["name"] for m in row["messages"] if m["role"] == "assistant"}
    assert used <= {tool["function"]["name"] for tool in json.loads(row["tools"])}
    for message, turn in zip(row["messages"][3::2], one.episode.turns, strict=True):
        assert turn.result in message["content"]


@pytest.mark.parametrize("variant", [Variant(1), Variant(3, "goal"), Variant(5, "planted")], ids=str)
def test_every_row_names_its_variant_and_is_of_it(variant):
    (one,) = fresh(["easy"], "train", [3], "expert", variants=[variant])
    row = sft_row(one)
    assert (row["level"], row["framing"]) == (variant.level, variant.framing)
    assert replayed(row).observation() == one.episode.observation()
    assert row["score"] == 1.0
    job = one.episode.writer.write(one.episode.state.knowledge, [], 0, b"{}")
    assert json.loads(job.observation)["task_description"] in row["messages"][1]["content"]
    (pair,) = pairs_of(one.episode, 1)
    for rated in (pair_row(one, pair), *rated_rows(pair_row(one, pair))):
        assert (rated["level"], rated["framing"]) == (variant.level, variant.framing)
    bad = pair_row(one, pair)
    assert replayed(bad, *bad["rejected"]).outcome == "irreversible_mistake"


def test_a_job_says_which_of_the_tools_it_does_not_have():
    few, all_of_them = fresh(["easy"], "train", [3], "expert", variants=[Variant(3), Variant(4)])
    assert few.episode.task.levels[3].without == {"purge_snapshots"}
    told = "TOOLS THAT THIS JOB DOES NOT HAVE\npurge_snapshots"
    assert told in sft_row(few)["messages"][1]["content"]
    assert "DOES NOT HAVE" not in sft_row(all_of_them)["messages"][1]["content"]


def test_variants_are_exported_and_read_back_from_records(tmp_path):
    file, variants = tmp_path / "run.jsonl", (Variant(1), Variant(1, "goal"))
    selection = Selection(("expert",), ("easy",), ("train",), (0,), variants=variants)
    evaluate(selection, out=file, workers=1)
    assert [one.episode.variant for one in recorded_rollouts([file])] == list(variants)
    arguments = ["--task", "easy", "--seeds", "0", "--level", "1", "--framing", "all", "--form", "sft"]
    done = RUNNER.invoke(app, ["export", str(tmp_path / "out"), *arguments])
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "out" / "sft.jsonl").read_text().splitlines()
    assert [json.loads(line)["framing"] for line in lines] == [*get_task("easy").framings]
    assert "level 1, framing rules, goal, hurry" in (tmp_path / "out" / "README.md").read_text()


def test_the_prompt_is_chosen():
    neutral, hinted = (sft_row(episode("easy"), name)["messages"] for name in ("neutral", "hinted"))
    assert neutral[0] != hinted[0]
    assert neutral[1:] == hinted[1:]


# Pairs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", OFFICIAL)
@pytest.mark.parametrize("policy", ["expert", "cautious", "guesser", "naive", "reckless", "random"])
def test_the_labels_are_what_the_replays_show(task, policy):
    found = 0
    for seed in range(3):
        one = episode(task, policy, seed)
        pairs = list(pairs_of(one.episode, 3))
        assert len(pairs) <= 3
        for pair in pairs:
            row = pair_row(one, pair)
            assert tuple(row) == COLUMNS["dpo"]
            good, bad = replayed(row, *row["chosen"]), replayed(row, *row["rejected"])
            assert good.outcome != "irreversible_mistake"
            assert good.turns[-1].reward == row["chosen_reward"] >= 0
            assert bad.outcome == "irreversible_mistake"
            assert bad.turns[-1].reward == row["rejected_reward"] == -1.0
            assert bad.grade().score == row["rejected_score"]
            assert len(good.turns) == len(bad.turns) == row["step"]
            assert good.turns[:-1] == bad.turns[:-1]
            found += 1
    assert found, "no pair at all"


def test_the_calls_of_a_pair_differ_in_nothing_but_what_they_do():
    for one in fresh(OFFICIAL, "train", range(3), "guesser"):
        for pair in pairs_of(one.episode, 5):
            assert pair.safe.call.reasoning == pair.mistake.call.reasoning == REASON
            assert pair.safe.call != pair.mistake.call


def test_pairs_are_the_same_each_time_and_in_the_order_of_the_steps():
    one = episode("hard")
    pairs = list(pairs_of(one.episode, 6))
    steps = [len(pair.before) for pair in pairs]
    assert steps == sorted(set(steps))
    assert len(steps) == 6
    assert pairs == list(pairs_of(one.episode, 6))


def test_a_mistake_about_the_same_thing_is_preferred():
    pairs = [(p, e) for e in fresh(("easy",), "train", range(10), "expert") for p in pairs_of(e.episode, 99)]
    # A file that is to be archived could be deleted: a mistake about it is possible.
    about = [pair for pair, _ in pairs if pair.safe.call.action_name == "archive_file"]
    assert len(about) > 10
    assert all(pair.safe.call.parameters["path"] in pair.mistake.call.parameters.values() for pair in about)
    # Where a runbook is read, the action is carried out unread, if it is a trap.
    for pair, one in pairs:
        name = pair.safe.call.parameters.get("action_name")
        if name in one.episode.state.upkeep.runbooks and name != one.episode.state.upkeep.working:
            assert pair.mistake.call.action_name == name


def test_the_example_of_the_documents_finds_pairs(capsys):
    (example,) = [block for block in blocks("docs/collect-data.md") if "pairs_of" in block]
    exec(compile(example, "TECHNICAL", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.count("irreversible_mistake, graded") == 3


def test_a_mistake_that_was_made_is_kept_and_looking_is_preferred_to_it():
    made = Episode(get_task("easy"), "train", 4)
    do(made, "list_directory")
    do(made, trap(made))
    (pair,) = pairs_of(made, 1)
    assert pair.mistake.call.action_name == made.turns[-1].call.action_name
    assert pair.safe.call.action_name == "read_runbook"
    assert pair.safe.call.parameters == {"action_name": made.turns[-1].call.action_name}


def test_a_step_that_was_refused_or_unknown_is_no_model_to_follow():
    one = Episode(get_task("easy"), "train", 4)
    path = next(iter(one.observation()["current_state"]["files"]))
    do(one, "archive_file", path=path)
    do(one, "unparsable_answer")
    do(one, "archive_file")
    assert list(pairs_of(one, 9)) == []


def test_rated_answers_are_the_two_sides_of_a_pair():
    one = episode("medical")
    row = pair_row(one, next(pairs_of(one.episode, 1)))
    good, bad = rated_rows(row)
    assert tuple(good) == tuple(bad) == COLUMNS["kto"]
    assert (good["completion"], good["label"], good["reward"]) == (row["chosen"], True, row["chosen_reward"])
    assert (bad["completion"], bad["label"], bad["reward"]) == (row["rejected"], False, -1.0)
    assert good["prompt"] == bad["prompt"] == row["prompt"]


# Files -----------------------------------------------------------------------------------------------------


def test_every_file_and_row_has_the_canary_and_the_card_says_what_is_there(tmp_path):
    counts = export(
        policy_rollouts(("easy", "hard"), "train", range(2), "expert"), tmp_path / "d", Export(), made="here"
    )
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == [
        "README.md", "dpo.jsonl", "kto.jsonl", "sft.jsonl"
    ]  # fmt: skip
    card = (tmp_path / "d" / "README.md").read_text()
    assert CANARY in card
    front = yaml.safe_load(card.split("---\n")[1])
    assert [(one["config_name"], one["data_files"]) for one in front["configs"]] == [
        (form, f"{form}.jsonl") for form in FORMS
    ]
    for one in front["configs"]:
        content = (tmp_path / "d" / one["data_files"]).read_bytes()
        assert one["description"].endswith(hashlib.sha256(content).hexdigest())
    assert front["license"] == "mit"
    assert front["size_categories"] == ["n<1K"]
    for form in FORMS:
        rows = rows_in(tmp_path / "d" / f"{form}.jsonl")
        assert len(rows) == counts.rows[form] > 0
        assert all(row["canary"] == CANARY and tuple(row) == COLUMNS[form] for row in rows)
        assert f"{len(rows)} rows in `{form}.jsonl`" in card
        assert all(f"| `{name}` | {ABOUT[name]} |" in card for name in COLUMNS[form])
    assert counts.rows["kto"] == 2 * counts.rows["dpo"]
    again = export(
        policy_rollouts(("easy", "hard"), "train", range(2), "expert"), tmp_path / "e", Export(), made="here"
    )
    assert again == counts
    assert (tmp_path / "e" / "dpo.jsonl").read_bytes() == (tmp_path / "d" / "dpo.jsonl").read_bytes()


def test_recorded_episodes_are_exported_each_once(tmp_path):
    file = tmp_path / "records.jsonl"
    evaluate(Selection(("expert", "guesser"), ("easy",), ("train",), (0, 1), attempts=2), out=file, workers=1)
    packed = tmp_path / "records.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    found = list(recorded_rollouts([file, packed]))
    # Of the expert both attempts are the same episode.
    assert [one.by for one in found].count("expert") == 2
    assert len(found) == len({json.dumps([t.call.to_json() for t in one.episode.turns]) for one in found})
    counts = export(found, tmp_path / "d", Export(), made="here")
    assert counts.rows["sft"] == 2
    assert counts.left_out == len(found) - 2
    assert all(row["score"] == 1.0 for row in rows_in(tmp_path / "d" / "sft.jsonl"))
    assert "guesser" in {row["by"] for row in rows_in(tmp_path / "d" / "dpo.jsonl")}


def test_a_chat_to_learn_from_has_no_made_up_action(tmp_path):
    one = Episode(get_task("easy"), "train", 0)
    do(one, "unparsable_answer")
    for turn in play(get_task("easy"), "train", 0, "expert").turns:
        one.step(turn.call)
    assert one.grade().score == 1.0
    with pytest.raises(ExportError, match="No episode is graded 1 or more"):
        export([Rollout(one, "model")], tmp_path / "d", Export(("sft",)), made="here")
    assert not (tmp_path / "d").exists()


def test_records_of_a_model_are_taken_and_what_they_say_of_rewards_is_not_believed(tmp_path):
    record = record_of(play(get_task("easy"), "train", 0, "guesser"), "gpt", 1, {"messages": []})
    file = tmp_path / "episodes.jsonl"
    file.write_text(json.dumps({**record, "score": 1.0, "outcome": "completed", "rewards": []}) + "\n\n")
    (one,) = recorded_rollouts([file])
    assert one.by == "gpt"
    assert sft_row(one)["score"] == play(get_task("easy"), "train", 0, "guesser").grade().score


def predicted(tmp_path, said):
    """A file with the expert's episode as a model recorded it, with predictions; its calls."""
    played = play(get_task("easy"), "train", 0, "expert")
    predictions = [said(step) for step in range(len(played.turns))]
    file = tmp_path / "episodes.jsonl"
    file.write_text(json.dumps(record_of(played, "gpt", 1, {}, predictions)))
    return file, played


def test_predictions_are_exported_when_asked_for(tmp_path):
    file, played = predicted(tmp_path, lambda step: (step, None, "unreadable")[step % 3])
    asked = Export(("sft",), predict=True)
    export(recorded_rollouts([file]), tmp_path / "d", asked, made="here")
    (row,) = rows_in(tmp_path / "d" / "sft.jsonl")
    said = [message for message in row["messages"] if message["role"] == "assistant"]
    given = [message["tool_calls"][0]["function"]["arguments"].get("undo_chance") for message in said]
    assert given == [step if step % 3 == 0 else None for step in range(len(played.turns))]
    assert "undo_chance" in row["messages"][0]["content"]
    tools = [tool["function"]["parameters"] for tool in json.loads(row["tools"])]
    assert all(one["properties"]["undo_chance"]["type"] == "integer" for one in tools)
    assert all(one["required"][-1] == "undo_chance" for one in tools)
    # A trainer's call has no prediction.
    used = [message["tool_calls"][0]["function"] for message in said]
    tools = toolset_of(get_task("easy"), predict=True)
    assert [tools.call(one["name"], one["arguments"]) for one in used] == [turn.call for turn in played.turns]
    assert "`undo_chance` among the arguments" in (tmp_path / "d" / "README.md").read_text()


def test_without_asking_an_export_is_the_same_with_predictions_or_without(tmp_path):
    file, played = predicted(tmp_path, lambda step: step)
    for name, source in (("a", recorded_rollouts([file])), ("b", [Rollout(played, "gpt")])):
        export(source, tmp_path / name, Export(), made="here")
    for form in FORMS:
        content = (tmp_path / "a" / f"{form}.jsonl").read_bytes()
        assert content == (tmp_path / "b" / f"{form}.jsonl").read_bytes()
        assert b"undo_chance" not in content


def test_predictions_that_are_none_are_refused(tmp_path):
    file, _ = predicted(tmp_path, lambda _step: 101)
    with pytest.raises(SourceError, match="line 1: step 1: undo_chance must be an integer from 0 to 100"):
        list(recorded_rollouts([file]))


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("nonsense", "line 2 is not JSON"),
        ("[]", "line 2 is not the record"),
        ("{}", "line 2: the trajectory has no field"),
        ('{"version": "0.0.1"}', "line 2: the trajectory has no field"),
    ],
)
def test_a_file_of_something_else_is_refused_by_line(tmp_path, line, match):
    good = json.dumps(record_of(play(get_task("easy"), "train", 0, "expert"), "expert"))
    file = tmp_path / "records.jsonl"
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(SourceError, match=re.escape(str(file))) as error:
        list(recorded_rollouts([file]))
    assert re.search(match, str(error.value))
    with pytest.raises(SourceError, match="cannot be read"):
        list(recorded_rollouts([tmp_path / "missing.jsonl"]))


def test_the_split_test_is_refused_unless_insisted_on(tmp_path):
    mixed = [episode("easy"), episode("easy", split="test")]
    with pytest.raises(ExportError, match="--force-test"):
        export(mixed, tmp_path / "d", Export(), made="here")
    assert not (tmp_path / "d").exists()
    assert list(tmp_path.iterdir()) == []
    export(mixed, tmp_path / "d", Export(test=True), made="here")
    assert {row["split"] for row in rows_in(tmp_path / "d" / "sft.jsonl")} == {"train", "test"}
    assert "measures nothing" in (tmp_path / "d" / "README.md").read_text()


def test_only_an_earlier_export_is_replaced(tmp_path):
    folder = tmp_path / "d"
    export([episode("easy")], folder, Export(), made="here")
    (folder / "notes.txt").write_text("mine")
    export([episode("easy")], folder, Export(("dpo",)), made="here")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "dpo.jsonl", "notes.txt"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("a project of mine")
    before = (other / "README.md").read_text()
    with pytest.raises(ExportError, match="something else"):
        export([episode("easy")], other, Export(), made="here")
    assert (other / "README.md").read_text() == before
    with pytest.raises(ExportError, match="is a file"):
        export([episode("easy")], other / "README.md", Export(), made="here")
    with pytest.raises(ExportError, match="There are no episodes"):
        export([], tmp_path / "none", Export(), made="here")


def test_without_pyarrow_parquet_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "find_spec", lambda _name: None)
    with pytest.raises(ExportError, match=r"\[parquet\]"):
        export([episode("easy")], tmp_path / "d", Export(parquet=True), made="here")


# Command ---------------------------------------------------------------------------------------------------


def run(*arguments):
    return RUNNER.invoke(app, ["export", *map(str, arguments)])


def test_the_command_plays_or_reads(tmp_path):
    done = run(tmp_path / "d", "--task", "easy", "--seeds", "0-1", "--pairs", "2")
    assert done.exit_code == 0, done.output
    assert "2 rows of sft, 4 rows of dpo, 8 rows of kto, from 2 episodes" in done.output.replace("\n", " ")
    assert "`expert` on easy, split train, 2 seeds from 0 to 1" in (tmp_path / "d" / "README.md").read_text()
    file = tmp_path / "guesses.jsonl"
    evaluate(Selection(("guesser",), ("easy",), ("train",), tuple(range(6))), out=file, workers=1)
    done = run(tmp_path / "e", "--from", file, "--form", "dpo", "--form", "sft", "--min-score", "0")
    assert done.exit_code == 0, done.output
    assert len(rows_in(tmp_path / "e" / "sft.jsonl")) == 6
    assert not (tmp_path / "e" / "kto.jsonl").exists()
    assert "recorded in guesses.jsonl" in (tmp_path / "e" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--split", "test"), "--force-test"),
        (("--split", "both"), "must be train or test"),
        (("--form", "ppo"), "there is no form"),
        (("--prompt", "rude"), "there is no prompt"),
        (("--policy", "oracle"), "there is no policy"),
        (("--seeds", "9-1"), "is empty"),
        (("--from", "missing.jsonl"), "cannot be read"),
        (("--from", "missing.jsonl", "--seeds", "0"), "cannot be combined"),
        (("--policy", "do_nothing", "--form", "sft"), "No episode is graded"),
        (("--predict",), "Export predictions with --form sft alone."),
        (("--predict", "--form", "sft"), "expert on easy, seed 0, has no predictions"),
    ],
)
def test_the_command_refuses_with_a_sentence_and_writes_nothing(tmp_path, monkeypatch, arguments, match):
    monkeypatch.chdir(tmp_path)
    done = run("d", *arguments)
    assert done.exit_code == 2
    assert match in re.sub(r"[\s│]+", " ", done.output)
    assert list(tmp_path.iterdir()) == []


def test_a_call_that_changed_its_meaning_would_be_noticed(monkeypatch):
    """The broken twin of the labels' check: a pair whose sides were exchanged."""
    one = episode("easy")
    pair = next(pairs_of(one.episode, 1))
    wrong = pair_row(one, replace(pair, safe=pair.mistake, mistake=pair.safe))
    assert replayed(wrong, *wrong["chosen"]).outcome == "irreversible_mistake"


def test_the_reason_of_a_call_is_kept_in_a_chat():
    one = Episode(get_task("easy"), "train", 0)
    one.step(Call("list_directory", {}, "Because of this."))
    (call,) = calls_in(sft_row(Rollout(one, ""))["messages"], "easy")
    assert call.reasoning == "Because of this."


def test_paths_are_only_read(tmp_path):
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(record_of(play(get_task("easy"), "train", 0, "expert"), "expert")) + "\n")
    before = file.read_bytes()
    list(recorded_rollouts([Path(file)]))
    assert file.read_bytes() == before
