"""Everybody can use it: axe finds nothing on any screen, the keyboard is enough, a phone is wide enough."""

import json
from pathlib import PurePath

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from safeact_env.core.episode import Episode
from safeact_env.core.variant import Variant
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task, task_names

pytestmark = pytest.mark.browser

RULES = {
    "light": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    },
    # The same page in other colours: nothing else can differ.
    "dark": {"type": "rule", "values": ["color-contrast"]},
}


def calls(task, seed, policy="expert"):
    """Of the smallest job: it has all that a screen shows, and what is looked at is a third."""
    made = play(get_task(task), "train", seed, policy, variant=Variant(1, "rules"))
    return [turn.call for turn in made.turns]


def lobby(visitor):
    visitor.open()
    expect(visitor.page.locator(".job")).to_have_count(5)


def game(task, steps=4):
    def screen(visitor):
        visitor.take_on(task, 42, calls(task, 42)[:steps], level=1)
        visitor.page.locator(".world button.thing").last.click()
        visitor.page.locator(".action-name").first.click()

    return screen


def approval(visitor):
    wanted = calls("easy", 42)
    asked = [call.action_name for call in wanted].index("escalate_to_human")
    visitor.take_on("easy", 42, wanted[: asked + 1], level=1)


def fatal(visitor):
    *before, last = calls("easy", 6, "naive")
    visitor.take_on("easy", 6, before, level=1)
    visitor.play([last])
    expect(visitor.page.get_by_role("heading", name="This cannot be undone.")).to_be_visible()
    visitor.page.get_by_role("button", name="Step through it").click()
    visitor.page.get_by_role("button", name="To the end").click()


def watch(visitor):
    visitor.open("#/watch?task=hard&seed=3&level=1&a=guesser&b=expert")
    expect(visitor.page.locator(".screen")).to_have_count(2)
    visitor.page.get_by_role("button", name="To the end").click()


def replay(visitor):
    made = [call.to_json() for call in calls("easy", 314, "naive")]
    turn = [{"role": "user", "content": "word " * 400}, {"role": "assistant", "content": "I see."}]
    record = {
        "task": "easy",
        "seed": 314,
        "calls": made,
        "score": 1,
        "model": {"name": "m", "messages": [turn] * len(made)},
    }
    file = {"name": "a.jsonl", "mimeType": "application/json", "buffer": json.dumps(record).encode()}
    visitor.open("#/replay")
    visitor.page.locator("#file").set_input_files(file)
    expect(visitor.page.get_by_label("Where the file and the replay differ")).to_be_visible()
    visitor.page.get_by_role("button", name="Step", exact=True).click()


def refusal(visitor):
    visitor.open("#/play?task=nothing&seed=1")
    expect(visitor.page.get_by_role("alert")).to_be_visible()


def results(visitor):
    visitor.open("#/results")
    expect(visitor.page.locator("table").first).to_be_visible()


def live(visitor):
    body = {"task_name": "easy", "seed": 42, "level": 1}
    episode = httpx.post(f"{visitor.url}/reset", json=body).json()["episode_id"]
    visitor.open(f"#/live?episode={episode}")
    expect(visitor.page.locator(".live .world")).to_be_visible()
    visitor.page.locator(".fold > summary").click()


SCREENS = {
    "lobby": lobby,
    **{task: game(task) for task in task_names()},
    "approval": approval,
    "fatal": fatal,
    "watch": watch,
    "replay": replay,
    "refusal": refusal,
    "results": results,
    "live": live,
}


def findings(page, scheme="light"):
    """What axe objects to, a line each."""
    page.emulate_media(color_scheme=scheme)
    # To describe what passes, to find selectors for it and to load its files again takes as long as to check.
    options = {
        "runOnly": RULES[scheme],
        "resultTypes": ["violations"],
        "selectors": False,
        "preload": False,
    }
    # Its script, of half a megabyte, is put into a document once.
    axe = Axe("0") if page.evaluate("'axe' in window") else Axe()
    found = axe.run(page, options=options).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html']} {node['failureSummary']}"
        for one in found
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("name", SCREENS)
def test_axe_finds_nothing_in_light_and_dark_and_a_phone_is_wide_enough(visitor, name):
    SCREENS[name](visitor)
    assert findings(visitor.page) == []
    assert findings(visitor.page, "dark") == []
    visitor.page.set_viewport_size({"width": 320, "height": 740})
    assert visitor.overflow() == 0
    visitor.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert split_up(visitor.page) == []
    assert cut_off(visitor.page) == []
    assert too_small(visitor.page) == []


