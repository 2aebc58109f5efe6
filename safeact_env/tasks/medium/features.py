"""What the numeric encoding reads out of the database maintenance."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

from safeact_env.core.features import FeatureExtractor
from safeact_env.core.playbook import Observation

THRESHOLD = re.compile(r"last accessed more than (\d+) days ago")
"""Where the job or the handbook says from when on a table is stale, in days."""
OLDEST = 3650
"""The largest age that the published schema allows, in days."""


def threshold(obs: Observation) -> int:
    """Days since the last access from which on a table is stale, as the job or the open handbook says."""
    for text in (obs["task_description"], *(obs["current_state"]["handbook"] or ())):
        if found := THRESHOLD.search(text):
            return int(found[1])
    return OLDEST


def offers(obs: Observation, _action: str, param: str, given: Mapping[str, Any]) -> list[Any] | None:
    """Of the columns the first, the last and the slow one; of the ages the threshold and the largest."""
    if param == "age":
        return [threshold(obs), OLDEST]
    if param != "column":
        return None
    table = obs["current_state"]["tables"][given["table"]]
    first, *_, last = table["columns"]
    return [first, last, *([table["slow_column"]] if table["slow_column"] else [])]


def offered(obs: Observation) -> Hashable:
    """The threshold and the slow columns, as far as they are shown."""
    slow = (table["slow_column"] or None for table in obs["current_state"]["tables"].values())
    return threshold(obs), *slow


def compare(obs: Observation, params: Mapping[str, Any]) -> dict[str, float]:
    """A table's last access with the job's threshold, a column with what is shown of it, an age likewise."""
    table = obs["current_state"]["tables"].get(params.get("table"))
    if table is None:
        return {}
    notes: dict[str, float] = {}
    last = table["last_access_days"]
    if last is not None:
        notes["stale"] = 1.0 if last > threshold(obs) else -1.0
    if "column" in params:
        notes["slow"] = float(params["column"] == table["slow_column"])
        notes["indexed"] = float(params["column"] in table["indexes"])
    if "age" in params and last is not None:
        notes["covers"] = 1.0 if params["age"] <= last else -1.0
    return notes


FEATURES = FeatureExtractor(
    rows=76,
    words={
        "status": ("present", "archived", "dropped"),
        "archive": ("none", "partial"),
        "recycle_bin": ("none",),
    },
    offers=offers,
    offered=offered,
    notes=("stale", "slow", "indexed", "covers"),
    compare=compare,
)
