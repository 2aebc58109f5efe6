"""Starts servers on free loopback ports for tests and checks: Redis, replicas of this project, nginx.

Owns starting, waiting, stopping and reading memory. Must not know what is checked. Each server is a child
process that its context manager stops.
"""

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

START_SECONDS = 240.0
STOP_SECONDS = 15.0


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def healthy(port: int) -> bool:
    """Whether `/health` of a loopback port answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process, by default this one, in bytes (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1_024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


class Server:
    """A child process that listens on a loopback port.

    Args:
        command: What to run.
        port: Where it will listen.
        log: A file for its output.
        env: Its environment; by default that of this process.
    """

    def __init__(
        self, command: Sequence[str], port: int, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.command = list(command)
        self.port = port
        self.log = log
        self.env = dict(os.environ if env is None else env)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers HTTP, if it does."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, without waiting."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env
            )

    def wait(self) -> None:
        """Wait until it listens.

        Raises:
            RuntimeError: If it ends before, or takes too long; with the end of its log.
        """
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        tail = self.log.read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"{self.command[0]} did not come up on port {self.port}:\n{tail}")

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order, or by force if it does not end."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        """Start it and wait."""
        self.start()
        try:
            self.wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop it."""
        self.stop()


class Redis(Server):
    """A Redis of its own.

    Args:
        folder: Where it keeps its files.
        options: Further options, such as `--appendonly yes`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        plain = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
        super().__init__(["redis-server", *plain, *options], port, folder / "redis.log")

    @staticmethod
    def installed() -> bool:
        """Whether there is a `redis-server` on this machine."""
        return shutil.which("redis-server") is not None

    @property
    def store(self) -> str:
        """The URL of a store in it."""
        return f"redis://127.0.0.1:{self.port}/0"


class Replica(Server):
    """`safeact serve` on a free port.

    Args:
        store: The URL of its store.
        log: A file for its output.
        options: Further options of `safeact serve`.
    """

    def __init__(self, store: str, log: Path, *options: str) -> None:
        port = free_port()
        command = [sys.executable, "-m", "safeact_env", "serve", "--port", str(port), "--store", store]
        super().__init__([*command, *options], port, log)


class Proxy:
    """A TCP proxy on loopback that delays and cuts connections on demand.

    Args:
        port: Where it forwards connections to.
        seed: Of its random draws.
    """

    def __init__(self, port: int, seed: int) -> None:
        self._to = port
        self._rng = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.cut_chance = 0.0
        """Chance that a chunk of data is lost together with its connection, in either direction."""
        self.delay_seconds = 0.0
        """Longest delay of a chunk of data."""
        self.cuts = 0
        self.delays = 0
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while self._open:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to), timeout=5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                if self._rng.random() < self.cut_chance:
                    self.cuts += 1
                    break
                if self.delay_seconds and self._rng.random() < 0.1:
                    self.delays += 1
                    time.sleep(self._rng.uniform(0, self.delay_seconds))
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        one.close()

    def close(self) -> None:
        """Accept no more connections, and forward the open ones without faults."""
        self._open = False
        self.cut_chance = self.delay_seconds = 0.0
        self._listener.close()