def test_axe_would_find_something(visitor):
    lobby(visitor)
    visitor.page.evaluate("document.querySelector('#seed').labels[0].remove()")
    visitor.page.evaluate("document.querySelector('#seed').removeAttribute('placeholder')")
    visitor.page.evaluate("document.querySelector('.lead').style.color = '#ccc'")
    found = " ".join(findings(visitor.page))
    assert "label (critical)" in found
    assert "color-contrast (serious)" in found
    visitor.page.evaluate("document.querySelector('.lead').style.color = '#444'")
    assert "color-contrast (serious)" in " ".join(findings(visitor.page, "dark"))


def split_up(page):
    """Names and headings that are set a letter or two to a line."""
    found = page.evaluate(
        """() => [...document.querySelectorAll('h1, h2, h3, h4, code, .thing, th, .verdict')].filter(one => {
            if (!one.checkVisibility() || one.textContent.trim().length < 4) return false;
            const line = parseFloat(getComputedStyle(one).fontSize);
            return [...one.getClientRects()].some(box => box.width < 3 * line && box.height > 3 * line);
        }).map(one => one.outerHTML)"""
    )
    return found


def cut_off(page):
    """What no key reaches for it is wider than its place, broken words in tables, labels beside a plot."""
    return page.evaluate(
        """() => {
            const shown = [...document.querySelectorAll('main *')].filter(one => one.checkVisibility());
            const isReached = one => one.closest('.unseen, input, select, textarea, [tabindex="0"]');
            const wide = shown.filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 1
                && getComputedStyle(one).overflowX !== 'visible' && !isReached(one));
            const broken = shown.filter(one => one.matches('td') && [...one.childNodes].some(node => {
                const text = node.nodeType === Node.TEXT_NODE ? node.textContent : '';
                return [...text.matchAll(/[a-z]{2,}/gi)].some(word => {
                    const range = document.createRange();
                    range.setStart(node, word.index);
                    range.setEnd(node, word.index + word[0].length);
                    return range.getClientRects().length > 1;
                });
            }));
            const beside = shown.filter(one => one.matches('.plot text')
                && one.getBoundingClientRect().left < one.closest('svg').getBoundingClientRect().left - 1);
            return [...wide, ...broken, ...beside].map(one => one.outerHTML.slice(0, 200));
        }"""
    )


def test_what_is_cut_off_would_be_noticed(visitor):
    results(visitor)
    page = visitor.page
    page.set_viewport_size({"width": 320, "height": 740})
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert cut_off(page) == []
    page.evaluate(
        """() => {
            const [place] = document.querySelectorAll('.table-place');
            place.removeAttribute('tabindex');
            const [cell] = document.querySelectorAll('.fold td');
            cell.style = 'display: block; overflow-wrap: anywhere; width: 2ch; min-width: 0; padding: 0';
            cell.textContent = 'brokenword';
            document.querySelector('.plot-name').textContent = 'a name far too long for its place';
        }"""
    )
    assert len(cut_off(page)) == 3


def test_a_name_of_one_letter_per_line_would_be_noticed(visitor):
    lobby(visitor)
    visitor.page.evaluate("document.querySelector('h2').style.width = '1ch'")
    assert len(split_up(visitor.page)) == 1


