"""Injects faults and checks that the store keeps every acknowledged step exactly once.

Players play known episodes on replicas of this server and compare every answer with an undisturbed run.
Meanwhile processes are killed, Redis restarts, connections are cut, requests are lost, doubled and delayed,
the disk fills up and clocks jump. Afterwards the store is read directly: no step may be lost or doubled, and
no slot taken. Broken stores show that the check can fail.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from safeact_env.client import http as client
from safeact_env.sessions.service import SessionService
from safeact_env.sessions.stores import store_maker
from safeact_env.sessions.stores.base import StoreMaker
from safeact_env.version import VERSION
from tools.chaos.broken_stores import BROKEN_STORES
from tools.chaos.players import Backend, HTTPBackend, Ledger, Network, ServiceBackend, judge, run_players
from tools.servers.local_servers import Proxy, Redis, Replica, Server, free_port

PLAYERS = 6
LAST_SECONDS = 300.0
"""Longest time for the players to end their episodes after the last fault."""
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")

Faults = dict[str, int]
MakeFaults = Callable[[Ledger], Faults]


@dataclass(frozen=True)
class Size:
    """The number of each fault."""

    replicas: int
    kills: int
    restarts: int
    seconds: float
    jumps: int


FULL = Size(replicas=3, kills=100, restarts=20, seconds=30.0, jumps=2_000)
QUICK = Size(replicas=2, kills=2, restarts=2, seconds=2.0, jumps=100)


@dataclass
class Result:
    """The result of a trial."""

    trial: str
    store: str
    faults: Faults
    ledger: Ledger
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "trial": self.trial,
            "store": self.store,
            "faults": self.faults,
            "episodes": len(self.ledger.episodes),
            "steps": self.ledger.steps,
            "answers": dict(sorted(self.ledger.counts.items())),
            "breaches": self.ledger.breaches,
            "seconds": round(self.seconds, 1),
        }


# Trials --------------------------------------------------------------------------------------------------


def played(
    backends: Sequence[Backend], make_faults: MakeFaults, ledger: Ledger, service: SessionService, seed: int
) -> Faults:
    """Play during the faults, let the players end, and compare the store with what was acknowledged."""
    threads = run_players(backends, ledger, seed)
    faults = make_faults(ledger)
    ledger.over.set()
    until = time.monotonic() + LAST_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        ledger.breach(f"players are still waiting {LAST_SECONDS:.0f} seconds after the last fault")
    try:
        judge(service, ledger)
    finally:
        service.close()
    return faults


def over_http(ports: Sequence[int], make_faults: MakeFaults, store: str, seed: int, ledger: Ledger) -> Faults:
    """`played` through an unsteady network, with the project's own client."""
    with ExitStack() as stack:
        networks = [Network(ports, seed + n, ledger) for n in range(PLAYERS)]
        for network in networks:
            stack.callback(network.close)
        backends = [HTTPBackend(network) for network in networks]
        faults = played(backends, make_faults, ledger, SessionService(make_store=store_maker(store)), seed)
    asked = ("requests lost", "requests doubled", "requests late", "answers lost")
    return {**faults, **{name: ledger.counts.pop(name, 0) for name in asked}}


def kill_often(servers: Sequence[Server], times: int, seed: int, ledger: Ledger) -> Faults:
    """Kill servers in the middle of their work, and start them again."""
    rng = random.Random(seed)
    killed = 0
    while killed < times and not ledger.over.is_set():
        before = ledger.steps
        until = time.monotonic() + 5
        while ledger.steps < before + 5 and time.monotonic() < until:
            time.sleep(0.01)
        server = rng.choice(servers)
        if ledger.over.wait(rng.uniform(0, 0.2)):
            break
        server.kill()
        killed += 1
        server.start()
        server.wait()
    return {"kills": killed}


def restart_often(redis: Redis, times: int, seed: int, ledger: Ledger) -> Faults:
    """Stop Redis, by force every other time, and start it again."""
    rng = random.Random(seed)
    restarts = 0
    while restarts < times and not ledger.over.wait(rng.uniform(0.3, 1.0)):
        (redis.kill if restarts % 2 else redis.stop)()
        restarts += 1
        time.sleep(rng.uniform(0, 0.5))
        redis.start()
        redis.wait()
    return {"restarts": restarts}


def disturb(proxies: Sequence[Proxy], seconds: float, ledger: Ledger) -> Faults:
    """Cut and delay connections for a while."""
    for proxy in proxies:
        proxy.cut_chance, proxy.delay_seconds = 0.02, 0.2
    ledger.over.wait(seconds)
    for proxy in proxies:
        proxy.cut_chance = proxy.delay_seconds = 0.0
    return {"cuts": sum(proxy.cuts for proxy in proxies), "delays": sum(proxy.delays for proxy in proxies)}


