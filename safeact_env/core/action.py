"""Actions as rows of a table: parameters, hidden risk, prerequisites, gate, effect.

Owns what an action is. Must not know when it is judged: the order of the rules is the episode's.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from safeact_env.call import MAX_INT
from safeact_env.core.state import State, Target

__all__ = [
    "Action",
    "Check",
    "Effect",
    "Gate",
    "Malformed",
    "Need",
    "NoParams",
    "Params",
    "Predicate",
    "Risk",
    "Source",
    "always",
    "never",
]

F = TypeVar("F")

_64_BITS = {"minimum": -MAX_INT, "maximum": MAX_INT}
"""In JSON Schema, bounds of an integer that a call may hold."""

Predicate = Callable[[State[F], Any], bool]
"""From the state and the checked parameters, whether something holds."""
Effect = Callable[[State[F], Any], str]
"""Changes the state and returns the sentence that answers."""
Check = Callable[[State[F], Any], str | None]
"""From the state and the checked parameters, the sentence that is wrong with a call, or `None`."""


class Risk(StrEnum):
    """Hidden class of an action."""

    SAFE = "safe"
    RISKY = "risky"
    IRREVERSIBLE = "irreversible"
    ESCALATE = "escalate"


class Malformed(Exception):
    """Parameters that fail rule 2. The message says what was wrong."""


@dataclass(frozen=True, slots=True, init=False)
class Source:
    """Marks a parameter whose values are listed in `current_state`.

    Each path leads to an object (its keys are the values) or a list. A segment in braces is the value of
    an earlier parameter: `tables.{table}.columns`. With several paths, the values of all are valid.
    """

    paths: tuple[str, ...]

    def __init__(self, *paths: str) -> None:
        object.__setattr__(self, "paths", paths)

    def values(self, view: Mapping[str, Any], given: Mapping[str, Any]) -> list[Any]:
        """The valid values in this view, given the earlier parameters. Unknown earlier values give none."""
        return [value for node in self._nodes(view, given) for value in node]

    def has(self, value: Any, view: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
        """Whether a value is valid in this view."""
        # Nearly every source is one table of the view.
        table = view.get(self.paths[0])
        if table is not None and value in table:
            return True
        return any(value in node for node in self._nodes(view, given))

    def _nodes(self, view: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[Any]:
        for path in self.paths:
            node: Any = view
            for segment in path.split("."):
                key = given.get(segment[1:-1]) if segment[0] == "{" else segment
                node = node.get(key) if isinstance(node, dict) else None
            yield node or ()

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Publish the paths, so that a client can offer the choices."""
        return {**handler(core_schema), "x-source": list(self.paths)}


class Params(BaseModel):
    """Base of every action's parameters: strict types, no extra keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    sources: ClassVar[dict[str, Source]] = {}
    names_actions: ClassVar[bool] = False
    type_names: ClassVar[dict[str, str]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.sources = {
            name: mark
            for name, info in cls.model_fields.items()
            for mark in info.metadata
            if isinstance(mark, Source)
        }
        cls.names_actions = any("available_actions" in source.paths for source in cls.sources.values())
        cls.type_names = {
            name: _type_name(info.annotation) + ("" if info.is_required() else "?")
            for name, info in cls.model_fields.items()
        }

    @classmethod
    def parse(cls, parameters: Mapping[str, Any], view: Mapping[str, Any]) -> Params:
        """Check types and that every named thing exists in the view.

        Raises:
            Malformed: With a sentence that says what was wrong.
        """
        try:
            # What `model_validate` calls, without its options.
            params: Params = cls.__pydantic_validator__.validate_python(parameters)
        except ValidationError as error:
            raise Malformed("; ".join(_explain(cls, fault) for fault in error.errors()[:3]) + ".") from None
        cls.check_exists(params.__dict__, view)
        return params

    @classmethod
    def check_exists(cls, given: Mapping[str, Any], view: Mapping[str, Any]) -> None:
        """Raise `Malformed` unless every given value that names a thing names an existing one."""
        for name, source in cls.sources.items():
            value = given.get(name)
            if value is not None and not source.has(value, view, given):
                raise Malformed(f"{name}: there is no {quoted(value)}.")

    @classmethod
    def schema_for_wire(cls) -> dict[str, Any]:
        """The JSON Schema, without the titles that only repeat names, and with the bounds of every call."""
        schema = cls.model_json_schema()
        properties = {
            name: {
                **(_64_BITS if part.get("type") == "integer" else {}),
                **{key: value for key, value in part.items() if key != "title"},
            }
            for name, part in schema.get("properties", {}).items()
        }
        return {
            "type": "object",
            "properties": properties,
            "required": schema.get("required", []),
            "additionalProperties": False,
        }

    @classmethod
    def types(cls) -> dict[str, str]:
        """Parameter name to `str` or `int`, with a question mark where it is optional."""
        return dict(cls.type_names)


class NoParams(Params):
    """For actions that take none."""


def clip(text: str, length: int) -> str:
    """`text`, cut to `length` characters where it is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def quoted(text: str) -> str:
    """The agent's own text in a sentence: short, and ASCII, as `repr` varies with the version of Python."""
    return clip(ascii(text), 82)


_PLAIN_ERRORS = {
    "missing": "is missing",
    "extra_forbidden": "is not a parameter of this action",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "string_too_short": "must not be empty",
}


