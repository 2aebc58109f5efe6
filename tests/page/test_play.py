"""Playing: every task to success through the real forms, the trap, the approvals, what is not known."""

import json
import re

import httpx
import pytest
from playwright.sync_api import expect

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.report import report
from safeact_env.core.variant import Variant
from safeact_env.explain import explanation
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task, task_names
from tests.page.traffic import leaks

pytestmark = pytest.mark.browser

SEED = 42
LATE_MISTAKE = 314
"""A seed of `easy` on which the naive policy gets some steps far."""
AT_ONCE = 6
"""One on which its first call but the handbook is the mistake."""


CURTAINS = """
    window.curtains = 0;
    new MutationObserver(() => (curtains += document.querySelectorAll(".closing").length))
        .observe(document.documentElement, {childList: true, subtree: true});
"""
"""Counts how often one was seen."""
MOST_CLICKS = 2.5
"""For a step of the expert, on average over an episode."""


def first_of(task, table):
    """The name of the first record of a table at the start."""
    return next(iter(Episode(get_task(task), "train", SEED).observation()["current_state"][table]))


def calls(task, seed, policy="expert", level=3):
    made = play(get_task(task), "train", seed, policy, variant=Variant(level, "rules"))
    return [turn.call for turn in made.turns]


@pytest.mark.parametrize("task", task_names())
def test_a_task_is_played_to_success_through_the_forms(visitor, task):
    wanted = calls(task, SEED, level=2)
    visitor.start(task, SEED, level=2)
    visitor.play(wanted[:-1])
    assert leaks(visitor.exchanges(), over=set()) == []
    visitor.play(wanted[-1:])
    page = visitor.page
    expect(page.get_by_role("heading", name="Done, and nothing was lost.")).to_be_focused()
    expect(page.locator(".score-number")).to_have_text("1.00")
    # Nothing is left on the list, but for what the reader has to say of unclassified files.
    left = page.locator(".checklist .is-due").all_text_contents()
    assert all("known so far" in text for text in left)
    assert task == "easy" or not left
    made = httpx.get(f"{visitor.url}/episodes/{visitor.episode_id()}/report").json()
    steps = [(step["action_name"], step["parameters"]) for step in made["steps"]]
    assert steps == [(call.action_name, call.parameters) for call in wanted]
    assert visitor.clicks / len(wanted) <= MOST_CLICKS
    # Every act was called before it was made, and is held against what it was.
    said = page.locator(".called tbody").first.locator("tr td:first-child").all_text_contents()
    acts = [n for n, step in enumerate(made["steps"], 1) if step["risk"] in ("risky", "irreversible")]
    assert set(map(str, acts)) <= set(said)
    # Both ways are the same one, so every step of either is marked.
    assert (
        page.locator(".way-step").count() == page.get_by_text("both", exact=True).count() == 2 * len(wanted)
    )


def test_the_held_out_split_is_played_and_keeps_the_experts_way(visitor):
    visitor.start("easy", SEED, "test", level=1)
    made = play(get_task("easy"), "test", SEED, "expert", variant=Variant(1, "rules"))
    visitor.play([turn.call for turn in made.turns])
    expect(visitor.page.locator(".end")).to_contain_text("Done, and nothing was lost.")
    expect(visitor.page.locator(".ways")).to_contain_text("test is held out")
    assert not [one for one in visitor.exchanges() if "/expert" in one.path]


def test_a_first_visitor_is_one_click_from_a_job(visitor):
    visitor.open()
    page = visitor.page
    expect(page.locator(".lead").first).to_contain_text("trains and measures AI agents")
    page.get_by_role("link", name="Start with an easy one").click()
    expect(page.get_by_role("heading", name="Actions")).to_be_visible()
    assert "task=easy&split=train&seed=" in page.url
    assert "level=1" in page.url


def test_a_job_is_chosen_with_split_and_seed(visitor):
    visitor.open()
    page = visitor.page
    page.get_by_label("Medical Triage").check()
    page.get_by_label("test (held out").check()
    page.get_by_label("Seed").fill("77")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".status")).to_contain_text("Medical Triage test, level 1, rules, seed 77")


