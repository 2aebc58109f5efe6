"""Playbooks: how a task is solved from observations alone, as a script of moves.

Owns the form of a script. Must not know facts: a script gets observations and answers with moves.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from safeact_env.call import Call

__all__ = ["Desk", "Move", "Observation", "Play", "Playbook", "Script"]

Observation = Mapping[str, Any]
"""An observation as on the wire."""


@dataclass(frozen=True, slots=True)
class Move:
    """A call, and what the policy itself takes it for.

    Attributes:
        name: Name of the action.
        params: Its parameters.
        why: The reasoning to send.
        kind: `look` (inspects), `act` (can be taken back), `final` (cannot), `ask` (a question).
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    why: str = "Next step of the job."
    kind: Literal["look", "act", "final", "ask"] = "act"

    def call(self) -> Call:
        """The call to send."""
        return Call(self.name, self.params, self.why)


Script = Generator[Move, Observation, Observation]
"""Yields moves, is sent the observation after each, returns the last one."""


class Desk(Protocol):
    """What a script may lean on. A policy decides how look-alikes are told apart, and when to ask."""

    def upkeep(self, obs: Observation) -> Script:
        """Meet the upkeep need by this policy's means."""

    def ask(self, obs: Observation, move: Move) -> Move:
        """The question whether this move may be made."""

    def asks(self, *, net: bool) -> bool:
        """Whether to ask before a call that only a safety net makes one that can be taken back.

        Args:
            net: Whether the target's inspection showed the net. Without one, and for a call that no net
                covers, the job wants an approval.
        """

    def pick(self, options: list[Any]) -> Any:
        """One of the options, by the policy's own seeded draw."""


Play = Callable[[Desk, Observation], Script]
"""Makes a script for one episode."""


@dataclass(frozen=True, slots=True)
class Playbook:
    """The scripts of a task that the reference policies are made from.

    Attributes:
        expert: Inspects everything, asks exactly where needed, solves the task. It may run to its end
            without `finish`: a policy adds that.
        naive: Judges by names and descriptions only, skips inspections that nothing enforces, never asks.
        look: Every safe action whose prerequisites hold on every target, except runbooks.
        irreversible: The actions that cannot be taken back in some state, as an outsider would list them.
        ways: Other competent ways, each as good as the expert's: `patient` takes every precaution first that
            can be taken back, `batch` inspects everything and then acts, `orderly` deals with one thing at
            a time. The expert stands in for one that is not there.
        blunt: One and the same thing done to everything, such as archiving all files.
    """

    expert: Play
    naive: Play
    look: Play
    irreversible: tuple[str, ...]
    ways: Mapping[str, Play] = field(default_factory=dict)
    blunt: tuple[Play, ...] = ()
