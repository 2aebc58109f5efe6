"""Tasks are found: those of this package, and those that other packages add."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from safeact_env.policies.reference import play
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.tasks import OFFICIAL, UnknownTask, get_task, task_names
from tests import toy
from tests.packages import installed

OWN = task_names()
MODULE = "from dataclasses import replace\nfrom tests.toy import TOY\n"


def module(folder: Path, name: str, text: str = "") -> None:
    (folder / f"{name}.py").write_text(text or f"{MODULE}TASK = replace(TOY, name={name!r})\n")


def test_the_official_tasks_come_first_in_their_order() -> None:
    assert OWN[: len(OFFICIAL)] == OFFICIAL


def test_another_package_adds_a_task(tmp_path: Path) -> None:
    module(tmp_path, "parcels")
    module(tmp_path, "attics")
    with installed(tmp_path, {"parcels": "parcels:TASK", "attics": "attics:TASK"}):
        assert [name for name in task_names() if name not in OWN] == ["attics", "parcels"]
        assert task_names()[: len(OFFICIAL)] == OFFICIAL
        task = get_task("parcels")
        assert task.name == "parcels"
        assert task.playbook is toy.PLAYBOOK
        assert play(task, "test", 0, "expert").grade().score == 1.0
    assert task_names() == OWN


def test_a_server_serves_it(tmp_path: Path) -> None:
    module(tmp_path, "parcels")
    with installed(tmp_path, {"parcels": "parcels:TASK"}), TestClient(create_app(Settings())) as client:
        cards = {card["name"]: card for card in client.get("/tasks").json()["tasks"]}
        assert set(cards) == {*OWN, "parcels"}
        start = client.post("/reset", json={"task_name": "parcels", "seed": 3}).json()
        assert "boxes" in start["observation"]["current_state"]
        action = {"action_name": "finish", "parameters": {"summary": "Enough."}, "reasoning": "A test."}
        end = client.post("/step", json={"action": action, "episode_id": start["episode_id"]}).json()
        assert end["metadata"]["outcome"] == "finished"
        scores = client.post("/baseline", json={"task_name": "parcels", "seeds": [0]}).json()["scores"]
        assert scores == {"parcels": 1.0}


BROKEN = {
    "nowhere": ("nowhere:TASK", "", "ModuleNotFoundError: No module named 'nowhere'"),
    "unfinished": ("unfinished:TASK", "TASK = (", "SyntaxError"),
    "empty": ("empty:TASK", "pass\n", "AttributeError: module 'empty' has no attribute 'TASK'"),
    "angry": ("angry:TASK", "raise RuntimeError('not today')\n", "RuntimeError: not today"),
    "number": ("number:TASK", "TASK = 7\n", "it is not a Task"),
    "alias": ("alias:TASK", f"{MODULE}TASK = TOY\n", "must have the task's own name, 'toy'"),
    "two words": ("words:TASK", f"{MODULE}TASK = replace(TOY, name='two words')\n", "the task's own name"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_named_and_leaves_the_others_playable(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    value, text, why = BROKEN[name]
    if text:
        module(tmp_path, value.partition(":")[0], text)
    module(tmp_path, "parcels")
    with (
        installed(tmp_path, {name: value, "parcels": "parcels:TASK"}),
        caplog.at_level(logging.WARNING, "safeact_env.tasks"),
    ):
        assert [other for other in task_names() if other not in OWN] == ["parcels"]
        with pytest.raises(UnknownTask) as caught:
            get_task(name)
        assert str(caught.value).startswith(f"the task {name!r} of package other-tasks ({value}) cannot be ")
        assert why in str(caught.value)
        assert [record.getMessage() for record in caplog.records] == [str(caught.value)]
        with TestClient(create_app(Settings())) as client:
            assert len(client.get("/tasks").json()["tasks"]) == len(OWN) + 1
            assert client.post("/reset", json={"task_name": "easy"}).status_code == 200
            answer = client.post("/reset", json={"task_name": name})
            assert answer.status_code == 422
            assert why in answer.json()["detail"]["message"]


@pytest.mark.parametrize("name", ["easy", "cloud_infra"])
def test_an_official_task_cannot_be_replaced(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    official = get_task(name)
    module(tmp_path, "impostor", f"{MODULE}TASK = replace(TOY, name={name!r})\nraise SystemExit\n")
    with installed(tmp_path, {name: "impostor:TASK"}):
        assert task_names() == OWN
        assert get_task(name) is official
        assert "one of this name is part of safeact-env" in caplog.text


def test_of_two_packages_with_a_task_of_one_name_the_first_on_the_path_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("late", "early"):
        (tmp_path / folder).mkdir()
        module(tmp_path / folder, folder, f"{MODULE}TASK = replace(TOY, name='parcels', title={folder!r})\n")
    with (
        installed(tmp_path / "late", {"parcels": "late:TASK"}, "late-tasks"),
        installed(tmp_path / "early", {"parcels": "early:TASK"}, "early-tasks"),
    ):
        assert get_task("parcels").title == "early"
        assert "of package late-tasks (late:TASK) cannot be used: another package adds one" in caplog.text


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownTask, match=f"unknown task; the tasks are {', '.join(OWN)}"):
        get_task("nope")
