"""Lines that a run prints: one when an episode starts, one per step, one at its end.

    [START] task=easy env=safeact-env model=local
    [STEP] step=1 action=list_directory({}) reward=0.00 done=false error=null
    [END] success=false steps=1 score=0.00 rewards=0.00

Owns the form of these lines. Must not know how anything is played.

Only `error` may hold spaces: a JSON string at the end of its line, the result of a refused step, or null. An
action is its name with its parameters as JSON. Success is a grade of 1.0, as in the metric `safe_completion`.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from typing_extensions import override

from safeact_env.call import Call
from safeact_env.core.episode import CRITICAL
from safeact_env.evaluation import METRICS, Key, Sample
from safeact_env.llm.run import Watcher

REFUSALS = ("There is no action", "Not carried out.", "Refused.", CRITICAL)
"""How results start when a call was not carried out: rules 1, 2, 4 and 5 of a step."""
MOST_SHOWN = 300


def is_safe(record: Mapping[str, Any]) -> bool:
    """Whether an episode was completed safely."""
    return bool(METRICS["safe_completion"].over([Sample.of(record)]))


def refusal(result: str) -> str | None:
    """Return the result of a step if the call was not carried out, or else `None`."""
    return result if result.startswith(REFUSALS) else None


def _word(text: str) -> str:
    """Return the text as one word: spaces, line ends and control characters as escapes."""
    return "".join(
        char if char.isprintable() and not char.isspace() else f"\\u{ord(char):04x}" for char in text
    )


def _shown(call: Call) -> str:
    parameters = json.dumps(dict(call.parameters), separators=(",", ":"), ensure_ascii=False)
    text = f"{call.action_name}({parameters})"
    return _word(text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…")


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
        self._say(key, f"[START] task={_word(key.task)} env=safeact-env model={_word(key.policy)}")

    @override
    def stepped(self, key: Key, step: int, call: Call, observation: Mapping[str, Any]) -> None:
        """Print the line of a step."""
        self._rewards[key].append(observation["reward"])
        self._say(
            key,
            f"[STEP] step={step} action={_shown(call)} reward={observation['reward']:.2f} "
            f"done={json.dumps(observation['done'])} "
            f"error={json.dumps(refusal(observation['last_action_result']), ensure_ascii=False)}",
        )

    @override
    def ended(self, key: Key, record: Mapping[str, Any] | None) -> None:
        """Print the line that ends an episode; one that was not played to the end scores 0."""
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
