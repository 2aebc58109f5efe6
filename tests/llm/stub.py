"""An OpenAI-compatible endpoint that answers by a script: real HTTP on a free port, in threads."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from safeact_env import get_task, play
from safeact_env.core.variant import DEFAULT, Variant

MODEL, KEY = "stub-model", "sk-planted-3f9a8b7c6d5e4f3a2b1c0d9e"


@dataclass(frozen=True)
class Reply:
    """What to answer: a status, a body, headers, and how long to wait before it."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    raw: bytes | None = None


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        return [message["content"] for message in self.body["messages"]]


Script = Callable[[Asked], Reply]


def _completion(message: dict[str, Any], finish: str) -> Reply:
    return Reply(
        {
            "id": "stub",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
            "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
    )


def says(text: str | None, finish: str = "stop") -> Reply:
    return _completion({"content": text}, finish)


def calls(*made: tuple[str, dict[str, Any] | str], text: str | None = None) -> Reply:
    tool_calls = [
        {
            "id": f"id-{number}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for number, (name, given) in enumerate(made)
    ]
    return _completion({"content": text, "tool_calls": tool_calls}, "tool_calls")


def fails(status: int, message: str = "it went wrong", code: str | None = None, **headers: str) -> Reply:
    body = {"error": {"message": message, "type": "error", "code": code}}
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


class Stub:
    """The endpoint. `script` answers each request; everything asked is kept."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body go out at once: apart, the second waits 40 ms for the client's delayed ACK.
            wbufsize = -1

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = stub.answer(Asked(self.path, headers, body))
                data = reply.raw if reply.raw is not None else json.dumps(reply.body).encode()
                try:
                    self.send_response(reply.status)
                    for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    self.wfile.flush()
                except OSError:
                    self.close_connection = True  # the client has given up

            def log_message(self, *_args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            reply = self.script(asked)
            time.sleep(reply.wait_s)
            return reply
        finally:
            with self._lock:
                self._now -= 1

    @property
    def played(self) -> list[Asked]:
        """The requests of episodes, without the probe's."""
        return [
            asked
            for asked in self.asked
            if "JOB" in asked.body["messages"][-1]["content"] or len(asked.body["messages"]) > 1
        ]

    @contextmanager
    def running(self) -> Iterator[Stub]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def in_turn(*replies: Reply) -> Script:
    """Answer with these, one after the other; with the last one from then on."""
    retry = iter(replies)
    last = replies[-1]
    lock = threading.Lock()

    def script(_asked: Asked) -> Reply:
        with lock:
            return next(retry, last)

    return script


def is_probe(asked: Asked) -> bool:
    return len(asked.body["messages"]) == 1


def as_json(call: tuple[str, dict[str, Any], str]) -> str:
    """A call as the JSON that prompts ask for; a prediction among the parameters goes beside them."""
    name, parameters, why = call
    own = {key: value for key, value in parameters.items() if key != "undo_chance"}
    said = {key: value for key, value in parameters.items() if key == "undo_chance"}
    return json.dumps({"reasoning": why, "action_name": name, "parameters": own, **said})


def steps_left(asked: Asked) -> int:
    """What the last message says of the steps that are left."""
    return int(re.findall(r"STEPS LEFT: (\d+)", asked.texts[-1])[-1])


class Expert:
    """Answers with the expert's calls, in the form asked for.

    `episodes` are (task, split, seed), or (task, split, seed, variant). With `says` it gives, among the
    parameters of a call, what that returns for the number of the step.
    """

    def __init__(
        self,
        *episodes: tuple[str, str, int] | tuple[str, str, int, Variant],
        says: Callable[[int], dict[str, Any]] = lambda _step: {},
    ) -> None:
        self._says = says
        self._known = []
        self.jobs: list[str] = []
        for task, split, seed, *other in episodes:
            (variant,) = other or (DEFAULT,)
            episode = play(get_task(task), split, seed, "expert", variant=variant)
            shown = episode.observation()
            # Two seeds may share a description; they do not share the names of things.
            names = [
                name for table in shown["current_state"].values() if isinstance(table, dict) for name in table
            ]
            self.jobs.append(shown["task_description"])
            self._known.append((shown["task_description"], names, episode))

    def __call__(self, asked: Asked) -> Reply:
        return self.reply(asked, *self.call(asked))

    def call(self, asked: Asked) -> tuple[str, dict[str, Any], str]:
        """The next call: its name, parameters and reason."""
        if is_probe(asked):
            return "ready", {}, "I am ready."
        start = asked.texts[1]
        # `planted` is described as `goal` is, and the expert plays both alike.
        episode, *_ = (
            found
            for job, names, found in self._known
            if job in start and all(name in start for name in names)
        )
        step = episode.max_steps - steps_left(asked)
        call = episode.turns[step].call
        return call.action_name, {**call.parameters, **self._says(step)}, call.reasoning

    @staticmethod
    def reply(asked: Asked, name: str, parameters: dict[str, Any], why: str) -> Reply:
        if "tools" in asked.body:
            return calls((name, {"reasoning": why, **parameters}))
        return says(as_json((name, parameters, why)))
