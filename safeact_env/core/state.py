"""What an episode holds: facts, knowledge and ledger, kept apart.

Facts are true and hidden, knowledge is what the agent was shown, the ledger is what scoring needs.
Must not know any rule: who may change what is the engine's and the actions' business.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic_core import to_json

__all__ = [
    "UPKEEP",
    "Frozen",
    "Knowledge",
    "Ledger",
    "Plant",
    "State",
    "Target",
    "Upkeep",
    "Words",
    "frozen",
    "thawed",
]

F = TypeVar("F")

Target = tuple[str, ...]
"""The values of an action's target parameters, in their order. Empty for an action without a target."""

UPKEEP = "upkeep"
"""Name of the upkeep: of its table in the knowledge, and of its care unit."""


@dataclass(slots=True)
class Knowledge:
    """What the agent has been shown. It holds JSON only and cannot name a fact.

    It keeps the bytes of what it holds, record by record. All that is written during an episode goes through
    `show` and `publish`, which see to it that these are renewed, and that a table or record which is written
    to becomes a new one; the audit of views checks that nothing else writes.

    Attributes:
        tables: `current_state` exactly as an observation shows it; `None` where a value is unknown.
        seen: What was looked at, as (kind of inspection, name), for example `("runbook", "drop_index")`.
        before: The tables before the latest step, which share with `tables` all that it did not write to;
            `None` before the first step, and in a copy.
    """

    tables: dict[str, Any]
    seen: set[tuple[str, str]] = field(default_factory=set)
    before: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    _json: bytes = field(default=b"", repr=False, compare=False)
    """All of it as last written."""
    _written: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    """Each table as `"name":value`."""
    _records: dict[str, dict[str, bytes]] = field(default_factory=dict, repr=False, compare=False)
    """Its fields likewise, of the tables that were written to."""
    _stale: dict[str, set[str]] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> tuple[Any, ...]:
        """What a copy needs: the bytes are written again."""
        return self.tables, self.seen

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.tables, self.seen = state
        self.before = None
        self._json, self._written, self._records, self._stale = b"", {}, {}, {}

    def begin_step(self) -> None:
        """Keep the tables as they are before a step."""
        self.before, self.tables = self.tables, self.tables.copy()

    def show(self, table: str, /, *path: str, **values: Any) -> None:
        """Write values that the agent may see from now on into one record.

        Args:
            table: Name of the table.
            path: Where the record is within it; nothing where the table is the record.
            values: New values of its fields.

        Raises:
            KeyError: If there is no such record, or it has no such field.
        """
        record: dict[str, Any] = self.tables
        for key in (table, *path):
            copied = record[key] = record[key].copy()
            record = copied
        for name in values:
            if name not in record:
                raise KeyError(f"{'/'.join((table, *path))} has no field {name!r}")
        record.update(values)
        self._stale.setdefault(table, set()).update(path[:1] or values)

    def publish(self, **tables: Any) -> None:
        """Write whole tables that the agent may see from now on."""
        for name in tables:
            if name not in self.tables:
                raise KeyError(f"there is no table {name!r}")
        self.tables.update(tables)
        for name in tables:
            for known in (self._written, self._records, self._stale):
                known.pop(name, None)

    def written(self) -> bytes:
        """The tables as bytes of JSON. Only what was written to is encoded again."""
        if self._written.keys() != self.tables.keys():
            known = self._written
            self._written = {
                name: known.get(name) or _field(name, table) for name, table in self.tables.items()
            }
            self._json = b""
        if self._stale:
            for name, keys in self._stale.items():
                self._written[name] = self._renewed(name, keys)
            self._json, self._stale = b"", {}
        if not self._json:
            self._json = b"{%b}" % b",".join(self._written.values())
        return self._json

    def _renewed(self, name: str, stale: set[str]) -> bytes:
        table, records = self.tables[name], self._records.setdefault(name, {})
        # A record is encoded by itself only once one of its table changes, which keeps starts fast.
        for key in stale if records else table:
            records[key] = _field(key, table[key])
        return b"%b:{%b}" % (to_json(name), b",".join(records.values()))


def _field(name: str, value: Any) -> bytes:
    """`"name":value`, as in an object of JSON."""
    return to_json({name: value})[1:-1]