def test_level_and_framing_are_chosen_and_stay_in_the_link(visitor):
    visitor.open()
    page = visitor.page
    # A newcomer is offered the smallest job.
    levels = {number: level.max_steps for number, level in get_task("easy").levels.items()}
    expect(page.get_by_label("Level").locator("option:checked")).to_have_text(f"1 ({levels[1]} steps)")
    expect(page.get_by_label("Level").locator("option")).to_have_count(len(levels))
    page.get_by_label("Framing").select_option("goal")
    page.get_by_label("Seed").fill("77")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".status")).to_contain_text("train, level 1, goal, seed 77")
    expect(page.locator(".status")).to_contain_text("24 of 24 steps left")
    assert page.url.endswith("#/play?task=easy&split=train&seed=77&level=1&framing=goal")
    variant = Variant(1, "goal")
    (begun,) = [json.loads(one.sent) for one in visitor.exchanges() if one.path == "/reset"]
    assert begun.items() >= {"task_name": "easy", "seed": 77, **variant.to_json()}.items()
    visitor.play([turn.call for turn in play(get_task("easy"), "train", 77, "expert", variant=variant).turns])
    expect(page.locator(".end")).to_contain_text("Done, and nothing was lost.")
    link = page.get_by_label("A link to this episode")
    expect(link).to_have_value(re.compile("level=1&framing=goal&calls="))  # it is packed meanwhile
    again = link.input_value()
    page.goto(again)
    expect(page.locator(".stage")).to_contain_text("train, level 1, goal, seed 77")
    page.get_by_role("button", name="To the end").click()
    expect(page.locator(".screen")).to_contain_text("1.00, completed")


def test_another_variant_of_a_seed_is_another_episode(visitor):
    visitor.open("#/play?task=easy&seed=5&level=1")
    expect(visitor.page.locator(".status")).to_contain_text("24 of 24")
    visitor.open("#/play?task=easy&seed=5&level=2")
    expect(visitor.page.locator(".status")).to_contain_text("28 of 28")


def test_the_trap_closes_and_is_explained(visitor):
    wanted = calls("easy", LATE_MISTAKE, "naive")
    visitor.take_on("easy", LATE_MISTAKE, wanted[:-1])
    visitor.play(wanted[-1:])
    page = visitor.page
    expect(page.get_by_role("heading", name="This cannot be undone.")).to_be_focused()
    played = play(get_task("easy"), "train", LATE_MISTAKE, "naive")
    told = explanation(played)
    card = page.locator(".explained")
    expect(card).to_contain_text(f"Step {len(wanted)}: {wanted[-1].action_name}")
    expect(card.locator("del")).to_have_text([one["name"] for one in told["gone"]])
    expect(card.locator("mark")).to_have_text([one for part in told["runbooks"] for one in part["clauses"]])
    expect(card.locator(".told tr")).to_have_count(len(told["facts"]))
    known = [fact["shown_at"] for fact in told["facts"] if fact["shown_at"]]
    expect(card).to_contain_text(f"known since step {known[0]}")
    expect(card.locator(".instead li")).to_have_count(len(told["instead"]))
    expect(page.locator(".world .is-lost")).to_have_count(len(told["gone"]))
    # The grade is a sum that adds up.
    grade = played.grade()
    parts = page.locator(".sum .sum-number").all_text_contents()
    together = sum(part["earned"] * part["weight"] for part in grade.components.values())
    assert float(parts[len(grade.components)]) == pytest.approx(together, abs=1e-4)
    protected = report(played)["mistake"]["protected"]
    assert parts[-2].endswith(" 0" if protected else " 1/4")
    assert float(parts[-1]) == grade.score
    expect(page.locator(".way-step.is-fatal")).to_contain_text("irreversible")
    expect(page.locator(".actions")).to_be_hidden()
    assert page.locator(".world button.thing").count() == 0


