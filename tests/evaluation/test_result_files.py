"""Recorded runs as rows: reports and plain evaluations, and what is neither."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from safeact_env.evaluation import ReportError, Selection, evaluate, parse_seeds, summarise, to_json
from safeact_env.evaluation.result_files import Row, recorded_runs, rows_of, seeds_text
from safeact_env.evaluation.store import RecordFile, line_of
from safeact_env.version import VERSION
from tests.suites import MODEL, model_player, model_run, rewrite_report

SMALL = Selection((MODEL.name,), ("easy", "medium"), ("train", "test"), (0, 1), attempts=2)


def plain_run(path: Path, *, records: bool = True) -> Row:
    """An evaluation of the model as `eval --json` writes it, with records beside it."""
    lines = [model_player(key) for scenario in SMALL.scenarios() for key in SMALL.keys(scenario)]
    path.with_suffix(".jsonl").write_bytes(b"".join(map(line_of, lines)))
    with RecordFile(path.with_suffix(".jsonl"), (VERSION, {})) as file:
        path.write_text(json.dumps(to_json(SMALL, summarise(file.samples.values()))))
    if not records:
        path.with_suffix(".jsonl").unlink()
    (row,) = rows_of(path)
    return row


def test_a_report_is_a_row(tmp_path: Path) -> None:
    (row,) = rows_of(model_run(tmp_path) / "report.json")
    assert (row.agent, row.played, row.attempts, row.episodes) == ("clever-1", "suite tiny", 2, 8)
    assert (row.prompt, row.version, row.tasks) == ("neutral 1", VERSION, ("easy", "medium"))
    assert row.date
    assert row.cost is not None
    assert row.cost.money is not None
    assert set(row.by_task) == {"easy", "medium"}
    mean = (row.by_task["easy"]["grade"].value + row.by_task["medium"]["grade"].value) / 2
    assert row.overall["grade"].value == pytest.approx(mean, abs=1e-6)


def test_a_plain_evaluation_is_a_row_with_prompt_and_cost_from_its_records(tmp_path: Path) -> None:
    row = plain_run(tmp_path / "run.json")
    assert (row.agent, row.played, row.attempts, row.episodes) == (
        "clever-1",
        "train and test, seeds 0-1",
        2,
        16,
    )
    assert row.prompt == "neutral 1"
    assert row.date
    assert row.cost is not None
    assert row.cost.tokens_in == 16_024
    alone = plain_run(tmp_path / "alone.json", records=False)
    assert (alone.prompt, alone.cost) == (None, None)
    assert alone.overall == row.overall


def test_a_plain_evaluation_that_names_its_model_is_a_row_of_that_model(tmp_path: Path) -> None:
    plain_run(tmp_path / "run.json")
    found = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**found, "settings": {"model": "small-135m"}}))
    (row,) = rows_of(tmp_path / "run.json")
    assert (row.agent, row.prompt) == ("small-135m", "neutral 1")


def test_compressed_records_count_as_well(tmp_path: Path) -> None:
    row = plain_run(tmp_path / "run.json")
    lines = tmp_path / "run.jsonl"
    (tmp_path / "run.jsonl.gz").write_bytes(gzip.compress(lines.read_bytes()))
    lines.unlink()
    assert rows_of(tmp_path / "run.json") == [row]


def test_policies_evaluated_together_are_a_row_each(tmp_path: Path) -> None:
    chosen = Selection(("expert", "naive"), ("easy",), ("test",), (0, 1))
    path = tmp_path / "both.json"
    path.write_text(json.dumps(to_json(chosen, summarise(evaluate(chosen, workers=1)))))
    expert, naive = rows_of(path)
    assert (expert.agent, naive.agent) == ("expert", "naive")
    assert expert.overall["grade"].value == 1.0 > naive.overall["grade"].value
    assert (expert.prompt, expert.cost) == (None, None)


def test_runs_of_models_are_found_in_their_folder_and_wherever_records_lie_beside(tmp_path: Path) -> None:
    model_run(tmp_path / "models" / "clever")
    plain_run(tmp_path / "models" / "plain.json", records=False)
    plain_run(tmp_path / "small.json")
    plain_run(tmp_path / "policies.json", records=False)
    found = [path.relative_to(tmp_path).as_posix() for path in recorded_runs(tmp_path)]
    assert found == ["models/plain.json", "models/clever/report.json", "small.json"]
    assert recorded_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"form": 1}',
        '{"selection": {}, "groups": [], "version": "1"}',
        '{"selection": {"policies": ["x"]}, "groups": [], "settings": 3}',
        "[" * 100_000,
    ],
)
def test_what_is_neither_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ReportError, match="neither the report of a suite nor what `eval --json` writes"):
        rows_of(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        rows_of(tmp_path / "none.json")


def test_a_run_that_was_not_finished_is_told(tmp_path: Path) -> None:
    model_run(tmp_path)
    rewrite_report(tmp_path, lambda report: report.update(trajectories=None))
    with pytest.raises(ReportError, match="not finished"):
        rows_of(tmp_path / "report.json")


def test_records_that_are_something_else_are_told(tmp_path: Path) -> None:
    plain_run(tmp_path / "run.json")
    (tmp_path / "run.jsonl").write_text("hello\n")
    with pytest.raises(ReportError, match=r"run\.jsonl, line 1, is not the record of an episode"):
        rows_of(tmp_path / "run.json")


@pytest.mark.parametrize("text", ["3", "0-2,9", "0-1", "1,3,5", "7-9,11-12"])
def test_seeds_are_written_as_they_are_read(text: str) -> None:
    assert seeds_text(parse_seeds(text)) == text


def test_seeds_are_sorted_and_named_once() -> None:
    found: Any = [3, 1, 2, 3]
    assert seeds_text(found) == "1-3"
