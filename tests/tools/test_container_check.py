"""The check of a container: what it says to an engine, and that each of its checks can fail."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from safeact_env.client import SafeActAction
from tools.servers import container_check as check
from tools.servers.container_tool import Failed, Tool, instructions, last_stage, layers, size_in_bytes

HEALTH = '{"Test": ["CMD", "python", "-c", "pass"]}'
ANSWERS = {
    "inspect --format {{json .Config.Healthcheck}}": HEALTH,
    "inspect --format {{.State.ExitCode}}": "0\n",
    "inspect --type image": "150000 \n",
    "exec box cat /proc/1/status": "Name:\tsafeact\nVmRSS:\t  90112 kB\n",
    "exec box id -u": "1000\n",
    "exec box sh -c find": "/tmp\n/var/tmp\n",
    "exec box sh -c grep ^Uid:": "Uid:\t1000\t1000\t1000\t1000\n",
}
"""What an engine answers if all is well, by how a command begins; anything else prints nothing."""


class Engine(Tool):
    """A tool whose commands are recorded, and answered from a table; an answer may be an error."""

    def __init__(self, program: str = "wrapper", **answers: str | Failed) -> None:
        super().__init__(program)
        self.answers: dict[str, str | Failed] = {**ANSWERS, **answers}
        self.said: list[str] = []

    def _ended(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = " ".join(words)
        self.said.append(command)
        found = [text for start, text in self.answers.items() if command.startswith(start)]
        answer = found[-1] if found else ""
        if isinstance(answer, Failed):
            raise answer
        return subprocess.CompletedProcess(words, 0, answer, "")


def run_of(engine: Engine | None = None, **answers: str | Failed) -> check.Run:
    return check.Run(engine or Engine(**answers), "box", "image:1", ["--read-only"], {})


@pytest.fixture
def served(live_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ports are a live server's."""
    port = int(live_url.rpartition(":")[2])
    monkeypatch.setattr(check, "PORTS", (port, port))


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# The engine ----------------------------------------------------------------------------------------------


def said(program: str, act: Callable[[Engine], object]) -> list[str]:
    engine = Engine(program)
    act(engine)
    return engine.said


@pytest.mark.parametrize(
    ("program", "built", "started", "removed"),
    [
        (
            "docker",
            "build --pull --tag tag /src",
            "run --detach --name box --publish 127.0.0.1:80:80 -e A=b tag",
            "rm --force box",
        ),
        (
            "/usr/bin/podman --root /x",
            "build --format docker --pull --tag tag /src",
            "run --detach --name box --publish 127.0.0.1:80:80 -e A=b tag",
            "rm --force box",
        ),
        ("./wrapper.sh", "build /src tag --pull", "run box tag -e A=b", "rm box"),
    ],
)
def test_every_engine_is_spoken_to_in_its_words(program: str, built: str, started: str, removed: str) -> None:
    assert said(program, lambda engine: engine.build(Path("/src"), "tag", ["--pull"])) == [built]
    assert said(program, lambda engine: engine.start("box", "tag", [80], ["-e", "A=b"])) == [started]
    assert said(program, lambda engine: engine.remove("box")) == [removed]


def test_a_missing_engine_and_a_failing_command_are_sentences() -> None:
    with pytest.raises(
        Failed, match=r"^no-such-engine cannot be run .*; name a container engine with --tool"
    ):
        Tool("no-such-engine").run("build")
    with pytest.raises(Failed, match=r"(?s)^This failed with exit code 3: .*\n100\n.*\n114$"):
        Tool(f"{sys.executable} -c 'print(*range(115), sep=chr(10)); exit(3)'").run()
    assert (
        Tool(f"{sys.executable} -c 'import sys; print(1); print(2, file=sys.stderr)'").logs("box") == "1\n2\n"
    )


STAGE = [("USER", "1"), ("COPY", "a b"), ("CMD", "[]")]


