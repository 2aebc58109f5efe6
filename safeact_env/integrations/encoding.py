"""Features: an observation as numbers, a row per row of its action menu, from what an agent sees.

Owns the features of a row and of the job. Whether something was inspected, answered or approved is read from
the shown history; a runbook's prose is read by the documented cues. Names are left out, so that what is
learned on one set of names holds on another; `clues="names"` includes the names of look-alikes and leaves out
every other clue about them, to show what names are worth.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any, Literal, get_args
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Observation
from safeact_env.core.task import SPLITS, Task
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.integrations.action_menu import ASK, ActionMenu, Cell, Grid
from safeact_env.policies.cues import describes_way_back

__all__ = ["CLUES", "Clues", "Encoded", "Encoder"]

Clues = Literal["runbooks", "names"]
CLUES: tuple[Clues, ...] = get_args(Clues)
"""What tells look-alikes apart: their runbooks and the reviewer's answers, or nothing but their names."""

NAMES = 32
"""Slots that a look-alike's name is hashed to."""
RUNBOOK_NOTES = ("read", "way back")
"""Features of a runbook: whether it was read, and whether its cues tell of a way back."""
JOB = ("left", "hurry", "upkeep done", "questions")
SAMPLED = range(25)
"""Scenarios of each split from which the fields of a task's records are read, and the number of rows if its
extractor gives none."""
SLACK = 1.5
NOT_DONE = ("Refused.", "Not carried out.", "There is no action")
APPROVED = ("Approved", "Already approved")
Features = NDArray[np.float32]


@dataclass(slots=True)
class Layout:
    """What stays the same in an episode while the same values are on offer.

    Attributes:
        offered: What the offers depended on.
        menu: The calls.
        base: Features of the rows that do not change.
        mask: Where there are calls.
        records: By table, per record that rows name, by where it is: the path of its kind, and these rows.
        of_action: The rows of each action of the list.
    """

    offered: Any
    menu: ActionMenu
    base: Features
    mask: NDArray[np.int8]
    records: dict[str, dict[tuple[str, ...], tuple[str, list[int]]]]
    of_action: dict[str, list[int]]


@dataclass(slots=True)
class Encoded:
    """An observation as numbers.

    Attributes:
        rows: Features of each row, (rows, row features); zeros beyond the last.
        job: Features of the whole job.
        layout: What later observations of the same episode share.
        records: The tables and records written so far, by where they are. What a step leaves alone is the
            same object after it.
        read: Steps of the history that are written.
        asked: Questions among them.
        way_back: Whether the runbook of a look-alike describes a way back.
    """

    rows: Features
    job: Features
    layout: Layout
    records: dict[tuple[str, ...], Any] = field(default_factory=dict)
    read: int = 0
    asked: int = 0
    way_back: bool = False

    @property
    def mask(self) -> NDArray[np.int8]:
        """1 where a cell is a well-formed call, (rows, columns)."""
        return self.layout.mask

    @property
    def menu(self) -> ActionMenu:
        """The calls themselves."""
        return self.layout.menu


