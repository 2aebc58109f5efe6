"""Well-formed calls, from what is public: an observation and the task's published action schemas.

Owns how parameters are filled. Must not know facts, risk, or any concrete task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from safeact_env.core.action import Source
from safeact_env.core.playbook import Move, Observation

__all__ = [
    "Listed",
    "Pick",
    "Schemas",
    "choices",
    "choices_in",
    "every_call",
    "every_call_in",
    "filled",
    "lookalike_names",
    "parameters_of",
    "question",
    "question_among",
    "random_call",
    "view_of",
]

Schemas = Mapping[str, Mapping[str, Any]]
"""JSON Schema of the parameters of each fixed action, by name."""

Listed = Mapping[str, Mapping[str, str]]
"""Parameters with their types of each action of an observation's list, by name."""

Pick = Callable[[list[Any]], Any]
"""Picks one of a list of options."""

UNTARGETED = frozenset({"read_runbook", "finish"})


def parameters_of(obs: Observation) -> Listed:
    """What each action of the list takes, by its name, in listed order."""
    return {row["name"]: row["parameters"] for row in obs["available_actions"]}


def lookalike_names(obs: Observation, schemas: Schemas) -> list[str]:
    """The episode's actions outside the task's fixed list."""
    return [row["name"] for row in obs["available_actions"] if row["name"] not in schemas]


def choices(obs: Observation, schema: Mapping[str, Any], given: Mapping[str, Any]) -> list[Any]:
    """The values to choose from for one parameter: listed in the state, enumerated, or examples.

    An integer without examples offers its bounds. Text in braces in an example is an earlier parameter.
    """
    return choices_in(view_of(obs), schema, given)


def view_of(obs: Observation) -> dict[str, Any]:
    """The tables that list what calls can name, the parameters of the listed actions among them."""
    return {**obs["current_state"], "available_actions": parameters_of(obs)}


def choices_in(view: Mapping[str, Any], schema: Mapping[str, Any], given: Mapping[str, Any]) -> list[Any]:
    """The same values, where the tables that list them are at hand."""
    if "x-source" in schema:
        return Source(*schema["x-source"]).values(view, given)
    if "enum" in schema:
        return list(schema["enum"])
    if "anyOf" in schema:
        return choices_in(view, {**schema["anyOf"][0], **schema}, given) if "examples" in schema else [None]
    if "examples" in schema:
        return [text.format(**given) if isinstance(text, str) else text for text in schema["examples"]]
    if schema.get("type") == "integer":
        return [schema.get("minimum", 0), schema.get("maximum", 1000)]
    return ["as the job requires"]


def random_call(obs: Observation, schemas: Schemas, ask_action: str, pick: Pick) -> Move:
    """A well-formed call: an action drawn uniformly, then each parameter from its choices."""
    names = [row["name"] for row in obs["available_actions"]]
    name = pick(names)
    if name != ask_action:
        return filled(obs, schemas, name, pick)
    considered = pick(names)
    about = Move(considered) if considered == ask_action else filled(obs, schemas, considered, pick)
    return question(obs, ask_action, about)


def filled(obs: Observation, schemas: Schemas, name: str, pick: Pick) -> Move:
    """A call of this action, each parameter picked from its choices in turn."""
    types = next(row["parameters"] for row in obs["available_actions"] if row["name"] == name)
    given: dict[str, Any] = {}
    view = view_of(obs) if types else {}
    for param in types:
        options = choices_in(view, _schema_of(schemas, name, param), given)
        given[param] = pick(options) if options else "nothing"
    return Move(name, {key: value for key, value in given.items() if value is not None})


def every_call(obs: Observation, schemas: Schemas, name: str) -> list[Move]:
    """Every well-formed call of this action, in listed order."""
    return every_call_in(view_of(obs), schemas, name)


def every_call_in(view: Mapping[str, Any], schemas: Schemas, name: str) -> list[Move]:
    """The same calls, where the view of an observation is at hand."""
    calls: list[dict[str, Any]] = [{}]
    for param in view["available_actions"][name]:
        schema = _schema_of(schemas, name, param)
        calls = [{**given, param: value} for given in calls for value in choices_in(view, schema, given)]
    return [Move(name, {k: v for k, v in given.items() if v is not None}) for given in calls]


def _schema_of(schemas: Schemas, name: str, param: str) -> Mapping[str, Any]:
    # A look-alike's schema is not published; a parameter of the same name elsewhere means the same thing.
    for schema in (schemas.get(name), *schemas.values()):
        if schema is not None and param in schema.get("properties", {}):
            found: Mapping[str, Any] = schema["properties"][param]
            return found
    return {}


def question(obs: Observation, ask_action: str, move: Move) -> Move:
    """The question whether a move may be made, in the form the task's escalation takes."""
    return question_among(parameters_of(obs), ask_action, move)


def question_among(listed: Listed, ask_action: str, move: Move) -> Move:
    """The same question, where the parameters of the listed actions are at hand."""
    takes = listed[ask_action]
    params: dict[str, Any] = {"reason": move.why, "action_being_considered": move.name}
    if move.name not in UNTARGETED and move.name != ask_action:
        own = listed[move.name]
        if "target" in takes:
            if own:
                params["target"] = move.params[next(iter(own))]
        else:
            params |= {name: move.params[name] for name in own if name in takes}
    return Move(ask_action, params, f"May I call {move.name}?", "ask")
