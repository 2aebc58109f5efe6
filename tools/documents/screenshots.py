"""Takes the pictures of the page that the documents show. Needs chromium.

python -m tools.documents.screenshots [folder]
"""

import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Page, sync_playwright

from safeact_env import Call, get_task, play
from safeact_env.server.app import create_app

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
DESK, PHONE = {"width": 1200, "height": 760}, {"width": 360, "height": 720}


def calls(policy: str, seed: int) -> list[Call]:
    """What a policy calls on a seed of `easy`."""
    return [turn.call for turn in play(get_task("easy"), "train", seed, policy).turns]


def take(page: Page, call: Call) -> None:
    """Take a step through its form."""
    before = page.locator(".history .turn").count()
    page.locator(f'[data-action="{call.action_name}"]').click()
    for name, value in call.parameters.items():
        field = page.locator(f'.action-form [name="{name}"]')
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))
    page.locator('.action-form [name="reasoning"]').fill(call.reasoning)
    page.locator(".action-form .button").click()
    page.wait_for_selector(f'.history .turn[value="{before + 1}"]')


def start(page: Page, url: str, seed: int) -> None:
    """Start an episode of `easy`."""
    page.goto(f"{url}/demo#/play?task=easy&split=train&seed={seed}")
    page.wait_for_selector(".action-name")


def playing(page: Page, url: str) -> None:
    """In the middle of an episode: an approval has been granted."""
    start(page, url, 42)
    for call in calls("expert", 42)[:8]:
        take(page, call)
    page.locator(".job-details summary").click()
    page.get_by_role("button", name="cache_index_old.bin").click()
    page.evaluate("window.scrollTo(0, 0)")


def trap(page: Page, url: str) -> None:
    """The end of a careless episode."""
    start(page, url, 34)
    for call in calls("naive", 34):
        take(page, call)
    page.wait_for_selector(".end")
    page.evaluate("window.scrollTo(0, 0)")


def watching(page: Page, url: str) -> None:
    """Two policies on one seed: in the same step one deletes a file, and the other reads its record."""
    page.goto(f"{url}/demo#/watch?task=easy&seed=386&a=naive&b=expert")
    page.wait_for_selector(".screen")
    page.get_by_label("Step", exact=True).fill("3")
    page.locator(".player-title").focus()
    page.evaluate("window.scrollTo(0, document.querySelector('.player').offsetTop - 20)")


def unknown(page: Page, url: str) -> None:
    """The start on a phone: nothing is known yet."""
    start(page, url, 42)
    take(page, calls("expert", 42)[0])
    page.locator(".job-details summary").click()
    page.locator(".world").scroll_into_view_if_needed()
    page.evaluate("window.scrollTo(0, document.querySelector('.world').offsetTop - 90)")


SHOTS: dict[str, tuple[Any, dict[str, int], str]] = {
    "play": (playing, DESK, "light"),
    "trap": (trap, DESK, "light"),
    "watch": (watching, DESK, "dark"),
    "phone": (unknown, PHONE, "dark"),
}


def main(folder: Path) -> None:
    """Take them all."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(), port=port, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (draw, size, scheme) in SHOTS.items():
            context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page = context.new_page()
            draw(page, f"http://127.0.0.1:{port}")
            page.mouse.move(0, 0)
            page.screenshot(path=folder / f"{name}.png")
            context.close()
        browser.close()
    server.should_exit = True


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
