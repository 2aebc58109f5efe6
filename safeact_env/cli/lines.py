"""Lines that a run prints: one when an episode starts, one per step, one at its end.

For programs:

    [START] task=easy env=safeact-env model=local
    [STEP] step=1 action=list_directory({}) reward=0.00 done=false error=null
    [END] success=false steps=1 score=0.00 rewards=0.00

Owns the form of these lines. Must not know how anything is played.

Spaces stand only where they cannot be taken for the end of a value: in the model, which ends its line; in an
action, which is its name (as JSON, unless it is one word) with its parameters as one JSON object; in `error`,
which is JSON and ends its line: the result of a refused step, or null. Of parameters that are too long each
text is cut, and the object stays whole. Success is a grade of 1.0, as in the metric `safe_completion`.
People, on a terminal, get the same as text, with a bar for the sum of the rewards.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.cells import cell_len, set_cell_size
from typing_extensions import override

from safeact_env.call import Call
from safeact_env.cli.screen import called
from safeact_env.core.episode import CRITICAL
from safeact_env.evaluation import METRICS, Key, Sample
from safeact_env.llm.run import Watcher

REFUSALS = ("There is no action", "Not carried out.", "Refused.", CRITICAL)
"""How results start when a call was not carried out: rules 1, 2, 4 and 5 of a step."""
MOST_SHOWN, MOST_OF_A_VALUE = 300, 100
BAR = 10
"""Cells of a bar. It is full at a sum of rewards of 1, the most there is, and empty at 0 and below."""
CALLED, CALLED_NARROW, ROOMY = 0.45, 0.65, 90
"""Share of the columns that a step's call takes, beside its sentence: the first from so many columns on."""


def is_safe(record: Mapping[str, Any]) -> bool:
    """Whether an episode was completed safely."""
    return bool(METRICS["safe_completion"].over([Sample.of(record)]))


def refusal(result: str) -> str | None:
    """Return the result of a step if the call was not carried out, or else `None`."""
    return result if result.startswith(REFUSALS) else None


def _line(text: str) -> str:
    """Return the text on one line: line ends and control characters as the escapes of JSON."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _json(value: Any) -> str:
    return _line(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def _shown(call: Call) -> str:
    name, parameters = _short(call.action_name), _json(dict(call.parameters))
    if len(parameters) > MOST_SHOWN:
        parameters = _json({_short(key): _short(value) for key, value in call.parameters.items()})
    return f"{name if name.isidentifier() else _json(name)}({parameters})"


def _short(value: Any) -> Any:
    """A value, or the beginning of one that is long."""
    text = value if isinstance(value, str) else _json(value)
    return value if len(text) <= MOST_OF_A_VALUE else f"{text[: MOST_OF_A_VALUE - 1]}…"


class Lines(Watcher):
    """Prints the lines: at once if one episode is played at a time, or else when the episode ends.

    Args:
        live: Whether one episode is played at a time.
        stream: Where to print; by default the current standard output.
    """

    def __init__(self, *, live: bool, stream: TextIO | None = None) -> None:
        self._live = live
        self._stream = stream
        self._kept: dict[Key, list[str]] = {}
        self._rewards: dict[Key, list[float]] = {}

    @override
    def begun(self, key: Key) -> None:
        """Print the line that starts an episode."""
        self._kept[key], self._rewards[key] = [], []
        self._say(key, self._start(key))

    @override
    def stepped(self, key: Key, step: int, call: Call, observation: Mapping[str, Any]) -> None:
        """Print the line of a step."""
        self._rewards[key].append(observation["reward"])
        self._say(key, self._step(step, call, observation, sum(self._rewards[key])))

    @override
    def ended(self, key: Key, record: Mapping[str, Any] | None) -> None:
        """Print the line that ends an episode; one that was not played to the end scores 0."""
        self._say(key, self._end(record, self._rewards.pop(key)))
        kept = self._kept.pop(key)
        if kept:
            self._print("\n".join(kept))

    def _start(self, key: Key) -> str:
        return f"[START] task={key.task} env=safeact-env model={_line(key.policy)}"

    def _step(self, step: int, call: Call, observation: Mapping[str, Any], total: float) -> str:
        return (
            f"[STEP] step={step} action={_shown(call)} reward={observation['reward']:.2f} "
            f"done={json.dumps(observation['done'])} "
            f"error={_json(refusal(observation['last_action_result']))}"
        )

    def _end(self, record: Mapping[str, Any] | None, rewards: Sequence[float]) -> str:
        success = record is not None and is_safe(record)
        score = record["score"] if record is not None else 0.0
        return (
            f"[END] success={json.dumps(success)} steps={len(rewards)} score={score:.2f} "
            f"rewards={','.join(f'{reward:.2f}' for reward in rewards)}"
        )

    def _say(self, key: Key, line: str) -> None:
        if self._live:
            self._print(line)
        else:
            self._kept[key].append(line)

    def _print(self, text: str) -> None:
        print(text, file=self._stream or sys.stdout, flush=True)


class Steps(Lines):
    """Prints the same for a person: what was done, on what, the sentence that answered, and a bar."""

    def back_to(self, key: Key) -> None:
        """Name an episode that has begun, after lines of another one."""
        self._print(self._start(key))

    @override
    def _start(self, key: Key) -> str:
        return clean(f"{key.place}, split {key.split}: {key.policy}")

    @override
    def _step(self, step: int, call: Call, observation: Mapping[str, Any], total: float) -> str:
        bar = f" {self._bar(total)} {total:5.2f}"
        room = shutil.get_terminal_size().columns - 1 - cell_len(bar)
        share = int(room * (CALLED if room >= ROOMY else CALLED_NARROW))
        name, _, target = clean(called(call.to_json()).plain).partition(" ")
        name = _cut(f"{step:>3} {name}", share - 1)
        # Of a long target its end tells more than its start.
        target = _cut(target[::-1], max(share - cell_len(name) - 1, 1))[::-1]
        said = _cut(clean(observation["last_action_result"]), max(room - share - 2, 1))
        done = set_cell_size(f"{name} {target}", share)
        return f"{set_cell_size(f'{done}  {said}', room)}{bar}"

    @override
    def _end(self, record: Mapping[str, Any] | None, rewards: Sequence[float]) -> str:
        if record is None:
            return f"    Not played to its end; {len(rewards)} steps were taken.\n"
        how = "Completed safely" if is_safe(record) else "Not completed"
        return f"    {how}: grade {record['score']:.2f} after {len(rewards)} steps.\n"

    def _bar(self, total: float) -> str:
        full = round(min(max(total, 0.0), 1.0) * BAR)
        try:
            "█░".encode((self._stream or sys.stdout).encoding or "ascii")
        except UnicodeEncodeError:
            return "#" * full + "." * (BAR - full)
        return "█" * full + "░" * (BAR - full)


def clean(text: str) -> str:
    """Return the text on one line, without characters that a terminal would obey."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _cut(text: str, most: int) -> str:
    """Return at most so many columns of a text."""
    return text if cell_len(text) <= most else f"{set_cell_size(text, max(most - 1, 0)).rstrip()}…"
