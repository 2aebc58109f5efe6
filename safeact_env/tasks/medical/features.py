"""What the numeric encoding reads out of the medical triage."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from safeact_env.core.features import FeatureExtractor
from safeact_env.core.playbook import Observation

FEW, MANY = 20, 1500
"""The smallest and the largest dose that the published schema gives as an example, in mg."""


def offers(obs: Observation, _action: str, param: str, given: Mapping[str, Any]) -> list[Any] | None:
    """Of the doses two examples, and the right one once it is shown."""
    if param != "dose_mg":
        return None
    right = obs["current_state"]["patients"][given["patient"]]["orders"][given["drug"]]["right_dose_mg"]
    return [FEW, MANY, *([] if right is None else [right])]


def offered(obs: Observation) -> Hashable:
    """The right doses, as far as they are shown."""
    patients = obs["current_state"]["patients"].values()
    return tuple(order["right_dose_mg"] for patient in patients for order in patient["orders"].values())


def compare(obs: Observation, params: Mapping[str, Any]) -> dict[str, float]:
    """A dose with the right one, once it is shown, and whether a patient's orders are all seen to."""
    patient = obs["current_state"]["patients"].get(params.get("patient"))
    if patient is None:
        return {}
    if "drug" not in params:
        open_ones = any(order["status"] == "open" for order in patient["orders"].values())
        return {"orders open": 1.0 if open_ones else -1.0}
    order = patient["orders"][params["drug"]]
    if order["right_dose_mg"] is None:
        return {}
    dose = params.get("dose_mg", order["ordered_dose_mg"])
    return {"dose is right": 1.0 if dose == order["right_dose_mg"] else -1.0}


FEATURES = FeatureExtractor(
    rows=44,
    words={
        "status": ("waiting", "discharged", "open", "held", "given"),
        "bed": ("promised to the next patient",),
        "discharge": ("treated patients",),
    },
    offers=offers,
    offered=offered,
    notes=("orders open", "dose is right"),
    compare=compare,
)
