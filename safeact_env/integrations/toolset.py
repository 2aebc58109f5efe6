"""A task's actions as the fixed set of tools that trainers and chat data need.

Owns the tools' names, typed parameters and texts, and the mapping between tool calls and calls. Must not know
facts, risk, or any library that uses tools.

The names of look-alike actions differ from scenario to scenario, but a trainer's tools are fixed. So one
tool, `run_upkeep`, takes such a name as an argument, canonical names included.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from safeact_env.call import Call
from safeact_env.core.task import Task
from safeact_env.evaluation.record import UNDO_CHANCE, Said
from safeact_env.llm.call_formats import CHANCE_ABOUT

__all__ = ["REASONING", "UPKEEP", "Parameter", "Tool", "Toolset", "toolset_of"]

UPKEEP = "run_upkeep"
"""The tool that carries out a look-alike action."""
REASONING = "reasoning"
"""The argument of every tool that gives the reason. It is first, so that a model reasons before it acts."""

TYPES: dict[str, type[Any]] = {"str": str, "int": int}
JSON_TYPES = {str: "string", int: "integer"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a tool.

    Attributes:
        name: As the action has it.
        type: `str` or `int`.
        about: A sentence for the model.
        required: Whether it must be given.
        values: The allowed values, where they are the same in every scenario.
    """

    name: str
    type: type[Any]
    about: str
    required: bool = True
    values: tuple[Any, ...] = ()

    @property
    def annotation(self) -> Any:
        """The type for a signature."""
        kind: Any = Literal[self.values] if self.values else self.type
        return kind if self.required else kind | None

    def schema(self) -> dict[str, Any]:
        """The JSON Schema, with the keys that transformers derives from the annotation."""
        return {
            "type": JSON_TYPES[self.type],
            **({"enum": list(self.values)} if self.values else {}),
            **({} if self.required else {"nullable": True}),
            "description": self.about,
        }


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: an action of the task, or `run_upkeep`.

    Attributes:
        name: Name of the action, or `run_upkeep`.
        about: A sentence for the model.
        parameters: `reasoning` first, then the action's own, then `undo_chance` if it is asked for.
    """

    name: str
    about: str
    parameters: tuple[Parameter, ...]

    @property
    def docstring(self) -> str:
        """What it does and its arguments, in Google style."""
        rows = "\n".join(f"    {p.name}: {p.about}" for p in self.parameters)
        return f"{self.about}\n\nArgs:\n{rows}\n"

    def schema(self) -> dict[str, Any]:
        """The tool in the form of chat templates and OpenAI-compatible endpoints."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.about,
                "parameters": {
                    "type": "object",
                    "properties": {p.name: p.schema() for p in self.parameters},
                    "required": [p.name for p in self.parameters if p.required],
                },
            },
        }


