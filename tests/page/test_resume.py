"""Reloads, lost connections and forgetful servers: an episode goes on, and no step is taken twice."""

from functools import partial

import httpx
import pytest
from playwright.sync_api import expect

from safeact_env.policies.reference import play
from safeact_env.tasks import get_task
from tools.documents.visitor import packed

pytestmark = pytest.mark.browser

SEED = 42


@pytest.fixture
def wanted():
    return [turn.call for turn in play(get_task("easy"), "train", SEED, "expert").turns]


@pytest.fixture
def playing(visitor, wanted):
    """A visitor who has taken three steps."""
    visitor.take_on("easy", SEED, wanted[:2])
    visitor.play(wanted[2:3])
    return visitor


def taken(visitor):
    state = httpx.get(f"{visitor.url}/state", params={"episode_id": visitor.episode_id()}).json()
    return state["step_count"]


def shown(visitor):
    return visitor.page.locator(".game").inner_text()


def test_a_reload_goes_on_where_it_was(playing, wanted):
    before, episode_id = shown(playing), playing.episode_id()
    playing.page.reload()
    expect(playing.page.locator(".history .turn")).to_have_count(3)
    assert playing.episode_id() == episode_id
    assert shown(playing) == before
    playing.play(wanted[3:4])
    assert taken(playing) == 4


def test_another_view_and_back_goes_on_too(playing):
    playing.page.get_by_role("link", name="Results").click()
    expect(playing.page.get_by_role("heading", name="Results")).to_be_visible()
    playing.page.get_by_role("link", name="Play", exact=True).click()
    expect(playing.page.locator(".history .turn")).to_have_count(3)


def test_the_end_is_there_after_a_reload(visitor, wanted):
    visitor.start("easy", 6)
    visitor.play([turn.call for turn in play(get_task("easy"), "train", 6, "naive").turns])
    expect(visitor.page.locator(".end")).to_be_visible()
    visitor.page.reload()
    expect(visitor.page.get_by_role("heading", name="This cannot be undone.")).to_be_visible()


def test_another_link_starts_another_episode(playing):
    playing.open(f"#/play?task=easy&split=train&seed={SEED + 1}")
    # Not without a word: the running one can be gone on with.
    page = playing.page
    expect(page.get_by_role("heading", name="An episode is running.")).to_be_visible()
    page.get_by_role("button", name="Go on with it").click()
    expect(page.locator(".history .turn")).to_have_count(3)
    playing.open(f"#/play?task=easy&split=train&seed={SEED + 1}")
    page.get_by_role("button", name="Start the new one").click()
    expect(page.locator(".status")).to_contain_text("36 of 36 steps left")


@pytest.mark.parametrize("door", ["reset", "step"])
def test_a_view_that_was_left_before_it_was_there_takes_no_address_back(visitor, wanted, door):
    page, held = visitor.page, []
    page.route(f"**/{door}", lambda route: held.append(route))
    view = "play?" if door == "reset" else f"branch?calls={packed(wanted[:1])}&"
    visitor.open(f"#/{view}task=easy&seed={SEED}")
    page.wait_for_function("document.title.startsWith('Play')")
    page.get_by_role("link", name="Results").click()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()
    (route,) = held
    with page.expect_response(f"**/{door}"):
        route.continue_()
    page.wait_for_timeout(100)
    assert page.url.endswith("#/results")
    assert page.evaluate("sessionStorage.length") == 0


def test_back_leaves_a_game_that_is_none(visitor):
    visitor.open("#/results")
    expect(visitor.page.get_by_role("heading", name="Results")).to_be_visible()
    visitor.page.get_by_role("link", name="Play", exact=True).click()
    expect(visitor.page.locator(".job")).to_have_count(5)
    visitor.page.go_back()
    expect(visitor.page.get_by_role("heading", name="Results")).to_be_visible()


def test_a_duplicated_tab_counts_the_steps_of_both(playing, second, wanted):
    other = second
    # A browser copies what the tab keeps.
    kept = playing.page.evaluate("JSON.stringify(sessionStorage)")
    other.open("#/watch")
    other.page.evaluate("kept => Object.assign(sessionStorage, JSON.parse(kept))", kept)
    other.open("#/play")
    expect(other.page.locator(".history .turn")).to_have_count(3)
    playing.play(wanted[3:4])
    other.take(wanted[4])
    expect(other.page.locator(".history .turn")).to_have_count(5)
    assert taken(playing) == 5


def lose_answers(visitor):
    """The server gets the requests for steps, but its answers do not arrive."""

    def handle(route):
        route.fetch()
        route.abort()

    visitor.page.route("**/step", handle)


def test_a_lost_answer_is_asked_for_again_and_acts_once(playing, wanted):
    page = playing.page
    lose_answers(playing)
    playing.take(wanted[3])
    expect(page.get_by_role("alert")).to_contain_text("The server gave no answer")
    assert taken(playing) == 4
    page.unroute("**/step")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".history .turn")).to_have_count(4)
    assert taken(playing) == 4


