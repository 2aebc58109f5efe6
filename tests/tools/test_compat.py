"""The comparison of clients and the reading of validators notice what is wrong, and then the run fails."""

import copy
import json
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from safeact_env.call import Call
from safeact_env.client import SafeActEnv
from safeact_env.core.episode import Episode
from safeact_env.sessions import task_index as catalog
from safeact_env.tasks import get_task
from safeact_env.version import VERSION
from tools.compat import client as compat_client
from tools.compat import clients as compat
from tools.compat import validators
from tools.compat.trajectories import difference, episodes, shown_by, state_by
from tools.documents.compat_tables import COMPAT_RUN
from tools.servers.throwaway import Broken, InstalledServer

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).parent / "safeact"
HERE = sorted(compat_client.CLIENTS.keys() - {"old_http", "old_docker", "uv"})
"""The clients that play with the OpenEnv that the tests run on, on the server that they have."""


def drawn(task: str = "easy", seed: int = 9) -> list[Any]:
    """What a client shows of a reset without arguments that draws this."""
    episode: Episode[Any] = Episode(get_task(task), "train", seed)
    return [shown_by(episode), state_by(episode)]


PLANS, EXPECTED = episodes()


@pytest.fixture
def plan(live_url: str) -> dict[str, Any]:
    # An editable installation has no manifest beside the package: AutoEnv derives what it says.
    manifest = {"description": "safeact_env environment", "default_image": "safeact-env:latest"}
    return {"url": live_url, "episodes": PLANS[:3], "manifest": manifest, "clients": []}


@pytest.fixture(autouse=True)
def own_discovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoEnv remembers in the user's cache what is installed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


# The episodes and their comparison --------------------------------------------------------------------------


def test_the_episodes_end_in_every_way_and_show_every_kind_of_answer() -> None:
    ends = [one["observation"]["metadata"] for one in EXPECTED if one.get("observation") and one["done"]]
    assert {end["outcome"] for end in ends} >= {"completed", "irreversible_mistake", "budget_exhausted"}
    rewards = [one["reward"] for one in EXPECTED if "reward" in one]
    assert min(rewards) == -1.0
    assert any(-1 < reward < 0 for reward in rewards)
    assert any(reward > 0 for reward in rewards)
    assert "🧷" in json.dumps(EXPECTED, ensure_ascii=False)


def test_what_the_engine_shows_is_the_same() -> None:
    assert difference([*drawn(), *EXPECTED], EXPECTED) == ""
    assert difference(json.loads(json.dumps([*drawn("hard"), *EXPECTED])), EXPECTED) == ""


def _metadata_lost(shown: list[Any]) -> None:
    last = next(one for one in shown if one["done"])
    del last["observation"]["metadata"]


def _seen(shown: list[Any]) -> Any:
    return shown[5]["observation"]


