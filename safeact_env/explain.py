"""What an irreversible mistake would have cost, what told, and what there was to do instead.

Owns the explanation's form. It tells hidden things, so whoever shows it does so after the end only. Must not
know any concrete task: what decides about an action is in the task's table.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from safeact_env.call import Call
from safeact_env.core.action import Action, Params
from safeact_env.core.episode import Episode
from safeact_env.core.report import report
from safeact_env.policies.cues import telling_clauses
from safeact_env.policies.reference import ScriptPolicy, play

__all__ = ["explanation"]

NO_LIMIT = 10_000
"""Steps, for looking on in a copy of the episode."""

FOR_GOOD = re.compile(
    r"\b(for good|nothing|none|never|no command|no operation|bypassed|only grow|gone|given up|stay deleted|"
    r"handed back|cannot|without the trash|not copied|is taken at once|leaves the data nowhere)\b"
)
"""Says in a fixed action's runbook that there is no way back, or where there is none."""

Path = tuple[str, ...]
Cell = tuple[Path, str]
"""The path of a record in `current_state`, and one of its fields."""


def explanation(episode: Episode[Any]) -> dict[str, Any] | None:
    """Explain the mistake that ended an episode; `None` if none did.

    Args:
        episode: A finished episode. It is left alone.

    Returns:
        `step`: number of the step. `would`: the sentence that the action would have answered with. `gone`:
        each field that it would have changed for good, with `path`, `name`, `field`, `was` and `would_be`.
        `runbooks`: that of the action, or of all three look-alikes, with `action`, `text`, the `clauses` in
        it that tell, `read_at` (the step, or `None`) and `works`. `facts`: what decided, with `path`, `name`,
        `field`, `value`, `shown_at` (the step, 0 for the start, or `None`) and `by` (the call that shows it).
        `instead`: the expert's calls about the same thing. `question`: the expert's question about it that
        was approved, and its answer, or `None`. `asked`: what the reviewer would have answered then.

        On the split `test` nothing is told that the episode has not shown: `instead` and `question` are
        `None`, and facts and runbooks that were not read are left out.
    """
    if episode.outcome != "irreversible_mistake":
        return None
    number = len(episode.turns)
    call = episode.turns[-1].call
    seen = _Seen(episode)
    before = seen.before
    action = before.actions[call.action_name]
    params = action.params.parse(
        call.parameters, {**before.state.knowledge.tables, "available_actions": before.actions}
    )
    is_open = episode.split == "train"
    asked = (report(episode)["mistake"] or {})["asked"]
    found: dict[str, Any] = {
        "step": number,
        **_loss(before, action, params),
        "runbooks": list(_runbooks(before, action, seen, is_open=is_open)),
        "facts": list(_facts(before, action, params, seen, is_open=is_open)),
        "instead": None,
        "question": None,
        "asked": asked,
    }
    return {**found, **_experts(episode, action, action.target_of(params))} if is_open else found


class _Seen:
    """When each thing was shown in an episode that ended in a mistake.

    Attributes:
        before: The episode again, just before its last step, with no limit of steps.
        tables: `current_state` at the start, and after each step but the last.
    """

    def __init__(self, episode: Episode[Any]) -> None:
        self.before: Episode[Any] = Episode(
            episode.task, episode.split, episode.seed, variant=episode.variant, max_steps=NO_LIMIT
        )
        self.tables = [self.before.observation()["current_state"]]
        for turn in episode.turns[:-1]:
            self.before.step(turn.call)
            self.tables.append(self.before.observation()["current_state"])

    def runbook(self, name: str) -> int | None:
        """The step at which the runbook of an action was read first."""
        for step, turn in enumerate(self.before.turns, 1):
            if turn.call.action_name == "read_runbook" and turn.call.parameters.get("action_name") == name:
                return step
        return None

    def value(self, path: Path, field: str) -> int | None:
        """The step after which a field was known first, 0 for the start."""
        return next((step for step, one in enumerate(self.tables) if _at(one, path, field) is not None), None)


def _at(tables: Mapping[str, Any], path: Path, field: str) -> Any:
    """A value of `current_state`, `None` where it is not known."""
    node: Any = tables
    for key in path:
        node = node.get(key) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        return None
    # In a record, null is what nobody has looked up; in a table that is shown, it is that there is none.
    return "none" if len(path) == 1 and field in node and node[field] is None else node.get(field)


def _loss(before: Episode[Any], action: Action[Any], params: Params) -> dict[str, Any]:
    """What the action would have done, tried on a copy."""
    state = copy.deepcopy(before.state)
    was = copy.deepcopy(state.knowledge.tables)
    would = action.effect(state, params)
    gone = [
        {"path": list(path[:-1]), "name": _named(path[:-1]), "field": path[-1], "was": old, "would_be": new}
        for path, old, new in _changes(was, state.knowledge.tables)
    ]
    former = {"path": ["upkeep"], "name": "the former version", "field": "former", "was": "kept"}
    return {"would": would, "gone": [{**former, "would_be": "gone"}] if action.lookalike else gone}


