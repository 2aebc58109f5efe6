"""The page's files: what a browser is told about them, and that nothing beside them is served."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest

from safeact_env.server.page.static_files import HEADERS, STATIC, TYPES, PageFiles, edition

FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())


def test_the_root_leads_to_the_page(client):
    answer = client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "demo")
    assert "<title>SafeAct-Env</title>" in client.get("/").text


def test_the_page_is_one_page_with_or_without_a_slash(client):
    answer = client.get("/demo/", follow_redirects=False)
    # Relative: behind a proxy that speaks https, an address made here would say http.
    assert answer.headers["location"] == "../demo"
    assert client.get("/demo/").content == client.get("/demo").content


@pytest.mark.parametrize("path", ["", *(f"/{name}" for name in FILES)])
def test_every_file_is_served_under_the_strict_policy(client, path):
    answer = client.get(f"/demo{path}")
    assert answer.status_code == 200
    kept = (STATIC / (path[1:] or "index.html")).read_bytes()
    assert answer.content == (
        kept if path else kept.replace(b'"demo/', f'"demo/@{edition(STATIC)}/'.encode())
    )
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'self' https://huggingface.co https://*.hf.space" in policy


@pytest.mark.parametrize("elsewhere", [None, "application/javascript", "text/plain"])
def test_scripts_are_served_as_scripts(client, monkeypatch, elsewhere):
    """Whatever this machine, or another library in this process, takes them for."""
    if elsewhere is not None:
        monkeypatch.setattr("mimetypes.guess_type", lambda *_args, **_more: (elsewhere, None))
        monkeypatch.setattr("starlette.responses.guess_type", lambda *_args, **_more: (elsewhere, None))
    assert client.get("/demo/js/main.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/demo/icon.svg").headers["content-type"] == "image/svg+xml"


def test_a_browser_that_has_a_file_gets_304_and_the_policy(client):
    first = client.get("/demo/js/main.js")
    again = client.get("/demo/js/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    other = client.get("/demo/js/main.js", headers={"If-None-Match": '"something-else"'})
    assert other.status_code == 200


def test_a_file_is_sent_packed_to_who_takes_that(client):
    plain = client.get("/demo/js/main.js", headers={"Accept-Encoding": "identity"})
    packed = client.get("/demo/js/main.js", headers={"Accept-Encoding": "br, gzip"})
    assert packed.content == plain.content
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) * 0.7
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    for one in (plain, packed):
        asked = {"If-None-Match": one.headers["etag"], "Accept-Encoding": "gzip"}
        assert client.get("/demo/js/main.js", headers=asked).status_code == (304 if one is packed else 200)


@pytest.mark.parametrize(
    "asked", [{"Accept-Encoding": "gzip;q=0"}, {"Accept-Encoding": "gzip", "Range": "bytes=0-9"}]
)
def test_a_file_is_not_packed_for_who_does_not_take_that(client, asked):
    assert "content-encoding" not in client.get("/demo/js/main.js", headers=asked).headers


def test_files_are_told_apart_by_content_where_time_and_size_are_the_same(tmp_path):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    def tag(folder, text):
        folder.mkdir()
        (folder / "a.js").write_text(text)
        os.utime(folder / "a.js", (1_580_601_600, 1_580_601_600))
        app = FastAPI()
        app.mount("/", PageFiles(directory=folder))
        answer = TestClient(app).get("/a.js")
        assert "last-modified" not in answer.headers
        return answer.headers["etag"]

    tags = [tag(tmp_path / str(number), text) for number, text in enumerate(("one", "two", "two"))]
    assert tags[0] != tags[1] == tags[2]


@pytest.mark.parametrize(
    "path",
    [
        "/demo/../server/app.py",
        "/demo/%2e%2e/server/app.py",
        "/demo/..%2fserver%2fapp.py",
        "/demo/js/..%2f..%2f..%2fpyproject.toml",
        "/demo/%2fetc%2fpasswd",
        "/demo//etc/passwd",
        "/demo/..\\server\\app.py",
        "/demo/js",
        "/demo/js/",
        "/demo/a%00b",
        "/demo/" + "a/" * 15_000,
        "/demo/" + "a" * 5_000,
        "/demo/nothing.js",
    ],
)
def test_nothing_but_the_files_is_served(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["detail"]["code"] == "not_found"


def test_what_the_page_names_is_kept_for_good_and_is_another_address_after_an_upgrade(client):
    named = re.findall(r'(?:href|src)="(demo/[^"]+)"', client.get("/demo").text)
    assert f"demo/@{edition(STATIC)}/js/main.js" in named
    for path in named:
        answer = client.get(f"/{path}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.content == (STATIC / path.split("/", 2)[2]).read_bytes()
    # The page itself is asked for each time, and so is what a tab of before an upgrade asks for.
    page = client.get("/demo")
    older = client.get("/demo/@0123456789abcdef/js/main.js")
    assert page.headers["cache-control"] == older.headers["cache-control"] == "no-cache"
    assert older.content == client.get("/demo/js/main.js").content
    for path in ("nothing.js", "../server/app.py", "%2e%2e/secret", "@0123456789abcdef/js/main.js", ""):
        missing = client.get(f"/demo/@{edition(STATIC)}/{path}")
        assert missing.status_code == 404
        assert "immutable" not in missing.headers.get("cache-control", "")
    kept = client.get("/demo", headers={"If-None-Match": page.headers["etag"]})
    assert (kept.status_code, kept.content) == (304, b"")
    plain = client.get("/demo", headers={"Accept-Encoding": "identity"})
    assert plain.headers["etag"] != page.headers["etag"]
    assert plain.text == page.text


def test_an_edition_is_told_by_names_and_contents_and_not_by_time(tmp_path):
    def made(folder, **files):
        for name, text in files.items():
            (folder / name).mkdir(parents=True)
            (folder / name / "a.js").write_text(text)
            os.utime(folder / name / "a.js", (1_580_601_600, 1_580_601_600 + len(folder.name)))
        return edition(folder)

    first = made(tmp_path / "a", js="one", css="two")
    assert made(tmp_path / "bbb", js="one", css="two") == first
    others = [made(tmp_path / "c", js="one", css="owt"), made(tmp_path / "d", js="one", img="two")]
    assert len({first, *others}) == 3


def test_a_link_out_of_the_folder_leads_nowhere(tmp_path):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    (tmp_path / "secret").write_text("secret")
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "out").symlink_to(tmp_path / "secret")
    app = FastAPI()
    app.mount("/", PageFiles(directory=tmp_path / "static"))
    assert TestClient(app).get("/out").status_code == 404


def test_a_file_cannot_be_written(client):
    assert client.post("/demo/js/main.js", json={}).status_code == 405
    assert client.delete("/demo").status_code == 405


def test_the_page_is_no_part_of_the_api_description(client):
    assert not [path for path in client.get("/openapi.json").json()["paths"] if "demo" in path]


def test_the_wheel_has_every_file(tmp_path):
    project = STATIC.parent
    command = [sys.executable, "-m", "uv", "build", "--wheel", "--quiet", "--out-dir", tmp_path, project]
    made = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "UV_SYSTEM_CERTS": "true"}
    )
    assert made.returncode == 0, made.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert {f"safeact_env/static/{name}" for name in FILES} <= set(zipfile.ZipFile(wheel).namelist())


def test_the_page_names_only_files_that_are_there():
    page = (STATIC / "index.html").read_text()
    named = set(re.findall(r'(?:href|src)="demo/([^"]+)"', page))
    assert "js/main.js" in named
    assert named <= set(FILES)


def test_the_recorded_results_are_data():
    found = json.loads((STATIC / "results.json").read_text())
    assert [section["title"] for section in found["sections"]]
    for section in found["sections"]:
        for table in section["tables"]:
            assert table["rows"]
            assert {len(row) for row in table["rows"]} == {len(table["head"])}
    assert found["drawings"].keys() == {"bars", "curves", "calibration"}


def test_a_link_to_the_page_says_what_it_is():
    page = (STATIC / "index.html").read_text()
    told = dict(re.findall(r'<meta property="og:(\w+)" content="([^"]+)">', page))
    assert "AI agents" in told["title"]
    assert told["description"]


def test_every_file_of_the_page_has_a_type():
    assert {os.path.splitext(name)[1] for name in FILES} - {".gz"} == TYPES.keys(), "and recorded episodes"


@pytest.mark.parametrize(("path", "to"), [("/web", "demo"), ("/web/", "../demo")])
def test_the_front_page_of_a_space_leads_to_the_page(client, path, to):
    """`openenv push` makes /web a Space's front page, also where OpenEnv's own page is off."""
    answer = client.get(path, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, to)
    assert client.get(path).headers["content-type"].startswith("text/html")