SPOILT: dict[str, Callable[[list[Any]], Any]] = {
    "reward": lambda shown: shown[5].update(reward=shown[5]["reward"] + 0.0001),
    "done": lambda shown: shown[5].update(done=True),
    "number as float": lambda shown: _seen(shown).update(
        steps_remaining=float(_seen(shown)["steps_remaining"])
    ),
    "letter": lambda shown: _seen(shown)["action_history"][0]["params"].update(päth="grüsse/\u3042/🧷"),
    "field more": lambda shown: _seen(shown).update(reward=shown[5]["reward"]),
    "metadata lost": _metadata_lost,
    "step lost": lambda shown: shown.pop(6),
    "cut short": lambda shown: shown.pop(),
    "one more": lambda shown: shown.append(shown[-1]),
    "state": lambda shown: shown[-1].update(total_reward=shown[-1]["total_reward"] + 0.0001),
    "drawn seed": lambda shown: shown[1].update(seed=shown[1]["seed"] + 1),
    "drawn task": lambda shown: shown[1].update(task_name="nonsense"),
    "nothing": lambda shown: shown.clear(),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_trajectory_that_differs_is_noticed(spoil: Any) -> None:
    shown = copy.deepcopy([*drawn(), *EXPECTED])
    spoil(shown)
    assert difference(shown, EXPECTED)


# The clients ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HERE)
def test_every_client_shows_what_the_engine_shows(plan: dict[str, Any], name: str) -> None:
    shown = compat_client.CLIENTS[name](plan)
    ends = [number for number, one in enumerate(EXPECTED) if "observation" not in one]
    assert difference(shown, EXPECTED[: ends[2] + 1]) == ""


def test_a_package_with_another_manifest_is_noticed(plan: dict[str, Any]) -> None:
    plan["manifest"]["description"] = "Another environment."
    with pytest.raises(AssertionError, match="manifest"):
        compat_client.CLIENTS["auto"](plan)


def test_a_result_that_contradicts_its_observation_is_noticed(live_url: str) -> None:
    with SafeActEnv(base_url=live_url).sync() as env:
        result = env.reset(seed=1)
    assert compat_client.line(result)["done"] is False
    result.done = True
    with pytest.raises(AssertionError, match="done"):
        compat_client.line(result)


def test_every_client_is_played_and_has_a_title() -> None:
    played = {name for bare, own in compat.packages("openenv==0").values() for name in (*bare, *own)}
    assert played == compat_client.CLIENTS.keys() == compat.TITLES.keys()


def test_a_client_that_fails_keeps_no_other_from_playing(plan: dict[str, Any], tmp_path: Path) -> None:
    files = [tmp_path / "plan.json", tmp_path / "shown.json"]
    files[0].write_text(json.dumps({**plan, "clients": ["nonsense", "typed"]}))
    compat_client.main(*map(str, files))
    verdicts = json.loads(files[1].read_text())
    assert "KeyError" in verdicts["nonsense"]["error"]
    assert verdicts["typed"]["shown"]


QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p xdist.plugin"}
"""Without the plugins that the tests in a sandbox know nothing of: they are slow to import."""


def sandbox(tmp_path: Path, **more: Any) -> Any:
    """A sandbox that makes nothing."""
    ready = {
        "folder": tmp_path,
        "project": ROOT,
        "env": {"HOME": str(tmp_path), **QUICK},
        "openenv": "openenv==0.10.0",
    }
    made = {"wheel": tmp_path, "environment": lambda *_args, **_more: Path(sys.executable)}
    return SimpleNamespace(**ready, **made, **more)


def test_a_client_without_a_server_fails(plan: dict[str, Any], tmp_path: Path) -> None:
    lost = {**plan, "url": "http://127.0.0.1:9", "clients": ["typed"]}
    shown = compat.drive(Path(sys.executable), sandbox(tmp_path), lost, "lost")
    (verdict,) = compat.judged("openenv", lost, shown, EXPECTED)
    assert "Failed to connect" in verdict.difference


def test_a_library_that_cannot_be_started_fails_all_its_clients(plan: dict[str, Any], tmp_path: Path) -> None:
    broken = sandbox(tmp_path)
    broken.project = tmp_path
    asked = {**plan, "clients": ["typed", "generic"]}
    shown = compat.drive(Path(sys.executable), broken, asked, "broken")
    verdicts = compat.judged("openenv", asked, shown, EXPECTED)
    assert len(verdicts) == 2
    assert all("client.py" in one.difference for one in verdicts)


def test_a_client_that_did_not_play_fails(plan: dict[str, Any]) -> None:
    (verdict,) = compat.judged("openenv", {**plan, "clients": ["typed"]}, {}, EXPECTED)
    assert verdict.difference


@pytest.mark.parametrize(("wrong", "code"), [("", 0), ("answer 3 differs", 1)])
def test_one_difference_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str, code: int
) -> None:
    played = [compat.Played("a", "b", "c", 1, 2, ""), compat.Played("a", "b", "d", 1, 2, wrong)]
    monkeypatch.setattr(compat, "serving", lambda *_args: nullcontext("http://nowhere"))
    monkeypatch.setattr(compat, "play_package", lambda *_args: played)
    record = tmp_path / "record.json"
    assert compat.main(["--part", "clients", "--json", str(record)], lambda _: sandbox(tmp_path)) == code
    assert [one["difference"] for one in json.loads(record.read_text())["clients"][:2]] == ["", wrong]