def test_the_world_is_cut_in_two_at_the_fatal_step(visitor):
    visitor.take_on("easy", LATE_MISTAKE, calls("easy", LATE_MISTAKE, "naive"))
    page = visitor.page
    held, real = page.get_by_label("Held back here"), page.get_by_label("A real system now")
    (gone, *_) = told = explanation(play(get_task("easy"), "train", LATE_MISTAKE, "naive"))["gone"]
    expect(held).to_be_visible()
    for half, said in ((held, gone["was"]), (real, gone["would_be"])):
        thing = half.locator(".card").filter(has_text=gone["name"].rpartition("/")[2])
        expect(thing.locator(".tag").first).to_have_text(said)
    expect(real.locator(".is-lost")).to_have_count(len(told))
    expect(held.locator(".is-lost, .is-new")).to_have_count(0)
    # Nothing else differs between them.
    cards = [half.locator(".card").all_text_contents() for half in (held, real)]
    assert sum(one != other for one, other in zip(*cards, strict=True)) == len(told)
    # On a phone there is one world, and a toggle.
    page.set_viewport_size({"width": 390, "height": 844})
    expect(held).to_be_hidden()
    page.get_by_role("button", name="Held back here").click()
    expect(held).to_be_visible()
    expect(real).to_be_hidden()


def test_the_moment_is_shown_and_any_key_ends_it(visitor):
    visitor.page.emulate_media(reduced_motion="no-preference")
    trap = calls("easy", AT_ONCE, "naive")
    visitor.start("easy", AT_ONCE)
    visitor.page.evaluate(CURTAINS)
    visitor.take(trap[-1])
    curtain = visitor.page.locator(".closing")
    expect(curtain).to_contain_text("There is no way back.")
    visitor.page.keyboard.press("Escape")
    expect(curtain).to_have_count(0)
    expect(visitor.page.locator(".end")).to_be_visible()
    assert visitor.page.evaluate("curtains") > 0


def test_nothing_hidden_reaches_the_browser_before_the_end(visitor):
    for task in task_names():
        wanted = calls(task, 7, "naive")
        visitor.take_on(task, 7, wanted[:-2])
        visitor.play(wanted[-2:-1])
        before = visitor.exchanges()
        assert len([one for one in before if one.path == "/step"]) == len(wanted) - 1
        assert leaks(before, over=set()) == []
        visitor.play(wanted[-1:])
        expect(visitor.page.locator(".end")).to_be_visible()
        after = visitor.exchanges()
        # The check can fail: what comes after the end would be caught if it came before.
        assert leaks(after, over=set())
        assert leaks(after, over={visitor.episode_id()}) == []


def test_what_is_not_known_looks_unknown_and_the_job_is_a_checklist_of_what_is_known(visitor):
    visitor.start("easy", SEED)
    page = visitor.page
    gaps = page.locator(".fact-table .gap")
    names = ["format", "temporary", "importance", "modified, days ago", "retention, days left", "lock"]
    # Of what is known of no file, a table of question marks would tell no more.
    expect(gaps).to_have_text([*names, "erasure order", "snapshots", "owner", "referenced by", "note"])
    assert page.locator(".fact.is-gap").count() == 0
    numbers, unknown = page.locator(".checklist-number"), "none known so far"
    expect(numbers).to_have_text(["0 of 10", unknown, unknown, unknown])
    expect(page.locator(".checklist .is-done")).to_have_count(0)
    expect(page.locator(".brief li").first).to_be_visible()
    path = first_of("easy", "files")
    facts = Episode(get_task("easy"), "train", SEED).state.facts.files
    card = page.locator(".card").first
    expect(card).not_to_contain_text(facts[path].owner)
    visitor.play(calls("easy", SEED)[1:2])
    expect(gaps).to_have_count(0)
    expect(card).to_contain_text(facts[path].owner)
    expect(card.locator(".fact.is-new")).to_have_count(11)
    expect(card.locator(".is-gap")).to_have_count(0)
    # Now the gaps of the others are drawn, in the column of what is known of this one.
    expect(page.locator(".card").nth(1).locator(".is-gap .unknown")).to_have_count(8)
    visitor.play(calls("easy", SEED)[2:6])
    # The brief was read; the list says what has come of it.
    expect(page.locator(".brief li").first).to_be_hidden()
    seen = play(get_task("easy"), "train", SEED, "expert")
    state = report(seen, states=True)["steps"][5]["current_state"]["files"]
    known = [file for file in state.values() if file["important"] is not None]
    free = [file for file in known if file["important"] is False]
    ordered = sum(file["erasure_order"] for file in free)
    expect(numbers).to_have_text(
        [
            f"{len(known)} of {len(facts)}",
            f"0 of {len(free) - ordered} known so far",
            f"0 of {ordered} known so far",
            f"{sum(file['important'] is True for file in known)} of "
            f"{sum(file['important'] is True for file in known)} known so far",
        ]
    )


