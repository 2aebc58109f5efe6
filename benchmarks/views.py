"""Measures the answers of an episode by door and view: their bytes, and tokens as bytes / 4.

Owns the doors, and what an expert's episode gets from each, the start included. With bpe-openai installed it
also counts tokens as o200k_base does, the vocabulary of OpenAI's models since GPT-4o.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from benchmarks.speed import show
from safeact_env.core.observation import VIEWS, View
from safeact_env.core.task import SPLITS
from safeact_env.policies.reference import play
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.tasks import OFFICIAL, get_task
from safeact_env.version import VERSION

SEEDS = 20
"""Of each task and split. Over ten of one split the means differ by some 100 tokens from those over many."""

Calls = list[dict[str, Any]]
Door = Callable[[TestClient, dict[str, Any], Calls], list[bytes]]


def rpc(method: str, **params: Any) -> dict[str, Any]:
    """A JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def tool_call(call: dict[str, Any]) -> dict[str, Any]:
    """A call as a tool call over JSON-RPC."""
    arguments = {**call["parameters"], "reasoning": call["reasoning"]}
    return rpc("tools/call", name=call["action_name"], arguments=arguments)


def http(client: TestClient, start: dict[str, Any], calls: Calls) -> list[bytes]:
    """`POST /reset` and `POST /step`."""
    first = client.post("/reset", json=start)
    named = {"episode_id": first.json()["episode_id"]}
    steps = [client.post("/step", json={"action": call, **named}) for call in calls]
    return [answer.content for answer in (first, *steps)]


def mcp(client: TestClient, start: dict[str, Any], calls: Calls) -> list[bytes]:
    """`POST /reset`, and tool calls to `POST /mcp`."""
    first = client.post("/reset", json=start)
    named = {"X-Episode-Id": first.json()["episode_id"]}
    steps = [client.post("/mcp", json=tool_call(call), headers=named) for call in calls]
    return [answer.content for answer in (first, *steps)]


def agent(client: TestClient, start: dict[str, Any], calls: Calls) -> list[bytes]:
    """The endpoint of an episode: `initialize`, the tools, and tool calls."""
    key = client.post("/reset", json=start).json()["agent_key"]
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    requests = [rpc("initialize", **hello), rpc("tools/list"), *map(tool_call, calls)]
    address = f"/episodes/own/mcp?view={start['view']}"
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {key}"}
    answers = [client.post(address, json=request, headers=headers) for request in requests]
    assert all(answer.status_code == 200 for answer in answers)
    return [answer.content for answer in answers]


def frames(of_call: Callable[[dict[str, Any]], dict[str, Any]]) -> Door:
    """A door of `/ws`, with these frames for calls."""

    def door(client: TestClient, start: dict[str, Any], calls: Calls) -> list[bytes]:
        answers = []
        with client.websocket_connect("/ws") as socket:
            for frame in ({"type": "reset", "data": start}, *map(of_call, calls)):
                socket.send_json(frame)
                answers.append(socket.receive_text().encode())
        return answers

    return door


def as_tool(call: dict[str, Any]) -> dict[str, Any]:
    """A call as OpenEnv's `CallToolAction`."""
    arguments = {**call["parameters"], "reasoning": call["reasoning"]}
    data = {"type": "call_tool", "tool_name": call["action_name"], "arguments": arguments}
    return {"type": "step", "data": data}


DOORS: dict[str, Door] = {
    "HTTP": http,
    "WebSocket": frames(lambda call: {"type": "step", "data": call}),
    "WebSocket, tool calls as steps": frames(as_tool),
    "WebSocket, MCP frames": frames(lambda call: {"type": "mcp", "data": tool_call(call)}),
    "POST /mcp": mcp,
    "/episodes/{id}/mcp, tools included": agent,
}


@contextmanager
def serving() -> Iterator[TestClient]:
    """A server in this process."""
    with TestClient(create_app(Settings())) as client:
        yield client


def tokenizer() -> Callable[[str], int] | None:
    """Counts the tokens of a text, if bpe-openai is installed."""
    try:
        encoding = import_module("bpe_openai").get_encoding("o200k_base")
    except ModuleNotFoundError:
        return None
    return lambda text: len(encoding.encode(text))


def measured(
    client: TestClient, seeds: int = SEEDS, views: Sequence[View] = VIEWS
) -> dict[str, dict[str, float]]:
    """Means per episode of level 3 over all tasks, by door and view."""
    count = tokenizer()
    found: dict[str, dict[str, float]] = {}
    for name, door in DOORS.items():
        for view in views:
            episodes = []
            for task, split, seed in product(OFFICIAL, SPLITS, range(seeds)):
                turns = play(get_task(task), split, seed, "expert").turns
                start = {"task_name": task, "seed": seed, "split": split, "view": view}
                episodes.append(door(client, start, [turn.call.to_json() for turn in turns]))
            size = statistics.mean(sum(map(len, episode)) for episode in episodes)
            found[f"{name}, {view}"] = row = {"bytes": size, "bytes / 4": size / 4}
            if count is not None:
                texts = (b"\n".join(episode).decode() for episode in episodes)
                row["tokens, o200k_base"] = statistics.mean(map(count, texts))
    return found


def main(arguments: list[str]) -> int:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args(arguments)
    with serving() as client:
        found = measured(client)
    show(f"Answers of an expert's episode, level 3, means of {SEEDS} seeds of each task and split", found)
    if options.json:
        written = json.dumps({"version": VERSION, "seeds": SEEDS, "answers": found}, indent=2)
        Path(options.json).write_text(written + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
