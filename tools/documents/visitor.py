"""A visitor of the page: what a person does with it, and what the browser sends and gets meanwhile."""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

from safeact_env.call import Call


@dataclass(frozen=True)
class Exchange:
    """One request of the page and its answer."""

    method: str
    path: str
    sent: str
    status: int
    got: str


DESK = (1440, 900)
"""Size of a window at a desk, in pixels."""


def window(browser: Any, *, size: tuple[int, int] = DESK, motion: bool = False, **options: Any) -> Any:
    """A new window, with one tab and nothing kept: the page of Playwright.

    Args:
        browser: The browser.
        size: Of the window, in pixels.
        motion: Whether things may move.
        options: Further options of the browser's context.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="light",
        reduced_motion="no-preference" if motion else "reduce",
        **options,
    )
    return context.new_page()


LEAVE = """() => new Promise(done => {
    addEventListener("hashchange", done, {once: true});
    location.hash = `#/branch?left=${performance.now()}`;
}).then(() => {
    sessionStorage.clear();
    localStorage.clear();
    document.getElementById("view").replaceChildren();
})"""
"""Leaves a view for one that asks for nothing, whose complaint of a link without calls nobody sees."""
STOP = """
    window.stop();
    for (let timer = setTimeout(() => {}); timer > 0; timer -= 1) clearTimeout(timer);
    sessionStorage.clear();
    localStorage.clear();
    Storage.prototype.setItem = () => {};
    history.replaceState(null, "", "/left");
    document.documentElement.remove();
"""
"""Ends what a document does and keeps nothing of it; the next address is another document's.

To load one in between takes a fifth of what a visit takes; a document that can stay, half of it.
"""


HANDS = """async ([calls, how]) => {
    let clicks = 0;
    const all = selector => [...document.querySelectorAll(selector)];
    const press = (one, what) => {
        if (!one) throw new Error(`there is nothing to press for ${what}`);
        one.scrollIntoView({block: "center", behavior: "instant"});
        const [box] = one.getClientRects();
        const hit = box && document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        if (one.disabled || !one.contains(hit)) throw new Error(`nobody can press ${one.outerHTML}`);
        clicks += 1;
        one.focus();
        one.click();
    };
    const pick = values => {
        const given = values.filter(value => typeof value === "string");
        const parts = [2, 1].flatMap(length =>
            given.flatMap((_, at) => at + length <= given.length ? [given.slice(at, at + length)] : []));
        for (const part of parts) {
            const thing = all("button[data-thing]").find(one => one.dataset.thing === JSON.stringify(part));
            if (thing) return press(thing, part);
        }
    };
    const fill = (name, parameters) => {
        if (!all('.world [aria-pressed="true"]').length) pick(Object.values(parameters));
        // The question about an action stands beside it.
        const [beside] = all(`[data-ask="${parameters.action_being_considered}"]`);
        press(beside ?? all(`[data-action="${name}"]`)[0], name);
        for (const [param, value] of Object.entries(parameters)) {
            const [field] = all(`form[aria-label="${name}"] [name="${param}"]`);
            if (field?.value === String(value)) continue;
            if (!field?.checkVisibility() || field.disabled) throw new Error(`${name} has no field ${param}`);
            field.focus();
            field.value = value;
            if (field.value !== String(value)) throw new Error(`${param} of ${name} cannot be ${value}`);
            for (const event of ["input", "change"]) field.dispatchEvent(new Event(event, {bubbles: true}));
            clicks += field.matches("select") ? 2 : 1;
        }
    };
    const take = (name, parameters) => {
        const call = JSON.stringify([name, ...Object.values(parameters)]);
        const look = all("button[data-call]").find(one => one.dataset.call === call);
        if (look) return press(look, name);
        fill(name, parameters);
        press(all(".action-form [type=submit]")[0], name);
    };
    let number = all(".history .turn").length;
    for (const [name, parameters] of calls) {
        (how === "fill" ? fill : take)(name, parameters);
        if (how !== "play") continue;
        number += 1;
        for (let waits = 0; !all(`.history .turn[value="${number}"]`).length; waits += 1) {
            if (waits > 3000) throw new Error(`step ${number} is not answered`);
            await new Promise(done => setTimeout(done, 10));
        }
    }
    return clicks;
}"""
"""What hands do at forms, in one go: to steer each of them from outside takes four times as long.