def test_what_cannot_be_made_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    def make(_folder: Path) -> Any:
        raise Broken("no wheel")

    assert compat.main([], make) == 1
    assert "no wheel" in capsys.readouterr().out


def test_in_the_recorded_run_every_client_shows_the_same_and_nothing_is_wrong() -> None:
    run = json.loads(COMPAT_RUN.read_text())
    wanted = {
        (package, *compat.TITLES[name])
        for package, (bare, own) in compat.packages(run["openenv"]).items()
        for name in (*bare, *own)
    }
    assert {(one["package"], one["client"], one["use"]) for one in run["clients"]} == wanted
    assert [one for one in run["clients"] if one["difference"]] == []
    assert [one for one in run["validators"] if one["wrong"]] == []
    assert [one for one in run["servers"] if one["failed"] or not one["passed"]] == []
    steps = {one["steps"] for one in run["clients"]}
    assert len(steps) == 1
    if run["version"] == VERSION:
        assert steps == {sum(len(plan["calls"]) for plan in PLANS)}


# The tests on other dependencies ----------------------------------------------------------------------------

SUITE = """
import pytest

def test_right():
    pass

def test_skipped():
    pytest.skip("not here")

def test_wrong():
    assert {outcome}
"""


ALONE = ("-n", "0")
"""Without further processes, which take longer to start than these tests to run."""


@pytest.mark.parametrize("outcome", [True, False])
def test_a_failing_test_is_counted_and_named(tmp_path: Path, outcome: bool) -> None:
    for name in ("server", "client"):
        (tmp_path / "tests" / name).mkdir(parents=True)
    (tmp_path / "tests" / "server" / "test_some.py").write_text(SUITE.format(outcome=outcome))
    (tmp_path / "tests" / "client" / "test_more.py").write_text("def test_more(): pass\n")
    tried = sandbox(tmp_path)
    tried.project = tmp_path
    said = compat.suite(tried, "some", Path(sys.executable), *ALONE)
    assert said.skipped == 1
    assert said.passed == (3 if outcome else 2)
    names = [told.partition("\n")[0].rpartition("::")[2] for told in said.failed]
    assert names == ([] if outcome else ["test_wrong"])


def test_tests_that_do_not_run_are_a_failure(tmp_path: Path) -> None:
    tried = sandbox(tmp_path)
    tried.project = tmp_path
    assert compat.suite(tried, "none", Path(sys.executable), *ALONE).failed


# The validators ---------------------------------------------------------------------------------------------


# OpenEnv's validator calls websockets in a way that is deprecated.
legacy = pytest.mark.filterwarnings("default:connect.. must be used as a context manager:DeprecationWarning")


def package(folder: Path) -> Path:
    """What the runtime validator reads of the project."""
    shutil.copytree(ROOT / "validation", folder / "validation")
    shutil.copy(ROOT / "openenv.yaml", folder)
    return folder


def test_the_plan_is_a_whole_episode_that_reaches_the_full_grade() -> None:
    plan = json.loads((ROOT / "validation" / "runtime.json").read_text())
    options = plan["reset"]["options"]
    episode: Episode[Any] = Episode(get_task(options["task_name"]), options["split"], plan["reset"]["seed"])
    for action in plan["actions"]:
        episode.step(Call(**action))
    assert episode.done
    assert episode.grade().score == 1.0


def judged(folder: Path, program: Path = PROGRAM) -> validators.Report:
    env = {"PATH": str(PROGRAM.parent)}
    return validators.every_level(
        "openenv", folder, validators.LocalProvider(lambda _: program, env, folder.parent)
    )


