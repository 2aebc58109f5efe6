"""Watching policies, one or two, with play, pause, step and speed."""

import json
import re

import pytest
from playwright.sync_api import expect

from safeact_env.core.variant import Variant
from safeact_env.explain import explanation
from safeact_env.policies.reference import POLICIES, play
from safeact_env.tasks import get_task
from tools.documents.first_screen import FILE

pytestmark = pytest.mark.browser


def test_two_policies_are_watched_on_one_seed(visitor):
    visitor.open()
    page = visitor.page
    page.get_by_role("link", name="Watch two policies do it").click()
    screens = page.locator(".screen")
    expect(screens).to_have_count(2)
    scenario = json.loads(FILE.read_text())["runs"][0]["report"]
    variant = Variant(scenario["level"], scenario["framing"])
    naive, expert = (
        play(get_task(scenario["task"]), "train", scenario["seed"], one, variant=variant)
        for one in ("naive", "expert")
    )
    expect(screens.first).to_contain_text(f"step 0 of {len(naive.turns)}")
    for number, turn in enumerate(naive.turns, start=1):
        page.get_by_role("button", name="Step", exact=True).click()
        expect(screens.first.locator(".result-what")).to_contain_text(
            f"Step {number}: {turn.call.action_name}"
        )
        expect(screens.first.locator(".result-text")).to_have_text(turn.result)
        expect(screens.last.locator(".result-text")).to_have_text(expert.turns[number - 1].result)
    expect(screens.first).to_contain_text("ended by an irreversible mistake")
    expect(screens.first.locator(".risk")).to_contain_text("irreversible")
    expect(screens.last).to_contain_text(f"step {len(naive.turns)} of {len(expert.turns)}")
    # The same card as everywhere, and the loss struck out in the world.
    told = explanation(naive)
    card = screens.first.locator(".explained")
    expect(card.locator("del").first).to_have_text(told["gone"][0]["name"])
    expect(card.locator("mark")).to_have_text([one for part in told["runbooks"] for one in part["clauses"]])
    expect(screens.first.locator(".world-body .is-lost")).to_have_count(len(told["gone"]))
    page.get_by_role("button", name="To the end").click()
    expect(screens.last).to_contain_text("1.00, completed")
    expect(screens.first.locator(".result-what")).to_contain_text(f"Step {len(naive.turns)}:")
    # They part where their calls first differ; a reload and Back come to the step again.
    calls = [[turn.call.action_name for turn in one.turns] for one in (naive, expert)]
    parts = next(at for at, pair in enumerate(zip(*calls, strict=False), 1) if pair[0] != pair[1])
    page.get_by_role("button", name=f"They part at step {parts}").click()
    expect(page).to_have_url(re.compile(f"step={parts}$"))
    page.reload()
    expect(page.locator(".player-number")).to_have_text(f"{parts} of {len(expert.turns)}")
    page.keyboard.press("End")
    expect(page.locator(".player-number")).to_have_text(f"{len(expert.turns)} of {len(expert.turns)}")
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile(f"step={len(expert.turns) - 1}$"))
    page.get_by_role("link", name="Results").click()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()
    page.go_back()
    expect(page.locator(".player-number")).to_have_text(f"{len(expert.turns) - 1} of {len(expert.turns)}")


def test_it_plays_pauses_and_can_be_moved(visitor):
    visitor.page.emulate_media(reduced_motion="no-preference")
    visitor.open("#/watch?task=medium&seed=3&a=expert")
    page = visitor.page
    number, toggle = page.locator(".player-number"), page.locator(".transport .button")
    # It plays of itself.
    expect(toggle).to_have_text("Pause")
    page.get_by_label("Speed").select_option("4")
    expect(number).to_have_text(re.compile(r"^[1-9]\d* of"))
    toggle.click()
    expect(toggle).to_have_text("Play")
    at = number.text_content()
    page.wait_for_timeout(600)
    assert number.text_content() == at
    page.get_by_label("Step", exact=True).fill("7")
    expect(number).to_contain_text("7 of")
    page.get_by_role("button", name="Back", exact=True).click()
    expect(number).to_contain_text("6 of")


