"""`inference.py` as a program: its lines, its exit codes, what it keeps, and that it can be killed."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safeact_env import Episode, get_task
from safeact_env.call import Call
from safeact_env.cli import app as safeact
from safeact_env.cli.inference import app
from safeact_env.cli.lines import Lines, refusal
from safeact_env.core.episode import CRITICAL
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation import SUITES, Agent, Key, policy_player, read_report, run_suite, verify
from safeact_env.evaluation.record import play_attempt
from safeact_env.evaluation.suite import V2
from safeact_env.llm.prompts import get_prompt
from safeact_env.llm.run import EPISODES
from safeact_env.llm.settings import LLMSettings
from safeact_env.tasks import OFFICIAL
from tests.llm.stub import KEY, MODEL, Expert, calls, fails, free_port, in_turn, is_probe, says, steps_left

ROOT = Path(__file__).resolve().parents[2]
RESULT = re.compile(
    r"\[START\] task=(\S+) env=safeact-env model=(.*)\n"
    r"((?:\[STEP\] step=\d+ action=.+ reward=-?\d\.\d\d done=(?:true|false) error=(?:null|\".*\")\n)*)"
    r"\[END\] success=(true|false) steps=(\d+) score=(\d\.\d\d) rewards=(\S*)\n"
)


def configured(stub, **more):
    return {"API_BASE_URL": f"{stub.url}/v1", "MODEL_NAME": MODEL, "OPENAI_API_KEY": KEY, **more}


def azure(stub):
    named = {"API_KEY": KEY, "ENDPOINT": stub.url, "DEPLOYMENT": "gpt"}
    return {"OPENAI_BACKEND": "azure", **{f"AZURE_OPENAI_{name}": value for name, value in named.items()}}


def inference(*arguments, env=None):
    return CliRunner().invoke(app, [str(a) for a in arguments], env=env or {}, catch_exceptions=False)


def program(*arguments, env=None):
    """A process of its own, as people start it."""
    clean = {k: v for k, v in os.environ.items() if k.lower() not in LLMSettings.model_fields}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "inference.py"), *map(str, arguments)],
        env={**clean, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever starts the tests in the background of a script has it ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


# What is printed --------------------------------------------------------------------------------------------


def test_a_policy_is_played_with_the_lines_and_the_table():
    done = inference("--agent", "expert", "--task", "easy", "--seeds", "0,1")
    assert (done.exit_code, done.stderr) == (0, "")
    blocks = list(RESULT.finditer(done.stdout))
    assert [block[1] for block in blocks] == ["easy", "easy"]
    assert "".join(block[0] for block in blocks) == done.stdout[: blocks[-1].end()]
    for block, seed in zip(blocks, (0, 1), strict=True):
        turns = play_attempt("easy", "test", seed, "expert", 1).turns
        assert (block[2], block[4], block[5], block[6]) == ("expert", "true", str(len(turns)), "1.00")
        assert block[7] == ",".join(f"{turn.reward:.2f}" for turn in turns)
        shown = re.findall(r"action=(\w+)\((\{.*?\})\) reward=(\S+) done=(\w+) error=(.*)", block[3])
        assert [name for name, *_ in shown] == [turn.call.action_name for turn in turns]
        assert [json.loads(params) for _, params, *_ in shown] == [turn.call.parameters for turn in turns]
        assert [ended for *_, ended, _ in shown] == ["false"] * (len(turns) - 1) + ["true"]
        assert {error for *_, error in shown} == {"null"}
    table = done.stdout[blocks[-1].end() :]
    assert "easy; test: 2 scenarios" in table
    assert re.search(r"expert +1\.000 +1\.000-1\.000 +100\.0%", table)


def test_variants_are_played_and_their_records_name_them(tmp_path):
    chosen = ("--level", "1", "--level", "3", "--framing", "goal", "--task", "easy", "--seeds", "0")
    done = inference("--agent", "expert", *chosen, "--out", tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "easy; test; level 1, 3, framing goal: 2 scenarios" in done.stdout
    records = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    for record, level in zip(records, (1, 3), strict=True):
        assert (record["level"], record["framing"], record["score"]) == (level, "goal", 1.0)
        turns = play_attempt("easy", "test", 0, "expert", 1, Variant(level, "goal")).turns
        assert record["calls"] == [turn.call.to_json() for turn in turns]


def test_a_player_is_compared_with_itself_between_variants_as_eval_compares_policies(tmp_path):
    played = ("--framing", "goal", "--framing", "waiver", "--split", "test")
    chosen = (*played, "--task", "easy", "--seeds", "0-1")
    done = inference("--agent", "never_asks", *chosen, "--json", tmp_path / "played.json")
    assert (done.exit_code, done.stderr) == (0, "")
    policy = ("eval", "--policy", "never_asks", *chosen, "--json", str(tmp_path / "policy.json"))
    told = CliRunner().invoke(safeact, policy)
    assert told.exit_code == 0
    found, wanted = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("played", "policy"))
    assert found["comparisons"] == wanted["comparisons"] != []
    said = [one["finding"] for one in wanted["comparisons"]]
    assert any(" ".join(one.split()) in " ".join(done.stdout.split()) for one in said)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--level", "9"), "must be 1, 2, 3, 4, 5 or all, not '9'."),
        (("--framing", "x"), "must be rules, goal, hurry, waiver, planted or all, not 'x'."),
        (("--suite", "v2", "--level", "1"), "leave out --level."),
    ],
)
def test_variants_that_cannot_be_played_are_refused(tmp_path, arguments, told):
    done = inference("--agent", "expert", *arguments, "--out", tmp_path)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_a_local_model_is_chosen_for_the_local_agent_only(tmp_path):
    done = inference("--agent", "expert", "--local-model", "gemma-3-270m")
    assert done.exit_code == 2
    assert "goes with --agent local, not expert." in done.stderr
    # Its file is looked for before anything is served or played.
    done = inference("--local-model", tmp_path / "none.gguf")
    assert done.exit_code == 2
    assert "is not a file. The local models are SmolLM2-135M-Instruct and gemma-3-270m." in done.stderr


def test_refused_calls_are_shown_with_their_sentence():
    done = inference("--agent", "reckless", "--task", "easy", "--seeds", "0-2")
    errors = re.findall(r"done=true error=(.*)", done.stdout)
    assert [json.loads(error) for error in errors] == [CRITICAL] * 3
    assert done.stdout.count("[END] success=false") == 3


@pytest.mark.parametrize(
    ("result", "refused"),
    [
        ("There is no action 'x'.", True),
        ("Not carried out. path: missing.", True),
        ("Refused. Read its metadata first.", True),
        (CRITICAL, True),
        ("Denied: it has not been inspected.", False),
        ("a.txt moved to the archive.", False),
    ],
)
def test_what_counts_as_refused(result, refused):
    assert refusal(result) == (result if refused else None)


@pytest.mark.parametrize("task", OFFICIAL)
def test_exactly_the_calls_that_the_engine_penalises_are_shown_as_refused(task):
    seen = set()
    for seed, policy in product(range(8), ("random", "naive", "expert")):
        episode = Episode(get_task(task), "train", seed)
        for turn in play_attempt(task, "train", seed, policy, 1).turns:
            before = episode.state.ledger.penalties
            episode.step(turn.call)
            penalised = episode.state.ledger.penalties > before
            refused = penalised or episode.outcome == "irreversible_mistake"
            assert (refusal(turn.result) is not None) == refused, turn.result
            seen.add(refused)
    assert seen == {True, False}


STEP = re.compile(r"\[STEP\] step=(\d+) action=(.*)")


def step_in(line):
    """A line of a step as a program reads it: the action's parameters are JSON, and say where they end."""
    number, rest = STEP.fullmatch(line).groups()
    decoder = json.JSONDecoder()
    if rest[0] == '"':
        name, end = decoder.raw_decode(rest)
        rest = rest[end + 1 :]
    else:
        name, _, rest = rest.partition("(")
    parameters, end = decoder.raw_decode(rest)
    reward, done, error = re.fullmatch(r"\) reward=(\S+) done=(\S+) error=(.*)", rest[end:]).groups()
    return int(number), name, parameters, float(reward), json.loads(done), json.loads(error)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("look", {}),
        ("look", {"path": "/a b/c", "reason": 'of "it" \\ \n\u2028 ü \U000e0001\x7f'}),
        ("look", {"x": "}) reward=1.00 done=true error=null", 'a"b ': [1, {"c d": None}]}),
        ('no ({"such": action}) ', {"a": "b"}),
    ],
)
def test_a_line_is_read_back_whatever_is_in_it(capsys, name, parameters):
    lines = Lines(live=True)
    key = Key("a model\nname", "easy", "test", 0, 1)
    lines.begun(key)
    result = 'Refused. "a" reward=1.00\nb\u2028'
    shown = {"reward": -0.2, "done": False, "last_action_result": result}
    lines.stepped(key, 1, Call(name, parameters, "why"), shown)
    lines.ended(key, None)
    out = capsys.readouterr().out
    assert r"\u0020" not in out
    start, step, end = out.splitlines()
    assert start == r"[START] task=easy env=safeact-env model=a model\nname"
    assert step_in(step) == (1, name, parameters, -0.2, False, result)
    assert end == "[END] success=false steps=1 score=0.00 rewards=-0.20"
    (block,) = RESULT.finditer(out)
    assert (block[4], block[6], block[7]) == ("false", "0.00", "-0.20")


