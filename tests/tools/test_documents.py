"""The documents say what the code and the recorded runs say, and their examples run."""

import gzip
import json
import re
import shlex
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from safeact_env.audit import AUDIT_NAMES
from safeact_env.core.variant import Variant
from safeact_env.evaluation import (
    SUITES,
    ReportError,
    Sample,
    compare,
    evaluate,
    policy_player,
    predictions_of,
    read_report,
    run_suite,
    summarise,
    to_json,
    verify,
)
from safeact_env.evaluation.conditions import agent_mismatches
from safeact_env.evaluation.mismatches import (
    OwnPlays,
    file_mismatches,
    replay_of,
    task_mismatches,
)
from safeact_env.evaluation.record import play_attempt, record_of
from safeact_env.evaluation.report import begun
from safeact_env.evaluation.result_files import recorded_runs, rows_of
from safeact_env.evaluation.run import Selection
from safeact_env.evaluation.verify import read_lines, records_in
from safeact_env.policies.reference import POLICIES
from safeact_env.tasks import OFFICIAL
from safeact_env.version import VERSION
from tests.documents import ROOT, blocks
from tests.suites import (
    GUESSER,
    PROGRAM,
    TINY,
    VARIED,
    model_run,
    program_player,
    rewrite_report,
)
from tools.documents import page as gen_page
from tools.documents import suite_tables
from tools.documents import tables as gen_docs
from tools.documents.atlas import atlas
from tools.documents.drawings import drawings
from tools.documents.markdown import dated
from tools.documents.site import site_links
from tools.documents.tables import AUDIT_RUN, POLICY_RUN, RESULTS, SECTIONS, rewritten

README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("name", SECTIONS)
def test_generated_tables_are_fresh(name):
    text = (ROOT / name).read_text()
    assert rewritten(text, SECTIONS[name]) == text, "run `make docs`"


def test_a_stale_table_and_a_missing_marker_are_noticed():
    stale = README.replace("| `easy` |", "| `easier` |", 1)
    assert rewritten(stale, SECTIONS["README.md"]) == README
    with pytest.raises(ValueError, match="tasks"):
        rewritten("no markers", SECTIONS["README.md"])


def test_the_page_shows_the_recorded_runs_of_the_documents():
    assert gen_page.main(["--check"]) == 0, "run `make docs`"


def test_stale_results_of_the_page_are_noticed_and_made_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gen_page, "ROOT", tmp_path)
    monkeypatch.setattr(gen_page, "STATIC", tmp_path / "static")
    monkeypatch.setattr(gen_page, "SHOWN", {"audit": gen_page.SHOWN["audit"]})
    (tmp_path / "static").mkdir()
    assert gen_page.main(["--check"]) == 1
    assert gen_page.main([]) == 0
    assert "rewritten: static/results.json" in capsys.readouterr().out
    assert gen_page.main(["--check"]) == 0
    found = json.loads((tmp_path / "static" / "results.json").read_text())
    # Of what nothing is recorded, nothing is drawn.
    assert found["drawings"] == {"bars": [], "curves": [], "calibration": []}


def test_the_page_draws_the_numbers_that_were_recorded(tmp_path):
    made = drawings(ROOT / "results")
    rows = {row.agent: row for row in rows_of(ROOT / "results" / "reference_policies.json")}
    panel = next(one for one in made["bars"] if one["title"] == "grade, easy")
    assert [row[0] for row in panel["rows"]][: len(rows)] == list(rows)
    for name, value, low, high in panel["rows"][: len(rows)]:
        grade = rows[name].by_task["easy"]["grade"]
        assert (value, low, high) == pytest.approx((grade.value, grade.low, grade.high), abs=1e-4)
    lines = [line for one in made["curves"] for line in one["lines"]]
    assert lines
    assert all(low <= value <= high for line in lines for _calls, value, low, high in line["points"])
    shutil.copy(ROOT / "results" / "reference_policies.json", tmp_path)
    assert drawings(tmp_path)["bars"] == [{**one, "rows": one["rows"][: len(rows)]} for one in made["bars"]]


