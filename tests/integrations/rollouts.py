"""Shared by tests of integrations: episodes, answers as models write them, and what no model may see."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from safeact_env import get_task, play
from safeact_env.core.episode import Episode
from safeact_env.core.variant import DEFAULT, Variant
from tests.play import unscored

UNTOLD = re.compile(r"reward|risk(?!y)|\bgrade|score|irreversible", re.IGNORECASE)
"""Words that only trainers are told. No text of a task or a prompt has one, but for the ward's own."""


VARIED = (Variant(1), Variant(3, "goal"), Variant(4, "waiver"), Variant(5, "planted"))


def played(
    task: str,
    seed: int = 0,
    policy: str = "expert",
    split: str = "train",
    variant: Variant = DEFAULT,
) -> Episode[Any]:
    return play(get_task(task), split, seed, policy, variant=variant)


def answers(episode: Episode[Any]) -> Iterator[str]:
    """The calls of an episode as texts, in the ways in which models write them."""
    for number, turn in enumerate(episode.turns):
        text = json.dumps(turn.call.to_json())
        yield (text, f"```json\n{text}\n```", f"I think so.\n{text}")[number % 3]


def told(texts: Iterable[str]) -> list[str]:
    """The words among these texts that a model must not be told before the end."""
    return [found for text in texts for found in UNTOLD.findall(unscored(text))]


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """The port on which an app is served meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(timeout=10)
