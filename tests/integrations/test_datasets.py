"""Exported data in whichever `datasets` is installed: read as it was written, or refused with a reason.

Run in an environment with `datasets` and this package; elsewhere it is not collected.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
import pytest

from safeact_env.exports import Export, export, policy_rollouts
from safeact_env.exports.files import has_parquet
from safeact_env.exports.rows import NEEDS

NEW_ENOUGH = tuple(map(int, version("datasets").split(".")[:2])) >= (4, 7)
FORMS = ("sft", "dpo", "kto")


@pytest.fixture(scope="module", params=[1, 3], ids=["one episode", "three episodes"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("export") / "data"
    played = policy_rollouts(("easy", "hard", "medical")[: request.param], "train", range(1), "expert")
    export(played, made, Export(pairs=1), made="here")
    return made


def loaded(folder: Path, form: str, how: str, cache: Path) -> Any:
    if how == "card":
        return datasets.load_dataset(str(folder), form, split="train", cache_dir=str(cache))
    file = str(folder / f"{form}.jsonl")
    return datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(cache))


def reasons(error: BaseException | None) -> str:
    """What an error says, and what it was raised from."""
    return "" if error is None else f"{error}\n{reasons(error.__cause__ or error.__context__)}"


@pytest.mark.parametrize("how", ["card", "file"])
@pytest.mark.parametrize("form", FORMS)
def test_lines_are_read_as_they_were_written_or_not_at_all(
    folder: Path, form: str, how: str, tmp_path: Path
) -> None:
    if NEW_ENOUGH:
        lines = (folder / f"{form}.jsonl").read_text(encoding="utf-8").splitlines()
        assert list(loaded(folder, form, how, tmp_path)) == [json.loads(line) for line in lines]
        return
    with pytest.raises(Exception, match="generating the dataset") as refused:
        loaded(folder, form, how, tmp_path)
    assert NEEDS in reasons(refused.value)


@pytest.mark.parametrize("form", FORMS)
def test_without_the_column_older_versions_fill_in_nulls(folder: Path, form: str, tmp_path: Path) -> None:
    bare = tmp_path / f"{form}.jsonl"
    rows = [json.loads(line) for line in (folder / bare.name).read_text(encoding="utf-8").splitlines()]
    for row in rows:
        del row[NEEDS]
    bare.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    assert (list(loaded(tmp_path, form, "file", tmp_path / "cache")) == rows) is NEW_ENOUGH


@pytest.mark.skipif(not has_parquet(), reason="no pyarrow")
@pytest.mark.parametrize("form", FORMS)
def test_parquet_is_read_as_it_was_written_or_not_at_all(form: str, tmp_path: Path) -> None:
    if not hasattr(__import__("pyarrow"), "json_"):
        pytest.skip("this pyarrow cannot write it")
    export(
        policy_rollouts(("easy",), "train", range(1), "expert"),
        tmp_path / "d",
        Export(parquet=True),
        made="here",
    )
    if NEW_ENOUGH:
        lines = (tmp_path / "d" / f"{form}.jsonl").read_text(encoding="utf-8").splitlines()
        assert list(loaded(tmp_path / "d", form, "card", tmp_path)) == [json.loads(line) for line in lines]
        return
    with pytest.raises((TypeError, ValueError)):
        loaded(tmp_path / "d", form, "card", tmp_path)