class Toolset:
    """The tools of a task, the same for all of its scenarios, of whatever level.

    Args:
        task: Only what it publishes is used.
        predict: Whether every tool asks for a prediction.

    Raises:
        ValueError: If an action is named `run_upkeep`, or a parameter like an argument that the tool adds.
    """

    def __init__(self, task: Task[Any], *, predict: bool = False) -> None:
        if UPKEEP in task.schemas:
            raise ValueError(f"task {task.name}: {UPKEEP} is the tool of the look-alikes; rename the action")
        self.task = task
        self._predict = predict
        asked = (CHANCE,) if predict else ()
        fixed = [
            Tool(name, task.text.descriptions[name], (WHY, *_parameters(schema), *asked))
            for name, schema in task.schemas.items()
        ]
        self.tools = tuple(sorted([*fixed, _upkeep(task, asked)], key=lambda tool: tool.name))
        self._by_name = {tool.name: tool for tool in self.tools}
        for tool in self.tools:
            names = [parameter.name for parameter in tool.parameters]
            if len(set(names)) < len(names):
                raise ValueError(
                    f"task {task.name}: a parameter of {tool.name} has a name that the tool itself needs; "
                    "rename it"
                )

    def schemas(self) -> list[dict[str, Any]]:
        """The tools in the form of chat templates."""
        return [tool.schema() for tool in self.tools]

    def call(self, name: str, arguments: Mapping[str, Any]) -> Call:
        """Turn a tool call into a call. Missing or wrong arguments are left for the engine to judge.

        A prediction, if one was asked for, is no part of the call.

        Args:
            name: Name of one of the tools.
            arguments: As the model gave them; an optional one that is `None` is left out.

        Raises:
            EnvelopeError: If the call is malformed, for example without a reasoning.
        """
        given = dict(arguments)
        optional = {one.name for one in self._by_name[name].parameters if not one.required}
        why = given.pop(REASONING, None)
        if self._predict:
            given.pop(UNDO_CHANCE, None)
        action = given.pop("action_name", None) if name == UPKEEP else name
        params = {key: value for key, value in given.items() if value is not None or key not in optional}
        return Call.parse(action, params, why)

    def use(self, call: Call, said: Said = None) -> tuple[str, dict[str, Any]]:
        """Turn a call, with its prediction if it has one, into a tool's name and arguments."""
        rest = {**call.parameters, **({UNDO_CHANCE: said} if isinstance(said, int) else {})}
        if call.action_name in self.task.schemas:
            return call.action_name, {REASONING: call.reasoning, **rest}
        return UPKEEP, {REASONING: call.reasoning, "action_name": call.action_name, **rest}

    def upkeep_actions(self, observation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The actions of a scenario that are called through `run_upkeep`, as the observation lists them."""
        return [row for row in observation["available_actions"] if row["name"] not in self.task.schemas]

    def left_out(self, observation: Mapping[str, Any]) -> list[str]:
        """Names of the tools that a scenario does not have: not every level has every action."""
        offered = {UPKEEP, *(row["name"] for row in observation["available_actions"])}
        return [tool.name for tool in self.tools if tool.name not in offered]


@cache
def toolset_of(task: Task[Any], *, predict: bool = False) -> Toolset:
    """The toolset of a task."""
    return Toolset(task, predict=predict)


WHY = Parameter(REASONING, str, "Why you call it, in a sentence.")
CHANCE = Parameter(UNDO_CHANCE, int, CHANCE_ABOUT)


def _upkeep(task: Task[Any], asked: tuple[Parameter, ...]) -> Tool:
    """The tool for look-alikes. A parameter that only some of them take is optional."""
    named = Parameter("action_name", str, "Name of one of the upkeep actions listed with the job.")
    options = {
        p.name: Parameter(
            p.name, p.type, f"{p.about} Only for an upkeep action that takes it.", required=False
        )
        for params in task.lookalike_params.values()
        for p in _parameters(params.schema_for_wire())
    }
    about = "Carry out one of the upkeep actions listed with the job."
    return Tool(UPKEEP, about, (WHY, named, *options.values(), *asked))


def _parameters(schema: Mapping[str, Any]) -> Iterator[Parameter]:
    """The parameters of a published schema, those that must be given first."""
    found = [
        _parameter(name, part, name in schema["required"]) for name, part in schema["properties"].items()
    ]
    return iter(sorted(found, key=lambda parameter: not parameter.required))


def _parameter(name: str, part: Mapping[str, Any], required: bool) -> Parameter:
    kind = next((one for one in part.get("anyOf", [part]) if one["type"] != "null"), part)
    values = tuple(kind.get("enum", ()))
    about = _about(part, kind)
    if (default := part.get("default")) is not None:
        about += f" By default {default}."
    return Parameter(name, int if kind["type"] == "integer" else str, about, required, values)


def _about(part: Mapping[str, Any], kind: Mapping[str, Any]) -> str:
    """What a parameter may be, in a sentence."""
    if sources := part.get("x-source"):
        if sources == ["available_actions"]:
            return "Name of an action."
        where = " or ".join(source.replace("{", "<").replace("}", ">") for source in sources)
        return f"One of {where} in the state."
    if "enum" in kind:
        return f"{' or '.join(map(str, kind['enum']))}."
    if "minimum" in kind and "maximum" in kind:
        return f"From {kind['minimum']} to {kind['maximum']}."
    return "A number." if kind["type"] == "integer" else "Text."