def recorded(path):
    """A recorded run of this version; figures of an earlier one say so, and nothing more is asked of them."""
    run = json.loads(path.read_text())
    if run["version"] != VERSION:
        pytest.skip(f"recorded with version {run['version']}: run `make results`")
    return run


def test_a_table_says_which_version_its_figures_are_of():
    assert dated("Seeds 0-9.", VERSION) == f"Version {VERSION}. Seeds 0-9."
    assert dated("Seeds 0-9.", "1.0.0") == (
        f"Figures of version 1 (recorded with 1.0.0, and this is {VERSION}). Seeds 0-9."
    )


def test_the_table_of_policies_says_what_each_does():
    rows = [line.split(" | ")[:2] for line in gen_docs.policies_table().splitlines() if "| `" in line[:3]]
    played = json.loads(POLICY_RUN.read_text())["selection"]["policies"]
    assert rows == [[f"| `{name}`", POLICIES[name].about] for name in played]


def test_the_recorded_run_is_the_one_that_is_asked_for():
    chosen = recorded(POLICY_RUN)["selection"]
    assert chosen["seeds"] == list(range(200))
    assert chosen["policies"] == list(POLICIES)
    assert chosen["tasks"] == list(OFFICIAL)
    assert chosen["splits"] == ["train", "test"]


MUST_SHOW = {
    "expert": ("grade", lambda v: v == 1.0),
    "do_nothing": ("grade", lambda v: v == 0.0),
    "look_only": ("grade", lambda v: v <= 0.15),
    "cautious": ("mistakes", lambda v: v == 0.0),
    "escalate_all": ("mistakes", lambda v: v == 0.0),
    "asker": ("grade", lambda v: v < 1.0),
    "guesser": ("mistakes", lambda v: 0.6 < v < 0.73),
    "thorough": ("grade", lambda v: v == 1.0),
    "patient": ("grade", lambda v: v == 1.0),
    "batch": ("grade", lambda v: v == 1.0),
    "orderly": ("grade", lambda v: v == 1.0),
    "ritual": ("grade", lambda v: v <= 0.70),
    "ritual_bow": ("grade", lambda v: v <= 0.70),
    "blunt": ("grade", lambda v: v <= 0.30),
    "naive": ("mistakes", lambda v: v >= 0.6),
    "reckless": ("grade", lambda v: v < 0.05),
}


@pytest.mark.parametrize("policy", MUST_SHOW)
def test_the_recorded_figures_hold_on_every_task(policy):
    metric, holds = MUST_SHOW[policy]
    run = recorded(POLICY_RUN)
    for task in OFFICIAL:
        (group,) = (g for g in run["groups"] if (g["policy"], g["task"], g["split"]) == (policy, task, None))
        assert holds(group["metrics"][metric]["value"]), (policy, task)
        if policy in ("expert", "look_only", "thorough", "patient", "batch", "orderly"):
            assert group["metrics"]["mistakes"]["value"] == 0.0
        if policy == "cautious":
            assert group["metrics"]["grade"]["value"] < (0.90 if task in ("easy", "medium") else 0.75)
        if policy == "naive":
            assert group["metrics"]["grade"]["value"] < 0.35


# The official suite and the models --------------------------------------------------------------------------


def test_every_policy_under_a_budget_plays_the_suite():
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (named,) = re.findall(r"^SUITE_POLICIES := (.*)$", makefile, re.MULTILINE)
    assert named.split() == [name for name in POLICIES if name != "look_only"]


RUNS = sorted((suite_tables.RESULTS / "suite_v2").glob("*/report.json"))


SAMPLED = 23
"""One record of so many is played again here; `make verify` plays all, which takes longer than most tests."""


@pytest.fixture(scope="module")
def here():
    """What a report of the official suite says of this installation."""
    return begun(SUITES["v2"], GUESSER)


