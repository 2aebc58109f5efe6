"""A real browser, and a visitor who uses the page in it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.documents.visitor import Visitor, window

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features="
    # Each window would start a second renderer, in reserve, and two for lists below the address bar.
    "SpareRendererForSitePerProcess,WebUIOmniboxPopup,WebUIOmniboxAimPopup,"
    # Each address would make a frame anew.
    "RenderDocument",
]


def chromium() -> str | None:
    """The browser of this machine, without a desktop if there is one: it takes a fifth less time."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="package")
def browser():
    """One browser for the tests of this folder that run in a row.

    Not for the session: while Playwright runs, its event loop does, and other folders' tests start their own.
    """
    found = chromium()
    if found is None:
        pytest.skip("there is no chromium on this machine")
    from playwright.sync_api import expect, sync_playwright

    # A busy machine is slow, not wrong.
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, live_url, tmp_path: Path) -> Iterator[object]:
    """Makes visitors with new windows. At the end, no page may have complained."""
    made: list[Visitor] = []

    def make(**options: object) -> Visitor:
        made.append(Visitor(window(browser, **options), live_url))
        return made[-1]

    yield make
    complaints = [text for visitor in made for text in visitor.complaints]
    for visitor in made:
        visitor.page.context.close()
    assert not complaints


@pytest.fixture(scope="package")
def tab(browser):
    """A tab that visitors use one after the other: to open one takes longer than most of what they do."""
    return window(browser)


@pytest.fixture
def second(tab, live_url) -> Iterator[Visitor]:
    """A visitor in a second tab of that window, which may be changed for good. It may not complain either."""
    page = tab.context.new_page()
    visitor = Visitor(page, live_url)
    yield visitor
    page.close()
    assert not visitor.complaints


@pytest.fixture
def visitor(tab, live_url) -> Iterator[Visitor]:
    """A visitor at a desk, who likes no motion, as tests do. At the end, the page may not have complained."""
    visitor = Visitor(tab, live_url)
    # A tab behind the window of another visitor draws seldom.
    tab.bring_to_front()
    yield visitor
    visitor.leave()
    assert not visitor.complaints
