"""The tables of what was measured of the page: whole, within what is promised, and measured as they say."""

import re

import pytest

from safeact_env.tasks import OFFICIAL
from tools.documents.page_figures import FILE, SIZES, VIEWS, figures
from tools.documents.visitor import window

MOST_KB, MOST_PAINT_MS, MOST_SHIFT, MOST_CLICKS = 100, 1_000, 0.05, 2.5
PLAYED = ("start", "play")
"""The views on the way to a game."""


def rows(name, text):
    """A generated table by its first column, without the head."""
    body = re.search(f"<!-- {name}:begin -->\n(.*?)\n<!-- {name}:end -->", text, re.DOTALL)[1]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()[2:]]
    return {first: [float(cell) for cell in rest] for first, *rest in cells}


def broken(text):
    """What of the tables is missing or more than is promised."""
    views, clicks = rows("page_views", text), rows("page_clicks", text)
    found = [name for name in (*VIEWS, *OFFICIAL) if name not in {**views, **clicks}]
    for name, (first, again, *rest) in views.items():
        paints, shifts = rest[: len(SIZES)], rest[len(SIZES) :]
        if len(shifts) != len(SIZES) or max(paints) >= MOST_PAINT_MS or max(shifts) >= MOST_SHIFT:
            found.append(name)
        if again >= first or (name in PLAYED and first >= MOST_KB):
            found.append(name)
    found += [name for name, (steps, made, each) in clicks.items() if each > MOST_CLICKS or made < steps]
    return found


def test_every_view_and_task_is_measured_and_within_what_is_promised():
    assert broken(FILE.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        (r"\| play \| [\d.]+", "| play | 100.1"),
        (r"\| hard \|.*\n", ""),
        (r"(\| watch .*) [\d.]+ \|", r"\1 0.05 |"),
        (r"(\| easy .*) [\d.]+ \|", r"\1 2.51 |"),
        (r"\| live \| ([\d.]+) \| [\d.]+", r"| live | \1 | \1"),
    ],
)
def test_what_is_missing_or_too_much_would_be_noticed(what, instead):
    text, count = re.subn(what, instead, FILE.read_text(encoding="utf-8"))
    assert count == 1
    assert len(broken(text)) == 1


@pytest.mark.browser
def test_what_is_measured_is_what_comes_and_moves(tmp_path):
    from playwright.sync_api import sync_playwright

    from tests.page.conftest import FLAGS, chromium

    found = chromium()
    if found is None:
        pytest.skip("there is no chromium on this machine")
    page = tmp_path / "page.html"
    page.write_text("<p>one</p><p style='height: 300px'>two</p>")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        tab = window(browser)
        still = figures(tab, page.as_uri(), lambda _page: None)
        moved = figures(
            tab,
            page.as_uri(),
            lambda page: page.evaluate(
                """() => new Promise(done => {
                    requestAnimationFrame(() => requestAnimationFrame(() => {
                        document.body.style.paddingTop = '400px';
                        setTimeout(done, 200);
                    }));
                })"""
            ),
        )
        browser.close()
    assert still.shift == 0 < moved.shift
    assert still.paint > 0
