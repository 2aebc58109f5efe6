"""The page of a server that needs a token: it asks for it once, and plays."""

import pytest
from playwright.sync_api import expect

from safeact_env.server.settings import Settings
from tests.conftest import running
from tools.documents.visitor import Visitor

pytestmark = pytest.mark.browser

TOKEN = "token-for-the-page"


@pytest.fixture(scope="module")
def closed_url():
    with running(Settings(api_token=TOKEN)) as url:
        yield url


@pytest.fixture
def stranger(tab, closed_url):
    visitor = Visitor(tab, closed_url)
    yield visitor
    visitor.leave()
    # That a request was refused is told on the console; nothing else may be.
    assert [text for text in visitor.complaints if "401" not in text] == []


def give(page, token):
    page.get_by_role("textbox", name="Token").fill(token)
    page.get_by_role("button", name="Use it").click()


def test_the_page_asks_for_the_token_once_and_plays(stranger):
    page = stranger.page
    stranger.open()
    dialog = page.get_by_role("dialog", name="This server needs a token.")
    expect(dialog).to_have_count(1)
    give(page, "wrong")
    expect(dialog.get_by_text("It did not accept the one you gave.")).to_be_visible()
    give(page, TOKEN)
    expect(page.locator(".job")).to_have_count(5)
    expect(dialog).to_have_count(0)
    # Kept for this tab, and for no other.
    page.reload()
    expect(page.locator(".job")).to_have_count(5)
    expect(dialog).to_have_count(0)


def test_who_has_none_is_told_and_can_try_again(stranger):
    page = stranger.page
    stranger.open()
    page.get_by_role("button", name="Go without").click()
    expect(page.get_by_role("alert")).to_contain_text("needs a token")
    page.get_by_role("button", name="Try again").click()
    give(page, TOKEN)
    expect(page.locator(".job")).to_have_count(5)