def test_parameters_that_are_too_long_are_cut_and_stay_an_object(capsys):
    lines = Lines(live=True)
    key = Key("m", "easy", "test", 0, 1)
    lines.begun(key)
    given = {"path": "/a b", "where": "x " * 900, "list": [10**15] * 16, "k" * 500: 1}
    lines.stepped(
        key, 1, Call("n" * 500, given, "why"), {"reward": 0, "done": False, "last_action_result": ""}
    )
    _start, step = capsys.readouterr().out.splitlines()
    _, name, parameters, *_ = step_in(step)
    assert (name, parameters["path"], parameters["k" * 99 + "…"]) == ("n" * 99 + "…", "/a b", 1)
    assert parameters["where"] == ("x " * 900)[:99] + "…"
    assert parameters["list"].startswith("[1000000000000000,1")
    assert len(step) < 800


def test_blocks_are_whole_although_episodes_are_played_together(serve):
    player = Expert(*[("easy", "test", seed) for seed in range(4)])
    stub = serve(lambda asked: replace(player(asked), wait_s=0.02))
    done = inference("--task", "easy", "--seeds", "0-3", "--concurrency", 4, env=configured(stub))
    assert done.exit_code == 0
    assert stub.most_at_once > 1
    blocks = list(RESULT.finditer(done.stdout))
    assert len(blocks) == 4
    assert "".join(block[0] for block in blocks) == done.stdout[: blocks[-1].end()]


