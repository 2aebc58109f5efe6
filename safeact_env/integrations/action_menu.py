"""The action menu: the well-formed calls of an observation, in a grid of fixed size.

Owns the place of each call. A row is what a call is about (an action of the list, or the values of a call's
parameters, such as a file, or a table and a column), a column is what is done to it (call it, ask about it,
read its runbook). A cell is one well-formed call; the order of rows follows the observation. Must not know
facts, risk, or any concrete task beyond its feature extractor.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
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
"""Identifies a call, or a row."""
Offer = tuple[int, str, dict[str, Any]]
"""What is done (`CALL`, `ASK`, `RUNBOOK`), the action, and its parameters."""


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
class _Moves(Mapping[Cell, Move]):
    """The move of each cell that has one, made when it is asked for: of a hundred and more, one is played.

    Attributes:
        listed: The parameters of the listed actions.
        ask_action: Name of the task's escalation.
        offers: In their order, what each cell offers.
    """

    listed: Listed
    ask_action: str
    offers: dict[Cell, Offer] = field(default_factory=dict)

    def __getitem__(self, cell: Cell) -> Move:
        kind, name, params = self.offers[cell]
        if kind == RUNBOOK:
            return Move("read_runbook", {"action_name": name}, "What does it do?")
        move = Move(name, params)
        return question_among(self.listed, self.ask_action, move) if kind == ASK else move

    def __iter__(self) -> Iterator[Cell]:
        return iter(self.offers)

    def __len__(self) -> int:
        return len(self.offers)

    def __contains__(self, cell: object) -> bool:
        return cell in self.offers


@dataclass(slots=True)
class ActionMenu:
    """The calls of one observation in the grid.

    Attributes:
        grid: The grid.
        cells: The move of each cell that has one.
        rows: In their order.
        asks: Per cell of a call, the cell of the question about it.
    """

    grid: Grid
    cells: _Moves
    rows: list[Row] = field(default_factory=list)
    asks: dict[Cell, Cell] = field(default_factory=dict)
    _numbers: dict[Key, int] = field(default_factory=dict)

    def place_of(self, name: str, params: Mapping[str, Any]) -> Cell | None:
        """The cell of a call, whatever its free text is; `None` if it has none."""
        key = self.grid.key_of(name, params)
        for cell in self._candidates(name, params):
            kind, action, own = self.cells.offers.get(cell, (None, "", {}))
            # The key of a call takes no move to be made.
            if kind == CALL and self.grid.key_of(action, own) == key:
                return cell
            if kind in (ASK, RUNBOOK):
                move = self.cells[cell]
                if self.grid.key_of(move.name, move.params) == key:
                    return cell
        return None

    def _candidates(self, name: str, params: Mapping[str, Any]) -> Iterable[Cell]:
        """Where a call may stand."""
        if name == "read_runbook":
            return self._at(RUNBOOK, params.get("action_name"))
        grid, is_question = self.grid, name == self.grid.ask_action
        kind, action = (ASK, params.get("action_being_considered")) if is_question else (CALL, name)
        if not isinstance(action, str) or action not in grid.schemas:
            # A question need not name all that makes the row of a look-alike.
            return [cell for cell, offer in self.cells.offers.items() if offer[:2] == (kind, action)]
        names = grid.named(action, self.cells.listed) if is_question else grid.shape(action)
        if not names:
            return self._at(kind, action)
        shown = ["target"] if is_question and "target" in params else names
        values = [params.get(one) for one in shown]
        return self._at(grid.column(kind, action), "", *zip(names, values, strict=True))

    def _at(self, column: int, *key: Any) -> Iterable[Cell]:
        try:
            number = self._numbers.get(key)
        except TypeError:  # A value that is not hashable names no row.
            number = None
        return () if number is None else ((number, column),)

    def row_of(self, action: str, params: dict[str, Any]) -> int:
        """The number of the row that stands for an action, or for these parameters; added if it is new."""
        key = (action, *params.items())
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.rows)
            self.rows.append(Row(action, params))
        return number


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

    def column(self, kind: int, action: str) -> int:
        """The column in which an action with a target is called, or asked about."""
        return self._column[f"ask {action}" if kind == ASK else action]

    def named(self, action: str, listed: Listed) -> tuple[str, ...]:
        """The parameters of a fixed action that a question about it names."""
        shape, takes = self._shapes[action], listed[self.ask_action]
        return shape[:1] if "target" in takes else tuple(name for name in shape if name in takes)

    def menu(self, obs: Observation) -> ActionMenu:
        """The menu of an observation: every action of the list, with every target that is shown.

        A parameter without listed values offers its examples or bounds; an extractor may offer other values.
        """
        listed = parameters_of(obs)
        menu = ActionMenu(self, _Moves(listed, self.ask_action))
        offers, row_of = menu.cells.offers, menu.row_of
        view = {**obs["current_state"], "available_actions": listed}
        for name in listed:
            offers[row_of(name, {}), RUNBOOK] = RUNBOOK, name, {}
        for name in listed:
            if name == "read_runbook" or name == self.ask_action:
                offers[row_of(name, {}), ASK] = ASK, name, {}
                continue
            shape = self._shapes.get(name)
            if shape:
                called, asked = self.column(CALL, name), self.column(ASK, name)
                named = self.named(name, listed)
            for params in self._calls(obs, view, listed, name):
                if shape:
                    row = row_of("", {one: params[one] for one in shape})
                    about = row if named == shape else row_of("", {one: params[one] for one in named})
                    cell, question = (row, called), (about, asked)
                else:
                    row = row_of(name, params if shape is None else {})
                    cell, question = (row, CALL), (row, ASK)
                offers.setdefault(cell, (CALL, name, params))
                offers.setdefault(question, (ASK, name, params))
                menu.asks[cell] = question
        return menu

    def _calls(
        self, obs: Observation, view: Mapping[str, Any], listed: Listed, name: str
    ) -> Iterator[dict[str, Any]]:
        """The parameters of the calls of one action, in listed order."""
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
            yield {key: value for key, value in given.items() if value is not None}

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
