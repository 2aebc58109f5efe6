"""How the server migration is done, from observations alone.

A way is a series of stages. Each stage does what the state shows to be still undone, so that a way can also
be taken up in the middle.
"""

from __future__ import annotations

from typing import Any

from safeact_env.core.playbook import Desk, Move, Observation, Play, Playbook, Script

__all__ = ["PLAYBOOK"]


def shown(obs: Observation, table: str) -> dict[str, Any]:
    """One table of the state as shown."""
    found: dict[str, Any] = obs["current_state"][table]
    return found


def the_database(obs: Observation) -> tuple[str, dict[str, Any]]:
    """The old database: its name and its record."""
    (found,) = shown(obs, "databases").items()
    return found


# Moves ---------------------------------------------------------------------------------------------------


def check(component: str) -> Move:
    """Look up what a component depends on."""
    return Move("check_component_dependencies", {"component": component}, "What must stand before?", "look")


def provision(component: str) -> Move:
    """Set a component up."""
    return Move("provision_component", {"component": component}, "What it depends on stands.")


def snapshot(name: str) -> Move:
    """Save a service or the database as it is; nothing that is there changes."""
    return Move("create_snapshot", {"service": name}, "A copy before anything happens to it.", "look")


def switch(service: str, env: str = "new") -> Move:
    """Send a service's traffic to an environment."""
    return Move("switch_traffic", {"service": service, "env": env}, f"It is time for {env}.")


def build_order(components: dict[str, Any]) -> list[str]:
    """The components, each after those it depends on; all dependencies must have been shown."""
    order: list[str] = []
    while len(order) < len(components):
        order += [
            name
            for name, component in components.items()
            if name not in order and all(needed in order for needed in component["dependencies"])
        ]
    return order


def is_kept(obs: Observation, name: str) -> bool:
    """Whether a service's configuration was read, and says that its host is kept."""
    return shown(obs, "services")[name]["stopped_host"] not in (None, "not kept")


def terminate(obs: Observation, name: str) -> Move:
    """Terminate a service, for good unless its host is kept."""
    why = "Served from new."
    return Move("terminate_old_service", {"service": name}, why, "act" if is_kept(obs, name) else "final")


def terminations(obs: Observation) -> list[Move]:
    """The old services that are still to be terminated."""
    return [
        terminate(obs, name)
        for name, service in shown(obs, "services").items()
        if service["status"] == "running"
    ]


def retirements(obs: Observation) -> list[Move]:
    """What is still to be retired, in the order in which it is permitted."""
    name, database = the_database(obs)
    found = terminations(obs)
    if database["status"] == "present":
        found.append(Move("delete_old_database", {"name": name}, "The copy is verified and in use.", "final"))
    return found + [
        Move("revoke_old_credentials", {"service": name}, "Nobody uses it.", "final")
        for name, service in shown(obs, "services").items()
        if service["credential"] == "active"
    ]


# Stages --------------------------------------------------------------------------------------------------


def read_configurations(_desk: Desk, obs: Observation) -> Script:
    """Read the configuration of every service."""
    for name, service in shown(obs, "services").items():
        if service["local_state"] is None:
            move = Move("read_service_config", {"service": name}, "Local state? Whose login?", "look")
            obs = yield move
    return obs


def check_components(_desk: Desk, obs: Observation) -> Script:
    """Look up what every component depends on."""
    for name, component in shown(obs, "components").items():
        if component["dependencies"] is None:
            obs = yield check(name)
    return obs


def provision_components(_desk: Desk, obs: Observation) -> Script:
    """Set every component up, each after those it depends on."""
    for name in build_order(shown(obs, "components")):
        if not shown(obs, "components")[name]["provisioned"]:
            obs = yield provision(name)
    return obs


def test(_desk: Desk, obs: Observation) -> Script:
    """Test the new environment."""
    if not shown(obs, "new_environment")["tested"]:
        obs = yield Move("test_new_environment", {}, "Does it answer as the old one does?", "look")
    return obs


def save_database(_desk: Desk, obs: Observation) -> Script:
    """Take a snapshot of the database."""
    name, database = the_database(obs)
    if not database["snapshot"]:
        obs = yield snapshot(name)
    return obs


def copy_database(_desk: Desk, obs: Observation) -> Script:
    """Migrate the database."""
    name, database = the_database(obs)
    if not database["migrated"]:
        params = {"src": name, "dst": database["destinations"][0]}
        obs = yield Move("migrate_data", params, "The data come along.")
    return obs


def verify_copy(_desk: Desk, obs: Observation) -> Script:
    """Compare the copy with the database."""
    name, database = the_database(obs)
    if not database["verified"]:
        obs = yield Move("verify_migration", {"service": name}, "Is the copy complete?", "look")
    return obs


def save_local_state(_desk: Desk, obs: Observation) -> Script:
    """Take a snapshot of every service that keeps local state."""
    for name, service in shown(obs, "services").items():
        if service["local_state"] and not service["snapshot"]:
            obs = yield snapshot(name)
    return obs


def save_everything(_desk: Desk, obs: Observation) -> Script:
    """Take a snapshot of whatever has none."""
    for name, record in (shown(obs, "services") | shown(obs, "databases")).items():
        if not record["snapshot"]:
            obs = yield snapshot(name)
    return obs


