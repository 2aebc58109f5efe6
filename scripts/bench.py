"""Measures speed, as ratios within one run: machines are shared, so only those compare.

In process: steps and resets per second of processor time, a late step against an early one. Over the wire: a
step of this server against a bare Starlette endpoint that returns the same bytes, same client, same run,
medians of paired runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import Task
from safeact_env.policies.reference import play
from safeact_env.tasks import OFFICIAL, get_task

RUNS = 5
CONNECTIONS = 16
WIRE_SECONDS = 1.5
LOOK = {"action_name": "read_runbook", "parameters": {"action_name": "finish"}, "reasoning": "bench"}


# In process ----------------------------------------------------------------------------------------------


def episodes_of(task: Task[Any], number: int) -> list[list[Call]]:
    """The calls of the expert and of a random player, which together use every rule."""
    return [
        [turn.call for turn in play(task, "train", seed, policy).turns]
        for seed in range(number)
        for policy in ("expert", "random")
    ]


def steps_per_second(task: Task[Any], recorded: list[list[Call]], *, observe: bool) -> float:
    """Steps per second of processor time, replaying recorded episodes, resets not counted."""
    spent, steps = 0.0, 0
    for number, calls in enumerate(recorded):
        episode: Episode[Any] = Episode(task, "train", number // 2)
        begin = time.process_time()
        for call in calls:
            episode.step(call)
            if observe:
                episode.observation()
        spent += time.process_time() - begin
        steps += len(calls)
    return steps / spent


def reset_ms(task: Task[Any], number: int) -> float:
    """Milliseconds per reset with its first observation."""
    begin = time.process_time()
    for seed in range(number):
        Episode(task, "train", seed).observation()
    return (time.process_time() - begin) / number * 1_000


def late_against_early(task: Task[Any]) -> float:
    """Cost of the last step of a full budget, with its observation, against the first one."""
    call = Call("read_runbook", {"action_name": "finish"}, "bench")
    first, last = [], []
    for seed in range(60):
        episode: Episode[Any] = Episode(task, "train", seed)
        for number in range(task.max_steps - 1):
            begin = time.process_time()
            episode.step(call)
            episode.observation()
            spent = time.process_time() - begin
            if number == 0:
                first.append(spent)
        last.append(spent)
    return statistics.median(last) / statistics.median(first)


def in_process() -> dict[str, dict[str, float]]:
    """The in-process figures by task, medians of several runs."""
    found = {}
    for name in OFFICIAL:
        task = get_task(name)
        recorded = episodes_of(task, 30)
        runs = range(RUNS)
        found[name] = {
            "steps/s with observation": statistics.median(
                steps_per_second(task, recorded, observe=True) for _ in runs
            ),
            "steps/s without": statistics.median(
                steps_per_second(task, recorded, observe=False) for _ in runs
            ),
            "reset ms": statistics.median(reset_ms(task, 200) for _ in runs),
            "late/early step": late_against_early(task),
        }
    return found


# Over the wire -------------------------------------------------------------------------------------------


def run_server(kind: str, port: int, answer: bytes) -> None:
    """Serve this project, or a bare Starlette app that returns the same bytes (in a child process)."""
    import uvicorn

    app: Any
    if kind == "safeact":
        from safeact_env.server.app import create_app

        app = create_app()
    else:
        app = bare_app(answer)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def bare_app(answer: bytes) -> Any:
    """A Starlette app that reads a request and sends ready bytes, over HTTP and WebSocket."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    async def post(request: Request) -> Response:
        await request.body()
        return Response(answer, media_type="application/json")

    text = answer.decode()

    async def ws(socket_: WebSocket) -> None:
        await socket_.accept()
        try:
            while True:
                await socket_.receive_text()
                await socket_.send_text(text)
        except WebSocketDisconnect:
            return

    routes = [Route("/reset", post, methods=["POST"]), Route("/step", post, methods=["POST"])]
    return Starlette(routes=[*routes, WebSocketRoute("/ws", ws)])


