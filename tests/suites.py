"""A small suite, players for it, and runs of both kinds, for the tests of suites and of verifying them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation import Agent, Prices, Prompt, policy_player, run_suite
from safeact_env.evaluation.record import Key, Said, play_attempt, record_of
from safeact_env.evaluation.suite import V2

TINY = replace(V2, name="tiny", tasks=("easy", "medium"), seeds=(5, 3), variants=(DEFAULT,), attempts=2)
"""Eight episodes."""
VARIED = replace(
    TINY, name="varied", tasks=("easy",), variants=(DEFAULT, Variant(3, "goal"), Variant(1, "goal"))
)
"""Twelve episodes: two framings, and another level."""

GUESSER = Agent(name="guesser", kind="policy")
MODEL = Agent(
    name="clever-1",
    kind="model",
    prompt=Prompt(name=V2.prompt, version=V2.prompt_version, sha256="ab" * 32),
    settings={"mode": "tools", "temperature": 0.0},
)
PROGRAM = Agent(name="network-0", kind="program", settings={"seed": 0})
SAID: tuple[Said, ...] = (100, 90, None, 55, 50, 49, "unreadable", 0)
"""What the model predicts, over and over."""
PRICES = Prices(tokens_in=2.5, tokens_out=10.0)


def model_player(key: Key) -> dict[str, Any]:
    """A model that plays as `guesser` does, predicts by rote, and says what it used."""
    episode = play_attempt(key.task, key.split, key.seed, "guesser", key.attempt, key.variant)
    used = {
        "name": MODEL.name,
        "prompt": V2.prompt,
        "prompt_version": V2.prompt_version,
        "tokens_in": 1_000 + key.attempt,
        "tokens_out": 100,
        "latency_s": [0.25] * len(episode.turns),
        "prompt_sha256": "ab" * 32,
        "stop": "done",
    }
    said = [*islice(cycle(SAID), len(episode.turns))]
    return {**record_of(episode, MODEL.name, key.attempt, predictions=said), "model": used}


def program_player(key: Key) -> dict[str, Any]:
    """A program that plays as `guesser` does."""
    episode = play_attempt(key.task, key.split, key.seed, "guesser", key.attempt, key.variant)
    return record_of(episode, PROGRAM.name, key.attempt)


def policy_run(folder: Path) -> Path:
    """A finished run of `guesser`; its folder."""
    run_suite(TINY, policy_player("guesser"), folder, GUESSER)
    return folder


def program_run(folder: Path) -> Path:
    """A finished run of the program."""
    run_suite(TINY, program_player, folder, PROGRAM)
    return folder


def model_run(folder: Path) -> Path:
    """A finished run of the model, with prices; its folder."""
    run_suite(TINY, model_player, folder, MODEL, prices=PRICES)
    return folder


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of a run."""
    return [json.loads(line) for line in (folder / "trajectories.jsonl").read_bytes().splitlines()]


def rewrite_records(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change the records of a run as a careful forger would: the report's hash fits again."""
    found = records(folder)
    change(found)
    content = "".join(json.dumps(record) + "\n" for record in found).encode()
    (folder / "trajectories.jsonl").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    rewrite_report(folder, lambda report: report["trajectories"].update(sha256=sha256, episodes=len(found)))


def rewrite_report(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the report of a run."""
    path = folder / "report.json"
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))
