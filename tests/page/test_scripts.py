"""The page's scripts: they parse, and none of them can turn text into markup or code."""

import json
import posixpath
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


PARSE = """
const { readFileSync } = require("node:fs");
for (const path of process.argv.slice(1)) {
    try { new (require("node:vm").SourceTextModule)(readFileSync(path, "utf8")); }
    catch (error) { console.log(path, String(error)); }
}"""


def unparsed(node, *paths):
    """What of some scripts cannot be parsed as modules, a line each."""
    command = [node, "--no-warnings", "--experimental-vm-modules", "-e", PARSE, *paths]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_every_script_parses(node):
    assert unparsed(node, *SCRIPTS) == []


def test_a_script_that_does_not_parse_is_noticed(node, tmp_path):
    broken, sound = tmp_path / "broken.js", tmp_path / "sound.js"
    broken.write_text("export function f( { return 1; }")
    sound.write_text("export function f() { return 1; }")
    (line,) = unparsed(node, broken, sound)
    assert line.startswith(f"{broken} SyntaxError")


def needed(name, found=None):
    """The scripts that a script is made of, itself among them: what has to be there before it runs."""
    found = set() if found is None else found
    if name not in found:
        found.add(name)
        text = (STATIC / "js" / name).read_text()
        for other in re.findall(r'^(?:import|export) [^;]*?from "([^"]+)";', text, re.MULTILINE):
            needed(posixpath.normpath(posixpath.join(posixpath.dirname(name), other)), found)
    return found


def test_no_script_is_found_only_when_another_one_is_there(node):
    """On a slow line each of them would cost a journey more."""
    at_once = needed("main.js") - {"main.js"}
    page = (STATIC / "index.html").read_text()
    assert set(re.findall(r'rel="modulepreload" href="demo/js/([^"]+)"', page)) == at_once
    lists = re.search(r"^const WORLD = .*?^}\);", (STATIC / "js" / "main.js").read_text(), re.M | re.S)[0]
    told = subprocess.run(
        [node, "-p", f"{lists} JSON.stringify(PARTS)"], capture_output=True, text=True, check=True
    )
    parts = json.loads(told.stdout)
    views = dict(
        re.findall(r'^  (\w+): .*import\("\./(\w+\.js)"\)', (STATIC / "js" / "main.js").read_text(), re.M)
    )
    assert views.keys() >= parts.keys()
    for view, script in views.items():
        asked = {f"{part}.js" for part in parts.get(view, [])}
        assert asked == needed(script) - at_once - {"main.js", script}, view


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