def fill_often(disk: Disk, servers: Sequence[Server], seconds: float, ledger: Ledger) -> Faults:
    """Fill the disk, and make room again."""
    times = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until and not ledger.over.wait(0.5):
        before = ledger.counts["store_unavailable"]
        disk.fill(servers)
        times += 1
        patience = time.monotonic() + 5
        while ledger.counts["store_unavailable"] == before and time.monotonic() < patience:
            time.sleep(0.05)
        if ledger.counts["store_unavailable"] == before:
            ledger.breach("the disk was full for five seconds, and every step was acknowledged")
        time.sleep(0.5)
        disk.free(servers)
    return {"times full": times}


def jumping_clocks(make: StoreMaker, jumps: int, seed: int, ledger: Ledger) -> Faults:
    """Services in this process whose clocks jump by up to years, either way."""
    rng = random.Random(seed)
    clocks = [Jumpy(), Jumpy()]
    # Keep ended episodes until they are judged.
    services = [SessionService(make_store=make, clock=c, keep_finished_seconds=1e9) for c in clocks]
    made = 0

    def jump() -> None:
        nonlocal made
        if made < jumps and rng.random() < 0.1:
            made += 1
            rng.choice(clocks).ahead += rng.choice([-1, 1]) * 10 ** rng.uniform(0, 8)

    def faults(ledger: Ledger) -> Faults:
        while made < jumps and not ledger.over.wait(0.05):
            pass
        return {"jumps": made}

    backends = [
        ServiceBackend([service, services[1 - n]], seed + n, jump) for n, service in enumerate(services)
    ]
    found = played(backends, faults, ledger, services[0], seed)
    services[0] = SessionService(make_store=make, clock=clocks[0])
    services[0].open("easy", "train", 1)
    clocks[0].ahead -= 1e9
    for _ in range(150):
        for clock in clocks:
            clock.ahead += 30
        services[0].tick()
    if services[1].live:
        ledger.breach("an episode is kept, unused for more than its hour after a clock was set back")
    for service in services:
        service.close()
    return found


def broken_store(name: str, folder: Path, seed: int, ledger: Ledger) -> Faults:
    """The smallest trial that a broken store must fail."""
    path = str(folder / f"{name}.db")
    if name in ("leaky", "believing"):
        return jumping_clocks(partial(BROKEN_STORES[name], path), QUICK.jumps, seed, ledger)
    command = [sys.executable, "-m", "tools.chaos.broken_stores", name, path]
    with ExitStack() as stack:
        ports = [free_port() for _ in range(2)]
        servers = [Server([*command, str(port)], port, folder / f"{port}.log") for port in ports]
        started(stack, servers)
        faults = partial(kill_often, servers, 3, seed)
        return over_http(ports, faults, f"sqlite:///{path}", seed, ledger)


# Machines ------------------------------------------------------------------------------------------------


