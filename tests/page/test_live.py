"""Following live: an episode of the server with its reasons, and the run of a model from its file."""

import json

import httpx
import pytest
from playwright.sync_api import expect

from safeact_env.cli.step_log import StepLog
from safeact_env.evaluation import Key, record_of
from safeact_env.llm.run import Watcher
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task
from tests.page.traffic import leaks

pytestmark = pytest.mark.browser

MADE = play(get_task("easy"), "train", 6, "naive")

PICKER = """
    window.showOpenFilePicker = async () => {
        const folder = await navigator.storage.getDirectory();
        return [await folder.getFileHandle("steps.jsonl", {create: true})];
    };
"""
"""A file of the browser's own, which grows as one on the disk does: no program can choose a file there."""
WRITE = """async ([text, keep]) => {
    const folder = await navigator.storage.getDirectory();
    const handle = await folder.getFileHandle("steps.jsonl", {create: true});
    const at = keep ? (await handle.getFile()).size : 0;
    const stream = await handle.createWritable({keepExistingData: keep});
    await stream.write({type: "write", position: at, data: text});
    await stream.close();
}"""


def test_an_agents_episode_is_followed_with_its_reasons_and_without_a_word_on_risk(visitor):
    episode = httpx.post(f"{visitor.url}/reset", json={"task_name": "easy", "seed": 6}).json()["episode_id"]
    visitor.open(f"#/live?episode={episode}")
    page = visitor.page
    expect(page.locator(".live .world")).to_be_visible()
    expect(page.locator(".live .panel")).to_contain_text("It has not done anything yet.")
    for number, turn in enumerate(MADE.turns, start=1):
        assert leaks(visitor.exchanges(), over=set()) == []
        action = {**turn.call.to_json(), "reasoning": f"Reason {number} of a model."}
        httpx.post(f"{visitor.url}/step", json={"episode_id": episode, "action": action})
        if number < len(MADE.turns):
            expect(page.locator(".live .turn")).to_have_count(number)
            expect(page.locator(".live .turn").first).to_contain_text(f"Reason {number} of a model.")
    # Only the end tells.
    expect(page.locator(".explained")).to_be_visible()
    expect(page.locator(".explained")).to_contain_text(f"Reason {len(MADE.turns)} of a model.")
    assert leaks(visitor.exchanges(), over=set())


def test_an_episode_that_is_given_back_while_it_is_followed_stays_in_sight(visitor):
    episode = httpx.post(f"{visitor.url}/reset", json={"task_name": "easy", "seed": 6}).json()["episode_id"]
    action = {**MADE.turns[0].call.to_json(), "reasoning": "Reason of a model."}
    httpx.post(f"{visitor.url}/step", json={"episode_id": episode, "action": action})
    visitor.open(f"#/live?episode={episode}")
    page = visitor.page
    expect(page.locator(".live .turn")).to_have_count(1)
    # As `inference.py --url` does after its last step.
    httpx.delete(f"{visitor.url}/episodes/{episode}")
    said = page.locator("[role=status]")
    expect(said).to_contain_text("no longer on this server: who played it gave it back, or it expired.")
    expect(said).to_contain_text("Below is what was seen of it, 1 step.")
    expect(page.locator(".live .turn")).to_contain_text("Reason of a model.")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_episode_that_is_not_there_is_said_with_a_way_on(visitor):
    visitor.open("#/live?episode=nobody")
    expect(visitor.page.get_by_role("alert")).to_contain_text("There is no episode with this id")
    expect(visitor.page.get_by_role("button", name="Try again")).to_be_visible()


@pytest.fixture
def log(tmp_path):
    """The lines that `inference.py` writes about an episode."""
    path, key = tmp_path / "steps.jsonl", Key("a-model", "easy", "train", 6, 1)
    with StepLog(path, Watcher(), 1, resume=False) as written:
        written.begun(key)
        for number, turn in enumerate(MADE.turns, start=1):
            shown = {"reward": turn.reward, "done": False, "last_action_result": turn.result}
            written.stepped(key, number, turn.call, shown)
        written.ended(key, record_of(MADE, "a-model"))
    return path.read_text().splitlines(keepends=True)