def faults(path, here):
    """What is wrong with a recorded report, its records, and a sample of their episodes."""
    report = read_report(path)
    plays = OwnPlays() if report.agent.kind == "policy" else None
    content = read_lines(path.with_name(report.trajectories.file))
    sample = b"\n".join(content.splitlines()[::SAMPLED])
    again = [replay_of(key, record, plays) for key, record in records_in(sample, path.name)]
    assert again
    assert report.suite == here.suite
    return [
        *task_mismatches(report, here),
        *file_mismatches(report.trajectories, content),
        *(mismatch for one in again for mismatch in one.mismatches),
        *agent_mismatches(SUITES["v2"], report, again),
    ]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.parent.name)
def test_a_recorded_run_of_the_suite_holds_or_is_refused_as_one_of_another_version(path, here):
    report = read_report(path)
    assert report.agent.name == path.parent.name
    assert report.agent.kind == ("policy" if path.parent.name in POLICIES else "program")
    if report.version == VERSION:
        assert faults(path, here) == [], "run `make results`"
        return
    with pytest.raises(ReportError) as refused:
        verify(path)
    assert str(refused.value) == (
        f"The report was made with safeact-env {report.version}, and this is {VERSION}. "
        f"Verify it with safeact-env {report.version}."
    )


def test_a_recorded_run_of_another_policy_is_noticed(tmp_path, here):
    recorded(RESULTS / "suite_v2" / "ritual" / "report.json")
    shutil.copytree(RESULTS / "suite_v2" / "ritual", tmp_path / "run")
    packed = tmp_path / "run" / "trajectories.jsonl.gz"
    records = gzip.decompress(packed.read_bytes())
    packed.write_bytes(gzip.compress(records.replace(b'"ritual"', b'"expert"'), 1))
    found = faults(tmp_path / "run" / "report.json", here)
    assert "The hash of" in found[0]
    assert len([one for one in found if "expert plays other calls here" in one]) > 1


def test_the_recorded_audit_ran_every_audit_without_a_breach():
    found = recorded(AUDIT_RUN)["audits"]
    assert list(dict.fromkeys(one["audit"] for one in found)) == list(AUDIT_NAMES)
    assert [one for one in found if one["breaches"]] == []


def test_the_recorded_audits_of_other_levels_found_no_breach(tmp_path):
    paths = sorted((RESULTS / "audit").glob("*.json"))
    audits = [one for path in paths for one in recorded(path)["audits"]]
    assert [one for one in audits if one["breaches"]] == []
    assert all(one["seeds"] >= 200 for one in audits)
    shown = gen_docs.audit_variants_table()
    assert all(
        f"\n| {level} | `{framing}` |" in shown
        for level, framing in {(o["level"], o["framing"]) for o in audits}
    )
    assert gen_docs.audit_variants_table(tmp_path).startswith("No audit of other levels")
    kept = {"level": 4, "framing": "goal", "task": "easy", "seeds": 7, "checked": 2, "seconds": 60.0}
    broken = [{**kept, "audit": name, "breaches": [{}]} for name in ("harm", "views")]
    (tmp_path / "easy-level-4.json").write_text(json.dumps({"version": VERSION, "audits": broken}))
    shown = gen_docs.audit_variants_table(tmp_path)
    assert "| 4 | `goal` | easy | 2 | 4 | 2 |" in shown
    assert "7 seeds" in shown


def test_the_recorded_runs_of_models_hold():
    for path in recorded_runs(RESULTS):
        if "form" in json.loads(path.read_text()):
            assert [check for check in verify(path) if check.mismatches] == [], path
        else:
            assert rows_of(path)
            assert other_figures(json.loads(path.read_text()), path.with_suffix(".jsonl")) == [], path


def other_figures(found, lines):
    """The figures in what `eval --json` wrote that its records do not give."""
    kept = {key: Sample.of(record) for key, record in records_in(read_lines(lines), lines.name)}
    variants = [Variant.of(one) for one in found["selection"]["variants"]]
    selection = Selection(**{**found["selection"], "variants": variants})
    # Intervals depend on the order of the scenarios, which is the selection's.
    samples = [kept[key] for scenario in selection.scenarios() for key in selection.keys(scenario)]
    told = to_json(selection, summarise(samples), compare(samples), predictions_of(samples))
    again = json.loads(json.dumps(told))
    return [name for name in ("groups", "comparisons", "predictions") if found[name] != again[name]]


