"""The pages behind nginx that adds a path, and in a frame of another page, as a Space shows them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from safeact_env.policies.reference import play
from safeact_env.tasks import get_task
from tools.documents.visitor import Visitor
from tools.servers.local_servers import Server, free_port

pytestmark = pytest.mark.browser

PREFIX = "/spaces/safeact"
CONFIG = """
worker_processes 1;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    proxy_max_temp_file_size 0;
    server {{
        listen 127.0.0.1:{port};
        location = /around {{
            default_type text/html;
            return 200 '<!doctype html><title>A</title><iframe src="{prefix}/{path}" width=1400 height=850>';
        }}
        location {prefix}/ {{
            proxy_pass {url}/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


@pytest.fixture
def space(live_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an nginx that shows the server below a path, and at /around in a frame."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    port = free_port()
    path = getattr(request, "param", "demo")
    config = CONFIG.format(folder=tmp_path, port=port, prefix=PREFIX, path=path, url=live_url)
    (tmp_path / "nginx.conf").write_text(config)
    options = ["-c", str(tmp_path / "nginx.conf"), "-g", f"daemon off; pid {tmp_path}/nginx.pid;"]
    with Server(["nginx", *options], port, tmp_path / "nginx.log"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def guest(tab, space: str) -> Iterator[Callable[..., Visitor]]:
    """Makes the visitor of that server, who has the tab. At the end, no page may have complained."""
    made: list[Visitor] = []

    def make(path: str = "") -> Visitor:
        made.append(Visitor(tab, f"{space}{path}"))
        return made[-1]

    yield make
    for visitor in made:
        visitor.leave()
        assert not visitor.complaints


def test_a_job_is_done_below_a_path(guest):
    visitor = guest(PREFIX)
    *before, asked, last = (turn.call for turn in play(get_task("easy"), "train", 42, "expert").turns)
    visitor.take_on("easy", 42, before)
    visitor.play([asked, last])
    expect(visitor.page.locator(".score-number")).to_have_text("1.00")


@pytest.mark.parametrize("space", ["demo", "web", ""], indirect=True)
def test_the_page_is_shown_in_a_frame(guest, space):
    """/web is the path that `openenv push` names; without OpenEnv's own page it leads here, as / does."""
    visitor = guest()
    visitor.page.goto(f"{space}/around")
    frame = visitor.page.frame_locator("iframe")
    expect(frame.get_by_role("heading").first).to_be_visible()
    assert [one.url for one in visitor.page.frames][1:] == [f"{space}{PREFIX}/demo"]


def test_swagger_ui_runs_below_a_path_and_asks_no_other_site(guest, space):
    visitor = guest(PREFIX)
    asked: list[str] = []

    def note(request):
        asked.append(request.url)

    visitor.page.on("request", note)
    # Its script is large, and a busy machine is slow, not wrong.
    visitor.page.goto(f"{space}{PREFIX}/docs", wait_until="commit")
    expect(visitor.page.locator(".opblock-summary-path").first).to_be_visible(timeout=180_000)
    assert all(url.startswith((f"{space}{PREFIX}/", "data:")) for url in asked), asked
    visitor.page.remove_listener("request", note)


def test_no_other_site_may_frame_the_page(space):
    policy = httpx.get(f"{space}{PREFIX}/demo").headers["Content-Security-Policy"]
    (frames,) = [part for part in policy.split("; ") if part.startswith("frame-ancestors")]
    assert frames == "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