def test_the_json_is_that_of_eval_with_the_settings(serve, tmp_path):
    stub = serve(Expert(("easy", "test", 0)))
    file = tmp_path / "out.json"
    done = inference("--task", "easy", "--seeds", "0", "--json", file, env=configured(stub))
    assert done.exit_code == 0
    found = json.loads(file.read_text())
    assert {"version", "selection", "interval", "groups"} <= set(found)
    assert found["groups"][0]["metrics"]["grade"]["value"] == 1.0
    assert (found["settings"]["model"], found["settings"]["prompt"]) == (MODEL, "neutral")
    assert KEY not in file.read_text()


def refuses_temperature(player, after=0):
    """An endpoint that lets the temperature be chosen in the first so many requests only."""
    count = {"asked": 0}

    def script(asked):
        count["asked"] += 1
        if "temperature" in asked.body and count["asked"] > after:
            return fails(400, "Unsupported parameter: temperature")
        return player(asked)

    return script


@pytest.mark.parametrize(
    ("after", "records"),
    [(0, [None, None]), (5, [None, None]), ("episode", [0.0, None]), (10**6, [0.0, 0.0])],
    ids=["no request", "some of an episode", "all of an episode", "every request"],
)
def test_settings_say_the_temperature_that_was_in_force(serve, tmp_path, after, records):
    in_force = None if None in records else 0.0
    if after == "episode":
        after = 1 + len(play_attempt("easy", "test", 0, "expert", 1).turns)  # with the probe
    player = Expert(("easy", "test", 0), ("easy", "test", 1))
    stub = serve(refuses_temperature(player, after))
    file, out = tmp_path / "out.json", tmp_path / "out"
    arguments = ("--task", "easy", "--seeds", "0-1", "--out", out, "--resume", "--json", file)
    for _ in range(2):  # the second run plays nothing, and goes on with the same settings
        done = inference(*arguments, env=configured(stub))
        assert done.exit_code == 0, done.stderr
        said = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
        assert [record["model"]["temperature"] for record in said] == records
        assert json.loads((out / "settings.json").read_text())["temperature"] == in_force
        assert json.loads(file.read_text())["settings"]["temperature"] == in_force


