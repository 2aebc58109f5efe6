"""The token on every route, other sites' pages, CORS, and the headers of every answer."""

import base64
import hashlib
import re
from inspect import signature

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from safeact_env.client import AsyncSafeActHTTPClient, SafeActAction, SafeActEnv, SafeActHTTPClient
from safeact_env.server.app import create_app
from safeact_env.server.middleware import access
from safeact_env.server.middleware.access_log import HEADERS
from safeact_env.server.settings import Settings
from tests.conftest import running

TOKEN = "a-token.of+some/length=="
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
LOOK = {"action_name": "list_directory", "parameters": {}, "reasoning": "What is there?"}
FURTHER = [
    *(("get", path) for path in ("/docs", "/openapi.json", "/web", "/no/such/path")),
    *(("post", path) for path in ("/episodes/some/mcp", "/demo", "/health")),
    ("delete", "/demo/icon.svg"),
]
"""What the OpenAPI document does not list."""


@pytest.fixture(scope="module")
def closed_app():
    return create_app(Settings(api_token=TOKEN))


@pytest.fixture
def closed(closed_app):
    return TestClient(closed_app, raise_server_exceptions=False)


def routes(app):
    """Every operation of the app, as method and path."""
    return [*((m, p) for p, operations in app.openapi()["paths"].items() for m in operations), *FURTHER]


def let_in(client, **headers):
    """The routes that a request gets through: whatever it is answered, it is not 401."""
    return {
        (method, path)
        for method, path in routes(client.app)
        if client.request(method, path, headers=headers).status_code != 401
    }


# The token -----------------------------------------------------------------------------------------------


def test_without_the_token_only_probes_and_the_page_are_open(closed):
    assert let_in(closed) == {("get", "/health"), ("get", "/ready")}
    for path in ("/demo", "/demo/js/main.js", "/demo/icon.svg", "/", "/health", "/ready"):
        assert closed.get(path).status_code == 200, path


def test_an_unprotected_route_is_noticed(closed, monkeypatch):
    monkeypatch.setattr(access, "OPEN", access.OPEN | {"/metrics"})
    assert ("get", "/metrics") in let_in(closed)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Basic {TOKEN}",
        TOKEN,
        f"Token {TOKEN}",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
        "Bearer " + base64.b64encode(TOKEN.encode()).decode(),
    ],
)
def test_anything_but_the_token_is_refused(closed, value):
    answer = closed.get("/tasks", headers={"Authorization": value})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["detail"]["code"] == "unauthorized"
    assert TOKEN not in answer.text


def test_the_token_counts_only_where_it_belongs(closed):
    assert closed.get("/tasks", params={"token": TOKEN, "access_token": TOKEN}).status_code == 401
    assert closed.get("/tasks", headers={"Cookie": f"token={TOKEN}", "X-Api-Key": TOKEN}).status_code == 401
    twice = [("Authorization", "Bearer x"), ("Authorization", f"Bearer {TOKEN}")]
    assert closed.get("/tasks", headers=twice).status_code == 401


def test_with_the_token_everything_is_open(closed):
    assert let_in(closed, **SHOWN) == set(routes(closed.app))
    assert closed.get("/tasks", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


def test_a_path_is_judged_as_the_routes_see_it(closed_app):
    mounted = TestClient(closed_app, root_path="/demo")
    assert mounted.get("/demo/tasks").status_code == 401
    assert mounted.get("/demo/health").status_code == 200


@pytest.mark.parametrize("path", ["/ws", "/mcp", "/ws?session_id=x"])
def test_a_websocket_needs_the_token_too(closed, path):
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(Exception) as refused, closed.websocket_connect(path, headers=headers):  # noqa: PT011
            pass
        response = getattr(refused.value, "status_code", None) or getattr(refused.value, "code", None)
        assert response in (401, 1008)


def test_a_websocket_with_the_token_is_served(closed):
    with closed.websocket_connect("/ws", headers=dict(SHOWN)) as socket:
        socket.send_json({"type": "reset", "data": {"seed": 1}})
        assert socket.receive_json()["type"] == "observation"


def test_tokens_are_compared_in_constant_time(closed, monkeypatch):
    seen = []
    compare = access.hmac.compare_digest
    monkeypatch.setattr(access.hmac, "compare_digest", lambda a, b: seen.append((a, b)) or compare(a, b))
    for given in ("x", TOKEN):
        closed.get("/tasks", headers={"Authorization": f"Bearer {given}"})
    # Of one length whatever was sent, and neither is the token itself.
    assert {len(one) for pair in seen for one in pair} == {32}
    assert len(seen) == 2


@pytest.mark.parametrize("token", ["with space", "über", "line\nbreak", "x" * 1_001])
def test_a_token_that_no_header_can_carry_is_refused_at_the_start(token):
    with pytest.raises(ValidationError, match="visible ASCII"):
        Settings(api_token=token)


def test_an_empty_token_is_none_and_a_token_is_not_shown():
    assert Settings(api_token="").api_token is None
    assert TOKEN not in repr(Settings(api_token=TOKEN))


def test_the_document_says_what_needs_the_token(closed_app, client):
    document = closed_app.openapi()
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    need = {p for p, operations in document["paths"].items() for o in operations.values() if "security" in o}
    assert set(document["paths"]) - need == {"/health", "/ready"}
    assert "securitySchemes" not in client.app.openapi()["components"]


# Clients -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed_url():
    with running(Settings(api_token=TOKEN)) as url:
        yield url


@pytest.mark.skipif(
    "headers" not in signature(SafeActEnv.__init__).parameters,
    reason="the client of this OpenEnv sends no headers",
)
def test_the_clients_send_the_token(closed_url):
    look = SafeActAction(**LOOK)
    with SafeActHTTPClient(closed_url, headers=SHOWN) as http:
        http.reset("easy", seed=3)
        over_http = http.step(look)
    with SafeActEnv(base_url=closed_url, headers=SHOWN).sync() as env:
        env.reset(task_name="easy", seed=3)
        assert env.step(look).observation == over_http.observation


async def test_the_asynchronous_client_sends_the_token(closed_url):
    async with AsyncSafeActHTTPClient(closed_url, headers=SHOWN) as http:
        assert not (await http.reset("easy", seed=3)).done


def test_a_client_without_the_token_is_told(closed_url):
    with pytest.raises(Exception, match="unauthorized"), SafeActHTTPClient(closed_url) as http:
        http.reset("easy", seed=3)
    with pytest.raises(ConnectionError, match="401"), SafeActEnv(base_url=closed_url).sync() as env:
        env.reset(task_name="easy", seed=3)


# Other sites' pages --------------------------------------------------------------------------------------

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.org"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": "http://[x]"},
    {"Origin": "http://testserver.evil.example"},
    {"Origin": "http://testserver:1"},
]
OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"},
    # Behind a proxy that passes on another name, the browser knows better.
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://public.example"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://testserver"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_sites_page_cannot_act_here(client, headers):
    for method, path in (("POST", "/reset"), ("POST", "/baseline"), ("DELETE", "/episodes/x")):
        answer = client.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["detail"]["code"]) == (403, "foreign_page")
    assert client.get("/health").json()["live_episodes"] == 0
    with pytest.raises(Exception) as refused, client.websocket_connect("/ws", headers=headers):  # noqa: PT011
        pass
    assert 403 in (getattr(refused.value, "status_code", None),) or isinstance(
        refused.value, WebSocketDisconnect
    )


