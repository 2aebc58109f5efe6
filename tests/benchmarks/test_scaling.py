"""What is recorded of how costs grow, and its drawings."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.scaling import STEPS, by_step
from safeact_env.core.variant import Variant
from safeact_env.tasks import get_task
from tools.documents.scaling_curves import RUN, connections, step_costs
from tools.documents.svg import BLUE, ORANGE
from tools.documents.tables import scaling_table

SVG = "{http://www.w3.org/2000/svg}"


def test_a_budget_is_measured_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.scaling.EPISODES", 2)
    task = get_task("easy")
    found = by_step(task, 5)
    steps = task.level(Variant(5)).max_steps - 1
    assert len(found) == -(-steps // STEPS)
    assert min(found) > 0


def test_what_is_not_recorded_is_not_drawn(tmp_path: Path) -> None:
    assert connections(tmp_path / "none.json") is step_costs(tmp_path / "none.json") is None


def test_a_line_shows_the_recorded_costs(tmp_path: Path) -> None:
    run = {
        "connections": {
            "one": {"1": {"us/step": 10.0, "steps/s": 50.0}, "4": {"us/step": 20.0, "steps/s": 9.0}}
        },
        "steps": {"easy": {"1": [4.0, 2.0], "2": [8.0, 1.0, 1.0]}},
        "steps per point": 5,
    }
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run))
    drawn = connections(path)
    assert drawn is not None
    assert b"<dc:date>" not in drawn
    # A line and its mark in the legend, per panel and once below.
    assert drawn.count(b"stroke: " + BLUE.lower().encode()) >= 3
    assert ORANGE.lower().encode() not in drawn
    costs = step_costs(path)
    assert costs is not None
    root = ElementTree.fromstring(costs)
    lines = [one.get("d", "").split() for one in root.iter(f"{SVG}path") if "clip-path" in one.attrib]
    data = [one for one in lines if one.count("L") in (1, 2)]
    assert max(one.count("L") for one in data) == 2
    # Down from 4 to 2 and from 8 to 1: the second falls 3.5 times as far.
    falls = sorted(
        {round(float(one[5]) - float(one[2]), 3) for one in data if float(one[1]) != float(one[4])}
    )
    assert falls[-1] == pytest.approx(3.5 * falls[-2], rel=0.01)


def test_large_jobs_cost_at_most_three_times_as_much_a_step() -> None:
    """As recorded: a level 5 against level 3."""
    for levels in json.loads(RUN.read_text(encoding="utf-8"))["steps"].values():
        three, five = (sum(levels[level]) / len(levels[level]) for level in ("3", "5"))
        assert five <= 3 * three
    assert "5 against 3" in scaling_table()