def test_without_a_folder_too(serve, tmp_path):
    stub = serve(refuses_temperature(Expert(("easy", "test", 0)), after=5))
    file = tmp_path / "out.json"
    done = inference("--task", "easy", "--seeds", "0", "--json", file, env=configured(stub))
    assert done.exit_code == 0, done.stderr
    assert json.loads(file.read_text())["settings"]["temperature"] is None


def test_a_suites_report_says_the_temperature_that_was_in_force(serve, tmp_path, small):
    stub = serve(refuses_temperature(Expert(*PLAYS_SMALL), after=30))
    for _ in range(2):
        done = inference("--suite", "small", "--out", tmp_path, "--resume", env=configured(stub))
        assert done.exit_code == 0, done.stderr
        assert read_report(tmp_path / "report.json").agent.settings["temperature"] is None
    assert [check.mismatches for check in verify(tmp_path) if check.mismatches] == []
    report = json.loads((tmp_path / "report.json").read_text())
    report["agent"]["settings"]["temperature"] = 0.0
    (tmp_path / "report.json").write_text(json.dumps(report))
    (mismatches,) = [check.mismatches for check in verify(tmp_path) if check.mismatches]
    assert "a request went without the temperature that the report names" in mismatches[0]


def test_a_server_can_be_played_on(serve, live_url):
    stub = serve(Expert(("easy", "test", 0)))
    done = inference("--task", "easy", "--seeds", "0", "--url", live_url, env=configured(stub))
    assert (done.exit_code, "[END] success=true" in done.stdout) == (0, True)


# A suite ----------------------------------------------------------------------------------------------------


SMALL = replace(V2, name="small", tasks=("easy",), seeds=(5, 3), variants=(DEFAULT,), attempts=2)
"""Four episodes."""
PLAYS_SMALL = [(task, "test", seed) for task, seed in product(SMALL.tasks, SMALL.seeds)]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(SUITES, "small", SMALL)
    return SMALL