Only what a pointer would hit is pressed. Returns the clicks.
"""


def packed(calls: list[Call]) -> str:
    """Calls as links have them."""
    short = json.dumps([list(call.to_json().values()) for call in calls]).encode()
    return base64.urlsafe_b64encode(zlib.compress(short, wbits=-15)).decode().rstrip("=")


class Visitor:
    """One person with one tab.

    Args:
        page: The tab.
        url: Where the server is.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.url = url
        self.page = page
        self.complaints: list[str] = []
        self.clicks = 0
        """Made to take steps: a choice from a list is two, a field to type into is one."""
        self._under_way: set[Any] = set()
        """Requests that are this visitor's, and not of who had the tab before, until they are answered."""
        self._requests: list[Any] = []
        self._listeners = {
            "pageerror": lambda error: self.complaints.append(f"error: {error}"),
            "console": self._console,
            "request": lambda request: self._under_way.add(request),
            "requestfinished": self._finished,
            "requestfailed": lambda request: self._under_way.discard(request),
        }
        for event, listener in self._listeners.items():
            page.on(event, listener)

    def leave(self) -> None:
        """Leave the tab to the next visitor with nothing kept; as if it were new if an answer is awaited."""
        page = self.page
        for event, listener in self._listeners.items():
            page.remove_listener(event, listener)
        page.unroute_all(behavior="ignoreErrors")
        is_quiet = not self._under_way and page.url.startswith(f"{self.url}/demo")
        page.evaluate(LEAVE if is_quiet else STOP)
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
        page.mouse.move(0, 0)

    def _console(self, message: Any) -> None:
        # The browser itself reports answers that are errors, also those that a test provokes.
        is_answer = "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not is_answer:
            self.complaints.append(f"{message.type}: {message.text}")

    def _finished(self, request: Any) -> None:
        if request not in self._under_way:
            return
        self._under_way.discard(request)
        if self.url not in request.url:
            self.complaints.append(f"a request to another place: {request.url}")
        self._requests.append(request)

    def exchanges(self) -> list[Exchange]:
        """All that the page has sent and got since the last call of this; not what is in its own files."""
        found = []
        for request in self._requests:
            answer = request.response()
            path = request.url.removeprefix(self.url)
            # The page's own files say nothing of an episode, and are many.
            is_told = answer.status != 304 and not path.startswith("/demo/")
            text = answer.text() if is_told else ""
            found.append(Exchange(request.method, path, request.post_data or "", answer.status, text))
        self._requests = []
        return found

    # Ways through the page ---------------------------------------------------------------------------------

    def open(self, fragment: str = "") -> None:
        """Go to a view by its address."""
        self.page.goto(f"{self.url}/demo{fragment}")

    def start(self, task: str, seed: int, split: str = "train", level: int = 3) -> None:
        """Start an episode by its link."""
        self.open(f"#/play?task={task}&split={split}&level={level}&seed={seed}")
        self.page.wait_for_selector(".action-name")

    def take_on(self, task: str, seed: int, calls: list[Call], level: int = 3) -> None:
        """Start an episode of `train` of which some steps are taken, by the link for that.

        Where the way there is not what a test is about, it takes a tenth of the time.
        """
        self.open(f"#/branch?task={task}&seed={seed}&level={level}&calls={packed(calls)}")
        taken = f'.history .turn[value="{len(calls)}"]'
        self.page.wait_for_selector(taken if calls else ".action-name")

    def fill(self, call: Call) -> None:
        """Open the form of an action and fill it in, from the thing that it is about if there is one."""
        self._act([call], "fill")

    def take(self, call: Call) -> None:
        """Take a step the shortest way: a look is one click, any other call goes through its form."""
        self._act([call], "take")

    def play(self, calls: list[Call]) -> None:
        """Take several steps, each once the one before it has been answered."""
        self._act(calls, "play")

    def _act(self, calls: list[Call], how: str) -> None:
        made = [[call.action_name, call.parameters] for call in calls]
        self.clicks += self.page.evaluate(HANDS, [made, how])

    def steps(self) -> int:
        """How many steps the history shows."""
        count: int = self.page.locator(".history .turn").count()
        return count

    def episode_id(self) -> str:
        """Id of the episode that the tab keeps."""
        found: str = self.page.evaluate("JSON.parse(sessionStorage.getItem('safeact.episode')).id")
        return found

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        root = "document.documentElement"
        wide: int = self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
        return wide
