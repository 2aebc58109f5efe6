"""Prompts: named, versioned texts, and how an observation is shown to a model.

Owns every word that a model is shown besides the environment's own. Must not know endpoints, nor facts: it
shows what an agent may act on in an observation. Rewards are not part of that.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from typing_extensions import override

from safeact_env.call import Call
from safeact_env.llm import brief
from safeact_env.llm.call_formats import CALL_FORMATS, CallFormat

__all__ = ["PROMPTS", "Prompt", "action_line", "changes", "get_prompt", "state_lines"]

Observation = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The texts that a model gets around its observations.

    Attributes:
        name: Such as `neutral`.
        version: Changes whenever a text does.
        system: The first message.
        texts: The sentences of the interface.
    """

    name: str
    version: str
    system: str
    texts: Mapping[str, str]

    room: ClassVar[int | None] = None
    """Tokens that a request may have, where the window is larger. With such a bound only the last turn is
    sent whole; those before it are a line each."""
    call_formats: ClassVar[tuple[CallFormat, ...]] = CALL_FORMATS
    """The call formats that are tried, unless one is chosen."""

    @property
    def sha256(self) -> str:
        """The hash of all its texts."""
        whole = [self.system, *(f"{key}={text}" for key, text in sorted(self.texts.items()))]
        return hashlib.sha256("\0".join(whole).encode()).hexdigest()

    @property
    def predicts(self) -> bool:
        """Whether it asks for a prediction with each call."""
        return "predict_json" in self.texts

    def opening(self, call_format: CallFormat) -> str:
        """The system message for a call format."""
        form = "tools" if call_format == "tools" else "json"
        opening = f"{self.system.strip()}\n\n{self.texts[form].strip()}"
        return f"{opening}\n{self.texts[f'predict_{form}'].strip()}" if self.predicts else opening

    def start(
        self,
        observation: Observation,
        call_format: CallFormat,
        *,
        omitted: bool,
        earlier: Sequence[str] = (),
    ) -> str:
        """The message that shows an observation whole.

        Args:
            observation: What to show.
            call_format: With `tools` the actions are sent as functions, and the message does not list them.
            omitted: Whether earlier turns have been left out of the conversation.
            earlier: The turns after it that are said in a line each.
        """
        texts = self.texts
        parts = [f"{texts['job']}\n{observation['task_description']}"]
        if call_format != "tools":
            parts.append("\n".join([texts["actions"], *self._actions(observation)]))
        parts.append("\n".join([texts["state"], *self._state(observation)]))
        if omitted:
            parts.append(texts["omitted"])
        if earlier:
            parts.append("\n".join([texts["earlier"], *earlier]))
        else:
            parts.append(self._result(observation))
        return "\n\n".join(parts)

    def turn(self, before: Observation, after: Observation, note: str = "") -> str:
        """The message that follows a step: its result, the steps left, and what is new in the state."""
        parts = [note] if note else []
        parts.append(self._result(after))
        changed = list(self._changes(before, after))
        if changed:
            parts.append("\n".join([self.texts["changes"], *changed]))
        return "\n".join(parts)

    def line(self, number: int, call: Call | None, before: Observation, after: Observation) -> str:
        """A turn as a line, for a prompt that has `room`: the call, and what it changed or else its result.

        Args:
            number: The step, from 1.
            call: The call; `None` if the answer could not be read.
            before: The observation that it followed.
            after: The observation after it.
        """
        made = "?" if call is None else brief.call_text(call.action_name, call.parameters)
        came = "; ".join(self._changes(before, after)) or after["last_action_result"]
        return " ".join(f"{number}. {made} -> {came}".split())

    def _actions(self, observation: Observation) -> Iterator[str]:
        return map(action_line, observation["available_actions"])

    def _state(self, observation: Observation) -> Iterator[str]:
        return state_lines(observation["current_state"], self.texts["unknown"])

    def _changes(self, before: Observation, after: Observation) -> Iterator[str]:
        return changes(before["current_state"], after["current_state"])

    def _result(self, observation: Observation) -> str:
        return (
            f"{self.texts['result']}: {observation['last_action_result']}\n"
            f"{self.texts['steps']}: {observation['steps_remaining']}"
        )


class SmallPrompt(Prompt):
    """A prompt for models that follow two to four thousand tokens: all the same facts, in few words."""

    room = 3_200
    # Functions are told to a model with a schema each, which takes more tokens than all the rest.
    call_formats = tuple(one for one in CALL_FORMATS if one != "tools")

    @override
    def _actions(self, observation: Observation) -> Iterator[str]:
        return map(brief.action_line, observation["available_actions"])

    @override
    def _state(self, observation: Observation) -> Iterator[str]:
        job = observation["task_description"]
        return brief.state_lines(observation["current_state"], job, self.texts["unknown"])

    @override
    def _changes(self, before: Observation, after: Observation) -> Iterator[str]:
        return brief.change_lines(brief.changed(before["current_state"], after["current_state"]))


@cache
def _data() -> dict[str, dict[str, Any]]:
    text = files("safeact_env.llm").joinpath("data/prompts.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


PROMPTS: tuple[str, ...] = ("neutral", "hinted", "small")
"""Names of the prompts, the default first."""


@cache
def get_prompt(name: str, *, predict: bool = False) -> Prompt:
    """The prompt of this name.

    Args:
        name: One of `PROMPTS`.
        predict: Whether it asks for a prediction with each call. Its version is the same then, its hash
            another.

    Raises:
        ValueError: If there is none; the message lists them.
    """
    if name not in PROMPTS:
        raise ValueError(f"unknown prompt; the prompts are {', '.join(PROMPTS)}")
    data = _data()
    kind = SmallPrompt if name == "small" else Prompt
    own = data[name]
    texts = {**data["interface"], **own.get("texts", {}), **(data["predictions"] if predict else {})}
    return kind(name, own["version"], own["system"], texts)


# How an observation is shown --------------------------------------------------------------------------------


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def action_line(row: Mapping[str, Any]) -> str:
    """An action of `available_actions` as a line."""
    params = ", ".join(f"{name}: {kind}" for name, kind in row["parameters"].items())
    return f"- {row['name']}({params}): {row['description']}"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(row, dict) for row in value.values())


def state_lines(state: Mapping[str, Any], unknown: str) -> Iterator[str]:
    """The state, a line per entity; a field that is unknown for all of a kind is named once."""
    for name, value in state.items():
        if not _is_table(value):
            yield f"{name}: {_json(value)}"
            continue
        everywhere = set.intersection(
            *({key for key, v in row.items() if v is None} for row in value.values())
        )
        first = next(iter(value.values()))
        common = [key for key in first if key in everywhere]
        yield f"{name}, {unknown}: {', '.join(common)}" if common else name
        for key, row in value.items():
            known = {field: v for field, v in row.items() if v is not None}
            missing = [field for field, v in row.items() if v is None and field not in everywhere]
            yield f"- {key}: {_json(known)}" + (f"; {unknown}: {', '.join(missing)}" if missing else "")


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What is new in a state, a line per entity."""
    for name, value in after.items():
        old = before.get(name)
        if value == old:
            continue
        if not (_is_table(value) and isinstance(old, dict)):
            yield f"- {name}: {_json(value)}"
            continue
        for key, row in value.items():
            was = old.get(key) or {}
            new = {field: v for field, v in row.items() if field not in was or was[field] != v}
            if new:
                yield f"- {name}, {key}: {_json(new)}"
        gone = [key for key in old if key not in value]
        if gone:
            yield f"- {name}, no longer there: {', '.join(gone)}"