def test_a_suite_is_played_by_a_model_and_its_report_is_verified(serve, tmp_path, small):
    stub = serve(Expert(*PLAYS_SMALL))
    priced = ("--price-in", 2, "--price-out", 8)
    done = inference("--suite", "small", "--out", tmp_path, "--concurrency", 3, *priced, env=configured(stub))
    assert done.exit_code == 0, done.stderr
    assert len(list(RESULT.finditer(done.stdout))) == 4
    assert f"`safeact verify {tmp_path}` checks them" in " ".join(done.stdout.split())
    report = read_report(tmp_path / "report.json")
    assert (report.agent.name, report.agent.kind, report.suite.sha256) == (MODEL, "model", small.sha256)
    assert report.agent.prompt.sha256 == get_prompt("neutral", predict=True).sha256
    assert report.agent.settings["temperature"] == 0.0
    assert report.groups[0].metrics["grade"].value == 1.0
    # The stub counts 100 tokens read and 10 written per answer.
    assert report.cost.model_calls == report.cost.tokens_in // 100 == report.cost.tokens_out // 10 > 8
    assert report.cost.money == pytest.approx((200 + 80) * report.cost.model_calls / 1_000_000)
    assert re.search(r"gave [\d,]+ answers; .* which costs 0\.0\d+ at the given prices", done.stderr)
    assert [check for check in verify(tmp_path) if check.mismatches] == []
    assert KEY not in "".join(file.read_text() for file in tmp_path.iterdir())


def predicts(step):
    return {"undo_chance": 100 - step}


def test_a_suite_asks_a_model_for_predictions_and_reports_them(serve, tmp_path, small):
    stub = serve(Expert(*PLAYS_SMALL, says=predicts))
    done = inference("--suite", "small", "--out", tmp_path, env=configured(stub))
    assert done.exit_code == 0, done.stderr
    found = read_report(tmp_path / "report.json").predictions
    assert found[0].scored == found[0].calls > found[0].irreversible > 0
    assert (found[0].knew.did, found[0].did_not_know.did) == (0, 0)  # the expert makes no mistake
    assert "undo_chance" in stub.played[0].texts[0]
    assert [check for check in verify(tmp_path) if check.mismatches] == []
    one = "".join((tmp_path / "trajectories.jsonl").read_text()).replace('chance":99', 'chance":98', 1)
    (tmp_path / "trajectories.jsonl").write_text(one)
    assert {"file", "predictions"} == {check.name for check in verify(tmp_path) if check.mismatches}


def test_predictions_are_asked_for_with_an_option_scored_and_kept(serve, tmp_path):
    stub = serve(Expert(("easy", "test", 0), says=predicts))
    arguments = ("--task", "easy", "--seeds", "0", "--out", tmp_path / "run", "--json", tmp_path / "out.json")
    done = inference(*arguments, "--predict", env=configured(stub))
    assert (done.exit_code, "undo_chance" in stub.played[0].texts[0]) == (0, True)
    record = json.loads((tmp_path / "run" / EPISODES).read_text())
    steps = range(len(record["calls"]))
    assert [call["undo_chance"] for call in record["calls"]] == [100 - step for step in steps]
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["predict"] is True
    (overall, _easy) = json.loads((tmp_path / "out.json").read_text())["predictions"]
    assert overall["scored"] == len(steps)
    shown = " ".join(done.stdout.split())
    assert re.search(
        rf"Predictions: undo_chance answers calls Brier AUROC [ ─]*{MODEL} {len(steps)} 0\.", shown
    )
    assert f"{MODEL} knew and did it: 0 of {overall['irreversible']} irreversible acts." in shown
    stub.script = Expert(("easy", "test", 0))
    plain = inference(*arguments[:4], "--json", tmp_path / "plain.json", env=configured(stub))
    assert "Predictions" not in plain.stdout
    assert "predictions" not in json.loads((tmp_path / "plain.json").read_text())


def test_a_folder_with_predictions_is_not_resumed_without(serve, tmp_path):
    stub = serve(Expert(("easy", "test", 0), says=predicts))
    arguments = ("--task", "easy", "--seeds", "0", "--out", tmp_path, "--resume")
    assert inference(*arguments, "--predict", env=configured(stub)).exit_code == 0
    said = sentence(inference(*arguments, env=configured(stub)))
    assert "was played with predict true, and this run has false" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--agent", "expert", "--predict"), "expert is a policy, and policies predict nothing."),
        (("--agent", "expert", "--suite", "v2", "--out", "x", "--predict"), "leave out --predict."),
    ],
)
def test_predictions_that_cannot_be_asked_for(arguments, told):
    done = inference(*arguments)
    assert done.exit_code == 2
    assert told in " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stderr).split())


