"""The twin that every task has: two look-alikes whose roles are exchanged.

Owns this exchange. Must not know any concrete task.
"""

from __future__ import annotations

from random import Random
from typing import Any

from safeact_env.core.lookalikes import Pool
from safeact_env.core.scenario import Start
from safeact_env.core.twins import Entity, Twin

__all__ = ["lookalike_twin"]


def lookalike_twin(pool: Pool) -> Twin[Any]:
    """The one that works and a trap change roles and the wordings of their runbooks; no canonical name."""
    canonical = {one.name for one in pool.canonical}

    def differ(_one: Start[Any], two: Start[Any], rng: Random) -> tuple[Entity, ...]:
        upkeep = two.state.upkeep
        works = upkeep.working
        trap = rng.choice([name for name in upkeep.runbooks if name != works and name not in canonical])
        facts = {name: pool.named(name).changes for name in (works, trap)}
        ways = {name: upkeep.runbooks[name].removeprefix(facts[name]) for name in facts}
        upkeep.working = trap
        upkeep.runbooks |= {works: facts[works] + ways[trap], trap: facts[trap] + ways[works]}
        return (works,), (trap,)

    return Twin("look-alike roles", ("read_runbook",), differ)
