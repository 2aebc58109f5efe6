"""The log of a run: a JSON line for everything that happens, written as it happens.

Owns the form of its lines, for who writes them and who reads them:

    {"event": "run", "episodes": 30}
    {"event": "begun", "policy": ..., "task": ..., "split": ..., "seed": ..., "attempt": 1, ...}
    {"event": "step", ..., "step": 1, "call": {...}, "result": "...", "reward": 0.01, "done": false}
    {"event": "ended", ..., "record": {"score": 1.0, ...}}
    {"event": "over"}

The records of the run are elsewhere: nothing is computed from this file. It is there to be followed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from typing_extensions import override

from safeact_env.call import Call
from safeact_env.evaluation import Key
from safeact_env.llm.run import Watcher

__all__ = ["STEPS", "Event", "StepLog"]

STEPS = "steps.jsonl"
"""Its name in the folder of a run."""

Kind = Literal["run", "begun", "step", "ended", "over"]
KINDS: tuple[Kind, ...] = ("run", "begun", "step", "ended", "over")


class Event(NamedTuple):
    """A line of the log.

    Attributes:
        kind: What happened.
        key: The episode that it happened in; `None` for what happened to the run.
        told: The line's other fields.
    """

    kind: Kind
    key: Key | None
    told: Mapping[str, Any]

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Event:
        """The event of a line.

        Raises:
            KeyError: If a field is missing.
            ValueError: If it is no event.
        """
        kind = next((one for one in KINDS if one == line["event"]), None)
        if kind is None:
            raise ValueError(f"there is no event {line['event']!r}")
        return cls(kind, None if kind in ("run", "over") else Key.of(line), line)


class StepLog(Watcher):
    """Writes the log, and passes on to another watcher what it is told. Use it as a context manager.

    Args:
        path: The file.
        watcher: The other one.
        episodes: How many episodes the run has.
        resume: Whether to go on with the file; otherwise it starts empty.
    """

    def __init__(self, path: Path, watcher: Watcher, episodes: int, *, resume: bool) -> None:
        self._watcher = watcher
        cut = _whole_lines(path) if resume and path.exists() else 0
        self._file = path.open("r+b" if cut else "wb")
        self._file.truncate(cut)
        self._file.seek(cut)
        self._write({"event": "run", "episodes": episodes})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._write({"event": "over"})
        self._file.close()

    @override
    def begun(self, key: Key) -> None:
        """Write that an episode begins."""
        self._write({"event": "begun", **_named(key)})
        self._watcher.begun(key)

    @override
    def stepped(self, key: Key, step: int, call: Call, observation: Mapping[str, Any]) -> None:
        """Write a step."""
        told = {"reward": observation["reward"], "done": observation["done"]}
        result = observation["last_action_result"]
        self._write(
            {"event": "step", **_named(key), "step": step, "call": call.to_json(), "result": result, **told}
        )
        self._watcher.stepped(key, step, call, observation)

    @override
    def ended(self, key: Key, record: Mapping[str, Any] | None) -> None:
        """Write how an episode ended: its record without what is long."""
        short = record and {name: one for name, one in record.items() if not isinstance(one, list | dict)}
        self._write({"event": "ended", **_named(key), "record": short})
        self._watcher.ended(key, record)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()


def _named(key: Key) -> dict[str, Any]:
    named = {name: value for name, value in key._asdict().items() if name != "variant"}
    return {**named, **key.variant.to_json()}


def _whole_lines(path: Path) -> int:
    """The length in bytes without an incomplete last line, as a killed run leaves it."""
    return path.read_bytes().rfind(b"\n") + 1
