"""What an episode holds: facts, knowledge and ledger, kept apart.

Facts are true and hidden, knowledge is what the agent was shown, the ledger is what scoring needs.
Must not know any rule: who may change what is the engine's and the actions' business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

__all__ = ["Knowledge", "Ledger", "State", "Target", "Upkeep"]

F = TypeVar("F")

Target = tuple[str, ...]
"""The values of an action's target parameters, in their order. Empty for an action without a target."""


@dataclass(slots=True)
class Knowledge:
    """What the agent has been shown. It holds JSON only and cannot name a fact.

    Attributes:
        tables: `current_state` exactly as an observation shows it; `None` where a value is unknown.
        seen: What was looked at, as (kind of inspection, name), for example `("runbook", "drop_index")`.
    """

    tables: dict[str, Any]
    seen: set[tuple[str, str]] = field(default_factory=set)

    def show(self, table: str, key: str, /, **values: Any) -> None:
        """Write values that the agent may see from now on into one record."""
        record = self.tables[table][key]
        for name in values:
            if name not in record:
                raise KeyError(f"{table}[{key!r}] has no field {name!r}")
        record.update(values)


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
        credited: Marks of the care units whose care was credited; paid once, never taken back.
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
    credited: set[str] = field(default_factory=set)
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
    """

    facts: F
    upkeep: Upkeep
    knowledge: Knowledge
    ledger: Ledger = field(default_factory=Ledger)

    def has_seen(self, kind: str, name: str) -> bool:
        """Whether the agent has made this inspection."""
        return (kind, name) in self.knowledge.seen

    def was_granted(self, action: str, *target: str) -> bool:
        """Whether an approval for this action and target was ever granted."""
        return (action, target) in self.ledger.granted