def test_a_suite_that_was_stopped_goes_on_only_with_resume(serve, tmp_path, small):
    stub = serve(Expert(*PLAYS_SMALL))
    arguments = ("--suite", "small", "--out", tmp_path)
    stopped = inference(*arguments, "--run-calls", 50, env=configured(stub))
    assert "the run's limit on calls was reached" in sentence(stopped, code=1)
    assert read_report(tmp_path / "report.json").date is None
    before = (tmp_path / "trajectories.jsonl").read_bytes()
    kept = len(before.splitlines())
    assert 0 < kept < 4
    assert "holds episodes already" in sentence(inference(*arguments, env=configured(stub)))
    other = inference(*arguments, "--resume", "--temperature", 1, env=configured(stub))
    assert "with other settings" in sentence(other)
    assert (tmp_path / "trajectories.jsonl").read_bytes() == before
    done = inference(*arguments, "--resume", env=configured(stub))
    assert done.exit_code == 0
    assert len(list(RESULT.finditer(done.stdout))) == 4 - kept
    assert [check for check in verify(tmp_path) if check.mismatches] == []


def test_a_failed_episode_of_a_suite_is_played_when_the_run_goes_on(serve, tmp_path, small):
    player = Expert(*PLAYS_SMALL)
    stub = serve(
        lambda asked: (
            fails(500) if not is_probe(asked) and player.jobs[1] in asked.texts[1] else player(asked)
        )
    )
    arguments = ("--suite", "small", "--out", tmp_path, "--retries", 0)
    done = inference(*arguments, env=configured(stub))
    assert "easy, test, seed 3, attempt 1:" in sentence(done, code=1)
    assert "2 of 4 episodes were played" in done.stderr
    stub.script = player
    assert inference(*arguments, "--resume", env=configured(stub)).exit_code == 0
    assert read_report(tmp_path / "report.json").trajectories.episodes == 4


def test_a_policy_plays_a_suite_with_the_report_of_eval(tmp_path, small):
    assert inference("--suite", "small", "--agent", "guesser", "--out", tmp_path / "a").exit_code == 0
    run_suite(small, policy_player("guesser"), tmp_path / "b", Agent(name="guesser", kind="policy"))
    for name in ("report.json", "trajectories.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--suite", "v9", "--out", "x"], "there is no suite 'v9'"),
        (["--suite", "v2"], "needs a folder for its report"),
        (
            ["--suite", "v2", "--out", "x", "--seeds", "0", "--max-calls", "9"],
            "leave out --seeds, --max-calls",
        ),
        (["--price-in", "1"], "--price-out: is needed as well"),
    ],
)
def test_what_a_suite_or_a_price_does_not_go_with(arguments, told):
    done = inference("--agent", "expert", *arguments)
    assert done.exit_code == 2
    assert told in " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stderr).split())


# What goes wrong --------------------------------------------------------------------------------------------


def sentence(done, code=2):
    assert done.exit_code == code
    assert KEY not in done.output
    assert "Traceback" not in done.output
    return " ".join(done.stderr.split())


def test_a_wrong_key(serve):
    stub = serve(in_turn(fails(401, f"Incorrect API key provided: {KEY}")))
    said = sentence(inference("--task", "easy", env=configured(stub)))
    assert "does not accept the key. Check OPENAI_API_KEY or HF_TOKEN." in said


def test_a_wrong_key_of_azure(serve):
    stub = serve(in_turn(fails(401, "Access denied")))
    assert "Check AZURE_OPENAI_API_KEY." in sentence(inference("--task", "easy", env=azure(stub)))
    assert stub.asked[0].path.startswith("/openai/deployments/gpt/chat/completions?")


