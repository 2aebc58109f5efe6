"""Throwaway environments: a copy of the project, its wheel, virtual environments, a running server.

Owns what must be made before anything can be compared, all of it in one folder. Must not know what for.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).parent / "uv"
UNCOPIED = shutil.ignore_patterns(
    ".git", ".venv", ".integrations", "__pycache__", ".*cache", ".hypothesis", "build", "dist"
)

START_S = 30.0
STOP_S = 10.0


class Broken(RuntimeError):
    """Something that was to be made could not be made; the message holds the tool's own words."""


class Workshop:
    """One folder with everything that a run makes.

    Args:
        folder: An empty folder; the caller deletes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "safeact"
        shutil.copytree(ROOT, self.project, ignore=UNCOPIED)
        # Found by OpenEnv instead of the user's: it remembers there which environments are installed.
        homes = {name: folder / "home" / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
        for home in homes.values():
            home.mkdir(parents=True)
        unwanted = ("PYTHON", "VIRTUAL_ENV", "PYTEST", "SAFEACT_", "OPENENV_", "ENABLE_WEB")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
        self.uv_env = {**inherited, "UV_SYSTEM_CERTS": "true", "UV_PYTHON_DOWNLOADS": "never"}
        self.env = {**self.uv_env, **{name: str(home) for name, home in homes.items()}}
        self.env["UV_CACHE_DIR"] = self._uv("cache", "dir").strip()
        self.env["PATH"] = f"{UV.parent}{os.pathsep}{self.env['PATH']}"
        self.locked = folder / "locked.txt"
        exported = self._uv(
            *("export", "--frozen", "--extra", "dev", "--no-hashes", "--no-emit-project", "--no-annotate"),
            *("--no-header", "--project", str(self.project)),
        ).splitlines()
        self.openenv = next(line for line in exported if line.startswith("openenv=="))
        others = [line for line in exported if line != self.openenv]
        self.locked.write_text("\n".join(others), encoding="utf-8")
        self._uv("build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"), str(self.project))
        (self.wheel,) = (folder / "dist").glob("*.whl")

    def _uv(self, *arguments: str) -> str:
        return run([str(UV), *arguments], self.uv_env)

    def environment(self, name: str, packages: Sequence[str], *, lowest: bool = False) -> Path:
        """The Python of a virtual environment with these packages and what they need, made on first use.

        What the lock file names is installed as it is locked there; with `lowest`, as old as may be.
        """
        home = self.folder / "envs" / name
        if home.exists():
            return home / "bin" / "python"
        self._uv("venv", "--quiet", "--python", sys.executable, str(home))
        python = home / "bin" / "python"
        oldest = ["--resolution", "lowest-direct", "--only-binary", ":all:"]
        chosen = oldest if lowest else ["--constraints", str(self.locked)]
        self._uv("pip", "install", "--quiet", "--python", str(python), *chosen, *packages)
        return python

    def add(self, python: Path, *packages: str) -> None:
        """Install more, as it is locked."""
        locked = ["--constraints", str(self.locked)]
        self._uv("pip", "install", "--quiet", "--python", str(python), *locked, *packages)

    def add_wheel(self, python: Path) -> None:
        """Install this project's wheel into an environment, without its dependencies."""
        self._uv("pip", "install", "--quiet", "--python", str(python), "--no-deps", str(self.wheel))

    def dependencies(self) -> list[str]:
        """The declared dependencies of this project, without OpenEnv."""
        declared = tomllib.loads((self.project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return [one for one in declared["dependencies"] if not one.startswith("openenv")]


def run(command: Sequence[str], env: dict[str, str], cwd: Path | None = None, timeout_s: float = 600) -> str:
    """What a command prints.

    Raises:
        Broken: If it fails.
    """
    done = subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode:
        words = " ".join(Path(command[0]).name if i == 0 else part for i, part in enumerate(command))
        raise Broken(f"`{words}` failed: {(done.stdout + done.stderr).strip()[-2_000:]}")
    return done.stdout


def healthy(url: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Server:
    """A server of this project on a free port of this machine.

    Args:
        program: The installed `safeact`.
        env: Its environment.
        log: File for what it prints.
        start_s: Seconds that it may take to answer.

    Raises:
        Broken: If it does not answer in time.
    """

    def __init__(self, program: Path, env: dict[str, str], log: Path, start_s: float = START_S) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(program), "serve", "--port", str(port)], env=env, stdout=output, stderr=output
            )
        deadline = time.monotonic() + start_s
        while not healthy(self.url):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Broken(f"the server did not start: {self.printed()}")
            time.sleep(0.05)

    def printed(self, most: int = 2_000) -> str:
        """The end of what it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-most:].strip()

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving(program: Path, env: dict[str, str], log: Path) -> Iterator[str]:
    """The URL of a server that runs meanwhile."""
    server = Server(program, env, log)
    try:
        yield server.url
    finally:
        server.stop()