class Encoder:
    """Encodes the observations of a task.

    Args:
        task: The task; only what it publishes is used, and the start observations of a few scenarios.
        clues: See `CLUES`.
        variant: Level and framing of the scenarios. The features are the same on every level.

    Attributes:
        grid: Where calls stand.
        rows: Most rows.
        row_features: Names of the features of a row.
        job_features: Names of the features of the job.
    """

    def __init__(self, task: Task[Any], clues: Clues = "runbooks", variant: Variant = DEFAULT) -> None:
        if clues not in CLUES:
            raise ValueError(f"clues must be one of {', '.join(CLUES)}")
        self.task, self.clues, self.extractor = task, clues, task.features
        self.variant, self.max_steps = variant, task.level(variant).max_steps
        self.grid = Grid(task, self.extractor)
        # The fields of all levels, so that what is learned on one can be read on another.
        levels = dict.fromkeys((DEFAULT.level, *task.levels))
        starts = [start for level in levels for start in _starts(task, Variant(level))]
        self._sources = self._record_sources()
        self._fields = {path: self._fields_of(starts, path) for path in self._record_paths()}
        self._top = self._job_records(starts)
        measured = max(len(self.grid.menu(obs).rows) for obs in _starts(task, Variant(variant.level)))
        named = self.extractor.rows if variant.level == DEFAULT.level else 0
        self.rows = named or math.ceil(measured * SLACK)
        self._name_rows()
        self._name_job()

    # Names of features ------------------------------------------------------------------------------------

    def _record_sources(self) -> dict[str, tuple[str, ...]]:
        """By parameter, the paths to the records that it names. The same name means the same everywhere."""
        found: dict[str, dict[str, None]] = {}
        for action, schema in self.grid.schemas.items():
            for name in self.grid.shape(action):
                for path in schema["properties"][name].get("x-source", ()):
                    found.setdefault(name, {})[path] = None
        return {name: tuple(paths) for name, paths in found.items()}

    def _record_paths(self) -> list[str]:
        return list(dict.fromkeys(path for paths in self._sources.values() for path in paths))

    def _fields_of(self, starts: Sequence[Observation], path: str) -> list[tuple[str, tuple[str, ...]]]:
        """The fields of the records at a path with their words; empty if the path holds plain values."""
        fields: dict[str, None] = {}
        for obs in starts:
            for record in _records(obs["current_state"], path.split(".")):
                fields.update(dict.fromkeys(record))
        return [(name, self._words(name)) for name in fields]

    def _job_records(self, starts: Sequence[Observation]) -> list[tuple[str, str, tuple[str, ...]]]:
        """Fields of the objects of `current_state` that hold values rather than records."""
        found: dict[tuple[str, str], None] = {}
        for obs in starts:
            for table, value in obs["current_state"].items():
                if table != "upkeep" and isinstance(value, dict):
                    whole = any(path.split(".")[0] == table for path in self._fields)
                    found.update({(table, name): None for name in value if not whole})
        return [(table, name, self._words(name)) for table, name in found]

    def _words(self, field: str) -> tuple[str, ...]:
        return dict(self.extractor.words).get(field, ())

    def _slots(self, field: str) -> list[str]:
        """Names of the features of one field: known, true, how much, and its words."""
        words = [f"{field} is {word}" for word in self._words(field)]
        return [f"{field} known", f"{field} true", f"{field} amount", *words]

    def _name_rows(self) -> None:
        grid, names = self.grid, ["is a row"]
        shapes = {grid.shape(action): None for action in grid.schemas}
        self._shapes = {shape: len(names) + number for number, shape in enumerate(s for s in shapes if s)}
        names += [f"of {', '.join(shape)}" for shape in self._shapes]
        self._actions = {name: len(names) + number for number, name in enumerate(grid.schemas)}
        names += [f"action {name}" for name in grid.schemas]
        self._lookalike = len(names)
        names.append("look-alike")
        self._runbook = len(names)
        names += RUNBOOK_NOTES
        self._names = len(names)
        names += [f"name {slot}" for slot in range(NAMES if self.clues == "names" else 0)]
        self._answers = len(names)
        names += [f"answer to {column}" for column in grid.columns]
        self._approvals = len(names)
        names += [f"approved: {column}" for column in grid.columns]
        self._record_at: dict[str, int] = {}
        for path, fields in self._fields.items():
            self._record_at[path] = len(names)
            names += [f"{path}: {slot}" for field, _words in fields for slot in self._slots(field)]
        self._notes = {name: len(names) + number for number, name in enumerate(self.extractor.notes)}
        self.row_features = (*names, *self.extractor.notes)

    def _name_job(self) -> None:
        names = list(JOB)
        if self.clues == "runbooks":
            names.append("way back known")
        names += [f"{table}.{slot}" for table, field, _words in self._top for slot in self._slots(field)]
        self._job_notes = {name: len(names) + number for number, name in enumerate(self.extractor.job_notes)}
        self.job_features = (*names, *self.extractor.job_notes)

    # Encoding --------------------------------------------------------------------------------------------

    def goes_on(self, obs: Observation, earlier: Encoded) -> bool:
        """Whether an observation has the layout of an earlier one, so that `encode` needs no older steps."""
        same: bool = earlier.layout.offered == self.extractor.offered(obs)
        return same

    def encode(self, obs: Observation, earlier: Encoded | None = None) -> Encoded:
        """The observation as numbers.

        Args:
            obs: The observation. Where it goes on from `earlier`, its history may begin after that one's.
                Do not change it later: a table or record that is the same object is not read again.
            earlier: The encoding of an earlier observation of the same episode; it saves most of the work.

        Raises:
            ValueError: If the observation has more rows than the task's grid.
        """
        job = np.zeros(len(self.job_features), np.float32)
        if earlier is not None and self.goes_on(obs, earlier):
            found = replace(earlier, rows=earlier.rows.copy(), job=job, records=dict(earlier.records))
        else:
            layout = self._layout(obs)
            found = Encoded(layout.base.copy(), job, layout)
        self.renew(found, obs)
        return found

    def renew(self, found: Encoded, obs: Observation, made: Cell | None = None) -> None:
        """Bring an encoding up to date in place, where the observation goes on from its own.

        Args:
            found: The encoding.
            obs: The observation.
            made: The cell of the one call that it adds, if the caller knows it; else it is looked up.
        """
        self._write_records(found, obs)
        self._write_notes(found, obs)
        self._write_history(found, obs, made)
        self._write_job(found, obs)

    def _layout(self, obs: Observation) -> Layout:
        menu = self.grid.menu(obs)
        if len(menu.rows) > self.rows:
            raise ValueError(
                f"{self.task.name} shows {len(menu.rows)} rows; its feature extractor allows {self.rows}"
            )
        base = np.zeros((self.rows, len(self.row_features)), np.float32)
        mask = np.zeros((self.rows, len(self.grid.columns)), np.int8)
        mask[tuple(zip(*menu.cells, strict=True))] = 1
        of_action: dict[str, list[int]] = {}
        records: dict[str, dict[tuple[str, ...], tuple[str, list[int]]]] = {}
        marks: list[Cell] = []
        for number, row in enumerate(menu.rows):
            if row.action:
                of_action.setdefault(row.action, []).append(number)
                marks += [(number, feature) for feature in self._marks_of(row.action)]
            elif (shape := self._shapes.get(tuple(row.params))) is not None:
                marks.append((number, shape))
            for path, where in self._named(obs, row.params):
                records.setdefault(where[0], {}).setdefault(where, (path, []))[1].append(number)
        base[: len(menu.rows), 0] = 1
        base[tuple(zip(*marks, strict=True))] = 1
        mask.setflags(write=False)
        return Layout(self.extractor.offered(obs), menu, base, mask, records, of_action)

    def _marks_of(self, action: str) -> list[int]:
        """The features that tell which action of the list a row stands for."""
        if action in self._actions:
            return [self._actions[action]]
        hashed = [self._names + crc32(action.encode()) % NAMES] if self.clues == "names" else []
        return [self._lookalike, *hashed]

    def _named(self, obs: Observation, params: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The records that a row names: the path of their kind, and where one is."""
        for name in params:
            for path in self._sources.get(name, ()):
                where = tuple(str(params.get(s[1:-1])) if s[0] == "{" else s for s in path.split("."))
                found = _at(obs["current_state"], (*where, str(params[name])))
                if isinstance(found, dict):
                    yield path, (*where, str(params[name]))

    def _write_records(self, found: Encoded, obs: Observation) -> None:
        """Write the records that changed."""
        state, written = obs["current_state"], found.records
        for table, places in found.layout.records.items():
            if written.get((table,)) is state[table]:
                continue
            written[table,] = state[table]
            for where, (path, numbers) in places.items():
                record, before = _at(state, where), written.get(where)
                if before is not record and before != record:
                    written[where] = record
                    self._write_record(found.rows, record, path, numbers)

    def _write_record(self, rows: Features, record: Mapping[str, Any], path: str, numbers: list[int]) -> None:
        """Write a record into the rows that name it."""
        features: list[float] = []
        for name, words in self._fields[path]:
            value = record.get(name)
            # Most values are unknown at first.
            features += _unknown(words) if value is None else _numbers(value, words)
        at = self._record_at[path]
        for number in numbers:
            rows[number, at : at + len(features)] = features

    def _write_notes(self, found: Encoded, obs: Observation) -> None:
        if not self._notes:
            return
        found.rows[:, -len(self._notes) :] = 0
        for number, row in enumerate(found.menu.rows):
            if row.params:
                for name, value in self.extractor.compare(obs, row.params).items():
                    found.rows[number, self._notes[name]] = value

    def _write_history(self, found: Encoded, obs: Observation, made: Cell | None) -> None:
        """Write answers, unused approvals and runbooks from the steps not yet written."""
        for entry in obs["action_history"]:
            if entry["step"] <= found.read:
                continue
            found.read, name = entry["step"], entry["action"]
            found.asked += name == self.grid.ask_action
            if name == "read_runbook":
                found.way_back |= self._write_runbook(found, entry)
            cell = found.menu.place_of(name, entry["params"]) if made is None else made
            if cell is not None and not self._is_silent(found.layout, cell):
                self._write_answer(found, name, cell, entry["result"])

    def _is_silent(self, layout: Layout, cell: Cell) -> bool:
        """Whether an answer is left out: the reviewer's about look-alikes, where names are the only clue."""
        action = layout.menu.rows[cell[0]].action
        return self.clues == "names" and cell[1] == ASK and action not in self._actions

    def _write_answer(self, found: Encoded, name: str, cell: Cell, result: str) -> None:
        rows, asks, (number, column) = found.rows, found.menu.asks, cell
        asked = name == self.grid.ask_action
        if asked and result.startswith("No approval needed"):
            answer = 0.5
        else:
            answer = -1.0 if result.startswith((*NOT_DONE, "Denied")) else 1.0
        rows[number, self._answers + column] = answer
        if asked and answer == 1.0:
            rows[number, self._approvals + column] = float(result.startswith(APPROVED))
        elif answer == 1.0 and cell in asks:
            number, column = asks[cell]
            rows[number, self._approvals + column] = 0

    def _write_runbook(self, found: Encoded, entry: Mapping[str, Any]) -> bool:
        action, text = entry["params"].get("action_name"), entry["result"]
        numbers = found.layout.of_action.get(action, []) if isinstance(action, str) else []
        if not numbers or text.startswith(NOT_DONE):
            return False
        is_lookalike = action not in self._actions
        is_silent = is_lookalike and self.clues == "names"
        values = (1.0, 0.0, 0.0, 0.0) if is_silent else _cues(text)
        for number in numbers:
            found.rows[number, self._runbook : self._runbook + len(values)] = values
        return is_lookalike and bool(values[-1])

    def _write_job(self, found: Encoded, obs: Observation) -> None:
        job, state, left = found.job, obs["current_state"], obs["steps_remaining"]
        job.fill(0)
        values = [left / self.max_steps, 1 / (1 + left)]
        values += [float(state["upkeep"]["status"] == "done"), min(found.asked / 10, 1)]
        if self.clues == "runbooks":
            values.append(float(found.way_back))
        for table, name, words in self._top:
            values += _numbers(state[table].get(name), words)
        job[: len(values)] = values
        for name, value in self.extractor.job(obs, {}).items():
            job[self._job_notes[name]] = value


@cache
def _starts(task: Task[Any], variant: Variant) -> list[Observation]:
    """The first observations of some scenarios."""
    return [Episode(task, split, seed, variant=variant).observation() for split in SPLITS for seed in SAMPLED]


@cache
def _unknown(words: tuple[str, ...]) -> list[float]:
    """The features of a value that is not known."""
    return [0.0] * (3 + len(words))


def _numbers(value: Any, words: tuple[str, ...]) -> list[float]:
    """A value as features: known, true or above 0, its amount, and which of the words it is."""
    if value is None:
        return _unknown(words)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    amount = math.copysign(math.log1p(abs(value)) / 10, value) if is_number else 0.0
    yes = value > 0 if is_number else bool(value)
    return [1.0, float(yes), amount, *(float(value == word) for word in words)]


@lru_cache(maxsize=4_096)
def _cues(runbook: str) -> tuple[float, ...]:
    """The features of a runbook that was read, in the order of `RUNBOOK_NOTES`."""
    return 1.0, float(describes_way_back(runbook))


def _records(node: Any, segments: list[str]) -> Iterator[Mapping[str, Any]]:
    """The records at a path of a state; a part in braces matches any key."""
    if not isinstance(node, dict):
        return
    if not segments:
        yield from (record for record in node.values() if isinstance(record, dict))
        return
    first, rest = segments[0], segments[1:]
    for child in node.values() if first[0] == "{" else [node.get(first)]:
        yield from _records(child, rest)


def _at(node: Any, where: tuple[str, ...]) -> Any:
    for key in where:
        node = node.get(key) if isinstance(node, dict) else None
    return node
