"""The tables of a recorded `make compat`. Owns their form. Must not know how the run was made."""

import json
from pathlib import Path

from tools.documents.markdown import table

COMPAT_RUN = Path(__file__).resolve().parents[2] / "results" / "compat.json"


def clients_table() -> str:
    """The recorded comparison of clients: a row per client, a column per library."""
    played = json.loads(COMPAT_RUN.read_text(encoding="utf-8"))["clients"]
    libraries = list(dict.fromkeys(one["package"] for one in played))
    rows = []
    for client in dict.fromkeys(one["client"] for one in played):
        cells = []
        for library in libraries:
            own = [one for one in played if (one["client"], one["package"]) == (client, library)]
            cells.append(", ".join(f"{one['use']}{' DIFFERS' if one['difference'] else ''}" for one in own))
        rows.append([client, *cells])
    same = sum(not one["difference"] for one in played)
    episodes, steps = ({one[name] for one in played}.pop() for name in ("episodes", "steps"))
    note = (
        f"Played in each of these ways: {episodes} whole episodes of all tasks, {steps} steps. Observations, "
        f"rewards and states were the same in {same} of {len(played)}."
    )
    names = [library.replace("==", " ") for library in libraries]
    return f"{table(['client', *names], rows)}\n\n{note}"


def validators_table() -> str:
    """The recorded reports of OpenEnv's validators."""
    run = json.loads(COMPAT_RUN.read_text(encoding="utf-8"))
    rows = []
    for one in run["validators"]:
        judged = {name: result for name, result in one["criteria"].items() if result != "skip"}
        passed = [f"`{name}`" for name, result in judged.items() if result == "pass"]
        package = f"`{one['package']}`" if "==" in one["package"] else one["package"]
        rows.append([package, one["validator"], f"{len(passed)} of {len(judged)}", ", ".join(passed)])
    skipped = [names for one in run["validators"] for names in one["skipped"].items()]
    reasons: dict[str, list[str]] = {}
    for name, reason in skipped:
        reasons.setdefault(reason, []).append(f"`{name}`")
    note = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in reasons.items())
    head = ["of", "validator", "passed", "criteria"]
    return f"{table(head, rows)}\n\nSkipped, in the validator's words: {note}."


def servers_table() -> str:
    """The recorded runs of the tests of the API on other dependencies."""
    run = json.loads(COMPAT_RUN.read_text(encoding="utf-8"))
    rows = [
        [one["dependencies"], str(one["passed"]), str(len(one["failed"])), str(one["skipped"])]
        for one in run["servers"]
    ]
    return table(["server and tests on", "passed", "failed", "skipped"], rows)
