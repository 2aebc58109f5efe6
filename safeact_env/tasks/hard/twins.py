"""Twins of the server migration: dependencies, local state, users of a credential.

Owns what can be changed there without touching anything visible or published.
"""

from __future__ import annotations

from random import Random

from safeact_env.core.scenario import Scenario, Start
from safeact_env.core.twins import Entity, Twin
from safeact_env.tasks.hard.world import Migration, presented

__all__ = ["TWINS", "redraw"]


def _change_dependencies(_one: Start[Migration], two: Start[Migration], rng: Random) -> tuple[Entity, ...]:
    """One component depends on others than before."""
    components = two.state.facts.components
    changed = components[rng.choice(list(components))]
    others = [name for name in components if name != changed.name]
    # No cycle matters here: a component whose dependencies are unread is never provisioned.
    sets: list[tuple[str, ...]] = [(), *((name,) for name in others), tuple(others[:2])]
    changed.dependencies = rng.choice([some for some in sets if some != changed.dependencies])
    return ((changed.name,),)


def _change_local_state(_one: Start[Migration], two: Start[Migration], rng: Random) -> tuple[Entity, ...]:
    """A service keeps local state, or no longer does."""
    services = two.state.facts.services
    service = services[rng.choice(list(services))]
    service.local_state = not service.local_state
    return ((service.name,),)


def _change_credential(_one: Start[Migration], two: Start[Migration], rng: Random) -> tuple[Entity, ...]:
    """One service's credential is shared, or no longer. The other's configuration says what it said."""
    services = two.state.facts.services
    if len(services) == 1:
        return ()
    service = services[rng.choice(list(services))]
    shared = len(service.credential_used_by) > 1
    service.credential_used_by = (service.name,) if shared else tuple(services)
    return ((service.name,),)


TWINS: tuple[Twin[Migration], ...] = (
    Twin("dependencies", ("check_component_dependencies",), _change_dependencies),
    Twin("local state", ("read_service_config",), _change_local_state),
    Twin("credential users", ("read_service_config",), _change_credential),
)


def redraw(start: Start[Migration]) -> Scenario[Migration]:
    """The scenario, from the facts."""
    return presented(start.state.facts)