def free_port() -> int:
    """A free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def http_post(streams: Any, path: str, body: bytes) -> bytes:
    """One POST over a kept-alive connection; the body of the answer."""
    reader, writer = streams
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    header = await reader.readuntil(b"\r\n\r\n")
    length = int(header.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    answer: bytes = await reader.readexactly(length)
    return answer


async def http_worker(port: int, number: int, deadline: float) -> int:
    """Reset and step over HTTP until the deadline; the number of steps."""
    streams = await asyncio.open_connection("127.0.0.1", port)
    steps = 0
    try:
        while time.perf_counter() < deadline:
            name = f"bench-{port}-{number}-{time.perf_counter_ns()}"
            start = {"task_name": "easy", "seed": 1, "episode_id": name}
            await http_post(streams, "/reset", json.dumps(start).encode())
            body = json.dumps({"action": LOOK, "episode_id": name}).encode()
            for _ in range(27):
                await http_post(streams, "/step", body)
            steps += 27
    finally:
        streams[1].close()
    return steps


async def ws_worker(port: int, _number: int, deadline: float) -> int:
    """Reset and step over WebSocket until the deadline; the number of steps."""
    from websockets.asyncio.client import connect

    steps = 0
    start = json.dumps({"type": "reset", "data": {"task_name": "easy", "seed": 1}})
    step = json.dumps({"type": "step", "data": LOOK})
    async with connect(f"ws://127.0.0.1:{port}/ws", compression=None, max_size=None) as ws:
        while time.perf_counter() < deadline:
            await ws.send(start)
            await ws.recv()
            for _ in range(27):
                await ws.send(step)
                await ws.recv()
            steps += 27
    return steps


Worker = Callable[[int, int, float], Awaitable[int]]


async def rate(worker: Worker, port: int) -> float:
    """Steps per second of all connections together."""
    begin = time.perf_counter()
    done = await asyncio.gather(*(worker(port, n, begin + WIRE_SECONDS) for n in range(CONNECTIONS)))
    return sum(done) / (time.perf_counter() - begin)


def wait_for(port: int) -> None:
    """Wait until something listens."""
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"no server came up on port {port}")


def over_the_wire() -> dict[str, dict[str, float]]:
    """Steps per second of this server and of the bare one, and the median of the paired ratios."""
    episode: Episode[Any] = Episode(get_task("easy"), "train", 1)
    for _ in range(13):
        episode.step(Call.parse(**LOOK))
    # The mean answer of the 27 measured steps is that of the middle one, near enough.
    answer = json.dumps(episode.observation(), separators=(",", ":")).encode()
    spawn = multiprocessing.get_context("spawn")
    ports = {"safeact": free_port(), "bare": free_port()}
    servers = [spawn.Process(target=run_server, args=(k, p, answer), daemon=True) for k, p in ports.items()]
    for server in servers:
        server.start()
    try:
        for port in ports.values():
            wait_for(port)
        found = {}
        for name, worker in (("HTTP step", http_worker), ("WS step", ws_worker)):
            pairs = [
                (asyncio.run(rate(worker, ports["safeact"])), asyncio.run(rate(worker, ports["bare"])))
                for _ in range(RUNS)
            ]
            found[name] = {
                "steps/s": statistics.median(own for own, _ in pairs),
                "bare Starlette": statistics.median(bare for _, bare in pairs),
                "ratio": statistics.median(own / bare for own, bare in pairs),
            }
        return found
    finally:
        for server in servers:
            server.terminate()
            server.join()


# Output --------------------------------------------------------------------------------------------------


def show(title: str, found: dict[str, dict[str, float]]) -> None:
    """Print figures as a table."""
    table = Table(title=title, title_justify="left")
    heads = list(next(iter(found.values())))
    for head in ("", *heads):
        table.add_column(head, justify="right" if head else "left")
    for name, figures in found.items():
        table.add_row(
            name, *(f"{value:,.0f}" if value >= 100 else f"{value:.2f}" for value in figures.values())
        )
    Console().print(table)


def main(arguments: list[str]) -> int:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--no-wire", action="store_true", help="measure in process only")
    options = parser.parse_args(arguments)
    local = in_process()
    heads = list(next(iter(local.values())))
    local["mean"] = {head: statistics.mean(local[name][head] for name in OFFICIAL) for head in heads}
    show(f"In process, one core, medians of {RUNS} runs", local)
    found = {"in process": local}
    if not options.no_wire:
        found["wire"] = over_the_wire()
        show(f"{CONNECTIONS} connections, one client process, medians of {RUNS} paired runs", found["wire"])
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
