"""The page's scripts: they parse, and none of them can turn text into markup or code."""

import re
import subprocess

import pytest

from safeact_env.server.page.static_files import STATIC

SCRIPTS = sorted(STATIC.rglob("*.js"))
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc"
    r"|\beval\(|new Function|javascript:|setAttribute\(\"(?:style|on)|https?://(?!www\.w3\.org/)"
)


def breaches(text):
    """What a script may not hold."""
    return FORBIDDEN.findall(text)


@pytest.fixture(scope="module")
def node():
    """The interpreter that Playwright brings along."""
    from playwright._impl._driver import compute_driver_executable

    return compute_driver_executable()[0]


def parse(node, path):
    # From a file that is named as a module, as it is one in the browser.
    return subprocess.run([node, "--check", path], capture_output=True, text=True)


def test_every_script_parses(node, tmp_path):
    for path in SCRIPTS:
        copy = tmp_path / f"{path.stem}.mjs"
        copy.write_bytes(path.read_bytes())
        found = parse(node, copy)
        assert found.returncode == 0, f"{path.name}: {found.stderr}"


def test_a_script_that_does_not_parse_is_noticed(node, tmp_path):
    broken = tmp_path / "broken.mjs"
    broken.write_text("export function f( { return 1; }")
    assert parse(node, broken).returncode != 0


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_no_script_makes_markup_or_code_of_text_or_names_another_server(path):
    assert breaches(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "a.innerHTML = b",
        "eval(a)",
        'new Function("x")',
        'a.setAttribute("onclick", b)',
        'fetch("https://x.y")',
    ],
)
def test_a_planted_breach_is_caught(text):
    assert breaches(text)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_says_what_it_owns(path):
    assert path.read_text().startswith("/**")


def test_every_script_is_used():
    texts = "".join(path.read_text() for path in SCRIPTS) + (STATIC / "index.html").read_text()
    unused = [path.name for path in SCRIPTS if not re.search(rf'["/]{re.escape(path.name)}"', texts)]
    assert unused == []


def test_the_page_has_no_inline_script_style_or_handler():
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]* src=)", page)