class Jumpy:
    """A clock that can be set."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead


def started(stack: ExitStack, servers: list[Any]) -> list[Any]:
    """Start servers in parallel; the stack stops them."""
    for server in servers:
        server.start()
        stack.callback(server.stop)
    for server in servers:
        server.wait()
    return servers


@dataclass
class Disk:
    """A folder on a disk that can be filled and freed."""

    folder: Path
    fill: Callable[[Sequence[Server]], None]
    free: Callable[[Sequence[Server]], None]


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A small tmpfs or, where none can be mounted, a limit on the size of files."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        yield Disk(folder, partial(limit_files, 4_096), partial(limit_files, resource.RLIM_INFINITY))
        return
    filler = folder / "filler"

    def fill(_servers: Sequence[Server]) -> None:
        # Ever smaller pieces, until not a byte fits.
        for piece in (2**20, 4_096, 1):
            with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
                while file.write(b"x" * piece):
                    pass

    def free(_servers: Sequence[Server]) -> None:
        filler.unlink()

    try:
        yield Disk(folder, fill, free)
    finally:
        # Lazily, as a stopping replica may still hold a file.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def limit_files(size: int, servers: Sequence[Server]) -> None:
    """Limit the size of the files that servers write."""
    for server in servers:
        if server.process is not None:
            _soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, hard))


# All of them ---------------------------------------------------------------------------------------------


def on_sqlite(size: Size, folder: Path, seed: int) -> Iterator[Result]:
    """The trials with replicas on one SQLite file."""
    with small_disk(folder / "disk") as disk, ExitStack() as stack:
        store = f"sqlite:///{disk.folder}/episodes.db"
        logs = [folder / f"sqlite-{n}.log" for n in range(size.replicas)]
        replicas = started(stack, [Replica(store, log) for log in logs])
        ports = [replica.port for replica in replicas]
        kills = partial(kill_often, replicas, size.kills, seed)
        yield run("replicas killed", "SQLite", partial(over_http, ports, kills, store, seed))
        fills = partial(fill_often, disk, replicas, size.seconds)
        yield run("disk full", "SQLite", partial(over_http, ports, fills, store, seed))


def on_redis(size: Size, redis: Redis, folder: Path, seed: int) -> Iterator[Result]:
    """The trials with replicas on Redis, with proxies on both sides of them."""
    with ExitStack() as stack:
        behind = [Proxy(redis.port, seed + n) for n in range(size.replicas)]
        stores = [f"redis://127.0.0.1:{proxy.port}/0" for proxy in behind]
        logs = [folder / f"redis-{n}.log" for n in range(size.replicas)]
        replicas = started(stack, [Replica(*pair) for pair in zip(stores, logs, strict=True)])
        before = [Proxy(replica.port, seed + replica.port) for replica in replicas]
        proxies = [*behind, *before]
        for proxy in proxies:
            stack.callback(proxy.close)
        ports = [proxy.port for proxy in before]
        for trial, faults in (
            ("replicas killed", partial(kill_often, replicas, size.kills, seed)),
            ("Redis restarted", partial(restart_often, redis, size.restarts, seed)),
            ("network cut", partial(disturb, proxies, size.seconds)),
        ):
            yield run(trial, "Redis", partial(over_http, ports, faults, redis.store, seed))


def trials(size: Size, redis: Redis | None, folder: Path, seed: int) -> Iterator[Result]:
    """All trials; those with Redis only where there is one."""
    make = store_maker(f"sqlite:///{folder}/clocks.db")
    yield run("clocks set", "SQLite", partial(jumping_clocks, make, size.jumps, seed))
    yield from on_sqlite(size, folder, seed)
    if redis is not None:
        make = store_maker(redis.store)
        yield run("clocks set", "Redis", partial(jumping_clocks, make, size.jumps, seed))
        yield from on_redis(size, redis, folder, seed)


def run(trial: str, store: str, body: MakeFaults) -> Result:
    """Run a trial."""
    ledger, begun = Ledger(), time.monotonic()
    faults = body(ledger)
    print(f"{trial} on {store}: {len(ledger.breaches)} breaches", flush=True)
    return Result(trial, store, faults, ledger, time.monotonic() - begun)


def show(results: Sequence[Result], caught: dict[str, str]) -> None:
    """Print the results."""
    table = Table("trial", "store", "faults", "episodes", "steps", "503", "breaches", "s")
    for one in results:
        faults = ", ".join(f"{number} {name}" for name, number in one.faults.items())
        row = [one.trial, one.store, faults, len(one.ledger.episodes), one.ledger.steps]
        row += [one.ledger.counts["store_unavailable"], len(one.ledger.breaches), round(one.seconds)]
        table.add_row(*map(str, row))
    Console().print(table)
    for one in results:
        for breach in one.ledger.breaches[:5]:
            print(f"{one.trial} on {one.store}: {breach}")
    for name, breach in caught.items():
        print(f"broken store {name}: {'caught: ' + breach if breach else 'NOT CAUGHT'}")


def main(arguments: list[str]) -> int:
    """Run all trials, print, write JSON if asked to; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few faults, under a minute")
    parser.add_argument("--seed", type=int, default=0, help="of the random draws (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else FULL
    client.LONGEST_PAUSE_S = 1.0  # an outage here is short, and the run should be
    caught = {}
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, ExitStack() as stack:
        folder = Path(name)
        redis = stack.enter_context(Redis(folder / "redis", *DURABLE)) if Redis.installed() else None
        if redis is None:
            print("redis-server is not installed: the trials with Redis are left out")
        results = list(trials(size, redis, folder, options.seed))
        for one in BROKEN_STORES:
            body = partial(broken_store, one, folder, options.seed)
            breaches = run(f"broken store {one}", "SQLite", body).ledger.breaches
            caught[one] = breaches[0] if breaches else ""
    show(results, caught)
    if options.json:
        found = {"version": VERSION, "seed": options.seed, "quick": options.quick}
        recorded = {**found, "trials": [one.to_json() for one in results], "twins": caught}
        Path(options.json).write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")
    return int(any(one.ledger.breaches for one in results) or not all(caught.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