def _changes(was: Any, now: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """The leaves that differ, by path."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in now:
            yield from _changes(was.get(key), now[key], (*path, key))
    elif was != now and was is not None:
        yield path, was, now


def _named(path: Path) -> str:
    """A record in words: the keys of its path that are names."""
    return ", ".join(path[1::2]) or path[0]


def _place(action: Action[Any], params: Params, tables: Mapping[str, Any]) -> Path | None:
    """Where the record stands that a call is about; `None` if its target has none."""
    given = params.model_dump()
    found: Path | None = None
    for name in action.target_params:
        source = action.params.sources.get(name)
        for text in source.paths if source else ():
            path: Path = tuple(given[part[1:-1]] if part[0] == "{" else part for part in text.split("."))
            if isinstance(_at(tables, path, given[name]), Mapping):
                found = (*path, given[name])
    return found


def _facts(
    before: Episode[Any], action: Action[Any], params: Params, seen: _Seen, *, is_open: bool
) -> Iterator[dict[str, Any]]:
    """What decided, whether it was shown or not."""
    place = _place(action, params, before.state.knowledge.tables)
    # Parts of the state are named with a dot, fields of the record without.
    wanted = [tuple(field.split(".")) for field in before.task.tells.get(action.name, ())]
    paths: list[Cell] = [(one[:-1] or place, one[-1]) for one in wanted if place]
    by = _shown_by(before, paths) if is_open else {}
    for path, field in paths:
        step = seen.value(path, field)
        call, value = by.get((path, field), (None, None))
        if step is not None:
            call = before.turns[step - 1].call if step else None
            value = _at(seen.tables[-1], path, field)
        if value is not None:
            yield {
                "path": list(path),
                "name": _named(path),
                "field": field,
                "value": value,
                "shown_at": step,
                "by": call.to_json() if call else None,
            }


def _shown_by(before: Episode[Any], paths: list[Cell]) -> dict[Cell, tuple[Call, Any]]:
    """For each field that is not known yet, the call that shows it, and its value."""
    looking = copy.deepcopy(before)
    task = looking.task
    desk = ScriptPolicy(task, looking.seed)
    found: dict[Cell, tuple[Call, Any]] = {}
    script = task.playbook.look(desk, looking.observation())
    missing = {one for one in paths if _at(looking.state.knowledge.tables, *one) is None}
    try:
        move = next(script)
        while missing:
            looking.step(move.call())
            for one in list(missing):
                if (value := _at(looking.state.knowledge.tables, *one)) is not None:
                    found[one] = (move.call(), value)
                    missing.discard(one)
            move = script.send(looking.observation())
    except StopIteration:
        pass
    return found


def _runbooks(
    before: Episode[Any], action: Action[Any], seen: _Seen, *, is_open: bool
) -> Iterator[dict[str, Any]]:
    """The runbook of a fixed action, or those of all look-alikes."""
    upkeep = before.state.upkeep
    names = sorted(upkeep.runbooks) if action.lookalike else [action.name]
    for name in names:
        read_at = seen.runbook(name)
        if not is_open and read_at is None and name != action.name:
            continue
        text = upkeep.runbooks.get(name) or before.task.text.runbooks[name]
        yield {
            "action": name,
            "text": text,
            "clauses": telling_clauses(text) if action.lookalike else _for_good(text),
            "read_at": read_at,
            "works": name == upkeep.working if action.lookalike else None,
        }


def _for_good(text: str) -> list[str]:
    """The sentences that say that there is no way back."""
    return [sentence for sentence in re.split(r"(?<=\.) ", text) if FOR_GOOD.search(sentence)]


def _experts(episode: Episode[Any], action: Action[Any], target: tuple[str, ...]) -> dict[str, Any]:
    """What the expert does about the same thing, and the question that it is granted."""
    way = play(episode.task, "train", episode.seed, "expert", variant=episode.variant)
    names = set(way.state.upkeep.runbooks)
    ask = episode.task.escalation.name

    def concerns(parameters: Mapping[str, Any], name: str) -> bool:
        if action.lookalike:
            return name in names or parameters.get("action_name") in names
        return bool(target) and set(target) <= {str(value) for value in parameters.values()}

    about = [turn for turn in way.turns if concerns(turn.call.parameters, turn.call.action_name)]
    granted = [
        turn
        for turn in about
        if turn.call.action_name == ask
        and turn.result.startswith("Approved")
        # Where a task has one thing only to ask about, a question need not name it.
        and turn.call.parameters.get("action_being_considered", action.name) == action.name
    ]
    return {
        "instead": [turn.call.to_json() for turn in about],
        "question": {"call": granted[0].call.to_json(), "answer": granted[0].result} if granted else None,
    }
