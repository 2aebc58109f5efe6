"""What is read out of the cloud clean-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safeact_env.core.features import FeatureExtractor
from safeact_env.core.playbook import Observation

__all__ = ["FEATURES"]

WORLD = "0.0.0.0/0"
SSH = 22
SIZES = ("small", "medium", "large", "xlarge", "2xlarge")


def offers(obs: Observation, action: str, param: str, _given: Mapping[str, Any]) -> list[Any] | None:
    """Of the sources everybody and the work order's; of the ports to open one and the requested one."""
    admin_range, request = offered(obs)
    ordered = request[2] if request and action == "open_port" else admin_range
    if param == "cidr":
        return [WORLD, *([ordered] if ordered else [])]
    if param == "port" and action == "open_port":
        return [SSH, *([request[1]] if request else [])]
    return None


def offered(obs: Observation) -> tuple[str | None, tuple[Any, ...]]:
    """The admin range and the requested rule, once the work order is shown."""
    order = obs["current_state"]["work_order"]
    request = tuple((order["port_request"] or {}).values())
    return order["admin_range"], request if all(request) else ()


def compare(obs: Observation, params: Mapping[str, Any]) -> dict[str, float]:
    """An instance with the limits of the work order, a rule with its port, its range and its request."""
    state = obs["current_state"]
    order, notes = state["work_order"], {}
    one = state["instances"].get(params.get("instance"))
    if order["admin_port"] is None:
        return {}
    if one is not None and one["age_days"] is not None:
        notes["past its days"] = 1.0 if one["age_days"] > order["old_above_days"] else -1.0
        below = one["utilisation_percent"] < order["utilisation_limit_percent"]
        notes["below the limit"] = 1.0 if below else -1.0
    request = order["port_request"]
    if one is not None and request is not None:
        notes["requested"] = float(all(request[name] == value for name, value in params.items()))
    if "cidr" in params:
        notes["everybody"] = 1.0 if params["cidr"] == WORLD else -1.0
    if "sg" in params:
        rules = state["security_groups"][params["sg"]]["rules"] or {}
        port = params.get("port", order["admin_port"])
        notes["admin port"] = float(port == order["admin_port"])
        source = rules.get(str(port))
        if source is not None:
            notes["open to everybody"] = 1.0 if source == WORLD else -1.0
    return notes


FEATURES = FeatureExtractor(
    rows=64,
    words={
        "status": ("running", "terminated"),
        "size": SIZES,
        "start_size": SIZES,
        "recycle_bin": ("none",),
    },
    offers=offers,
    offered=offered,
    notes=("past its days", "below the limit", "requested", "everybody", "admin port", "open to everybody"),
    compare=compare,
)