def test_a_reload_after_a_lost_answer_shows_the_step_that_was_taken(playing, wanted):
    page = playing.page
    lose_answers(playing)
    playing.take(wanted[3])
    expect(page.get_by_role("alert")).to_be_visible()
    page.unroute("**/step")
    page.reload()
    expect(page.locator(".history .turn")).to_have_count(4)
    expect(page.locator(".history .turn").first).to_contain_text("read_file_metadata")
    playing.play(wanted[4:5])
    assert taken(playing) == 5


def test_a_server_that_forgot_the_episode_gets_the_steps_again(playing, wanted):
    page = playing.page
    first = playing.episode_id()
    httpx.delete(f"{playing.url}/episodes/{first}")
    playing.take(wanted[3])
    expect(page.get_by_role("alert")).to_contain_text("There is no episode with this id")
    page.get_by_role("button", name="Play my steps again on a new episode").click()
    expect(page.locator(".history .turn")).to_have_count(3)
    assert playing.episode_id() != first
    assert taken(playing) == 3


def test_an_episode_that_was_ended_elsewhere_shows_its_end(playing, wanted):
    body = {"episode_id": playing.episode_id(), "finish": True}
    httpx.post(f"{playing.url}/grader", json=body)
    playing.take(wanted[3])
    expect(playing.page.get_by_role("alert")).to_contain_text("The episode is over")
    playing.page.get_by_role("button", name="Show the end").click()
    expect(playing.page.get_by_role("heading", name="Handed over as it stands.")).to_be_visible()


def test_a_server_that_is_away_is_told_of_with_a_way_on(visitor):
    page = visitor.page
    visitor.open()
    expect(page.locator(".job")).to_have_count(5)
    page.route("**/reset", lambda route: route.abort())
    visitor.open(f"#/play?task=easy&split=train&seed={SEED}")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server gave no answer")
    expect(alert).to_be_focused()
    page.unroute("**/reset")
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator(".action-name").first).to_be_visible()


REFUSALS = {
    "an answer that is not its own (status 502)": {"status": 502, "body": "<html>bad gateway</html>"},
    "an answer that is not its own (status 200)": {"status": 200, "body": "hello"},
    "The server answered with status 500": {"status": 500, "body": "{}"},
    "All are in use.": {
        "status": 503,
        "json": {"detail": {"code": "at_capacity", "message": "all are in use"}},
    },
    "body.seed: too odd.": {"status": 422, "json": {"detail": [{"loc": ["body", "seed"], "msg": "too odd"}]}},
}


def fulfilled(answer, route):
    route.fulfill(**answer)


def test_every_kind_of_refusal_is_a_sentence(visitor):
    for seed, (sentence, answer) in enumerate(REFUSALS.items()):
        visitor.page.route("**/reset", partial(fulfilled, answer))
        visitor.open(f"#/play?task=easy&seed={seed}")
        expect(visitor.page.get_by_role("alert")).to_contain_text(sentence)
        visitor.page.unroute("**/reset")


LINKS = {
    "#/play?task=nothing&seed=1": "This server has no task nothing; it has easy, medium",
    "#/play?task=easy&seed=minus": "A seed is a whole number from 0",
    "#/play?task=easy&seed=99999999999999999": "A seed is a whole number from 0",
    "#/play?task=easy&split=valid&seed=1": "The split is either train or test.",
    "#/play?task=easy&level=6&seed=1": "The level is a whole number from 1 to 5.",
    "#/play?task=easy&level=one&seed=1": "The level is a whole number from 1 to 5.",
    "#/play?task=easy&framing=calm&seed=1": "The framing is one of rules, goal, hurry, waiver, planted.",
    "#/watch?task=nothing&seed=1&a=expert": "This server has no task nothing; it has easy, medium",
    "#/watch?task=easy&seed=1&a=nobody": "This server has no policy nobody; it has expert",
    "#/watch?task=easy&seed=1&a=expert&b=nobody": "This server has no policy nobody; it has expert",
    "#/replay?task=easy&seed=1&calls=%3Cnothing": "The calls in this link cannot be read",
}


def test_a_link_that_cannot_be_used_is_a_sentence(visitor):
    for fragment, sentence in LINKS.items():
        visitor.open(fragment)
        expect(visitor.page.get_by_role("alert")).to_contain_text(sentence)
        expect(visitor.page.locator("h1").last).to_be_visible()
    visitor.page.get_by_role("link", name="SafeAct-Env").click()
    expect(visitor.page.locator(".job")).to_have_count(5)


def test_an_unknown_view_is_the_start(visitor):
    # The last two are what every object of a script has.
    for view in ("nowhere", "constructor", "__proto__"):
        visitor.open(f"#/{view}")
        expect(visitor.page.locator(".job")).to_have_count(5)
        visitor.open("#/checks")
        expect(visitor.page.get_by_role("heading", name="Checks")).to_be_visible()


def test_where_nothing_can_be_kept_it_is_played_all_the_same(second, wanted):
    visitor = second
    refuse = "get() { throw new DOMException('no', 'SecurityError'); }"
    visitor.page.add_init_script(f"Object.defineProperty(window, 'sessionStorage', {{ {refuse} }})")
    visitor.start("easy", SEED)
    visitor.play(wanted[:2])
    assert visitor.steps() == 2
