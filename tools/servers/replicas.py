"""Checks the deployment of `compose.yaml` on this machine, without containers.

Plays on two replicas with Redis behind nginx with `deploy/nginx.conf`, then on one server with two worker
processes and SQLite. Stops at the first broken promise.
"""

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from safeact_env.call import Call
from safeact_env.client import SafeActAction, SafeActEnv, SafeActHTTPClient
from safeact_env.policies.reference import play
from safeact_env.tasks import OFFICIAL, get_task
from tools.servers.local_servers import Redis, Replica, Server, free_port

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
SEED = 7


class CheckFailed(Exception):
    """A promise does not hold; the message says which."""


def nginx_config(ports: Sequence[int], listen: int) -> str:
    """The configuration of nginx with loopback ports in place of container names.

    Raises:
        ValueError: If the file does not list one replica per port.
    """
    text, replaced = re.subn(r"listen \d+;", f"listen 127.0.0.1:{listen};", CONFIG.read_text())
    for number, port in enumerate(ports, start=1):
        text, found = re.subn(rf"replica-{number}:\d+", f"127.0.0.1:{port}", text)
        replaced += found
    if replaced != 1 + len(ports) or "replica-" in text:
        raise ValueError(f"{CONFIG.name} does not have exactly {len(ports)} replicas")
    return text


def nginx(folder: Path, ports: Sequence[int]) -> Server:
    """An nginx in front of these replicas."""
    port = free_port()
    (folder / "nginx.conf").write_text(nginx_config(ports, port))
    options = ["-c", str(folder / "nginx.conf"), "-g", f"daemon off; pid {folder}/nginx.pid;"]
    return Server(["nginx", *options], port, folder / "nginx.log")


def expert(task: str) -> tuple[list[Call], float]:
    """The expert's calls, and their grade."""
    played = play(get_task(task), "train", SEED, "expert")
    return [turn.call for turn in played.turns], played.grade().score


def action(call: Call) -> SafeActAction:
    """The call as the clients' action."""
    return SafeActAction(**call.to_json())


def need(holds: bool, otherwise: str) -> None:
    """Check one promise; `CheckFailed` if it does not hold."""
    if not holds:
        raise CheckFailed(otherwise)


def play_http(url: str, task: str, interrupt: Any = None, **options: Any) -> None:
    """Play the expert's episode over HTTP, calling `interrupt` half way."""
    calls, score = expert(task)
    with SafeActHTTPClient(url, **options) as env:
        env.reset(task, seed=SEED)
        for number, call in enumerate(calls):
            if number == len(calls) // 2 and interrupt is not None:
                interrupt()
            shown = env.step(action(call)).observation
            steps = len(shown.action_history)
            need(steps == number + 1, f"step {number + 1} of {task} shows {steps} steps")
        need(env.grade().score == score, f"the grade of {task} is not {score}")


def play_websocket(url: str, task: str) -> None:
    """Play the expert's episode over a WebSocket."""
    calls, _score = expert(task)
    with SafeActEnv(base_url=url).sync() as env:
        result = env.reset(task_name=task, seed=SEED)
        for call in calls:
            result = env.step(action(call))
        need(result.done, f"the episode of {task} over a WebSocket is not over")


def behind_nginx(folder: Path) -> None:
    """Play behind nginx on two replicas with Redis, and kill each of them."""
    with ExitStack() as stack:
        redis = stack.enter_context(Redis(folder / "redis", "--appendonly", "yes"))
        replicas = [Replica(redis.store, folder / f"replica-{n}.log") for n in (1, 2)]
        for replica in replicas:
            replica.start()
            stack.callback(replica.stop)
        for replica in replicas:
            replica.wait()
        front = stack.enter_context(nginx(folder, [replica.port for replica in replicas]))
        report("nginx, Redis and two replicas are up")
        for task in OFFICIAL:
            play_http(front.url, task)
        served = front.log.read_text()
        for replica in replicas:
            steps = len(re.findall(rf'"POST /step .* 200 127\.0\.0\.1:{replica.port} ', served))
            need(steps > 10, f"a replica took only {steps} steps: the load is not shared")
        report(f"{len(OFFICIAL)} episodes over HTTP, each on both replicas, graded as in process")
        for task in OFFICIAL:
            play_websocket(front.url, task)
        report(f"{len(OFFICIAL)} episodes over WebSockets")
        play_http(front.url, "hard", interrupt=replicas[0].kill)
        report("a replica was killed in the middle of an episode, which went on")
        replicas[0].start()
        replicas[0].wait()
        play_http(front.url, "hard", interrupt=replicas[1].kill)
        report("it came back, and the other one was killed")
        redis.kill()
        time.sleep(0.2)
        redis.start()
        redis.wait()
        play_http(front.url, "medium")
        report("Redis was killed and came back")


def with_workers(folder: Path) -> None:
    """Play on one server with two processes and one SQLite file."""
    store = f"sqlite:///{folder}/episodes.db"
    with Replica(store, folder / "workers.log", "--workers", "2") as server:
        for task in OFFICIAL:
            # A new connection per request, so that both processes take some.
            play_http(server.url, task, headers={"Connection": "close"})
    report(f"{len(OFFICIAL)} episodes on two worker processes and SQLite")


def report(what: str) -> None:
    """Report a promise that holds."""
    print(f"ok  {what}", flush=True)


def main() -> int:
    """Run the check; the exit code."""
    lacking = [name for name in ("redis-server", "nginx") if shutil.which(name) is None]
    if lacking:
        print(f"not installed: {', '.join(lacking)}; on Debian: apt-get install redis-server nginx-light")
        return 1
    with tempfile.TemporaryDirectory(prefix="replicas-") as name:
        folder = Path(name)
        # nginx as root starts its processes under another user.
        folder.chmod(0o755)
        try:
            behind_nginx(folder)
            with_workers(folder)
        except CheckFailed as error:
            print(f"NOT ok  {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
