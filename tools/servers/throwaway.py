"""Makes throwaway environments: a copy of the project, its wheel, virtual environments, a running server.

Owns everything that a comparison needs first, all in one folder. Must not know what is compared.
"""

import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.servers.local_servers import Server, free_port, healthy

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).parent / "uv"
UNCOPIED = shutil.ignore_patterns(
    ".git", ".venv", ".integrations", "__pycache__", ".*cache", ".hypothesis", "build", "dist"
)

START_S = 30.0


class Broken(RuntimeError):
    """A step failed; the message holds the tool's own words."""


class Sandbox:
    """A folder with everything that a run makes.

    Args:
        folder: An empty folder; the caller deletes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "safeact"
        shutil.copytree(ROOT, self.project, ignore=UNCOPIED)
        # OpenEnv keeps a list of installed environments in the home folder; leave the user's alone.
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

        Versions are those of the lock file or, with `lowest`, the oldest allowed.
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
        """Install more packages in their locked versions."""
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
    """The output of a command; `Broken` if it fails."""
    done = subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode:
        words = " ".join(Path(command[0]).name if i == 0 else part for i, part in enumerate(command))
        raise Broken(f"`{words}` failed: {(done.stdout + done.stderr).strip()[-2_000:]}")
    return done.stdout


class InstalledServer(Server):
    """A server of an installed package, started and answering.

    Args:
        program: The installed `safeact`.
        env: Its environment.
        log: A file for its output.
        start_s: Longest time to its first answer, in seconds.

    Raises:
        Broken: If it does not answer in time.
    """

    def __init__(self, program: Path, env: dict[str, str], log: Path, start_s: float = START_S) -> None:
        port = free_port()
        super().__init__([str(program), "serve", "--port", str(port)], port, log, env)
        self.start()
        deadline = time.monotonic() + start_s
        while not healthy(port):
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Broken(f"the server did not start: {self.printed()}")
            time.sleep(0.05)

    def printed(self, most: int = 2_000) -> str:
        """The end of its output, at most this many characters."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-most:].strip()


@contextmanager
def serving(program: Path, env: dict[str, str], log: Path) -> Iterator[str]:
    """The URL of a server that runs meanwhile."""
    server = InstalledServer(program, env, log)
    try:
        yield server.url
    finally:
        server.stop()
