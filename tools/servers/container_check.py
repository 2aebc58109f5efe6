"""Builds the image, runs it hardened, plays through both ports and stops it; exits with 1 at a failure.

Needs a container engine. TOOL is `docker` or `podman`, or another program with these commands:

    TOOL build CONTEXT TAG [ARGUMENT...]    build CONTEXT/Dockerfile, with further arguments of `build`
    TOOL run NAME TAG [ARGUMENT...]         start it in the background, ports 7860 and 8000 on this machine
    TOOL rm NAME                            remove it, stopped or not
    TOOL exec | inspect | logs | stop ...   as those of docker
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from websockets.sync.client import connect

from safeact_env import get_task, play
from safeact_env.client import SafeActAction, SafeActEnv, SafeActHTTPClient
from safeact_env.server.operations.ports import PortError, listen
from tools.servers.container_tool import DOCKER_LIKE, Failed, Tool, last_stage, layers
from tools.servers.local_servers import healthy

ROOT = Path(__file__).resolve().parents[2]
PORTS = (7860, 8000)
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")

STARTS = 3
# A stop waits for running episodes, by default for five seconds, then for open connections.
START_S, STOP_S = 4.0, 5.0
PATIENCE_S = 60.0

BUILD_TOOLS = ("apk", "c++", "cc", "clang", "cmake", "g++", "gcc", "ld", "make", "pip", "pip3", "strip", "uv")
BUILD_MODULES = ("ensurepip", "hatchling", "pip", "setuptools", "uv", "wheel")
TEMPORARY = ("/tmp", "/var/tmp", "/run/lock", "/dev/shm")
CACHES = (
    r"find / -xdev -type f -size +0 \( -path '*/.cache/*' -o -path '/var/lib/apt/lists/*' "
    r"-o -path '/var/cache/apt/archives/*' -o -path '/tmp/*' -o -path '/var/tmp/*' \)"
)


@dataclass
class Run:
    """A container under check, and the findings so far."""

    tool: Tool
    name: str
    tag: str
    arguments: list[str]
    found: dict[str, Any]

    def inside(self, *command: str, user: str | None = None) -> str:
        """The output of a command inside the container."""
        as_user = ["--user", user] if user else []
        return self.tool.run("exec", *as_user, self.name, *command).strip()


def first_answer(begin: float) -> float:
    """Seconds from `begin` until both ports have answered as healthy; `Failed` if they do not in time."""
    for port in PORTS:
        while not healthy(port):
            if time.monotonic() - begin > PATIENCE_S:
                raise Failed(f"Port {port} gave no healthy answer within {PATIENCE_S:.0f} s.")
            time.sleep(0.02)
    return time.monotonic() - begin


# The checks, in order ------------------------------------------------------------------------------------


def starts(run: Run) -> str:
    """Time to the first healthy answer. The last container stays for the other checks."""
    seconds = []
    for number in range(STARTS):
        if number:
            run.tool.remove(run.name)
        begin = time.monotonic()
        run.tool.start(run.name, run.tag, PORTS, run.arguments)
        seconds.append(round(first_answer(begin), 2))
    median = statistics.median(seconds)
    run.found["start_s"] = {"median": median, "runs": seconds}
    if median >= START_S:
        raise Failed(
            f"The first healthy answer took {median:.2f} s (median of {seconds}), not under {START_S} s."
        )
    return f"{median:.2f} s, median of {STARTS}"


def memory(run: Run) -> str:
    """Memory of the server process before its first request."""
    pages = re.search(r"VmRSS:\s+(\d+) kB", run.inside("cat", "/proc/1/status"))
    if not pages:
        raise Failed("The memory of the server process cannot be read.")
    run.found["memory_mib"] = round(int(pages[1]) / 1024)
    return f"{run.found['memory_mib']} MiB"


def own_health_check(run: Run) -> str:
    """Run the image's HEALTHCHECK inside."""
    stated = json.loads(run.tool.inspect(run.name, "{{json .Config.Healthcheck}}"))
    kind, *command = (stated or {}).get("Test") or ["NONE"]
    if kind != "CMD":
        raise Failed("The image has no HEALTHCHECK that runs without a shell.")
    run.inside(*command)
    return "healthy"


def user(run: Run) -> str:
    """The user that the server runs as."""
    identity = run.inside("id", "-u")
    real = run.inside("sh", "-c", "grep ^Uid: /proc/1/status").split()[1]
    if "0" in (identity, real):
        raise Failed("The server runs as root.")
    return f"uid {real}"


def nothing_to_build_with(run: Run) -> str:
    """The image holds no compiler, installer or cache."""
    search = 'for name in "$@"; do command -v "$name"; done; true'
    left = run.inside("sh", "-c", search, "sh", *BUILD_TOOLS).split()
    code = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"
    for python in ("python", "/usr/local/bin/python3"):
        left += run.inside(python, "-c", code, *BUILD_MODULES).split()
    left += run.inside("sh", "-c", CACHES, user="0").split()
    if left:
        raise Failed(f"The image still holds {', '.join(left[:5])}.")
    return "none"


def unwritable(run: Run) -> str:
    """The server's user owns nothing and can write nowhere; a read-only root would hide that."""
    uid, gid = run.inside("id", "-u"), run.inside("id", "-g")
    owned = rf"\( -uid {uid} -o -gid {gid} -o -perm -0002 \)"
    search = rf"find / -xdev {owned} -not -type l -not -path '/proc/*' -not -path '/dev/*' 2>/dev/null; true"
    left = [path for path in run.inside("sh", "-c", search).split() if path not in TEMPORARY]
    if left:
        raise Failed(f"The server's user can write to {', '.join(left[:5])}.")
    return "temporary folders only"