def edges(page):
    """The edges of the known values of each column, in pixels: left of texts, right of numbers."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.fact-table')].flatMap(place => {
            const rows = [...place.querySelectorAll('.card tr:not(.more)')]
                .map(row => [...row.cells].slice(1));
            return (rows[0] ?? []).map((_cell, index) => rows
                .map(cells => cells[index])
                .filter(cell => !cell.classList.contains('is-gap'))
                .map(cell => {
                    const range = document.createRange();
                    range.selectNodeContents(cell);
                    const box = range.getBoundingClientRect();
                    return Math.round(cell.classList.contains('is-number') ? box.right : box.left);
                }));
        })"""
    )


def ragged(page):
    """The columns whose values do not stand below each other."""
    return [column for column in edges(page) if max(column) - min(column) > 1]


@pytest.mark.parametrize("task", ["easy", "medical"])
def test_facts_stand_in_aligned_columns_where_there_is_room_and_in_cards_elsewhere(visitor, task):
    visitor.take_on(task, SEED, calls(task, SEED)[1:4])
    page = visitor.page
    # Several things with several facts, numbers of different lengths among them.
    assert max(map(len, edges(page))) > 2
    assert page.locator(".fact-table td.is-number").count() > 2
    assert ragged(page) == []
    page.evaluate("document.querySelector('.fact-table .card td').style.paddingInline = '1rem'")
    assert ragged(page)
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator(".fact-table thead")).to_be_hidden()
    expect(page.locator(".fact-table .card").first).to_have_css("border-left-width", "1px")


def test_what_a_step_has_changed_comes_into_sight(visitor):
    visitor.page.set_viewport_size({"width": 1200, "height": 500})
    visitor.start("easy", SEED)
    path = list(Episode(get_task("easy"), "train", SEED).observation()["current_state"]["files"])[-1]
    visitor.play([Call("read_file_metadata", {"path": path}, "x")])
    expect(visitor.page.locator(".is-new").first).to_be_in_viewport()
    expect(visitor.page.locator(".result")).to_be_in_viewport()


def test_a_thing_is_picked_and_fills_in_the_forms(visitor):
    visitor.start("medical", SEED)
    page = visitor.page
    patient = first_of("medical", "patients")
    drug = next(iter(Episode(get_task("medical"), "train", SEED).state.facts.patients[patient].orders))
    page.locator(
        f"button[data-thing={json.dumps(json.dumps([patient, drug], separators=(',', ':')))}]"
    ).click()
    names = page.locator(".action-name code").all_text_contents()
    assert "administer_drug" in names
    assert "discharge_patient" not in names
    page.locator('[data-action="check_interactions"]').click()
    form = page.get_by_role("form", name="check_interactions")
    expect(form.get_by_label("Patient")).to_have_value(patient)
    expect(form.get_by_label("Drug")).to_have_value(drug)
    page.get_by_role("button", name="Show all").click()
    expect(page.locator('[data-action="discharge_patient"]')).to_be_visible()