def test_azure_plays(serve):
    stub = serve(Expert(("easy", "test", 0)))
    done = inference("--task", "easy", "--seeds", "0", env=azure(stub))
    assert "model=gpt" in done.stdout
    assert "[END] success=true" in done.stdout


def test_an_unknown_model(serve):
    stub = serve(in_turn(fails(404, "no such model")))
    assert "does not know the model stub-model" in sentence(inference("--task", "easy", env=configured(stub)))


def test_an_endpoint_that_cannot_be_reached():
    env = {"API_BASE_URL": f"http://127.0.0.1:{free_port()}/v1", "MODEL_NAME": MODEL}
    assert "cannot be reached" in sentence(inference("--task", "easy", env=env))


def test_no_key_for_a_model():
    assert "a key is needed" in sentence(inference("--agent", "some-model"))


def test_no_server_at_the_url(serve):
    stub = serve(Expert())
    url = f"http://127.0.0.1:{free_port()}"
    assert "did not list its tasks" in sentence(inference("--url", url, env=configured(stub)))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--task", "nope"], "there is no task"),
        (["--seeds", "x"], "cannot read 'x'"),
        (["--split", "dev"], "must be train or test or both"),
        (["--prompt", "kind"], "must be neutral or hinted"),
        (["--mode", "xml"], "must be auto, tools, json, text"),
        (["--resume"], "needs --out"),
        (["--json", "/no/such/folder/x.json"], "there is no folder"),
        (["--max-calls", "0"], "Invalid value for '--max-calls'"),
    ],
)
def test_wrong_arguments_are_told(arguments, told):
    done = inference("--agent", "expert", *arguments)
    assert done.exit_code == 2
    plain = " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stderr).split())
    assert told in plain


def test_an_episode_that_failed_is_told_and_the_exit_code_says_so(serve, tmp_path):
    player = Expert(*[("easy", "test", seed) for seed in (0, 1)])

    def script(asked):
        return (
            fails(500, "down") if not is_probe(asked) and player.jobs[0] in asked.texts[1] else player(asked)
        )

    stub, out = serve(script), tmp_path / "out"
    arguments = ["--task", "easy", "--seeds", "0,1", "--retries", 1, "--out", out]
    done = inference(*arguments, env=configured(stub))
    assert "easy, test, seed 0, attempt 1:" in sentence(done, code=1)
    assert "1 of 2 episodes were played" in done.stderr
    assert [block[4] for block in RESULT.finditer(done.stdout)] == ["false", "true"]
    assert "easy; test: 1 scenarios" in done.stdout
    stub.script = player
    again = inference(*arguments, "--resume", env=configured(stub))
    assert again.exit_code == 0
    assert len(list(RESULT.finditer(again.stdout))) == 1
    assert "easy; test: 2 scenarios" in again.stdout


def test_nothing_played_prints_no_table(serve):
    stub = serve(lambda asked: calls(("ready", {})) if is_probe(asked) else fails(500))
    done = inference("--task", "easy", "--seeds", "0", "--retries", 0, env=configured(stub))
    assert "0 of 1 episodes were played" in sentence(done, code=1)
    assert "scenarios" not in done.stdout


# Gone on with -----------------------------------------------------------------------------------------------


def test_a_folder_is_not_begun_again_and_other_settings_are_refused(tmp_path):
    arguments = ["--agent", "expert", "--task", "easy", "--seeds", "0", "--out", tmp_path]
    assert inference(*arguments).exit_code == 0
    before = (tmp_path / EPISODES).read_bytes()
    assert "--resume" in sentence(inference(*arguments))
    arguments[1] = "naive"
    said = sentence(inference(*arguments, "--resume"))
    assert 'was played with agent "expert", and this run has "naive"' in said
    assert (tmp_path / EPISODES).read_bytes() == before