@pytest.mark.parametrize("headers", OWN)
def test_the_own_page_and_programs_can(client, headers):
    assert client.post("/reset", headers=headers).status_code == 200
    with client.websocket_connect("/ws", headers=headers) as socket:
        socket.send_json({"type": "state"})
        assert socket.receive_json()["type"] == "state"


def test_by_default_no_page_may_read_an_answer(client):
    answer = client.get("/tasks", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_sites_that_the_operator_names_may():
    app = create_app(Settings(cors_origins="https://lab.example, http://localhost:3000"))
    client = TestClient(app)
    allowed = {"Origin": "https://lab.example", "Sec-Fetch-Site": "cross-site"}
    asked = {
        **allowed,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-episode-id",
    }
    preflight = client.options("/reset", headers=asked)
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://lab.example"
    answer = client.post("/reset", headers=allowed)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://lab.example"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert client.post("/reset", headers=FOREIGN[0]).status_code == 403


@pytest.mark.parametrize("origins", ["lab.example", "https://lab.example/path", "ftp://x", "https://a b"])
def test_what_is_no_origin_is_refused_at_the_start(origins):
    with pytest.raises(ValidationError, match="without a path"):
        Settings(cors_origins=origins)


# Headers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/health", "/tasks", "/no/such", "/demo", "/demo/js/api.js", "/docs", "/openapi.json", "/metrics"],
)
def test_every_answer_has_its_headers(client, path):
    headers = client.get(path).headers
    assert {name for name in HEADERS if name.decode() not in headers} == set()
    assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-Id"])
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    assert (
        "script-src" not in policy or "unsafe-inline" not in policy.partition("script-src")[2].split(";")[0]
    )


def test_answers_that_hold_episodes_are_not_kept(client):
    assert client.post("/reset").headers["Cache-Control"] == "no-store"
    assert client.get("/demo").headers["Cache-Control"] == "no-cache"


def test_a_fault_of_ours_has_its_headers_and_says_nothing(monkeypatch, caplog):
    client = TestClient(create_app(Settings()), raise_server_exceptions=False)
    monkeypatch.setattr("safeact_env.server.http.demonstrations.make_policy", None)
    answer = client.post("/watch", json={"seed": 1}, headers={"X-Request-Id": "mine"})
    assert (answer.status_code, answer.json()["detail"]["code"]) == (500, "internal_error")
    assert "Traceback" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-Id"] == "mine"
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("given", ["two words", "x" * 65, "a\tb", "<script>"])
def test_an_id_of_a_client_is_kept_only_if_it_is_plain(client, given):
    assert client.get("/health", headers={"X-Request-Id": given}).headers["X-Request-Id"] != given
    assert client.get("/health", headers={"X-Request-Id": "abc-1.2_3"}).headers["X-Request-Id"] == "abc-1.2_3"


def scripts_without_hash(answer):
    """The inline scripts of a page that its policy does not let run."""
    found = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    policy = answer.headers["Content-Security-Policy"]
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in found]
    assert found
    return [digest for digest in digests if f"'sha256-{digest}'" not in policy]


def test_the_policy_of_docs_fits_the_page(client):
    answer = client.get("/docs")
    assert scripts_without_hash(answer) == []
    named = re.findall(r'(?:src|href)="([^"]*)"', answer.text)
    assert len(named) == 3
    # Relative, and served here: the page needs no other site.
    assert [client.get(f"/{name}").status_code for name in named] == [200] * 3
    assert "http" not in answer.headers["Content-Security-Policy"]
    answer._content = answer.content.replace(b"SwaggerUIBundle(", b"alert();SwaggerUIBundle(")
    del answer._text
    assert scripts_without_hash(answer) != []