def test_layers_are_named_by_their_instructions() -> None:
    # The newest first; the last two are the base's.
    assert layers([0, 70_600_000, 900, 5_000_000, 1_000_000], STAGE) == [("base", 6.0), ("COPY a b", 70.6)]
    with pytest.raises(Failed, match="3 layers, but 3 instructions and a base"):
        layers([0, 1, 2], STAGE)


def test_sizes_come_from_the_history_or_from_the_chain_of_images() -> None:
    history = Engine("docker", history="0B\n70.6MB\n792 kB\n\n")
    assert history.sizes("tag") == [0, 70_600_000, 792_000]
    chain = {"top": "100 sha256:a", "sha256:a": "40 sha256:b", "sha256:b": "30 "}
    start = "inspect --type image --format {{.Size}} {{.Parent}}"
    wrapper = Engine("wrapper", **{f"{start} {image}": answer for image, answer in chain.items()})
    assert wrapper.sizes("top") == [60, 10, 30]
    with pytest.raises(ValueError, match="not a size: 'much'"):
        size_in_bytes("much")


def test_a_dockerfile_is_read_by_instructions() -> None:
    text = "FROM a AS one\n# note\nRUN x \\\n    # inside\n    && y\n\nfrom b\nUSER 1\n"
    assert instructions(text) == [("FROM", "a AS one"), ("RUN", "x && y"), ("FROM", "b"), ("USER", "1")]
    assert last_stage(text) == [("USER", "1")]


# The checks ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("served")
def test_a_container_that_is_as_it_should_be_passes_every_check() -> None:
    run = run_of()
    shown = {what: one(run) for what, one in check.CHECKS.items()}
    assert shown["memory when ready"] == "88 MiB"
    assert shown["user"] == "uid 1000"
    assert "4 played, each graded 1.0" in shown.values()
    assert set(run.found) == {"start_s", "memory_mib", "stop_s"}
    assert len(run.found["start_s"]["runs"]) == 3
    said_ = run.tool.said  # type: ignore[attr-defined]  # it is an Engine
    assert [words for words in said_ if words.startswith("run")] == ["run box image:1 --read-only"] * 3
    assert said_.count("rm box") == 2
    assert "exec box python -c pass" in said_


@pytest.mark.parametrize(
    ("one", "answers", "sentence"),
    [
        (check.memory, {"exec box cat /proc/1/status": "Name: x"}, "cannot be read"),
        (check.own_health_check, {"inspect --format {{json .Config.Healthcheck}}": "null"}, "no HEALTHCHECK"),
        (
            check.own_health_check,
            {"inspect --format {{json .Config.Healthcheck}}": '{"Test": ["CMD-SHELL", "true"]}'},
            "no HEALTHCHECK that runs without a shell",
        ),
        (check.own_health_check, {"exec box python -c pass": Failed("exit code 1")}, "exit code 1"),
        (check.user, {"exec box id -u": "0\n"}, "runs as root"),
        (check.user, {"exec box sh -c grep ^Uid:": "Uid:\t0\t0\t0\t0\n"}, "runs as root"),
        (check.nothing_to_build_with, {"exec box sh -c for name": "/usr/bin/gcc\n"}, "holds /usr/bin/gcc"),
        (check.nothing_to_build_with, {"exec box /usr/local/bin/python3 -c": "pip\n"}, "holds pip"),
        (check.nothing_to_build_with, {"exec box python -c import": "setuptools\n"}, "holds setuptools"),
        (
            check.nothing_to_build_with,
            {"exec --user 0 box sh -c find": "/root/.cache/x\n"},
            "holds /root/.cache",
        ),
        (check.unwritable, {"exec box sh -c find": "/tmp\n/app/x\n"}, "can write to /app/x"),
    ],
)
def test_every_check_can_fail(one: Any, answers: dict[str, str | Failed], sentence: str) -> None:
    with pytest.raises(Failed, match=sentence):
        one(run_of(**answers))