def actions(task: str) -> Iterator[SafeActAction]:
    """The expert's actions."""
    for turn in play(get_task(task), "train", 1, "expert").turns:
        yield SafeActAction(**turn.call.to_json())


def over_http(url: str, task: str) -> float:
    """The grade of an episode over HTTP."""
    with SafeActHTTPClient(url, retries=0) as env:
        env.reset(task, seed=1)
        for action in actions(task):
            env.step(action)
        return env.grade().score


def over_websocket(url: str, task: str) -> float:
    """The grade of an episode over OpenEnv's WebSocket."""
    with SafeActEnv(base_url=url).sync() as env:
        result = env.reset(task_name=task, seed=1)
        for action in actions(task):
            result = env.step(action)
        return float(result.observation.metadata.get("score", 0.0))


def episodes(run: Run) -> str:
    """Play a whole episode over HTTP and one over WebSocket on each port."""
    played = 0
    for port in PORTS:
        for transport, task in ((over_http, "hard"), (over_websocket, "cloud_infra")):
            try:
                grade = transport(f"http://127.0.0.1:{port}", task)
            except (RuntimeError, OSError) as error:
                raise Failed(
                    f"An episode of {task} on port {port} was not played to its end: {error}"
                ) from None
            if grade != 1.0:
                raise Failed(f"The expert's episode of {task} on port {port} was graded {grade}, not 1.0.")
            played += 1
    return f"{played} played, each graded 1.0"


def stops(run: Run) -> str:
    """Stop with a WebSocket open on each port."""
    with ExitStack() as open_ones:
        for port in PORTS:
            socket = open_ones.enter_context(connect(f"ws://127.0.0.1:{port}/ws"))
            socket.send('{"type": "reset", "data": {}}')
            socket.recv(timeout=10)
        begin = time.monotonic()
        run.tool.run("stop", "--time", "20", run.name)
        seconds = round(time.monotonic() - begin, 2)
    run.found["stop_s"] = seconds
    code = run.tool.inspect(run.name, "{{.State.ExitCode}}")
    if code != "0":
        raise Failed(f"The server ended with exit code {code}, not 0.")
    if seconds >= STOP_S:
        raise Failed(f"The server took {seconds} s to stop, not under {STOP_S} s.")
    if "Traceback" in (said := run.tool.logs(run.name)):
        raise Failed(f"The server's log holds a traceback:\n{said[said.index('Traceback') :]}")
    return f"{seconds:.2f} s, exit code 0, no traceback"


CHECKS: dict[str, Callable[[Run], str]] = {
    f"ready on ports {PORTS[0]} and {PORTS[1]} (under {START_S:.0f} s)": starts,
    "memory when ready": memory,
    "the image's own HEALTHCHECK": own_health_check,
    "user": user,
    "compilers, installers, caches": nothing_to_build_with,
    "writable without --read-only": unwritable,
    "episodes over HTTP and WebSocket, on both ports": episodes,
    f"stopped with WebSockets open (under {STOP_S:.0f} s)": stops,
}


def built(tool: Tool, tag: str, arguments: list[str]) -> tuple[dict[str, Any], str]:
    """Build the image; its sizes, and a line to print."""
    begin = time.monotonic()
    tool.build(ROOT, tag, arguments)
    seconds = time.monotonic() - begin
    stage = last_stage((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    found = layers(tool.sizes(tag), stage)
    total = round(sum(size for _, size in found), 1)
    added = round(total - found[0][1], 1)
    image = {"mb": total, "added_mb": added, "layers": [list(layer) for layer in found]}
    return image, f"{total} MB, {added} MB of it added to the base, in {seconds:.0f} s"


def check(tool: Tool, tag: str, build_args: list[str], run_args: list[str], table: Table) -> dict[str, Any]:
    """Build and check, adding rows to the table; `Failed` at the first failure."""
    try:
        for sock in listen("0.0.0.0", PORTS):
            sock.close()
    except PortError as error:
        raise Failed(f"{error} The check needs ports {PORTS[0]} and {PORTS[1]}.") from None
    image, shown = built(tool, tag, build_args)
    table.add_row("image", shown)
    for name, megabytes in image["layers"]:
        table.add_row(f"  {escape(name[:60])}", f"{megabytes} MB")
    run = Run(tool, f"safeact-check-{os.getpid()}", tag, [*HARDENED, *run_args], {"image": image})
    try:
        for what, one in CHECKS.items():
            table.add_row(escape(what), escape(one(run)))
    finally:
        # It may never have started, and a second failure would hide the first.
        with suppress(Failed):
            tool.remove(run.name)
    return run.found


def main(arguments: list[str]) -> int:
    """Check, print, and write JSON on demand; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tool",
        help="docker, podman, each with options if need be, or a program as above (default: what is there)",
    )
    parser.add_argument(
        "--tag", default="safeact-env:latest", help="name of the image (default: %(default)s)"
    )
    parser.add_argument("--build-args", default="", metavar="TEXT", help="further arguments of `build`")
    parser.add_argument("--run-args", default="", metavar="TEXT", help="further arguments of `run`")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args(arguments)
    program = options.tool or next((name for name in DOCKER_LIKE if shutil.which(name)), "docker")
    table = Table("checked", "found", title="Container", title_justify="left")
    try:
        found = check(
            Tool(program), options.tag, shlex.split(options.build_args), shlex.split(options.run_args), table
        )
    except Failed as failure:
        Console().print(table)
        print(failure, file=sys.stderr)
        return 1
    Console().print(table)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    # So that the container is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Terminated."))
    sys.exit(main(sys.argv[1:]))
