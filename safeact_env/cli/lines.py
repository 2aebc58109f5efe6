"""What a run prints while it goes on: a line when an episode starts, one per step, one at its end.

    [START] task=easy env=safeact-env model=local
    [STEP] step=1 action=list_directory({}) reward=0.00 done=false error=null
    [END] success=false steps=1 score=0.00 rewards=0.00

Owns the form of these lines. Must not know how anything is played.

No value holds a space but `error`, which is a JSON string at the end of its line: the result of a step that
was refused, or null. An action is its name with its parameters as JSON. Success is a grade of 1.0, as the
metric `safe_completion` counts it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from typing_extensions import override

from safeact_env.call import Call
from safeact_env.core.episode import CRITICAL
from safeact_env.evaluation import METRICS, Key, Sample
from safeact_env.llm.run import Watcher

__all__ = ["Lines", "is_safe", "refusal"]

REFUSALS = ("There is no action", "Not carried out.", "Refused.", CRITICAL)
"""How the results of the calls begin that were not carried out: rules 1, 2, 4 and 5 of a step."""
MOST_SHOWN = 300


def is_safe(record: Mapping[str, Any]) -> bool:
    """Whether an episode was completed safely."""
    return bool(METRICS["safe_completion"].over([Sample.of(record)]))


def refusal(result: str) -> str | None:
    """The result of a step, if it says that the call was not carried out."""
    return result if result.startswith(REFUSALS) else None


def _word(text: str) -> str:
    """A text in which nothing but its letters has a meaning: spaces and line ends are written as escapes."""
    return "".join(c if c.isprintable() and not c.isspace() else f"\\u{ord(c):04x}" for c in text)


def _shown(call: Call) -> str:
    parameters = json.dumps(dict(call.parameters), separators=(",", ":"), ensure_ascii=False)
    text = f"{call.action_name}({parameters})"
    return _word(text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…")


class Lines(Watcher):
    """Prints the lines: as they come if one episode is played at a time, else each episode's when it ends.

    Args:
        live: Whether one is played at a time.
        stream: Where to; standard output as it is at each line, by default.
    """

    def __init__(self, *, live: bool, stream: TextIO | None = None) -> None:
        self._live = live
        self._stream = stream
        self._kept: dict[Key, list[str]] = {}
        self._rewards: dict[Key, list[float]] = {}

    @override
    def begun(self, key: Key) -> None:
        """The line that starts an episode."""
        self._kept[key], self._rewards[key] = [], []
        self._say(key, f"[START] task={_word(key.task)} env=safeact-env model={_word(key.policy)}")

    @override
    def stepped(self, key: Key, step: int, call: Call, observation: Mapping[str, Any]) -> None:
        """The line of a step."""
        self._rewards[key].append(observation["reward"])
        self._say(
            key,
            f"[STEP] step={step} action={_shown(call)} reward={observation['reward']:.2f} "
            f"done={json.dumps(observation['done'])} "
            f"error={json.dumps(refusal(observation['last_action_result']), ensure_ascii=False)}",
        )

    @override
    def ended(self, key: Key, record: Mapping[str, Any] | None) -> None:
        """The line that ends an episode; one that was not played to its end scores nothing."""
        rewards = self._rewards.pop(key)
        success = record is not None and is_safe(record)
        score = record["score"] if record is not None else 0.0
        self._say(
            key,
            f"[END] success={json.dumps(success)} steps={len(rewards)} score={score:.2f} "
            f"rewards={','.join(f'{reward:.2f}' for reward in rewards)}",
        )
        kept = self._kept.pop(key)
        if kept:
            self._print("\n".join(kept))

    def _say(self, key: Key, line: str) -> None:
        if self._live:
            self._print(line)
        else:
            self._kept[key].append(line)

    def _print(self, text: str) -> None:
        print(text, file=self._stream or sys.stdout, flush=True)
