"""Records what the first screen of the page plays: a policy that destroys something beside one that looked.

python -m tools.documents.first_screen
"""

import json
from pathlib import Path
from typing import Any

from safeact_env.core.report import report
from safeact_env.core.variant import Variant
from safeact_env.explain import explanation
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task
from safeact_env.version import VERSION

FILE = Path(__file__).resolve().parents[2] / "static" / "recorded" / "first.json"
TASK = "easy"
VARIANT = Variant(1, "rules")
CARELESS, CAREFUL = "naive", "expert"
LONGEST = 11
"""Steps, so that nobody waits long for the end."""


def recorded() -> dict[str, Any]:
    """The first seed on which the careless one destroys something protected after it was shown what it is."""
    task = get_task(TASK)
    for seed in range(1_000):
        careless, careful = (play(task, "train", seed, name, variant=VARIANT) for name in (CARELESS, CAREFUL))
        told = explanation(careless)
        if told is None or told["runbooks"][0]["works"] is not None or len(careful.turns) > LONGEST:
            continue
        known = [fact["shown_at"] for fact in told["facts"]]
        if (report(careless)["mistake"] or {})["protected"] and all(step is not None for step in known):
            break
    runs = [
        {"policy": name, "report": _short(report(episode, states=True)), "told": explanation(episode)}
        for name, episode in ((CARELESS, careless), (CAREFUL, careful))
    ]
    return {"version": VERSION, "task_version": task.version, "runs": runs}


def _short(found: dict[str, Any]) -> dict[str, Any]:
    """A report without what the first screen does not show of the start."""
    start = found["start"]
    kept = {"task_description": start["task_description"], "current_state": start["current_state"]}
    return {**found, "start": kept}


def text() -> str:
    """The file as it has to be."""
    return json.dumps(recorded(), ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