@legacy
def test_the_runtime_checks_pass(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    report = judged(package(tmp_path / "package"))
    assert report.wrong == []
    checks = ("startup", "reward_well_formed", "observation_schema", "state_contract")
    assert [report.criteria[f"runtime.{name}"] for name in checks] == ["pass"] * 4
    assert set(report.skipped.values()) == set(validators.MAY_BE_SKIPPED)


@legacy
def test_a_reward_outside_the_declared_range_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    declared = package(folder) / "openenv.yaml"
    manifest = yaml.safe_load(declared.read_text())
    manifest["validation"]["reward"]["range"] = [0.0, 0.1]
    declared.write_text(yaml.safe_dump(manifest))
    report = judged(folder)
    assert report.criteria["runtime.reward_well_formed"] == "fail"
    assert any(one.startswith("runtime.reward_well_formed: ") for one in report.wrong)


def test_a_subject_that_does_not_start_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    program = tmp_path / "safeact"
    program.write_text("#!/bin/sh\necho out of order\nexit 3\n")
    program.chmod(0o755)
    report = judged(package(tmp_path / "package"), program)
    assert any("runtime.startup" in one and "out of order" in one for one in report.wrong)
    assert any("unmet dependency" in one for one in report.wrong)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    program = tmp_path / "safeact"
    program.write_text("#!/bin/sh\necho out of order\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(Broken, match="out of order"):
        InstalledServer(program, {"PATH": "/bin:/usr/bin"}, tmp_path / "log")


def criteria(**results: bool) -> dict[str, Any]:
    listed = [{"id": name, "passed": passed} for name, passed in results.items()]
    return {"criteria": listed, "passed": all(results.values())}


def test_a_failed_criterion_is_wrong() -> None:
    assert validators._criteria("p", "v", criteria(one=True, two=True)).wrong == []
    report = validators._criteria("p", "v", criteria(one=True, two=False))
    assert report.criteria == {"one": "pass", "two": "fail"}
    assert [one.partition(":")[0] for one in report.wrong] == ["two"]
    assert validators._criteria("p", "v", {"criteria": [], "passed": False}).wrong


@pytest.mark.parametrize(
    ("status", "said", "wrong"),
    [
        ("pass", "fine", False),
        ("fail", "broken", True),
        ("error", "crashed", True),
        ("skip", validators.MAY_BE_SKIPPED[0], False),
        ("skip", "unmet dependency: runtime.startup", True),
    ],
)
def test_a_check_that_fails_or_is_skipped_for_no_good_reason_is_wrong(
    status: str, said: str, wrong: bool
) -> None:
    one = {"check_id": "runtime.some", "status": status, "evidence": [said]}
    assert bool(validators._levels("p", "v", {"results": [one], "verdict": "pass"}).wrong) is wrong


def test_the_task_api_agrees_with_itself(live_url: str) -> None:
    report = validators.task_api(live_url)
    assert report.wrong == []
    assert set(report.criteria.values()) == {"pass"}


def _other_seed(split: str, index: int) -> dict[str, Any]:
    task, seed = catalog.locate(split, index)
    return {"id": "x", "index": index, "split": split, "task_name": task, "seed": seed + 1}


@pytest.mark.parametrize(
    ("name", "lie", "path"),
    [
        ("numbered", _other_seed, "/safeact/task"),
        ("size", lambda _split: 10, "/safeact/num_tasks"),
        ("listed", lambda *_slice: [], "/safeact/task_range"),
    ],
)
def test_a_task_api_that_contradicts_itself_is_noticed(
    live_url: str, monkeypatch: pytest.MonkeyPatch, name: str, lie: Any, path: str
) -> None:
    monkeypatch.setattr(catalog, name, lie)
    report = validators.task_api(live_url)
    assert report.criteria[path] == "fail"
    assert report.wrong
