"""The action menu: the well-formed calls of an observation, in a grid of fixed size.

Owns the place of each call. A row is what a call is about (an action of the list, or the values of a call's
parameters, such as a file, or a table and a column), a column is what is done to it (call it, ask about it,
read its runbook). A cell is one well-formed call; the order of rows follows the observation. Must not know
facts, risk, or any concrete task beyond its feature extractor.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from safeact_env.core.features import FeatureExtractor
from safeact_env.core.playbook import Move, Observation
from safeact_env.core.task import Task
from safeact_env.policies.calls import UNTARGETED, Listed, Schemas, choices_in, parameters_of, question_among

__all__ = ["ASK", "CALL", "RUNBOOK", "ActionMenu", "Cell", "Grid", "Row"]

CALL, ASK, RUNBOOK = 0, 1, 2
"""The first columns, of a row that stands for an action: call it, ask about it, read its runbook."""

Cell = tuple[int, int]
"""Row and column."""
Key = tuple[Hashable, ...]
"""Identifies a call."""


@dataclass(frozen=True, slots=True)
class Row:
    """What calls can be about.

    Attributes:
        action: The action that the row stands for; empty for a row of parameters.
        params: The values of parameters that the row stands for.
    """

    action: str
    params: dict[str, Any]


@dataclass(slots=True)
class ActionMenu:
    """The calls of one observation in the grid.

    Attributes:
        rows: In their order.
        cells: The call of each cell that has one.
        asks: Per cell of a call, the cell of the question about it.
        places: The cell of each call, by `key_of`.
    """

    rows: list[Row] = field(default_factory=list)
    cells: dict[Cell, Move] = field(default_factory=dict)
    asks: dict[Cell, Cell] = field(default_factory=dict)
    places: dict[Key, Cell] = field(default_factory=dict)


class Grid:
    """The grid of a task's calls: fixed columns, and a menu for each observation.

    Args:
        task: The task; only what it publishes is used.
        extractor: Of the task.

    Attributes:
        columns: Names of the columns: `call`, `ask` and `runbook` for the row of an action, then per action
            with a target its own name and `ask <name>`.
    """

    def __init__(self, task: Task[Any], extractor: FeatureExtractor) -> None:
        self.schemas: Schemas = task.schemas
        self.ask_action = task.escalation.name
        self.extractor = extractor
        self._free = {name: frozenset(_free(schema)) for name, schema in self.schemas.items()}
        self._shapes = {name: self._shape(name) for name in self.schemas}
        targeted = [name for name, shape in self._shapes.items() if shape]
        self.columns = ("call", "ask", "runbook", *targeted, *(f"ask {name}" for name in targeted))
        self._column = {name: number for number, name in enumerate(self.columns)}

    def shape(self, action: str) -> tuple[str, ...]:
        """The parameters of a fixed action that make its row; none for an action without a target."""
        return self._shapes[action]

    def _shape(self, action: str) -> tuple[str, ...]:
        if action in UNTARGETED or action == self.ask_action:
            return ()
        return tuple(name for name in self._properties(action) if name not in self._free[action])

    def _properties(self, action: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.schemas[action].get("properties", {})
        return found

    @cached_property
    def _anywhere(self) -> dict[str, Any]:
        """Parameter schemas by name, for look-alikes, whose own are not published."""
        return {name: schema for action in self.schemas for name, schema in self._properties(action).items()}

    def key_of(self, action: str, params: Mapping[str, Any]) -> Key:
        """Identify a call: its action and its parameters without free text."""
        free = self._free.get(action, ())
        values = [
            (name, value if isinstance(value, (str, int)) else repr(value))
            for name, value in params.items()
            if name not in free
        ]
        if len(values) > 1:
            values.sort()  # By name: no two are the same.
        return (action, *values)

    def menu(self, obs: Observation) -> ActionMenu:
        """The menu of an observation: every action of the list, with every target that is shown.

        A parameter without listed values offers its examples or bounds; an extractor may offer other values.
        """
        menu, places = ActionMenu(), {}
        listed = parameters_of(obs)
        view = {**obs["current_state"], "available_actions": listed}

        def row_of(action: str, params: dict[str, Any]) -> int:
            key = (action, *params.items())
            if key not in places:
                places[key] = len(menu.rows)
                menu.rows.append(Row(action, params))
            return places[key]

        def put(cell: Cell, move: Move) -> Cell:
            key = self.key_of(move.name, move.params)
            if key not in menu.places:
                menu.places[key] = cell
                menu.cells[cell] = move
            return menu.places[key]

        for name in listed:
            put((row_of(name, {}), RUNBOOK), Move("read_runbook", {"action_name": name}, "What does it do?"))
        for name in listed:
            if name == "read_runbook" or name == self.ask_action:
                put((row_of(name, {}), ASK), question_among(listed, self.ask_action, Move(name)))
                continue
            for move in self._calls(obs, view, listed, name):
                cell = put(self._call_cell(row_of, move), move)
                asked = question_among(listed, self.ask_action, move)
                menu.asks[cell] = put(self._ask_cell(row_of, move, asked), asked)
        return menu

    def _call_cell(self, row_of: Any, move: Move) -> Cell:
        if move.name not in self.schemas:
            return row_of(move.name, dict(move.params)), CALL
        shape = self.shape(move.name)
        if not shape:
            return row_of(move.name, {}), CALL
        return row_of("", {name: move.params[name] for name in shape}), self._column[move.name]

    def _ask_cell(self, row_of: Any, move: Move, asked: Move) -> Cell:
        if move.name not in self.schemas:
            return row_of(move.name, dict(move.params)), ASK
        shape = self.shape(move.name)
        if not shape:
            return row_of(move.name, {}), ASK
        named = shape[:1] if "target" in asked.params else [name for name in shape if name in asked.params]
        return row_of("", {name: move.params[name] for name in named}), self._column[f"ask {move.name}"]

    def _calls(self, obs: Observation, view: Mapping[str, Any], listed: Listed, name: str) -> Iterator[Move]:
        """The calls of one action, in listed order."""
        known = self._properties(name) if name in self.schemas else self._anywhere
        calls: list[dict[str, Any]] = [{}]
        for param in listed[name]:
            schema = known.get(param, {})
            calls = [
                {**given, param: value}
                for given in calls
                for value in self._options(obs, view, name, param, schema, given)
            ]
        for given in calls:
            yield Move(name, {key: value for key, value in given.items() if value is not None})

    def _options(
        self,
        obs: Observation,
        view: Mapping[str, Any],
        action: str,
        param: str,
        schema: Mapping[str, Any],
        given: dict[str, Any],
    ) -> list[Any]:
        offered = self.extractor.offers(obs, action, param, given)
        return choices_in(view, schema, given) if offered is None else list(dict.fromkeys(offered))


def _free(schema: Mapping[str, Any]) -> Iterator[str]:
    """The parameters that are prose: text that is neither listed, enumerated nor chosen from examples."""
    for name, one in schema.get("properties", {}).items():
        is_text = one.get("type") == "string" and not {"x-source", "enum"} & set(one)
        if is_text and len(one.get("examples", ())) < 2:
            yield name