@pytest.mark.usefixtures("served")
def test_a_slow_start_is_noticed_and_so_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "START_S", 0.0)
    with pytest.raises(Failed, match=r"took 0\.\d+ s \(median of .*\), not under 0\.0 s"):
        check.starts(run_of())
    monkeypatch.setattr(check, "PATIENCE_S", 0.1)
    monkeypatch.setattr(check, "PORTS", (unused_port(),))
    with pytest.raises(Failed, match="gave no healthy answer within"):
        check.starts(run_of())


@pytest.mark.usefixtures("served")
def test_a_port_that_answers_otherwise_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check.healthy(check.PORTS[0])
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(5)
        port = other.getsockname()[1]

        def junk() -> None:
            peer, _ = other.accept()
            with peer:
                peer.recv(1_000)
                peer.sendall(b"hello\r\n\r\n")

        thread = threading.Thread(target=junk)
        thread.start()
        assert not check.healthy(port)
        thread.join()


@pytest.mark.usefixtures("served")
def test_an_episode_that_goes_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = SafeActAction(action_name="finish", parameters={"summary": "Done."}, reasoning="Enough.")
    monkeypatch.setattr(check, "actions", lambda _task: iter([finish]))
    with pytest.raises(Failed, match=r"of hard on port \d+ was graded 0\.0, not 1\.0"):
        check.episodes(run_of())
    monkeypatch.setattr(check, "actions", lambda _task: iter([]))
    with pytest.raises(Failed, match=r"was not played to its end: .*episode_running"):
        check.episodes(run_of())
    monkeypatch.setattr(check, "PORTS", (unused_port(),))
    with pytest.raises(Failed, match="was not played to its end"):
        check.episodes(run_of())


@pytest.mark.usefixtures("served")
def test_a_bad_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failed, match="exit code 137, not 0"):
        check.stops(run_of(**{"inspect --format {{.State.ExitCode}}": "137"}))
    with pytest.raises(Failed, match=r"Traceback .*oops"):
        check.stops(run_of(logs="INFO\nTraceback (most recent): oops"))
    monkeypatch.setattr(check, "STOP_S", 0.0)
    with pytest.raises(Failed, match="to stop, not under"):
        check.stops(run_of())


# The whole -----------------------------------------------------------------------------------------------


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine whose image is well, on ports that are free."""
    own = len(last_stage((check.ROOT / "Dockerfile").read_text()))
    history = "\n".join(["2MB"] * own + ["50MB"] * 3)
    made = Engine("docker", history=history)
    monkeypatch.setattr(check, "Tool", lambda _program: made)
    monkeypatch.setattr(check, "PORTS", (unused_port(), unused_port()))
    monkeypatch.setattr(check, "CHECKS", {"one": lambda run: run.found.setdefault("one", "fine")})
    return made


def test_the_figures_are_written(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    assert check.main(["--json", str(path), "--build-args=--pull", "--tag", "my:1"]) == 0
    found = json.loads(path.read_text())
    assert found["one"] == "fine"
    assert found["image"]["layers"][0] == ["base", 150.0]
    assert found["image"]["mb"] == 150.0 + found["image"]["added_mb"]
    assert "fine" in capsys.readouterr().out
    assert engine.said[0] == f"build --pull --tag my:1 {check.ROOT}"
    assert engine.said[-1].startswith("rm --force safeact-check-")


def test_a_failure_is_a_sentence_and_the_container_is_removed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(_run: check.Run) -> str:
        raise Failed("This is wrong.")

    monkeypatch.setattr(check, "CHECKS", {"one": lambda _run: "fine", "two": wrong})
    assert check.main([]) == 1
    shown = capsys.readouterr()
    assert shown.err == "This is wrong.\n"
    assert "fine" in shown.out
    assert engine.said[-1].startswith("rm --force safeact-check-")


def test_a_taken_port_ends_the_check_before_the_build(engine: Engine) -> None:
    with (
        socket.create_server(("0.0.0.0", check.PORTS[1])),
        pytest.raises(Failed, match=r"is taken.*needs ports"),
    ):
        check.check(engine, "tag", [], [], Table())
    assert engine.said == []