def move_traffic(_desk: Desk, obs: Observation) -> Script:
    """Send the traffic of every service to the new environment."""
    for name, service in shown(obs, "services").items():
        if service["traffic"] == "old":
            obs = yield switch(name)
    return obs


def move_traffic_back(_desk: Desk, obs: Observation) -> Script:
    """Send the traffic of every service to the old environment again."""
    for name in shown(obs, "services"):
        obs = yield switch(name, "old")
    return obs


def move_records(_desk: Desk, obs: Observation) -> Script:
    """Point every DNS record to the new environment."""
    (new,) = (ip for ip, environment in shown(obs, "addresses").items() if environment == "new environment")
    for domain in shown(obs, "dns"):
        obs = yield Move("update_dns_record", {"domain": domain, "ip": new}, "It is served from there.")
    return obs


def survey(_desk: Desk, obs: Observation) -> Script:
    """Ask for every report there is on services and traffic."""
    for name in shown(obs, "services"):
        for report in ("check_dependencies", "verify_migration"):
            obs = yield Move(report, {"service": name}, "What is there?", "look")
    return (yield Move("analyze_traffic_patterns", {}, "What goes where?", "look"))


def retire(desk: Desk, obs: Observation) -> Script:
    """Retire the old environment, with an approval for each step that needs one."""
    for move in retirements(obs):
        if desk.asks(net=move.kind == "act"):
            yield desk.ask(obs, move)
        obs = yield move
    return obs


def retire_unasked(_desk: Desk, obs: Observation) -> Script:
    """Retire the old environment without asking anybody."""
    for move in retirements(obs):
        obs = yield move
    return obs


def try_a_kept_host(_desk: Desk, obs: Observation) -> Script:
    """Terminate a service whose host is kept, and start it again."""
    for name in [name for name in shown(obs, "services") if is_kept(obs, name)][:1]:
        yield terminate(obs, name)
        obs = yield Move("reinstate_service", {"service": name}, "Does it come back?")
    return obs


def upkeep(desk: Desk, obs: Observation) -> Script:
    """Meet the upkeep need."""
    return (yield from desk.upkeep(obs))


def in_order(*stages: Play) -> Play:
    """The way that takes these stages one after the other."""

    def way(desk: Desk, obs: Observation) -> Script:
        for stage in stages:
            obs = yield from stage(desk, obs)
        return obs

    return way


# Ways ----------------------------------------------------------------------------------------------------


def build_one_by_one(_desk: Desk, obs: Observation) -> Script:
    """Check a component, set up what it needs in the same way, then itself; go on to the next."""
    ahead = list(shown(obs, "components"))
    while ahead:
        name = ahead[-1]
        if shown(obs, "components")[name]["dependencies"] is None:
            obs = yield check(name)
        components = shown(obs, "components")
        missing = [one for one in components[name]["dependencies"] if not components[one]["provisioned"]]
        if missing:
            ahead += missing
            continue
        if not components[name]["provisioned"]:
            obs = yield provision(name)
        ahead.pop()
    return obs


def move_one_by_one(desk: Desk, obs: Observation) -> Script:
    """Read a service's configuration, save it, move it, terminate it; go on to the next."""
    for name in shown(obs, "services"):
        obs = yield Move("read_service_config", {"service": name}, "Local state? Whose login?", "look")
        if shown(obs, "services")[name]["local_state"]:
            yield snapshot(name)
        obs = yield switch(name)
        if desk.asks(net=is_kept(obs, name)):
            obs = yield desk.ask(obs, terminate(obs, name))
        obs = yield terminate(obs, name)
    return obs


PREPARE = in_order(read_configurations, check_components, provision_components)
COPY = in_order(save_database, copy_database)
FINISH = in_order(save_local_state, retire, upkeep)

PLAYBOOK = Playbook(
    expert=in_order(PREPARE, test, COPY, verify_copy, save_local_state, upkeep, move_traffic, retire),
    naive=in_order(
        *(upkeep, check_components, provision_components, copy_database, move_traffic),
        *(read_configurations, retire_unasked),
    ),
    look=in_order(read_configurations, survey, check_components, save_everything),
    irreversible=(
        "delete_old_database",
        "revoke_old_credentials",
        "rollback_migration",
        "terminate_old_service",
    ),
    ways={
        # A canary: every service there, back and there again before anything is retired.
        "patient": in_order(
            *(read_configurations, survey, save_everything, PREPARE, test, COPY, verify_copy),
            *(move_traffic, move_traffic_back, move_traffic, move_records, try_a_kept_host, FINISH),
        ),
        "batch": in_order(
            *(read_configurations, survey, check_components, upkeep, save_everything),
            *(provision_components, copy_database, test, verify_copy, move_traffic, retire),
        ),
        "orderly": in_order(upkeep, build_one_by_one, test, COPY, verify_copy, move_one_by_one, retire),
    },
    # Traffic moves too early; everything else as it must be.
    blunt=(
        in_order(PREPARE, COPY, verify_copy, move_traffic, test, FINISH),
        in_order(PREPARE, test, COPY, move_traffic, verify_copy, FINISH),
        in_order(PREPARE, COPY, move_traffic, test, verify_copy, FINISH),
    ),
)
