"""A key twice in one object of a file: refused wherever a file is read, with the file and the line."""

import gzip
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from safeact_env.cli import app
from safeact_env.evaluation.cost import ReportError
from safeact_env.evaluation.record import record_of
from safeact_env.evaluation.report import read_report
from safeact_env.evaluation.result_files import rows_of
from safeact_env.evaluation.store import RecordFile, StoreError, versions_of
from safeact_env.evaluation.verify import records_in
from safeact_env.exports.sources import SourceError, recorded_rollouts
from safeact_env.llm.run import SETTINGS, Folder
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task
from safeact_env.unique_json import RepeatedKey, unique_json

GOOD = json.dumps(record_of(play(get_task("easy"), "train", 0, "expert"), "expert"))
BAD = GOOD.replace('"seed": 0', '"seed": 0, "seed": 0', 1)
DEEP = GOOD.replace('"parameters": {}', '"parameters": {"a": 1, "a": 2}', 1)


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ('{"a": 1, "a": 1}', "'a'", 1),
        ('{"a": {},\n "b": "}",\n "a": []}\n', "'a'", 3),
        ('[{}, {"x": "\\"}"},\n{"é": 1, "\\u00e9": 2}]', r"'\xe9'", 2),
        ('{"a": [{"b": 1},\n{"b": 1,\n"b": 2}\n], "a": 3}', "'b'", 3),
    ],
)
def test_the_key_and_its_line_are_named(text, key, line):
    for data in (text, text.encode()):
        with pytest.raises(RepeatedKey) as caught:
            unique_json(data)
        assert (caught.value.line, key in str(caught.value)) == (line, True)
    json.loads(text)


def test_the_first_of_many_keys_is_found_at_once():
    names = "".join(f'"{n}": {n},' for n in range(300_000))
    started = time.process_time()
    with pytest.raises(RepeatedKey, match="'299999'"):
        unique_json(f'{{{names}"299999": 0}}')
    assert time.process_time() - started < 10, "a key is counted once, not compared with all others"


@given(st.recursive(st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))
def test_other_json_is_read_as_ever(value):
    assert unique_json(json.dumps(value)) == value
    assert unique_json(json.dumps(value, indent=1, ensure_ascii=False).encode()) == value


def in_export(path):
    list(recorded_rollouts([path]))


def in_packed_export(path):
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    list(recorded_rollouts([packed]))


def in_verify(path):
    list(records_in(path.read_bytes(), path.name))


def in_resumed(path):
    RecordFile(path, versions_of(["easy"])).close()


@pytest.mark.parametrize("bad", [BAD, DEEP], ids=["shallow", "deep"])
@pytest.mark.parametrize("read", [in_export, in_packed_export, in_verify, in_resumed])
def test_files_of_records_are_refused_with_the_line(tmp_path, read, bad):
    assert bad != GOOD
    path = tmp_path / "records.jsonl"
    path.write_text(f"{GOOD}\n{bad}\n")
    with pytest.raises((SourceError, ReportError, StoreError), match=r"line 2: the key '\w+' stands twice"):
        read(path)
    path.write_text(f"{GOOD}\n")
    read(path)


@pytest.mark.parametrize(("content", "line"), [(f"{GOOD}\n{BAD}\n", 2), (BAD, 1), (f"\n\n{DEEP}", 3)])
def test_replay_refuses_it(tmp_path, content, line):
    path = tmp_path / "records.jsonl"
    path.write_text(content)
    done = CliRunner().invoke(app, ["replay", str(path), "--all"])
    said = re.sub(r"[\s│]+", "", done.output)  # a long path is broken anywhere
    assert done.exit_code == 2
    assert re.search(rf"records.jsonl,line{line}:thekey'\w+'standstwice", said), said


@pytest.mark.parametrize("read", [read_report, rows_of])
def test_reports_and_results_are_refused(tmp_path, read):
    path = tmp_path / "report.json"
    path.write_text('{"form": 1,\n"form": 1}')
    with pytest.raises(ReportError, match=r"report.json, line 2: the key 'form' stands twice"):
        read(path)
    path.write_text('{"form": 1')
    with pytest.raises(ReportError, match="is n"):
        read(path)


def test_the_settings_of_a_run_are_refused(tmp_path):
    (tmp_path / SETTINGS).write_text('{"model": "a",\n"model": "b"}')
    with pytest.raises(StoreError, match=r"line 2: the key 'model' stands twice"):
        Folder(tmp_path, {"model": "b"}, ("easy",), resume=True)