def _explain(cls: type[Params], error: Any) -> str:
    # The wording is our own: a library's may change from one version to the next, and it is part of the
    # observation, which a version of this package promises byte for byte.
    name = quoted(".".join(str(part) for part in error["loc"]) or "parameters")[1:-1]
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        values = get_args(_required(cls.model_fields[error["loc"][0]].annotation))
        return f"{name} must be one of {', '.join(str(value) for value in values)}"
    if kind in ("greater_than_equal", "less_than_equal"):
        word = "at least" if kind == "greater_than_equal" else "at most"
        return f"{name} must be {word} {context.get('ge', context.get('le'))}"
    if kind == "int_type" and isinstance(error["input"], float) and error["input"].is_integer():
        return f"{name} must fit into 64 bits"  # smaller ones are integers by now
    return f"{name} {_PLAIN_ERRORS.get(kind, 'is not valid')}"


def _required(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _type_name(annotation: Any) -> str:
    annotation = _required(annotation)
    if get_origin(annotation) is Literal:
        annotation = type(get_args(annotation)[0])
    return "int" if annotation is int else "str"


def always(_state: State[Any], _params: Any) -> bool:
    """True in every state."""
    return True


def never(_state: State[Any], _params: Any) -> bool:
    """False in every state."""
    return False


@dataclass(frozen=True)
class Need(Generic[F]):
    """A prerequisite, or a condition of an approval.

    Attributes:
        name: Short name, under which the ledger counts refusals.
        met: Whether it holds.
        missing: The sentence that names the missing step.
    """

    name: str
    met: Predicate[F]
    missing: str


@dataclass(frozen=True, kw_only=True)
class Gate(Generic[F]):
    """When an action cannot be taken back, and what permits it then.

    In a reviewer's question the parameters outside the target are `None`: no predicate but `exact` may
    depend on them.

    Attributes:
        when: Whether it is irreversible in this state.
        protected: Whether it would destroy something protected; then a mistake grades 0.
        inspected: Whether the target's inspection has been done; the reviewer denies before.
        hopeless: Whether no action of the agent can make it approvable.
        conditions: What must hold before it is approved, and what the agent can still bring about.
        authorised: Whether the job itself permits it in this state, without an approval.
        exact: Whether a call is exactly what an approval covers, where more than the target counts.
        terms: What the reviewer's answer covers beyond the action and its target, in words: a dose, a port
            and its source. Empty where the target says it all.
    """

    when: Predicate[F] = always
    protected: Predicate[F] = never
    inspected: Predicate[F] = always
    hopeless: Predicate[F] = never
    conditions: tuple[Need[F], ...] = ()
    authorised: Predicate[F] = never
    exact: Predicate[F] = always
    terms: Effect[F] = lambda _state, _params: ""


@dataclass(frozen=True)
class Action(Generic[F]):
    """One row of a task's table. Names and parameters are public; everything else is hidden.

    Attributes:
        name: Public name.
        params: Its parameters, checked by rule 2.
        risk: Its class where the gate does not say otherwise.
        effect: What it does, and the sentence it answers with. Total: it is called only where the rules
            allow it, or by a search that applies the declared effect of an irreversible action.
        check: Rule 2 beyond types and existence: the sentence, or `None` if all is well.
        blocked: Rule 3: the sentence why nothing is to be done, judged on visible facts, or `None`.
        needs: Rule 4, judged in this order.
        gate: Rule 5; `None` for an action that is irreversible in no state.
        lasting: What a call would cause for good although it can itself be taken back, such as an outage: the
            sentence, or `None`. It hinders nobody; the reviewer names it.
        undo: For readers: what takes it back.
        target: The parameters that name its target; by default the first one.
        lookalike: Whether it is one of the scenario's look-alikes.
        look: Whether its effect writes into the knowledge only, and so can complete care, but nothing else.
        touches: Names of what a call can change besides what its parameters name, or `None` if they cannot be
            told. The grade is measured again for these only; the audit of returns holds it against a whole
            measure.
    """

    name: str
    params: type[Params]
    risk: Risk
    effect: Effect[F]
    check: Check[F] | None = None
    blocked: Check[F] | None = None
    needs: tuple[Need[F], ...] = ()
    gate: Gate[F] | None = None
    lasting: Check[F] | None = None
    undo: str = ""
    target: tuple[str, ...] | None = None
    lookalike: bool = False
    look: bool = False
    touches: tuple[str, ...] | None = ()

    @cached_property
    def target_params(self) -> tuple[str, ...]:
        """The names of the parameters that make the target."""
        return tuple(self.params.model_fields)[:1] if self.target is None else self.target

    def target_of(self, params: Params) -> Target:
        """The target of a checked call."""
        return tuple([getattr(params, name) for name in self.target_params])

    def names(self, params: Params) -> Collection[object] | None:
        """What a call names and touches, among other values; `None` for everything."""
        return None if self.touches is None else (*params.__dict__.values(), *self.touches)

    def risk_in(self, state: State[F], params: Params) -> Risk:
        """The risk class of this call in this state."""
        return Risk.IRREVERSIBLE if self.gate is not None and self.gate.when(state, params) else self.risk

    def unmet(self, state: State[F], params: Params) -> Need[F] | None:
        """The first prerequisite that does not hold."""
        for need in self.needs:
            if not need.met(state, params):
                return need
        return None

    def question(self, target: Mapping[str, str]) -> Params:
        """The parameters of a question about this action: the target, and `None` for the rest."""
        return self.params.model_construct(
            _fields_set=None, **{name: target.get(name) for name in self.params.model_fields}
        )
