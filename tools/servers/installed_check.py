"""Installs a wheel or a source distribution into a new environment, serves from it, and plays an episode.

It imports nothing of this project, so that any Python 3.11 or later can run it.

    python tools/servers/installed_check.py dist/openenv_safeact_env-2.0.0-py3-none-any.whl
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path
from typing import Any

START_S = 300.0
"""Longest time to the first answer: the first start compiles all that was installed."""


def ask(url: str, body: Any = None) -> Any:
    """The JSON that a path answers."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def wait(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server is healthy; raises `SystemExit` if it is not in time."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        try:
            ask(f"{url}/health")
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit("the server did not start")


def play(url: str) -> None:
    """Take a step in an episode, and read what a page needs."""
    start = ask(f"{url}/reset", {"task_name": "easy", "seed": 42})
    action = {"action_name": "finish", "parameters": {"summary": "Done."}, "reasoning": "A check."}
    answer = ask(f"{url}/step", {"action": action, "episode_id": start["episode_id"]})
    if answer["metadata"]["outcome"] != "finished":
        sys.exit(f"the episode did not end: {answer}")
    for path in ("demo", "demo/js/main.js", "docs", "docs/swagger-ui-bundle.js"):
        # Raises for anything but a page.
        with urllib.request.urlopen(f"{url}/{path}", timeout=30) as page:
            page.read()


def check(distribution: Path) -> None:
    """Install, serve, play."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "SAFEACT_"))
    }
    with tempfile.TemporaryDirectory(prefix="sa-") as folder:
        home = Path(folder) / "venv"
        venv.create(home, with_pip=True)
        install = [
            *map(
                str, (home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", distribution)
            )
        ]
        subprocess.run(install, check=True, env=inherited)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [str(home / "bin" / "safeact"), "serve", "--host", "127.0.0.1", "--port", str(port)]
        # Elsewhere than in a checkout, whose modules would be imported in the place of the installed ones.
        with subprocess.Popen(command, cwd=folder, env=inherited) as server:
            try:
                wait(f"http://127.0.0.1:{port}", server)
                play(f"http://127.0.0.1:{port}")
            finally:
                server.terminate()
    print(f"ok: {distribution.name} serves on Python {sys.version.partition(' ')[0]}")


if __name__ == "__main__":
    check(Path(sys.argv[1]).resolve())
