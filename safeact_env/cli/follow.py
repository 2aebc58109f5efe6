"""`safeact replay --follow`: prints a run step by step, as it is written.

Owns reading a file that grows. Must not know how a run is played, or how a step is printed.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from safeact_env.call import Call
from safeact_env.cli.lines import Steps, clean
from safeact_env.cli.step_log import STEPS, Event
from safeact_env.core.trajectory import TrajectoryError
from safeact_env.evaluation import Key, record_of
from safeact_env.evaluation.record import Sample
from safeact_env.evaluation.replay import replayed
from safeact_env.evaluation.report import TRAJECTORIES
from safeact_env.llm.run import EPISODES
from safeact_env.unique_json import unique_json

PAUSE_S = 0.3
"""Seconds between two looks at the file."""
FILES = (STEPS, EPISODES, TRAJECTORIES)
"""What of a run's folder is followed: the first that is there."""


def follow(path: Path, console: Console, pause: Callable[[], None] = lambda: time.sleep(PAUSE_S)) -> int:
    """Print the run of a folder, or of a file of records, until it is over or somebody interrupts.

    Args:
        path: The folder of `--out`, or a file in it. Of records, each episode is printed once it has ended.
        console: Where it is said what is waited for, and what cannot be read.
        pause: Waits a moment.

    Raises:
        typer.BadParameter: If there is no such file or folder.
    """
    if not path.exists():
        raise typer.BadParameter(
            f"{path} does not exist. Give the folder that a run writes to, or a file of it."
        )
    followed = _Followed(console)
    try:
        for number, line in _lines(path, console):
            if line is not None:
                followed.read(number, line)
            elif followed.is_over:
                return 0
            else:
                pause()
    except KeyboardInterrupt:
        console.print("No longer followed. The run itself goes on.")
    return 0


def _lines(path: Path, console: Console) -> Iterator[tuple[int, bytes | None]]:
    """The complete lines with their numbers, and `None` whenever there is none; a half-written one waits."""
    file = path
    if path.is_dir():
        while (found := next((path / one for one in FILES if (path / one).exists()), None)) is None:
            console.print(f"{path} has none of {', '.join(FILES)} yet.")
            while not any((path / one).exists() for one in FILES):
                yield 0, None
        file = found
    number = position = 0
    while True:
        if file.stat().st_size < position:
            console.print(f"{file} was begun anew.")
            number = position = 0
        with file.open("rb") as stream:
            stream.seek(position)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                number, position = number + 1, position + len(line)
                yield number, line
        yield number, None


class _Followed:
    """What has been read of a run.

    Args:
        console: Where it is said what cannot be read.
    """

    def __init__(self, console: Console) -> None:
        self.is_over = False
        self._console = console
        self._steps = Steps(live=True)
        self._begun: set[Key] = set()
        self._shown: Key | None = None

    def read(self, number: int, line: bytes) -> None:
        """Print what a line tells; say so if that cannot be read."""
        if not line.strip():
            return
        try:
            value = unique_json(line)
            if not isinstance(value, dict):
                raise ValueError("it is no JSON object")
            if "event" in value:
                self._happened(Event.of(value))
            else:
                self._recorded(value)
        except (TrajectoryError, KeyError, TypeError, ValueError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else clean(str(error)).rstrip(".")
            self._console.print(f"Line {number} cannot be read: {why}.", style="yellow", markup=False)

    def _happened(self, event: Event) -> None:
        kind, key, told = event
        if key is None:
            self.is_over = kind == "over"
            return
        if kind == "step":
            given, step = told["call"], int(told["step"])
            call = Call.parse(given["action_name"], given["parameters"], given["reasoning"])
            shown = _shown(told["result"], told["reward"], told["done"])
            self._turn_to(key, anew=step == 1)
            self._steps.stepped(key, step, call, shown)
        elif kind == "ended":
            record = told["record"] and {**told["record"], "calls": []}
            if record:
                Sample.of(record)
            self._turn_to(key)
            self._end(key, record)

    def _recorded(self, record: dict[str, Any]) -> None:
        """A whole episode: what a record says came of it is not believed, so it is played again."""
        episode = replayed(record)
        made = record_of(episode, str(record.get("policy", "A recording")), int(record.get("attempt", 1)))
        key = Key.of(made)
        self._turn_to(key, anew=True)
        for step, turn in enumerate(episode.turns, start=1):
            is_last = step == len(episode.turns) and episode.done
            self._steps.stepped(key, step, turn.call, _shown(turn.result, turn.reward, is_last))
        self._end(key, made)

    def _turn_to(self, key: Key, *, anew: bool = False) -> None:
        """Say of which episode the next lines are; episodes may be played several at a time."""
        if anew or key not in self._begun:
            self._steps.begun(key)
            self._begun.add(key)
        elif key != self._shown:
            self._steps.back_to(key)
        self._shown = key

    def _end(self, key: Key, record: dict[str, Any] | None) -> None:
        self._steps.ended(key, record)
        self._begun.discard(key)
        self._shown = None


def _shown(result: Any, reward: Any, done: Any) -> dict[str, Any]:
    """What of an observation is printed.

    Raises:
        ValueError: If a field is of another type.
    """
    if not (isinstance(result, str) and isinstance(reward, int | float) and isinstance(done, bool)):
        raise ValueError("its result, reward or done is of another type")
    return {"last_action_result": result, "reward": reward, "done": done}