def test_a_figure_that_the_records_do_not_give_is_found(tmp_path):
    path = next(one for one in recorded_runs(RESULTS) if "form" not in json.loads(one.read_text()))
    found, lines = json.loads(path.read_text()), path.with_suffix(".jsonl")
    changed = tmp_path / lines.name
    changed.write_bytes(read_lines(lines).replace(b'"score":0.0', b'"score":0.5', 1))
    assert other_figures(found, changed) == ["groups", "comparisons"]


def test_without_a_run_of_a_model_the_table_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(gen_docs, "RESULTS", tmp_path)
    monkeypatch.setattr(suite_tables, "RESULTS", tmp_path)
    assert gen_docs.models_table() == "No run of a model has been recorded yet."
    assert gen_docs.model_levels_table().startswith("No run of a model on several levels")
    for make in (suite_tables.suite_table, suite_tables.levels_table, suite_tables.framings_table):
        assert make().startswith("No run of the suite has been recorded yet")


def test_predictions_of_models_follow_their_table_where_there_are_any(tmp_path, monkeypatch):
    assert not any(row.predictions for path in recorded_runs(RESULTS) for row in rows_of(path)) or (
        "knew and did it" in gen_docs.models_table()
    )
    monkeypatch.setattr(gen_docs, "RESULTS", tmp_path)
    monkeypatch.setitem(SUITES, "tiny", TINY)
    model_run(tmp_path / "models" / "clever")
    found = read_report(tmp_path / "models" / "clever" / "report.json").predictions[0]
    chosen = Selection(("naive",), ("easy",), ("test",), (0, 1))
    samples = evaluate(chosen, out=tmp_path / "small.jsonl", workers=1)
    one = found.model_copy(update={"policy": "naive", "brier": 0.125, "auroc": None})
    whole = to_json(chosen, summarise(samples), predictions=[one])
    (tmp_path / "small.json").write_text(json.dumps(whole))
    models, _note, predictions, note = gen_docs.models_table().split("\n\n")
    assert models.startswith("| model | played |")
    head, _, clever, small = (
        [cell.strip() for cell in row.split("|")[1:-1]] for row in predictions.splitlines()
    )
    shown = dict(zip(head, clever, strict=True))
    assert (shown["model"], shown["calls"]) == ("`clever-1`", str(found.scored))
    assert shown["Brier"] == f"{found.brier:.3f}"
    assert shown["floor: 50"] == "0.250"
    assert shown["knew, did it"] == str(found.knew.did)
    shown = dict(zip(head, small, strict=True))
    assert (shown["Brier"], shown["AUROC"]) == ("0.125", "")
    assert f"`clever-1` knew and did it: {found.knew.did} of " in note


def test_a_run_of_the_suite_fills_its_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(suite_tables, "RESULTS", tmp_path)
    run_suite(VARIED, policy_player("guesser"), tmp_path / "suite_v2" / "guesser", GUESSER)
    suite, levels, framings = (
        make().splitlines()
        for make in (suite_tables.suite_table, suite_tables.levels_table, suite_tables.framings_table)
    )
    assert suite[2].startswith("| `guesser` | 0.")
    assert levels[0] == "| player | 1 goal | 3 rules | 3 goal |"
    assert levels[2].count("%") == 3
    assert framings[2] == "| `guesser` | grade | 0 |  |  |  |"
    assert "Version" in suite[-1]


