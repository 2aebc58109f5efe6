"""Measures the page: what each view weighs, when it is painted, what moves, the clicks of an expert's step.

python -m tools.documents.page_figures [FILE]    rewrites the tables in docs/reference/page.md; needs chromium

Paint and shifts are those of this machine, in a new window without anything kept. Bytes are counted over the
wire, once for a first visit and once for the next.
"""

import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from safeact_env.policies.reference import play
from safeact_env.tasks import OFFICIAL, get_task
from tools.documents import screenshots
from tools.documents.markdown import table
from tools.documents.tables import ROOT, rewritten
from tools.documents.visitor import Visitor, window

FILE = ROOT / "docs" / "reference" / "page.md"
SIZES = screenshots.SIZES
VIEWS: dict[str, tuple[str, Any]] = {
    **screenshots.VIEWS,
    # Its own address, and not the way from another view.
    "play": (f"#/play?{screenshots.scenario()}", lambda page: page.wait_for_selector(".action-name")),
    "checks": ("#/checks", lambda page: page.wait_for_selector("table", state="attached")),
}
"""Each view: its address, and what is done until it is whole."""
SEED = 42
"""Of the expert's episodes whose clicks are counted."""

SHIFTS = """
    window.shifts = 0;
    new PerformanceObserver(list => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
    }).observe({type: "layout-shift", buffered: true});
"""
"""Adds up what moves without anybody having touched it."""
CAME = """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .map(one => [one.name, one.transferSize])"""
"""Every address that was asked for, and the bytes that came over the wire, headers included."""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


@dataclass(frozen=True)
class Figures:
    """What was measured of one view in one window."""

    first: int
    """Bytes of the first visit."""
    again: int
    """Bytes of the next one."""
    paint: float
    """Milliseconds to the first contentful paint of the first visit."""
    shift: float
    """Cumulative layout shift of the first visit."""


def came(page: Any) -> dict[str, int]:
    """Bytes over the wire by address: what is shown twice came once."""
    found: dict[str, int] = {}
    for name, size in page.evaluate(CAME):
        found[name] = found.get(name, 0) + size
    return found


def visit(page: Any, address: str, act: Any) -> None:
    """Open a view in a new document, until nothing comes any more."""
    page.goto("about:blank")
    page.goto(address)
    act(page)
    page.wait_for_load_state("networkidle")


def figures(page: Any, address: str, act: Any) -> Figures:
    """Visit a view twice.

    Args:
        page: A tab of a window in which nothing is kept.
        address: Of the view.
        act: What is done until the view is whole.
    """
    page.add_init_script(SHIFTS)
    visit(page, address, act)
    paint, shift = page.evaluate(PAINT), page.evaluate("window.shifts")
    first = sum(came(page).values())
    # What the tab keeps would show another view.
    page.evaluate("sessionStorage.clear()")
    visit(page, address, act)
    return Figures(first, sum(came(page).values()), paint, shift)


def views_table(browser: Any, url: str) -> str:
    """A row for each view: bytes, first paint and shift by size of the window."""
    rows = []
    for name, (address, act) in VIEWS.items():
        found = []
        for size in SIZES.values():
            page = window(browser, size=size)
            page.set_default_timeout(60_000)
            found.append(figures(page, f"{url}/demo{address}", act))
            page.context.close()
        kilobytes = (max(getattr(one, visit) for one in found) / 1_000 for visit in ("first", "again"))
        paints = (f"{one.paint:.0f}" for one in found)
        rows.append(
            [name, *(f"{one:.1f}" for one in kilobytes), *paints, *(f"{one.shift:.3f}" for one in found)]
        )
    head = ["view", "KB at first", "KB again"]
    return table([*head, *(f"paint, {one}" for one in SIZES), *(f"shift, {one}" for one in SIZES)], rows)


def clicks_table(browser: Any, url: str) -> str:
    """A row for each task: what the expert's episode takes through the forms."""
    rows = []
    for task in OFFICIAL:
        calls = [turn.call for turn in play(get_task(task), "train", SEED, "expert").turns]
        visitor = Visitor(window(browser), url)
        visitor.start(task, SEED)
        visitor.play(calls)
        visitor.page.context.close()
        rows.append([task, *map(str, (len(calls), visitor.clicks)), f"{visitor.clicks / len(calls):.2f}"])
    return table(["task", "steps", "clicks", "clicks per step"], rows)


def main(file: Path) -> None:
    """Measure, and rewrite the tables."""
    with screenshots.serving() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        made = {"page_views": views_table(browser, url), "page_clicks": clicks_table(browser, url)}
        browser.close()
    text = file.read_text(encoding="utf-8")
    file.write_text(
        rewritten(text, {name: partial(str, body) for name, body in made.items()}), encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)
