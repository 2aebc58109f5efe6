"""The script that trains with GRPO, as far as it goes without TRL; the rest is in tests/integrations."""

import json

import pytest

from safeact_env import get_task
from safeact_env.core.variant import Variant
from safeact_env.evaluation import Sample, play_attempt, record_of, summarise
from safeact_env.integrations.toolset import toolset_of
from scripts import train_grpo
from scripts.training.local_player import scope
from scripts.training.tiny_model import simple_calls


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--split", "test"], "--force-test"),
        (["--seeds", "9-1"], "--seeds: the range 9-1 is empty"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--generations", "1"], "--generations must be at least 2"),
        (["--evaluate", "3-1"], "--evaluate: the range 3-1 is empty"),
        (["--attempts", "0"], "--attempts must be at least 1"),
        (["--sft", "missing.jsonl"], "no file missing.jsonl"),
        (["--suite"], "--suite says where --evaluate measures"),
        (["--learning-rate", "-1"], "--learning-rate must be finite and above 0"),
        (["--sft-learning-rate", "nan"], "--sft-learning-rate must be finite and above 0"),
        (["--completion-tokens", "0"], "--completion-tokens must be at least 1"),
        (["--window", "0"], "--window must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(
    arguments, match, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert train_grpo.main(["--model", "tiny", *arguments]) == 2
    assert match in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_measurement_that_is_there_is_not_overwritten_nor_found_late(tmp_path, capsys):
    (tmp_path / "after").mkdir()
    (tmp_path / "after" / "episodes.jsonl").write_text("{}\n")
    arguments = ["--model", "tiny", "--evaluate", "0", "--out", str(tmp_path)]
    assert train_grpo.main(arguments) == 2
    assert "holds episodes of another run; name another folder with --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["after"]


def test_what_is_missing_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_grpo, "find_spec", lambda name: None if name == "trl" else object())
    assert train_grpo.main(["--model", "tiny", "--split", "test", "--force-test"]) == 2
    assert capsys.readouterr().err.startswith("trl not installed: pip install")
    assert list(tmp_path.iterdir()) == []


def test_the_token_of_a_closed_server_is_sent(monkeypatch):
    monkeypatch.delenv("SAFEACT_API_TOKEN", raising=False)
    assert train_grpo.headers() == {}
    monkeypatch.setenv("SAFEACT_API_TOKEN", "secret")
    assert train_grpo.headers() == {"Authorization": "Bearer secret"}


def test_each_variant_that_is_measured_has_a_name_of_its_own():
    groups = summarise(
        Sample.of(record_of(play_attempt("easy", "test", 0, "expert", 1, variant), "expert"))
        for variant in (Variant(1, "goal"), Variant(2, "goal"))
    )
    assert {scope(group) for group in groups if group.split is None} == {
        *("all", "easy", "all, level 1, goal", "all, level 2, goal"),
        *("easy, level 1, goal", "easy, level 2, goal"),
    }


def test_the_calls_of_the_tiny_model_are_tools_and_well_formed():
    for text in simple_calls(["easy", "medium"]):
        call = json.loads(text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>"))
        names = [tool.name for task in ("easy", "medium") for tool in toolset_of(get_task(task)).tools]
        assert call["name"] in names
        assert call["arguments"]["reasoning"]