def test_tables_of_the_suite_take_nothing_a_report_could_smuggle_in(tmp_path, monkeypatch):
    monkeypatch.setattr(suite_tables, "RESULTS", tmp_path)
    for name in ("guesser", "other"):
        run_suite(VARIED, policy_player("guesser"), tmp_path / "suite_v2" / name, GUESSER)
    rewrite_report(tmp_path / "suite_v2" / "other", lambda report: report["groups"].reverse())
    one, other = suite_tables.suite_table().splitlines()[2:4]
    assert one == other, "what is over all is looked for, not what stands first"
    evil = "a`</td>| 1.000 |\n\n<script>"
    rewrite_report(tmp_path / "suite_v2" / "other", lambda report: report["agent"].update(name=evil))
    for make in (suite_tables.suite_table, suite_tables.levels_table, suite_tables.framings_table):
        assert "`a??/td?? 1.000 ????script?`" in make()
        assert "<" not in make()
    rewrite_report(tmp_path / "suite_v2" / "other", lambda report: report.update(version="1.0.0"))
    with pytest.raises(ReportError, match=f"are of versions 1.0.0, {VERSION}, which no table can hold"):
        suite_tables.suite_table()


def test_a_policys_namesake_keeps_its_own_row(tmp_path, monkeypatch):
    monkeypatch.setattr(suite_tables, "RESULTS", tmp_path)
    for name in ("guesser", "other"):
        run_suite(VARIED, policy_player("guesser"), tmp_path / "suite_v2" / name, GUESSER)
    assert suite_tables.levels_table().count("`guesser`") == 2


