"""Takes the pictures of the page that the documents show. Needs chromium.

python -m tools.documents.screenshots [folder]
"""

import io
import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from safeact_env.server.app import create_app
from tools.documents.first_screen import FILE

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
SIZES = {"desktop": (1920, 1080), "laptop": (1200, 760), "phone": (360, 720)}
SCHEMES = ("light", "dark")


def scenario() -> str:
    """The scenario of the first screen, as a link has it."""
    found = json.loads(FILE.read_text(encoding="utf-8"))["runs"][0]["report"]
    return f"task={found['task']}&level={found['level']}&seed={found['seed']}"


def playing(page: Page) -> None:
    """In the middle of an episode: the expert's first steps, taken on; one thing is picked."""
    page.get_by_role("button", name="Take it from step 4").click()
    page.wait_for_selector(".action-name")
    page.locator(".world button.thing").nth(1).click()


def ended(page: Page) -> None:
    """The end of a careless episode, explained."""
    page.get_by_role("button", name="Take it from step 4").click()
    page.wait_for_selector(".action-name")
    path = page.locator(".world button[data-thing]").nth(1)
    path.click()
    page.locator('[data-action="delete_temp_file"]').click()
    page.locator(".action-form [type=submit]").last.click()
    page.wait_for_selector(".end")
    page.locator(".end").scroll_into_view_if_needed()


BEGIN = """async () => {
    const ask = (path, body) => fetch(path, {
        method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
    }).then(answer => answer.json());
    const {episode_id, observation} = await ask("reset", {task_name: "easy", level: 1, seed: 5});
    for (const path of Object.keys(observation.current_state.files).slice(0, 2)) {
        const reasoning = "Before I touch it I want to know what it is, and whether somebody needs it.";
        const action = {action_name: "read_file_metadata", parameters: {path}, reasoning};
        await ask("step", {action, episode_id});
    }
    return episode_id;
}"""
"""Begins an episode, as an agent elsewhere would."""


def live(page: Page) -> None:
    """An agent that is followed."""
    page.get_by_label("Episode id").fill(page.evaluate(BEGIN))
    page.get_by_role("button", name="Follow").click()
    page.wait_for_selector(".live .turn")


def results(page: Page) -> None:
    """The atlas."""
    page.wait_for_selector(".grid")


VIEWS: dict[str, tuple[str, Any]] = {
    "start": ("", lambda page: page.wait_for_selector(".demo-run")),
    "play": (f"#/watch?{scenario()}&a=expert&step=3", playing),
    "end": (f"#/watch?{scenario()}&a=naive&step=3", ended),
    "watch": (
        f"#/watch?{scenario()}&a=naive&b=expert&step=4",
        lambda page: page.wait_for_selector(".explained"),
    ),
    "replay": (
        "#/replay?recorded=guesser&episode=50&step=99",
        lambda page: page.wait_for_selector(".screen"),
    ),
    "live": ("#/live", live),
    "results": ("#/results", results),
}
"""Each view: its address, and what is done there."""


@contextmanager
def serving() -> Iterator[str]:
    """A server on a free loopback port: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)


def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    with serving() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for (size, (width, height)), scheme in ((one, two) for one in SIZES.items() for two in SCHEMES):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,  # type: ignore[arg-type]
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.set_default_timeout(60_000)
            for name, (address, act) in VIEWS.items():
                # Another document in between: an address that differs behind # only would not load the page.
                page.goto("about:blank")
                page.goto(f"{url}/demo{address}")
                act(page)
                page.mouse.move(0, 0)
                page.wait_for_timeout(300)
                with Image.open(io.BytesIO(page.screenshot())) as image:
                    image.save(folder / f"{name}_{size}_{scheme}.webp", quality=40, method=6)
            context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