def test_those_who_want_no_motion_press_play_themselves(visitor):
    visitor.open("#/watch?task=easy&seed=3&a=expert")
    page = visitor.page
    expect(page.locator(".player-number")).to_contain_text("0 of")
    page.wait_for_timeout(300)
    expect(page.locator(".transport .button")).to_have_text("Play")
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".player-number")).to_contain_text("1 of")


def test_the_form_offers_every_policy_and_makes_a_link(visitor):
    visitor.open("#/watch")
    page = visitor.page
    expect(page.get_by_label("Policy").locator("option")).to_have_text(list(POLICIES))
    page.get_by_label("Job").select_option("hard")
    page.get_by_label("Seed").fill("12")
    page.get_by_label("Policy").select_option("cautious")
    expect(page.locator(".policies")).to_contain_text("without anything that cannot be taken back")
    page.get_by_role("button", name="Watch").click()
    expect(page.locator(".screen")).to_have_count(1)
    assert page.url.endswith("#/watch?task=hard&seed=12&a=cautious")
    page.reload()
    expect(page.locator(".screen")).to_have_count(1)


def test_a_policy_is_watched_on_a_level_and_in_a_framing(visitor):
    visitor.open("#/watch")
    page = visitor.page
    page.get_by_label("Level").select_option("1")
    page.get_by_label("Framing").select_option("hurry")
    page.get_by_label("Seed").fill("12")
    page.get_by_role("button", name="Watch").click()
    expect(page.locator(".screen")).to_have_count(1)
    assert page.url.endswith("#/watch?task=easy&level=1&framing=hurry&seed=12&a=expert")
    (asked,) = [json.loads(one.sent) for one in visitor.exchanges() if one.path == "/watch"]
    assert (asked["level"], asked["framing"]) == (1, "hurry")
    page.reload()
    expect(page.locator(".screen")).to_have_count(1)
    expect(page.get_by_label("Framing").locator("option:checked")).to_contain_text("hurry")


def test_a_busy_server_is_told_of_with_a_way_on(visitor):
    busy = {"detail": {"code": "busy", "message": "too many others are waiting"}}
    visitor.page.route("**/watch", lambda route: route.fulfill(status=429, json=busy))
    visitor.open("#/watch?task=easy&seed=3&a=expert")
    page = visitor.page
    expect(page.get_by_role("alert")).to_contain_text("Too many others are waiting.")
    page.unroute("**/watch")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".screen")).to_have_count(1)


def test_what_was_watched_is_given_back(visitor):
    visitor.page.goto("about:blank")
    visitor.open("#/watch?task=easy&seed=3&a=expert&b=naive")
    expect(visitor.page.locator(".screen")).to_have_count(2)
    visitor.page.wait_for_load_state("networkidle")
    sent = [(one.method, one.path.partition("?")[0]) for one in visitor.exchanges()]
    forgotten = [path for method, path in sent if method == "DELETE"]
    assert len(forgotten) == len([path for _, path in sent if path.endswith("/report")]) == 2


def test_somebody_takes_it_from_a_step_of_another(visitor):
    made = play(get_task("easy"), "train", 3, "expert")
    visitor.open("#/watch?task=easy&seed=3&a=expert&step=4")
    visitor.page.get_by_role("button", name="Take it from step 5").click()
    expect(visitor.page.locator(".history .turn")).to_have_count(4)
    expect(visitor.page.locator(".result-text")).to_have_text(made.turns[3].result)
    visitor.play([made.turns[4].call])
    # Back leads to what was watched, and not into the branch again.
    visitor.page.go_back()
    expect(visitor.page.locator(".player-number")).to_contain_text("4 of")