def test_the_run_of_a_model_is_followed_as_its_file_grows(second, log):
    visitor = second
    page = visitor.page
    page.add_init_script(PICKER)
    visitor.open("#/live")
    begun, half = 3, len(log[3]) // 2
    page.evaluate(WRITE, ["".join(log[:begun]) + log[3][:half], False])
    page.get_by_role("button", name="Choose its file").click()
    # Half a line waits for its other half.
    expect(page.locator(".live .turn")).to_have_count(begun - 2)
    expect(page.locator(".live .turn").first).to_contain_text(MADE.turns[0].result[:60])
    left = MADE.observation()["steps_remaining"] + len(MADE.turns) - 1
    told = ["1. a-model easy train, seed 6", f"1 step, {left} left, being played"]
    expect(page.locator(".recording span")).to_have_text(told)
    assert leaks(visitor.exchanges(), over=set()) == []
    page.evaluate(WRITE, [log[3][half:], True])
    rest = log[4:]
    assert [json.loads(line)["event"] for line in rest] == ["ended", "over"]
    page.evaluate(WRITE, ["no JSON at all\n" + "".join(rest), True])
    expect(page.locator(".explained")).to_be_visible()
    expect(page.locator(".recording")).to_contain_text("0.00, ended by an irreversible mistake")
    expect(page.locator("[role=status]")).to_contain_text("The run is over.")
    expect(page.locator("[role=status]")).to_contain_text("1 line cannot be read. Line 5: This is not JSON.")
    assert page.get_by_label("Where the file and the replay differ").count() == 0


def test_where_a_file_cannot_be_read_again_the_terminal_is_named(second, log):
    visitor = second
    visitor.open()
    visitor.page.evaluate("delete window.showOpenFilePicker")
    visitor.open("#/live")
    page = visitor.page
    expect(page.locator(".drop").last).to_contain_text("safeact replay --follow DIR")
    file = {"name": "steps.jsonl", "mimeType": "application/json", "buffer": "".join(log).encode()}
    page.locator("#live-file").set_input_files(file)
    # What it held is shown all the same.
    expect(page.locator(".explained")).to_be_visible()


@pytest.fixture
def followed(visitor):
    """Follows what a file of the browser's holds; gives the tab."""

    def follow(text):
        visitor.open()
        visitor.page.evaluate(PICKER)
        visitor.open("#/live")
        visitor.page.evaluate(WRITE, [text, False])
        visitor.page.get_by_role("button", name="Choose its file").click()
        return visitor.page

    return follow


def test_a_file_that_is_replaced_is_read_anew_though_it_is_longer(followed, log):
    page = followed("".join(log[:2]))
    expect(page.locator(".recording")).to_have_count(1)
    other = [line.replace('"seed": 6', '"seed": 7').replace("a-model", "another-model") for line in log[:2]]
    page.evaluate(WRITE, ["".join(other) + "\n" * len("".join(log)), False])
    expect(page.locator(".recording")).to_contain_text("another-model easy train, seed 7")
    expect(page.locator(".recording")).to_have_count(1)
    expect(page.locator("[role=status]")).not_to_contain_text("cannot be read")


@pytest.mark.parametrize(
    ("held", "said"),
    [("", "Nothing is in it yet"), ("\0\1\2\n\n[1]\n", "No line of it is of a run that this page can read.")],
)
def test_a_file_without_an_episode_is_empty_or_something_else(followed, held, said):
    expect(followed(held).locator(".stage").first).to_contain_text(said)


def test_what_follows_a_missing_step_is_not_played(followed, log):
    page = followed("".join([*log[:2], "no JSON\n", *log[3:-2]]))
    expect(page.locator(".recording")).to_contain_text("0 steps, then one is missing: the rest is not played")
    expect(page.locator(".live .panel")).to_contain_text("It has not done anything yet.")
    expect(page.locator("[role=status]")).to_contain_text("Line 3: This is not JSON.")


def test_an_episode_that_cannot_be_played_does_not_end_the_run(followed, log):
    begun, *steps = log[1:-2]
    elsewhere = begun.replace('"easy"', '"elsewhere"')
    page = followed(log[0] + elsewhere)
    expect(page.get_by_role("alert")).to_contain_text("Unknown task")
    # One that is over here before it is in the file: it was recorded with another version, say.
    last = json.loads(steps[-1])
    more = json.dumps({**last, "step": last["step"] + 1}) + "\n"
    page.evaluate(WRITE, ["".join([begun, *steps, more]), True])
    expect(page.locator(".live .turn")).to_have_count(len(MADE.turns))
    expect(page.locator(".notice")).to_contain_text("On this server the episode is over here.")
    page.evaluate(WRITE, [begun.replace('"seed": 6', '"seed": 9'), True])
    expect(page.locator(".recording").first).to_contain_text("seed 9")
    expect(page.locator(".live .panel")).to_contain_text("It has not done anything yet.")