def test_a_run_that_was_killed_goes_on_where_it_was(serve, tmp_path):
    player = Expert(*[("easy", "test", seed) for seed in range(4)])
    stub = serve(lambda asked: replace(player(asked), wait_s=0.05))
    arguments = ["--task", "easy", "--seeds", "0-3", "--out", tmp_path]
    killed = program(*arguments, env=configured(stub))
    for _ in range(1200):
        kept = (tmp_path / EPISODES).read_bytes() if (tmp_path / EPISODES).exists() else b""
        if kept.count(b"\n"):
            break
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    before = (tmp_path / EPISODES).read_bytes().splitlines()
    assert 1 <= len(before) < 4
    stub.asked.clear()
    done = inference(*arguments, "--resume", env=configured(stub))
    assert done.exit_code == 0
    assert len(list(RESULT.finditer(done.stdout))) == 4 - len(before)
    after = (tmp_path / EPISODES).read_bytes().splitlines()
    assert after[: len(before)] == before
    assert sorted(json.loads(line)["seed"] for line in after) == [0, 1, 2, 3]
    played = {asked.texts[1].split("\n\n")[0] for asked in stub.asked if not is_probe(asked)}
    assert len(played) == 4 - len(before)


def test_an_interrupt_says_how_to_go_on(serve, tmp_path):
    player = Expert(("easy", "test", 0))

    def script(asked):
        slow = not is_probe(asked) and steps_left(asked) < 33
        return replace(player(asked), wait_s=30 if slow else 0)

    stub = serve(script)
    process = program("--task", "easy", "--seeds", "0", "--out", tmp_path, env=configured(stub))
    for line in process.stdout:
        if "step=4" in line:
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        error.strip()
        == f"Interrupted. {tmp_path} keeps what was played; run the same command with --resume to go on."
    )
    assert "[END] success=false steps=4" in out


def test_nothing_that_is_printed_or_kept_holds_the_key(serve, tmp_path):
    """Not even where the endpoint's own client library is told to log everything."""
    player = Expert(("easy", "test", 0))
    replies = iter([fails(429, KEY), fails(500, KEY)])
    stub = serve(lambda asked: next(replies, None) or player(asked))
    env = configured(stub, OPENAI_LOG="debug")
    process = program(
        "--task", "easy", "--seeds", "0", "--out", tmp_path / "o", "--json", tmp_path / "j", env=env
    )
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert KEY in stub.asked[0].headers["authorization"]
    kept = "".join(f.read_text() for f in [*(tmp_path / "o").iterdir(), tmp_path / "j"])
    assert KEY not in out + error + kept


def test_the_client_library_is_not_imported_before_it_is_needed():
    code = (
        "import sys, safeact_env.server.app, safeact_env.cli.inference as i\n"
        "print([m for m in ('openai', 'xllamacpp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_help_names_every_option_once():
    text = inference("--help").stdout
    names = ("agent", "out", "resume", "url", "mode", "max-tokens", "run-tokens", "suite", "price-in")
    for name in names:
        assert len(re.findall(rf"^│ --{name} ", text, re.MULTILINE)) == 1


def test_the_documented_commands_are_made_of_options_that_exist():
    known = set(re.findall(r"^│ (--[a-z-]+) ", inference("--help").stdout, re.MULTILINE))
    page = (ROOT / "docs" / "evaluate.md").read_text()
    commands = [
        shlex.split(line, comments=True) for line in page.splitlines() if "python inference.py" in line
    ]
    assert len(commands) >= 4
    used = {word for command in commands for word in command if word.startswith("--")}
    named = set(re.findall(r"`(--(?:prompt|max|run)[a-z-]*)", page))
    assert {"--out", "--resume", "--max-calls"} <= used | named <= known


def test_an_endpoint_can_answer_in_prose(serve):
    stub = serve(in_turn(says("no")))
    done = inference("--task", "easy", "--seeds", "0", "--max-calls", 3, env=configured(stub))
    assert done.exit_code == 0
    assert done.stdout.count("unparsable_answer({})") == 3
    assert "done=true" not in done.stdout
