"""The page is there at once: first paint under a second, and under 150 KB."""

import statistics

import pytest
from playwright.sync_api import expect

from safeact_env.server.page.static_files import STATIC

pytestmark = pytest.mark.browser

FIRST_PAINT_MS = 1_000
FIRST_PAINT_BYTES = 150_000


def measured(visit):
    """Milliseconds to the first contentful paint, and bytes of all that came until the page was ready."""
    visitor = visit()
    visitor.open()
    expect(visitor.page.locator(".job")).to_have_count(5)
    (painted,) = visitor.page.evaluate(
        "performance.getEntriesByName('first-contentful-paint').map(one => one.startTime)"
    )
    sizes = visitor.page.evaluate(
        """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
            .map(one => [one.name, one.transferSize])"""
    )
    return painted, sizes


def test_the_first_paint_is_early_and_light(visit):
    runs = [measured(visit) for _ in range(3)]
    for _, sizes in runs:
        assert all(size > 0 for _, size in sizes)
        assert sum(size for _, size in sizes) < FIRST_PAINT_BYTES
    assert statistics.median(painted for painted, _ in runs) < FIRST_PAINT_MS


def test_what_is_not_shown_at_first_is_not_loaded_at_first(visit):
    _, sizes = measured(visit)
    names = {name.rpartition("/")[2] for name, _ in sizes}
    assert "main.js" in names
    assert not names & {"play.js", "watch.js", "replay.js", "results.js", "results.json"}
    assert len(names) < len(list(STATIC.rglob("*.js")))