def test_what_is_typed_is_kept_and_a_call_stands_for_a_reason(visitor):
    visitor.start("easy", SEED)
    page = visitor.page
    path = first_of("easy", "files")
    visitor.take(Call("read_file_metadata", {"path": path}, "x"))
    expect(page.locator(".history .turn")).to_have_count(1)
    visitor.fill(Call("archive_file", {"path": path}, "x"))
    page.get_by_label("Why you do it").fill("It is old.")
    # Another form is opened, and this one again.
    page.locator('[data-action="restore_file"]').click()
    page.locator('[data-action="archive_file"]').click()
    expect(page.get_by_label("Why you do it")).to_have_value("It is old.")
    page.get_by_role("button", name="It cannot").click()
    expect(page.locator(".history .turn")).to_have_count(2)
    expect(page.locator(".history .turn").first).to_contain_text("It is old.")
    visitor.fill(Call("restore_file", {"path": path}, "x"))
    page.get_by_role("button", name="I do not know").click()
    expect(page.locator(".history .turn").first).to_contain_text(
        "I do not know whether this can be taken back."
    )
    kept = page.evaluate(
        "JSON.parse(sessionStorage.getItem('safeact.episode')).turns.map(one => one.undo_chance)"
    )
    assert kept == [None, 0, 50]
    visitor.take(Call("finish", {"summary": "x"}, "x"))
    rows = page.locator(".called tbody").first.locator("tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_have_class("is-wrong")
    expect(page.locator(".called")).to_contain_text("Brier score")


def test_keys_find_choose_and_leave(visitor):
    visitor.start("easy", SEED)
    page = visitor.page
    page.keyboard.press("/")
    expect(page.get_by_label("Find an action")).to_be_focused()
    page.keyboard.type("handb")
    expect(page.locator("[data-action]")).to_have_count(1)
    page.locator(".result").click()
    page.keyboard.press("1")
    form = page.get_by_role("form", name="read_handbook")
    expect(form).to_be_visible()
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)
    page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".history .turn")).to_have_count(1)


def test_a_denial_looks_unlike_a_success(visitor):
    visitor.start("easy", SEED)
    path = first_of("easy", "files")
    visitor.play([Call("archive_file", {"path": path}, "x")])
    expect(visitor.page.locator(".result.is-denied")).to_contain_text("Refused")
    visitor.play([Call("read_file_metadata", {"path": path}, "x")])
    expect(visitor.page.locator(".result.is-denied")).to_have_count(0)


def test_a_wait_shows_within_a_moment(visitor):
    visitor.start("easy", SEED)
    visitor.page.route("**/step", lambda _route: None)
    visitor.take(calls("easy", SEED)[1])
    expect(visitor.page.locator(".game")).to_have_attribute("aria-busy", "true")
    bar = visitor.page.evaluate("getComputedStyle(document.querySelector('.game'), '::before').height")
    assert bar == "3px"


@pytest.mark.parametrize(
    ("task", "ask", "approved"),
    [
        ("easy", "escalate_to_human", "delete_file"),
        ("medical", "escalate_to_physician", "administer_drug "),
    ],
)
def test_an_approval_is_shown_until_it_is_used(visitor, task, ask, approved):
    wanted = calls(task, SEED)
    asked = next(index for index, call in enumerate(wanted) if call.action_name == ask)
    visitor.take_on(task, SEED, wanted[:asked])
    visitor.play(wanted[asked : asked + 1])
    question = visitor.page.locator(".question")
    expect(question).to_contain_text(f"Approved, for one use: {approved}")
    expect(question.locator(".token")).to_contain_text("good for one use")
    visitor.play(wanted[asked + 1 : asked + 2])
    expect(question.locator(".token")).to_contain_text(f"used at step {asked + 2}")


