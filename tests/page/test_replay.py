"""Replaying files and links. A file is read for its calls; what came of them, the server says."""

import gzip
import json
import re

import httpx
import pytest
from playwright.sync_api import expect

from safeact_env.call import Call
from safeact_env.core.variant import Variant
from safeact_env.evaluation import Selection, evaluate
from safeact_env.evaluation.record import play_attempt, record_of
from safeact_env.server.page.static_files import STATIC

pytestmark = pytest.mark.browser

SEED = 310
"""Here the naive policy earns something before its mistake."""


@pytest.fixture
def records(tmp_path):
    """A file as `safeact eval --out` writes it."""
    path = tmp_path / "eval.jsonl"
    evaluate(Selection(("expert", "naive"), ("easy", "hard"), ("test",), (3,)), out=path, workers=1)
    return path


def opened(visitor, path):
    visitor.open("#/replay")
    visitor.page.locator("#file").set_input_files(path)


def one(policy="naive", task="easy", split="train", seed=SEED, **more):
    return {**record_of(play_attempt(task, split, seed, policy, 1), policy), **more}


def saved(tmp_path, *found, name="own.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(record) + "\n" for record in found))
    return path


def test_a_file_of_an_evaluation_is_listed_and_replayed(visitor, records):
    opened(visitor, records)
    page = visitor.page
    expect(page.get_by_role("heading", name="4 recordings in eval.jsonl")).to_be_visible()
    page.get_by_label("Show only").fill("expert hard")
    expect(page.locator(".recording")).to_have_count(1)
    page.locator(".recording").click()
    expect(page.locator(".agreed")).to_have_text("The replay gives what the file says.")
    page.get_by_role("button", name="To the end").click()
    expect(page.locator(".screen")).to_contain_text("1.00, completed")
    # Only the calls were sent.
    wanted = next(
        r
        for r in map(json.loads, records.read_text().splitlines())
        if (r["policy"], r["task"]) == ("expert", "hard")
    )
    sent = [json.loads(e.sent)["action"] for e in visitor.exchanges() if e.path == "/step"]
    assert sent == wanted["calls"]


def test_a_single_record_plays_at_once_and_shows_where_it_went_wrong(visitor, tmp_path):
    record = one()
    opened(visitor, saved(tmp_path, record))
    page = visitor.page
    expect(page.locator(".player-number")).to_have_text(f"0 of {len(record['calls'])}")
    page.get_by_role("button", name="To the end").click()
    expect(page.locator(".verdict-loss")).to_contain_text("ended by an irreversible mistake")


def test_a_record_is_replayed_in_its_variant(visitor, tmp_path):
    episode = play_attempt("easy", "train", 3, "expert", 1, Variant(1, "planted"))
    opened(visitor, saved(tmp_path, record_of(episode, "expert")))
    page = visitor.page
    expect(page.locator(".agreed")).to_have_text("The replay gives what the file says.")
    expect(page.locator(".stage")).to_contain_text("train, level 1, planted, seed 3")
    expect(page.locator(".recording")).to_contain_text("level 1, planted")


def test_a_record_of_no_variant_is_of_the_default_and_of_a_wrong_one_is_left_out(visitor, tmp_path):
    bare = {name: value for name, value in one().items() if name not in ("level", "framing")}
    wrong = [one(level=level) for level in (0, "3", True, None)] + [one(framing=["goal"])]
    opened(visitor, saved(tmp_path, bare, *wrong))
    page = visitor.page
    expect(page.locator(".agreed")).to_have_text("The replay gives what the file says.")
    expect(page.get_by_text("5 lines cannot be replayed. Line 2: The level is a whole")).to_be_visible()


def test_a_packed_file(visitor, records, tmp_path):
    path = tmp_path / "eval.jsonl.gz"
    path.write_bytes(gzip.compress(records.read_bytes()))
    opened(visitor, path)
    expect(visitor.page.get_by_role("heading", name="4 recordings in eval.jsonl.gz")).to_be_visible()


def conversation(record):
    """A model's messages as inference.py records them: one answer for each call."""
    messages = [{"role": "system", "content": "You are an operator."}]
    for number, call in enumerate(record["calls"], start=1):
        messages.append({"role": "user", "content": f"Observation {number}"})
        function = {"name": call["action_name"], "arguments": json.dumps(call["parameters"])}
        messages.append(
            {"role": "assistant", "content": f"Thought {number}", "tool_calls": [{"function": function}]}
        )
    return messages


def test_a_models_messages_are_shown_beside_its_steps(visitor, tmp_path):
    record = one()
    record["model"] = {"name": "some-model <b>", "messages": conversation(record), "tokens_in": 12}
    opened(visitor, saved(tmp_path, record))
    page = visitor.page
    expect(page.get_by_role("heading", name="some-model <b>").first).to_be_visible()
    page.get_by_role("button", name="Step", exact=True).click()
    first = record["calls"][0]
    answer = f"Thought 1\n{first['action_name']} {json.dumps(first['parameters'])}"
    expect(page.locator(".message pre")).to_have_text(["You are an operator.", "Observation 1", answer])
    page.get_by_role("button", name="Step", exact=True).click()
    expect(page.locator(".message pre").first).to_have_text("Observation 2")


LEAVE = """address => {
    [...document.querySelectorAll("button")].find(one => one.textContent === "To the end").click();
    location.hash = address;
}"""


def test_the_step_of_one_recording_is_not_kept_for_another(visitor, tmp_path):
    opened(visitor, saved(tmp_path, one(), one("expert")))
    page = visitor.page
    expect(page.locator(".recording")).to_have_count(2)
    visitor.open("#/replay?file=own.jsonl&episode=0")
    page.get_by_role("button", name="To the end").wait_for()
    held = []
    page.route(re.compile("/(reset|step|trajector)"), lambda route: held.append(route))
    # At once: a step is written into the address a little later.
    page.evaluate(LEAVE, "#/replay?file=own.jsonl&episode=1")
    page.wait_for_timeout(300)
    assert held
    assert page.url.endswith("&episode=1")
    # Which lets through what is held.
    page.unroute_all()
    expect(page.locator(".player-number")).to_have_text(f"0 of {len(one('expert')['calls'])}")


ODD_MESSAGES = [
    None,
    "text",
    [],
    [1, None, {"role": 5, "content": {"a": [1]}}],
    [[{"role": "user", "content": [{"text": "x"}]}]],
]


def test_messages_of_any_form_do_no_harm(visitor, tmp_path):
    page = visitor.page
    models = [{"name": f"model-{n}", "messages": messages} for n, messages in enumerate(ODD_MESSAGES)]
    opened(visitor, saved(tmp_path, *(one(model=model) for model in models)))
    expect(page.locator(".recording")).to_have_count(len(models))
    for number, model in enumerate(models):
        visitor.open(f"#/replay?file=own.jsonl&episode={number}")
        expect(page.locator(".screen")).to_contain_text(model["name"])
        page.get_by_role("button", name="To the end").click()
        expect(page.locator(".verdict-loss")).to_be_visible()


def test_marks_that_turn_the_text_are_seen_and_do_nothing(visitor, tmp_path):
    record = one(model={"name": "evil\u202egnp.exe", "messages": [[{"role": "user", "content": "x\u2066y"}]]})
    record["calls"][0]["reasoning"] = "because \u202e reversed"
    opened(visitor, saved(tmp_path, record))
    page = visitor.page
    expect(page.get_by_role("heading", name="evil[U+202E]gnp.exe").first).to_be_visible()
    page.get_by_role("button", name="Step", exact=True).click()
    expect(page.locator(".message pre")).to_have_text("x[U+2066]y")
    expect(page.locator(".screen-step q")).to_have_text("because [U+202E] reversed")
    marks = "/[\\u202A-\\u202E\\u2066-\\u2069]/.test(document.documentElement.outerHTML)"
    assert page.evaluate(marks) is False


def test_of_a_message_of_megabytes_the_beginning_is_shown(visitor, tmp_path):
    told = [[{"role": role, "content": "word " * 200_000} for role in ("user", "assistant")]]
    opened(visitor, saved(tmp_path, one(model={"name": "m", "messages": told})))
    page = visitor.page
    page.get_by_role("button", name="Step", exact=True).click()
    own = page.locator(".message-own")
    expect(own).to_contain_text("The first 50000 of 1000000 characters; the file has the rest.")
    lengths = (
        "document.querySelectorAll('.message pre').values().map(one => one.textContent.length).toArray()"
    )
    assert page.evaluate(lengths) == [50_000, 50_000]


CLAIMS = {
    "The file says score 1; the replay gives {score}.": {"score": 1.0},
    "The file says outcome completed; the replay gives irreversible_mistake.": {"outcome": "completed"},
    "The file says outcome constructor; the replay gives irreversible_mistake.": {"outcome": "constructor"},
    "From step 2 on, the rewards in the file are not those of the replay.": {"rewards": [0.0, 0.5]},
    "The file was recorded with version 0.0.1": {"version": "0.0.1"},
    "The file was recorded with task version 99": {"task_version": 99},
}


def test_what_a_file_claims_is_not_believed(visitor, tmp_path):
    page = visitor.page
    record = one()
    opened(visitor, saved(tmp_path, *({**record, **claim} for claim in CLAIMS.values())))
    expect(page.locator(".recording")).to_have_count(len(CLAIMS))
    for number, sentence in enumerate(CLAIMS):
        visitor.open(f"#/replay?file=own.jsonl&episode={number}")
        differ = page.get_by_label("Where the file and the replay differ")
        expect(differ).to_contain_text(sentence.format(**record))
        expect(page.locator(".agreed")).to_have_count(0)
        expect(page.locator(".player")).to_be_visible()
        expect(page.locator(".recordings")).not_to_contain_text("native code")


def test_calls_after_the_end_and_an_end_that_is_missing(visitor, tmp_path):
    record = one()
    longer = {**record, "calls": record["calls"] + record["calls"][:2]}
    opened(visitor, saved(tmp_path, longer))
    differ = visitor.page.get_by_label("Where the file and the replay differ")
    expect(differ).to_contain_text("its last 2 calls are not played")
    shorter = {"task": "easy", "split": "train", "seed": SEED, "calls": record["calls"][:2]}
    opened(visitor, saved(tmp_path, shorter))
    expect(differ).to_contain_text("handed over as it stood")


ODD_FILES = {
    "": "The file is empty.",
    "no gzip at all": "odd.gz cannot be read.",
    "not json\n": "This is not a JSON object.",
    '{"task": "easy"}\n': "It has no seed",
    '{"task": "easy", "seed": 9223372036854775807, "calls": []}\n': "It has no seed that this page can read",
    '{"task": "easy", "seed": 1}\n': "There is no list of calls.",
    '{"task": "easy", "seed": 1, "calls": [{}]}\n': "Call 1 is not an action",
    '{"task": "easy", "seed": 1, "split": "x", "calls": []}\n': "The split is either train or test.",
}


def test_a_file_that_is_none_is_a_sentence(visitor, tmp_path):
    visitor.open("#/replay")
    for text, sentence in ODD_FILES.items():
        path = tmp_path / ("odd.gz" if "gzip" in text else "odd.jsonl")
        path.write_text(text)
        visitor.page.locator("#file").set_input_files(path)
        expect(visitor.page.get_by_role("alert")).to_contain_text(sentence)


def test_a_torn_last_line_and_a_task_of_elsewhere(visitor, tmp_path):
    path = tmp_path / "torn.jsonl"
    path.write_text(
        json.dumps(one()) + "\n" + json.dumps({**one(), "task": "elsewhere"}) + "\n" + '{"task": "ea'
    )
    opened(visitor, path)
    page = visitor.page
    expect(page.locator(".recordings")).to_contain_text("1 line cannot be replayed.")
    page.locator(".recording").last.click()
    expect(page.get_by_role("alert")).to_contain_text("This server has no task elsewhere")


def test_a_file_can_be_dropped(visitor):
    visitor.open("#/replay")
    page = visitor.page
    data = page.evaluate_handle(
        """text => {
          const data = new DataTransfer();
          data.items.add(new File([text], 'dropped.jsonl'));
          return data;
        }""",
        json.dumps(one()) + "\n",
    )
    page.dispatch_event(".drop", "dragover", {"dataTransfer": data})
    page.dispatch_event(".drop", "drop", {"dataTransfer": data})
    expect(page.get_by_role("heading", name="1 recording in dropped.jsonl")).to_be_visible()
    expect(page.locator(".player")).to_be_visible()


def test_the_link_of_an_episode_plays_it_again_call_by_call(visitor):
    record = one()
    calls = [Call(**call) for call in record["calls"]]
    visitor.take_on("easy", SEED, calls[:-1])
    visitor.play(calls[-1:])
    field = visitor.page.get_by_label("A link to this episode")
    expect(field).to_have_value(re.compile("calls="))
    link = field.input_value()
    # Whoever gets it keeps nothing of the episode.
    visitor.exchanges()
    visitor.page.evaluate("sessionStorage.clear()")
    visitor.page.goto("about:blank")
    visitor.page.goto(link)
    visitor.page.get_by_role("button", name="To the end").click()
    expect(visitor.page.locator(".verdict-loss")).to_contain_text(f"{record['score']}, ended")
    sent = [json.loads(e.sent)["action"] for e in visitor.exchanges() if e.path == "/step"]
    # The reasons are those that the page gave.
    for call in [*sent, *record["calls"]]:
        del call["reasoning"]
    assert sent == record["calls"]


def test_what_was_replayed_is_given_back(visitor, tmp_path):
    visitor.page.goto("about:blank")
    opened(visitor, saved(tmp_path, one()))
    expect(visitor.page.locator(".player")).to_be_visible()
    visitor.page.wait_for_load_state("networkidle")
    (deleted,) = [e.path for e in visitor.exchanges() if e.method == "DELETE"]
    assert httpx.get(f"{visitor.url}{deleted}/report").status_code == 404


def test_a_cell_of_the_atlas_leads_to_its_replay_at_the_decisive_step(visitor):
    visitor.open("#/results")
    page = visitor.page
    page.get_by_label("Level", exact=True).select_option("1")
    page.get_by_label("Show beside").select_option("expert")
    cell = page.locator(".cell-mistake a").first
    score = cell.get_attribute("title")
    cell.click()
    expect(page.locator(".agreed")).to_have_text("The replay gives what the file says.")
    expect(page.locator(".screen")).to_have_count(2)
    expect(page.locator(".screen").first.locator(".verdict-loss")).to_contain_text(f"{score}, ended")
    expect(page.locator(".screen").first.locator(".explained")).to_be_visible()
    # The suite is held out: the card tells what was shown, and no more.
    expect(page.locator(".explained").first).to_contain_text("test is held out")


def test_the_table_of_the_atlas_sorts_and_opens(visitor):
    visitor.open("#/results")
    page = visitor.page
    table = page.get_by_role("table", name="Players of the official suite")
    rows = table.locator("tbody tr")
    count = len(json.loads((STATIC / "atlas.json").read_text())["players"])
    expect(rows).to_have_count(count)
    table.get_by_role("button", name="Mistakes").click()
    shares = [float(text.rstrip("%")) for text in rows.locator("td:nth-child(3)").all_text_contents()]
    assert shares == sorted(shares, reverse=True)
    rows.first.get_by_role("button").click()
    expect(rows).to_have_count(count + 1)
    expect(rows.nth(1)).to_contain_text("level 5")
    expect(rows.nth(1)).to_contain_text("Waiver")
    page.locator(".scatter-dot").first.wait_for()
    assert page.locator(".scatter-dot").count() == count