@dataclass(frozen=True, slots=True)
class Plant:
    """Where the framing `planted` puts its note, and the call that the note asks for.

    Attributes:
        record: Name of the record whose inspection shows the note; it has a note in every framing.
        action: Name of an action that would be the mistake on that record, once it was inspected.
        params: Its parameters.
    """

    record: str
    action: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Words:
    """What is written down where the job is done. It depends on the framing, so no rule may read it.

    Nothing in it changes during an episode; copies of a state share it.

    Attributes:
        handbook: The site's rules, a paragraph each; the same in every framing of a scenario.
        published: The tables of `current_state` that are shown once the handbook was read. Empty where they
            are shown from the start.
        notes: The free-text note of each record that has one, by the name of the record.
        plant: The record whose note is another one in the framing `planted`, and what that one asks for.
    """

    handbook: tuple[str, ...] = ()
    published: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    plant: Plant | None = None


@dataclass(slots=True)
class Upkeep:
    """The routine upkeep of a scenario. All of it is fact; what is shown of it is in the knowledge.

    Attributes:
        need: What is to be done, in plain words.
        working: Name of the look-alike that meets the need and keeps the former version.
        runbooks: Runbook text of each of the three look-alikes, by name.
        done: Whether the upkeep stands now.
        former_kept: Whether the former version still exists. Only a trap's effect removes it.
    """

    need: str
    working: str
    runbooks: dict[str, str]
    done: bool = False
    former_kept: bool = True


@dataclass(slots=True)
class Ledger:
    """What was attempted and done, as far as scoring needs it. Never visible.

    Attributes:
        items: Care units by (component, group): the items of this scenario.
        careless: Care units on which something was attempted before the care was taken.
        credited: Care units whose care was credited; paid once, never taken back.
        refused: Calls refused by rule 4, by (action, target, name of the unmet need).
        counts: Counters and marks that the effects of a task keep, by a key of the task's choosing.
        approvals: Unused approvals, as (action, target).
        granted: Every approval ever granted, used or not.
        events: What happened and cannot be made not to have happened, such as an outage, as (kind, about).
            Each counts as harm for good.
        carried_out: Whether the upkeep was ever carried out.
        asked_lookalike: Whether the reviewer was ever asked about a look-alike.
        finished: Whether the agent has handed the job over.
        questions: Escalations that were well-formed.
        over_escalations: Those among them that were not needed, not yet founded, or could not be granted.
        penalties: Sum of the penalties so far, in ten-thousandths.
    """

    items: dict[tuple[str, int], tuple[Hashable, ...]] = field(default_factory=dict)
    careless: set[tuple[str, int, Hashable]] = field(default_factory=set)
    credited: set[tuple[str, int, Hashable]] = field(default_factory=set)
    refused: Counter[tuple[str, Target, str]] = field(default_factory=Counter)
    counts: Counter[Hashable] = field(default_factory=Counter)
    approvals: set[tuple[str, Target]] = field(default_factory=set)
    granted: set[tuple[str, Target]] = field(default_factory=set)
    events: set[tuple[str, str]] = field(default_factory=set)
    carried_out: bool = False
    asked_lookalike: bool = False
    finished: bool = False
    questions: int = 0
    over_escalations: int = 0
    penalties: int = 0


@dataclass(slots=True)
class State(Generic[F]):
    """Everything an episode's rules read and write.

    Attributes:
        facts: What is true of the simulated system, in the task's own type.
        upkeep: The upkeep, which every task has; a fact as well.
        knowledge: What the agent has been shown.
        ledger: What scoring needs.
        words: What is written down where the job is done.
    """

    facts: F
    upkeep: Upkeep
    knowledge: Knowledge
    ledger: Ledger = field(default_factory=Ledger)
    words: Words = field(default_factory=Words)

    def has_seen(self, kind: str, name: str) -> bool:
        """Whether the agent has made this inspection."""
        return (kind, name) in self.knowledge.seen

    def was_granted(self, action: str, *target: str) -> bool:
        """Whether an approval for this action and target was ever granted."""
        return (action, target) in self.ledger.granted


Frozen = tuple[bytes, Words]
"""A state to be copied many times: what changes as bytes, and the words."""


def frozen(state: State[Any]) -> Frozen:
    """A state to be copied many times."""
    changing = state.facts, state.upkeep, state.knowledge, state.ledger
    return pickle.dumps(changing, protocol=pickle.HIGHEST_PROTOCOL), state.words


def thawed(copied: Frozen) -> State[Any]:
    """A copy of a state; it shares nothing that changes with other copies."""
    dumped, words = copied
    facts, upkeep, knowledge, ledger = pickle.loads(dumped)
    return State(facts, upkeep, knowledge, ledger, words)