def test_a_denial_and_a_needless_question_are_shown_as_they_are(visitor):
    visitor.start("easy", SEED)
    path = visitor.page.locator(".card .thing").first
    path.click()
    ask = {"reason": "May I?", "action_being_considered": "delete_file"}
    visitor.page.locator('[data-action="escalate_to_human"]').click()
    form = visitor.page.get_by_role("form", name="escalate_to_human")
    form.locator('[name="action_being_considered"]').select_option("delete_file")
    # The target is what was picked.
    expect(form.locator('[name="target"]')).to_have_value(first_of("easy", "files"))
    form.locator('[name="reason"]').fill("May I?")
    form.get_by_role("button", name="Ask", exact=True).click()
    expect(visitor.page.locator(".question-denied")).to_contain_text("inspect the target")
    visitor.play(
        [Call("escalate_to_human", {**ask, "action_being_considered": "list_directory"}, "Needless.")]
    )
    expect(visitor.page.locator(".question-needless")).to_contain_text("No approval needed")
    assert visitor.page.locator(".token").count() == 0
    # Both are taken off the sum, which is told at the end.
    visitor.play([Call("finish", {"summary": "Enough."}, "x")])
    factor = visitor.page.locator(".sum-factor")
    expect(factor).to_contain_text("2 questions asked needlessly, too early or in vain")
    expect(factor).to_contain_text("6/8")


def test_a_size_is_unknown_until_the_instance_is_described(visitor):
    visitor.start("cloud_infra", SEED)
    expect(visitor.page.locator(".fact-table .gap").first).to_have_text("size")
    visitor.play(calls("cloud_infra", SEED)[1:2])
    expect(visitor.page.locator(".card .pips")).to_have_count(1)


def test_the_forms_offer_what_depends_on_earlier_choices(visitor):
    visitor.start("medium", SEED)
    page = visitor.page
    page.locator('[data-action="add_index"]').click()
    form = page.get_by_role("form", name="add_index")
    assert form.get_by_label("Column").locator("option").count() == 1
    form.get_by_label("Table").select_option("coupon_codes")
    assert form.get_by_label("Column").locator("option").all_text_contents()[1:] == [
        "id",
        "batch_id",
        "code",
        "discount_percent",
        "due_on",
    ]
    expect(form.get_by_label("Table")).to_be_focused()


def test_text_from_elsewhere_stays_text(visitor):
    visitor.start("medium", SEED)
    markup = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    visitor.play([Call("delete_records", {"table": "coupon_codes", "where": markup}, markup)])
    page = visitor.page
    expect(page.locator(".explained q").first).not_to_be_empty()
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "Play - SafeAct-Env"


def test_an_episode_that_is_over_is_played_again_or_another_or_stepped_through(visitor):
    trap = calls("easy", AT_ONCE, "naive")[-1]
    visitor.start("easy", AT_ONCE)
    page, first = visitor.page, visitor.episode_id()
    page.evaluate(CURTAINS)
    visitor.take(trap)
    page.get_by_role("button", name="Same seed again").click()
    expect(page.locator(".status")).to_contain_text("36 of 36 steps left")
    # To those who want no motion the moment is not shown.
    assert page.evaluate("curtains") == 0
    expect(page.locator(".status")).to_contain_text(f"seed {AT_ONCE}")
    assert visitor.episode_id() != first
    visitor.take(trap)
    page.get_by_role("button", name="Step through it").click()
    expect(page.locator(".player-number")).to_have_text("0 of 1")
    page.get_by_role("button", name="Step", exact=True).click()
    expect(page.locator(".screen .verdict")).to_contain_text("ended by an irreversible mistake")
    visitor.open(f"#/play?task=easy&seed={AT_ONCE}")
    page.get_by_role("button", name="Another seed").click()
    expect(page.locator(".end")).to_have_count(0)
    assert f"seed={AT_ONCE}&" not in f"{page.url}&"


def test_a_task_without_a_picture_is_drawn_plainly(second):
    visitor = second

    def renamed(route):
        answer = route.fetch()
        text = answer.text().replace('"name":"easy"', '"name":"sixth"')
        route.fulfill(response=answer, body=text)

    def asked(route):
        body = {**json.loads(route.request.post_data), "task_name": "easy"}
        route.continue_(post_data=json.dumps(body))

    visitor.page.route("**/tasks", renamed)
    visitor.page.route("**/reset", asked)
    visitor.start("sixth", SEED)
    expect(visitor.page.locator(".world")).to_contain_text(first_of("easy", "files"))
    assert visitor.page.locator(".world .unknown").count() > 0
    assert visitor.complaints
    visitor.complaints.clear()
