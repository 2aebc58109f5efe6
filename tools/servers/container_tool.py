"""Drives a container engine by its command line, and reads the layers of an image.

Owns the words of each command. Must not know what is checked.
"""

import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

DOCKER_LIKE = ("docker", "podman", "nerdctl")

LINES = 15
"""Last lines shown of a failed command."""
SMALLEST = 50_000
"""Bytes from which a layer is named; an engine may count settings as well."""


class Failed(Exception):
    """A check failed; the message says how."""


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile: keyword and the rest."""
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", dockerfile))
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(keyword.upper(), " ".join(rest.split())) for keyword, rest in lines]


def last_stage(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions after the last FROM."""
    found = instructions(dockerfile)
    start = max(number for number, (keyword, _) in enumerate(found) if keyword == "FROM")
    return found[start + 1 :]


class Tool:
    """A container engine's command line.

    Args:
        program: `docker` or `podman`, with options if need be, or a program whose `build`, `run` and `rm`
            work as `container_check --help` says.
    """

    def __init__(self, program: str) -> None:
        self.program = shlex.split(program)
        self.name = Path(self.program[0]).name
        self.docker_like = self.name in DOCKER_LIKE

    def run(self, *words: str) -> str:
        """The output of a command; `Failed`, with the end of its output, if it fails."""
        ended = self._ended(*words)
        if ended.returncode:
            said = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-LINES:])
            command = shlex.join([*self.program, *words])
            raise Failed(f"This failed with exit code {ended.returncode}: {command}\n{said}")
        return ended.stdout

    def _ended(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run([*self.program, *words], capture_output=True, text=True)
        except OSError as error:
            raise Failed(
                f"{self.program[0]} cannot be run ({error.strerror}); name a container engine with --tool."
            ) from None

    def build(self, folder: Path, tag: str, arguments: Sequence[str]) -> None:
        """Build a folder's Dockerfile."""
        if not self.docker_like:
            self.run("build", str(folder), tag, *arguments)
            return
        # Podman's own format has no HEALTHCHECK.
        form = ["--format", "docker"] if self.name == "podman" else []
        self.run("build", *form, *arguments, "--tag", tag, str(folder))

    def start(self, name: str, tag: str, ports: Sequence[int], arguments: Sequence[str]) -> None:
        """Start a container that answers on these ports of this machine."""
        if not self.docker_like:
            self.run("run", name, tag, *arguments)
            return
        published = [word for port in ports for word in ("--publish", f"127.0.0.1:{port}:{port}")]
        self.run("run", "--detach", "--name", name, *published, *arguments, tag)

    def remove(self, name: str) -> None:
        """Remove a container, running or not."""
        self.run("rm", *(["--force"] if self.docker_like else []), name)

    def inspect(self, name: str, form: str, *more: str) -> str:
        """One value from the engine's `inspect`."""
        return self.run("inspect", *more, "--format", form, name).strip()

    def logs(self, name: str) -> str:
        """The output of the container."""
        ended = self._ended("logs", name)
        return ended.stdout + ended.stderr

    def sizes(self, tag: str) -> list[int]:
        """Bytes that each instruction added, the newest first; the base comes last."""
        if self.docker_like:
            form = "{{.Size}}"
            lines = self.run("history", "--human=false", "--format", form, tag).splitlines()
            return [size_in_bytes(line) for line in lines if line.strip()]
        totals, image = [], tag
        while image:
            # Each instruction left an image whose parent is the one before it.
            total, _, image = self.inspect(image, "{{.Size}} {{.Parent}}", "--type", "image").partition(" ")
            totals.append(int(total))
        return [own - before for own, before in zip(totals, [*totals[1:], 0], strict=True)]


def size_in_bytes(text: str) -> int:
    """A size as engines print it: `1234`, `792 kB`, `70.6MB`; `ValueError` if it is none."""
    found = re.fullmatch(r"([\d.]+)\s*([kMG]?)B?", text.strip())
    if not found:
        raise ValueError(f"not a size: {text!r}")
    return round(float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]])


def layers(sizes: list[int], stage: list[tuple[str, str]]) -> list[tuple[str, float]]:
    """Names and megabytes of the layers that hold something, the base first; `Failed` if some are missing."""
    own = len(stage)
    if len(sizes) <= own:
        raise Failed(
            f"The image has {len(sizes)} layers, but {own} instructions and a base; do not squash it."
        )
    named = [("base", sum(sizes[own:]))]
    for (keyword, rest), size in zip(stage, reversed(sizes[:own]), strict=True):
        if size >= SMALLEST:
            named.append((f"{keyword} {rest}", size))
    return [(name, round(size / 1e6, 1)) for name, size in named]