def too_small(page):
    """What a finger may miss."""
    found = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input:not([type=radio]), nav a')]
            .filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 24)
            .map(one => one.outerHTML)"""
    )
    return found


def first_look(task, seed):
    """The first turn of the expert in which it reads a record."""
    turns = play(get_task(task), "train", seed, "expert").turns
    return next(turn for turn in turns if turn.call.action_name == "read_file_metadata")


def test_an_episode_is_played_on_a_phone(visit):
    visitor = visit(size=(360, 740), has_touch=True)
    visitor.start("easy", 42)
    page = visitor.page
    look = first_look("easy", 42)
    page.get_by_role("button", name=PurePath(look.call.parameters["path"]).name, exact=True).tap()
    page.locator('[data-action="read_file_metadata"]').tap()
    page.get_by_role("button", name="Do it").tap()
    expect(page.locator(".result")).to_contain_text(look.result)
    expect(page.locator(".result")).to_be_in_viewport()
    page.get_by_role("button", name="Actions", exact=True).tap()
    expect(page.get_by_role("heading", name="Actions")).to_be_in_viewport()
    assert visitor.overflow() == 0


def test_a_page_that_is_too_wide_or_too_small_to_hit_would_be_noticed(visitor):
    visitor.page.set_viewport_size({"width": 360, "height": 740})
    lobby(visitor)
    visitor.page.evaluate("document.querySelector('.jobs').style.minWidth = '400px'")
    visitor.page.evaluate(
        "document.querySelector('.lobby .button').style = 'min-height: 0; padding: 0; font-size: 9px'"
    )
    assert visitor.overflow() > 0
    assert len(too_small(visitor.page)) == 1


OUTLINE = "one => one === document.activeElement ? getComputedStyle(one).outlineStyle : null"


class Keyboard:
    """Hands on the keyboard only."""

    def __init__(self, page):
        self.page = page

    def tab_to(self, locator, most=60):
        """Press Tab until it is there; what has the focus must look like it."""
        wanted = locator.element_handle()
        for _ in range(most):
            self.page.keyboard.press("Tab")
            shape = self.page.evaluate(OUTLINE, wanted)
            if shape:
                assert shape != "none"
                return
        raise AssertionError(f"{locator} is not reached by {most} presses of Tab")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)


def test_an_episode_is_played_with_the_keyboard_only(visitor):
    page, keyboard = visitor.page, Keyboard(visitor.page)
    visitor.open()
    expect(page.locator(".job")).to_have_count(5)
    keyboard.tab_to(page.get_by_role("link", name="Start with an easy one"))
    keyboard.press("Enter")
    expect(page.locator(".action-name").first).to_be_visible()
    # A short way past everything that can be picked.
    keyboard.tab_to(page.get_by_role("button", name="Actions", exact=True))
    keyboard.press("Enter")
    keyboard.tab_to(page.locator('[data-action="list_directory"]'), most=30)
    keyboard.press("Enter")
    keyboard.tab_to(page.get_by_role("button", name="Do it"), most=1)
    keyboard.press("Enter")
    expect(page.locator(".history .turn")).to_have_count(1)
    expect(page.locator(".result")).to_be_focused()
    # The actions come next.
    keyboard.tab_to(page.locator('[data-action="finish"]'), most=30)
    keyboard.press("Enter")
    keyboard.tab_to(page.get_by_label("Summary"), most=1)
    page.keyboard.type("Only looked.")
    keyboard.tab_to(page.get_by_role("button", name="Do it"), most=1)
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Handed over as it stands.")).to_be_focused()
    keyboard.tab_to(page.get_by_role("button", name="Same seed again"), most=3)


def test_a_thing_is_picked_with_the_keyboard_and_let_go(visitor):
    page, keyboard = visitor.page, Keyboard(visitor.page)
    visitor.start("easy", 42)
    path = first_look("easy", 42).call.parameters["path"]
    file = page.get_by_role("button", name=PurePath(path).name, exact=True)
    offered = Episode(get_task("easy"), "train", 42).observation()["available_actions"]
    keyboard.tab_to(file)
    keyboard.press("Enter")
    expect(file).to_have_attribute("aria-pressed", "true")
    keyboard.tab_to(page.get_by_role("button", name=f"Show all {len(offered)}"), most=2)
    keyboard.press("Enter")
    expect(page.locator(".world button.thing").first).to_be_focused()
    expect(file).to_have_attribute("aria-pressed", "false")


def test_the_player_is_used_with_the_keyboard(visitor):
    page, keyboard = visitor.page, Keyboard(visitor.page)
    visitor.open("#/watch?task=easy&seed=3&a=expert")
    expect(page.locator(".player-title")).to_be_focused()
    keyboard.tab_to(page.get_by_label("Step", exact=True), most=7)
    keyboard.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft")
    expect(page.locator(".player-number")).to_contain_text("2 of")
    keyboard.press("End")
    expect(page.locator(".verdict")).to_contain_text("completed")


def test_the_skip_link_leads_to_the_content(visitor):
    page = visitor.page
    lobby(visitor)
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the content")
    expect(link).to_be_focused()
    assert link.bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator(".job")).to_have_count(5)