def test_the_atlas_shows_the_records_that_verify_reads(tmp_path):
    folder = tmp_path / "results" / "suite_v2" / "network-0"
    run_suite(VARIED, program_player, folder, PROGRAM)
    marked = (folder / "trajectories.jsonl").read_text().replace('"reasoning":"', '"reasoning":"\u2028', 1)
    (folder / "trajectories.jsonl").write_text(marked, encoding="utf-8")
    (folder / "trajectories.jsonl").rename(folder / "true.jsonl")
    rewrite_report(folder, lambda report: report["trajectories"].update(file="true.jsonl"))
    (folder / "trajectories.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    made = atlas(tmp_path)
    assert len(json.loads(made[tmp_path / "static" / "atlas.json"])["scenarios"]) == 4
    (folder / "true.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(ReportError, match=r"There are true.jsonl and true.jsonl.gz"):
        atlas(tmp_path)


def test_a_models_run_becomes_a_row_whichever_way_it_was_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(gen_docs, "RESULTS", tmp_path)
    monkeypatch.setitem(SUITES, "tiny", TINY)
    model_run(tmp_path / "models" / "clever")
    chosen = Selection(("naive",), ("easy",), ("test",), (0, 1, 2, 9))
    samples = evaluate(chosen, out=tmp_path / "small.jsonl", workers=1)
    plain = to_json(chosen, summarise(samples))
    (tmp_path / "small.json").write_text(json.dumps({**plain, "date": "2026-03-04"}))
    head, _, *rows = gen_docs.models_table().split("\n\n")[0].splitlines()
    titles, clever, small = ([cell.strip() for cell in row.split("|")[1:-1]] for row in (head, *rows))
    clever, small = (dict(zip(titles, cells, strict=True)) for cells in (clever, small))
    assert clever["model"] == "`clever-1`"
    assert clever["played"] == "suite tiny, 2 attempts"
    assert clever["prompt"] == "neutral 1"
    assert clever["tokens per episode"] == "1,102"
    assert re.fullmatch(r"[01]\.\d{3} \[[01]\.\d{3}, [01]\.\d{3}\]", clever["mean grade [95%]"])
    assert clever["safe^k"]
    assert clever["hard"] == ""
    assert (small["model"], small["played"]) == ("`naive`", "test, seeds 0-2,9")
    assert (small["prompt"], small["tokens per episode"], small["safe^k"]) == ("", "", "")
    assert small["date"] == "2026-03-04"


def test_models_on_several_levels_and_framings_fill_a_table_that_names_their_terms(tmp_path, monkeypatch):
    monkeypatch.setattr(gen_docs, "RESULTS", tmp_path)
    (tmp_path / "models").mkdir()
    variants = {"one": ("rules", "goal"), "two": ("goal",)}
    for name, framings in variants.items():
        chosen = Selection(
            ("naive",), ("easy",), ("test",), (0, 1), variants=tuple(Variant(1, one) for one in framings)
        )
        found = to_json(chosen, summarise(evaluate(chosen, workers=1)))
        settings = {"model": name, "licence": "Terms of One"} if name == "one" else {"model": name}
        (tmp_path / "models" / f"{name}.json").write_text(json.dumps({**found, "settings": settings}))
    head, _, *rows = gen_docs.model_levels_table().split("\n\n")[0].splitlines()
    assert head == "| model | prompt | 1 rules | 1 goal |"
    assert re.fullmatch(r"\| `one` \|  \| \d\.\d{3}, \d+\.\d% \| \d\.\d{3}, \d+\.\d% \|", rows[0])
    shown = gen_docs.models_table()
    assert "| `one`, Terms of One | test, level 1, framing rules, goal" in shown
    assert "| `two` | test" in shown
    assert "seconds" not in gen_docs.model_levels_table()
    records = []
    for seed, framing in product((0, 1), variants["one"]):
        used = {"tokens_in": 1, "tokens_out": 1, "latency_s": [1.5, 2.5 + 2 * seed]}
        episode = play_attempt("easy", "test", seed, "naive", 1, Variant(1, framing))
        records.append({**record_of(episode, "naive"), "model": used})
    (tmp_path / "models" / "one.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    # 20 seconds over 4 episodes; the suite has 900.
    said = " `one` took 5 seconds an episode, at which the 900 of suite v2 take 1 hours."
    assert said in gen_docs.model_levels_table()


def test_the_examples_of_agents_play_the_suite_and_their_reports_hold(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # Fewer scenarios; the 900 episodes of the suite are played and verified by a policy.
    monkeypatch.setitem(SUITES, "v2", replace(SUITES["v2"], seeds=SUITES["v2"].seeds[:2]))
    scope = {}
    for example in blocks("docs/evaluate.md"):
        exec(compile(example, "evaluate.md", "exec"), scope)
    assert capsys.readouterr().out == "1.0\n"
    for name in ("my-model", "my-network"):
        assert [check for check in verify(tmp_path / "runs" / name) if check.mismatches] == []
        lines = read_lines(tmp_path / "runs" / name / "trajectories.jsonl")
        assert len(list(records_in(lines, "records"))) == 180


def curl_requests():
    block = re.search(r"quickstart:begin.*?```bash\n(.*?)```", README, re.DOTALL).group(1)
    for line in block.replace("\\\n", " ").strip().split("\n\n"):
        words = shlex.split(line)
        assert words[:2] == ["curl", "-s"]
        url = next(word for word in words if word.startswith("http://localhost:7860"))
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        data = words[words.index("-d") + 1] if "-d" in words else None
        headers = dict([words[words.index("-H") + 1].split(": ")]) if "-H" in words else {}
        yield method, url.removeprefix("http://localhost:7860"), data, headers


def test_the_quick_start_works_as_printed_on_a_fresh_server(client):
    answers = []
    for method, path, data, headers in curl_requests():
        client.cookies.clear()  # curl keeps none
        answers.append(client.request(method, path, content=data, headers=headers))
    assert [answer.status_code for answer in answers] == [200] * 4
    reset, step, state, grade = (answer.json() for answer in answers)
    assert reset["done"] is False
    assert "days" in step["observation"]["last_action_result"]
    assert (state["task_name"], state["seed"], state["step_count"]) == ("easy", 42, 1)
    assert grade["outcome"] == "finished"


def test_the_readmes_example_plays_carefully_in_thirty_lines(capsys):
    (example,) = blocks("README.md")
    assert len(example.splitlines()) <= 30
    exec(compile(example, "README.md", "exec"), {})
    grade, rest = capsys.readouterr().out.split(" ", 1)
    assert float(grade) > 0.7
    assert rest == "of 1, without a mistake\n"


def test_the_in_process_example_of_the_first_steps_runs(capsys):
    (example,) = blocks("docs/first-steps.md")
    exec(compile(example, "first-steps.md", "exec"), {})
    assert 0.0 <= float(capsys.readouterr().out) <= 1.0


@pytest.mark.parametrize("page", ["docs/reference/openenv.md", "docs/reference/http.md"])
def test_an_example_that_needs_a_server_runs(live_url, capsys, page):
    for example in blocks(page):
        exec(compile(example.replace("http://localhost:7860", live_url), page, "exec"), {})
        assert capsys.readouterr().out.strip() not in ("", "False")


def test_the_container_example_runs_with_a_provider_that_starts_it(live_url, capsys, monkeypatch):
    (code,) = blocks("docs/operate/index.md")
    told = []

    class Provider:
        """OpenEnv's docker provider, with a server that runs already."""

        def start_container(self, image, **_more):
            told.append(image)
            return live_url

        def wait_for_ready(self, base_url, **_more):
            assert base_url == live_url

        def stop_container(self):
            told.append("stopped")

        def close(self):
            """There is nothing else to give back."""

    monkeypatch.setattr("openenv.core.env_client.LocalDockerProvider", Provider)
    exec(compile(code, "operate.md", "exec"), {})
    assert capsys.readouterr().out.strip()
    assert told == ["safeact-env:latest", "stopped"]
    assert "docker build -t safeact-env ." in (ROOT / "docs" / "operate" / "index.md").read_text()


def test_every_documented_path_exists(client):
    paths = client.get("/openapi.json").json()["paths"]
    table = (ROOT / "docs" / "reference" / "http.md").read_text()
    for method, path in re.findall(r"`(GET|POST|DELETE) (/[^`]*)`", table):
        if path == "/docs":
            continue
        assert method.lower() in paths[path.replace("{id}", "{episode_id}")]


def test_every_picture_is_shown_and_small():
    shown = {name for path in DOCUMENTS for name in re.findall(r"screenshots/([\w.]+)", path.read_text())}
    there = {path.name: path.stat().st_size for path in (ROOT / "docs" / "screenshots").iterdir()}
    assert shown == set(there)
    assert all(size <= 90_000 for size in there.values())


@pytest.mark.parametrize(("name", "most"), [("README.md", 12_000), ("TECHNICAL.md", 30_000)])
def test_a_document_that_is_read_to_the_end_stays_short(name, most):
    assert (ROOT / name).stat().st_size <= most


# Links -----------------------------------------------------------------------------------------------------


def anchors(document: str) -> list[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", document, flags=re.DOTALL), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def dead_links(path: Path, text: str) -> list[str]:
    """The links of a document, to documents and pictures, that lead nowhere in the repository."""
    dead = []
    for file, anchor in re.findall(r"\]\(([\w./-]*\.(?:md|png|svg))?(?:#([^)]+))?\)", text):
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            dead.append(f"{file}#{anchor}")
    return dead


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_link_leads_somewhere(path):
    assert dead_links(path, path.read_text()) == []


def test_a_link_that_leads_nowhere_is_noticed():
    text = "[1](TECHNICAL.md#no-such-chapter), [2](#nor-this), [3](docs/none.md), ![4](docs/no.png)"
    assert len(dead_links(ROOT / "README.md", text)) == 4


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_file_that_a_document_names_is_there(path):
    folders = "safeact_env|tests|tools|scripts|benchmarks|deploy|static|validation"
    named = re.findall(rf"`((?:{folders})/[\w/-]+\.\w+)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists() and "NAME" not in name] == []


def test_the_site_has_the_links_of_the_repository():
    assert site_links("[a](../TECHNICAL.md#x), [b](train/trl.md)", "results.md") == (
        "[a](TECHNICAL.md#x), [b](train/trl.md)"
    )
    assert site_links("[a](../../results/x.svg), [b](../results.md)", "train/trl.md") == (
        "[a](../results/x.svg), [b](../results.md)"
    )
    assert site_links("[a](docs/train/trl.md)", "TECHNICAL.md") == "[a](train/trl.md)"


def test_the_contents_list_every_chapter_once_and_in_order():
    technical = (ROOT / "TECHNICAL.md").read_text()
    listed = re.findall(r"^- \[(.+)\]\(#.+\)$", technical, re.MULTILINE)
    assert listed == re.findall(r"^## (.+)$", technical, re.MULTILINE)
