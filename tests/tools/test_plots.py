"""The drawings of recorded runs: the same bytes each time, and what they show."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from safeact_env.evaluation.metrics import Interval
from safeact_env.evaluation.predictions import scores_of
from safeact_env.evaluation.record import Predicted
from safeact_env.evaluation.result_files import Row
from tools.documents import curves, plots
from tools.documents.svg import as_svg, blank

pytestmark = pytest.mark.skipif(find_spec("matplotlib") is None, reason="the extra `plots` is not installed")

DRAWN = [name for name in plots.PLOTS if (plots.RESULTS / name).exists()]
"""Those of which something is recorded."""
SVG = "{http://www.w3.org/2000/svg}"
ROWS = plots.recorded()


@cache
def drawn_now(name: str) -> bytes | None:
    """A drawing of what is recorded, if anything is."""
    return plots.PLOTS[name](ROWS)


def fresh(name: str) -> bytes:
    """A drawing of what is recorded."""
    drawn = drawn_now(name)
    assert drawn is not None
    return drawn


@pytest.mark.parametrize("name", plots.PLOTS)
def test_what_nothing_is_recorded_of_is_not_drawn(name: str) -> None:
    assert (name in DRAWN) == (drawn_now(name) is not None)


@pytest.mark.parametrize("name", DRAWN)
def test_the_drawings_are_fresh(name: str) -> None:
    drawn = (plots.RESULTS / name).read_bytes()
    found = re.search(rb"matplotlib ([0-9.]+)", drawn)
    assert found
    if found[1].decode() != version("matplotlib"):
        pytest.skip(f"drawn with matplotlib {found[1].decode()}, and this is {version('matplotlib')}")
    assert fresh(name) == drawn, "run `make plots`"


def test_what_was_set_elsewhere_does_not_show() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": None, "figure.facecolor": "black"}):
        assert plots.errors(ROWS) == fresh("errors.svg")


def test_another_process_draws_the_same_bytes() -> None:
    program = (
        "import sys; from tools.documents import plots; "
        "sys.stdout.buffer.write(plots.errors(plots.recorded()))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, cwd=plots.ROOT, env=env
    )
    assert done.stdout == fresh("errors.svg")


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_is_readable_on_a_dark_page_and_tells_no_day(name: str) -> None:
    drawn = (plots.RESULTS / name).read_bytes()
    root = ElementTree.fromstring(drawn)
    background = root.find(f".//{SVG}g[@id='patch_1']/{SVG}path")
    assert background is not None
    assert "fill: #ffffff" in background.attrib["style"]
    assert b"<dc:date>" not in drawn
    assert b"<dc:title>" in drawn


@pytest.mark.parametrize("width", [5, 7, 9.5])
def test_a_long_title_goes_on_in_a_second_line(width: float) -> None:
    with blank(width, 3, curves.TITLE) as figure:
        figure.subplots()
        as_svg(figure)
        (title,) = figure.texts
        assert title.get_window_extent().x1 <= figure.bbox.x1
        assert " ".join(title.get_text().split()) == curves.TITLE


def bars(drawn: bytes, colour: str) -> int:
    return drawn.count(f"fill: {colour.lower()}".encode())


def model(name: str, grade: float) -> Row:
    one = Interval(grade, grade - 0.1, grade + 0.1)
    row = next(row for row in ROWS if row.agent == "guesser")
    by_task = {task: {**found, "grade": one} for task, found in row.by_task.items()}
    return replace(row, agent=name, by_task=by_task)


def test_every_agent_has_a_bar_for_every_task_it_played() -> None:
    assert bars(fresh("grades.svg"), plots.BLUE) == sum(len(row.tasks) for row in ROWS)
    part = model("clever", 0.5)
    part = replace(part, by_task={"easy": part.by_task["easy"]})
    assert bars(plots.grades([part]), plots.BLUE) == 1
    errors = fresh("errors.svg")
    assert bars(errors, plots.ORANGE) == bars(errors, plots.GREEN) == len(ROWS)


def test_a_bar_is_as_long_as_its_value() -> None:
    def width(grade: float) -> float:
        drawn = plots.grades([model("clever", grade)]).decode()
        path = re.findall(rf'd="([^"]*)"[^>]*fill: {plots.BLUE.lower()}', drawn)[0]
        numbers = [float(number) for number in re.findall(r"[ML] ([0-9.]+)", path)]
        return max(numbers) - min(numbers)

    assert width(0.8) == pytest.approx(2 * width(0.4), rel=1e-3)


def test_a_model_is_told_from_a_policy() -> None:
    assert plots.named(model("clever", 0.5)) == "model: clever"
    assert plots.named(ROWS[0]) == "expert"


def predicted(name: str, *calls: tuple[int, bool]) -> Row:
    said = [Predicted(one, "risky" if true else "irreversible", mistake=False) for one, true in calls]
    return replace(model(name, 0.5), predictions=scores_of(said, name))


def test_predictions_are_drawn_bin_by_bin() -> None:
    rows = [ROWS[0], predicted("a", (10, False), (12, True), (95, True)), predicted("b", (50, True))]
    drawn = plots.calibration(rows)
    assert drawn is not None
    assert drawn == plots.calibration(rows)
    root = ElementTree.fromstring(drawn)
    ids = [f".//{SVG}g[@id='PathCollection_{number}']" for number in (1, 2)]
    # Points of several sizes are drawn one by one, and points of one size as uses of a shape.
    points = [len(root.findall(f"{one}/{SVG}path") or root.findall(f"{one}//{SVG}use")) for one in ids]
    assert points == [2, 1]
    background = root.find(f".//{SVG}g[@id='patch_1']/{SVG}path")
    assert background is not None
    assert "fill: #ffffff" in background.attrib["style"]  # readable on a dark page
    assert b"<dc:date>" not in drawn
    assert plots.calibration(ROWS[:1]) is None
    assert plots.calibration([predicted("c")]) is None


def test_a_drawing_that_nothing_is_recorded_of_any_more_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "PLOTS", {"calibration.svg": lambda _rows: None})
    assert plots.main(["--check", "--out", str(tmp_path)]) == 0
    (tmp_path / "calibration.svg").write_bytes(b"<svg/>")
    assert plots.main(["--check", "--out", str(tmp_path)]) == 1
    assert "calibration.svg" in capsys.readouterr().out
    assert plots.main(["--out", str(tmp_path)]) == 0
    assert list(tmp_path.iterdir()) == []


def test_checking_writes_nothing_and_tells_what_is_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "PLOTS", {"grades.svg": lambda rows: f"<svg>{len(rows)}</svg>".encode()})
    assert plots.main(["--check", "--out", str(tmp_path)]) == 1
    assert "grades.svg" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert plots.main(["--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(plots.PLOTS)
    assert plots.main(["--check", "--out", str(tmp_path)]) == 0
    (tmp_path / "grades.svg").write_bytes(b"<svg/>")
    assert plots.main(["--check", "--out", str(tmp_path)]) == 1
