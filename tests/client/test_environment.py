"""Proxies, certificates and waiting, as the environment and servers put them, at every client."""

import asyncio
import os
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from safeact_env.client import AsyncSafeActHTTPClient, SafeActError, SafeActHTTPClient
from safeact_env.integrations.text import TextEpisode
from safeact_env.integrations.trl import environment
from safeact_env.llm.client import EndpointClient
from safeact_env.llm.errors import Unusable
from safeact_env.llm.settings import Endpoint
from safeact_env.network import by_proxy, is_this_machine, options_for, seconds_in

AWAY = "https://server.example"
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)


def endpoint(url):
    async def opened():
        async with EndpointClient(Endpoint("openai", "m", f"{url}/v1")):
            pass

    asyncio.run(opened())


CLIENTS = {
    "http": (SafeActHTTPClient, SafeActError),
    "async": (AsyncSafeActHTTPClient, SafeActError),
    "trl": (lambda url: environment("easy", url), SafeActError),
    "text": (lambda url: TextEpisode("easy", "train", 0, base_url=url), SafeActError),
    "endpoint": (endpoint, Unusable),
}


@pytest.fixture(params=CLIENTS)
def client(request):
    return CLIENTS[request.param]


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize(
    "value",
    [
        f"socks://user:{SECRET}@127.0.0.1:1",
        "socks4://127.0.0.1:1",
        "ftp://127.0.0.1",
        "http://127.0.0.1:port",
        "://",
        "socks5://127.0.0.1:1",
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_sentence_that_names_the_variable(client, monkeypatch, name, value):
    make, error = client
    monkeypatch.setenv(name, value)
    with pytest.raises(error, match=name) as caught:
        make(AWAY)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    make("http://127.0.0.1:7860")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE"])
@pytest.mark.parametrize("kind", ["missing", "no certificate", "folder"])
def test_certificates_that_cannot_be_read_are_a_sentence_that_names_the_variable(
    client, monkeypatch, tmp_path, name, kind
):
    make, error = client
    file = tmp_path / "ca.pem"
    if kind == "no certificate":
        file.write_text("hello")
    elif kind == "folder":
        file.mkdir()
    monkeypatch.setenv(name, str(file))
    with pytest.raises(error, match=name):
        make(AWAY)
    make("http://127.0.0.1:7860")
    with pytest.raises(error, match=name):
        make("https://localhost:7860")


def test_a_folder_of_certificates_and_variables_of_other_libraries_do_no_harm(client, monkeypatch, tmp_path):
    make, _ = client
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("NO_PROXY", "localhost,.example,::1,10.0.0.0/8")
    monkeypatch.setenv("HTTPS_PROXY", "127.0.0.1:3128")
    make(AWAY)


def test_an_exception_to_proxies_that_is_no_host_is_named(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "http://[::1")
    with pytest.raises(SafeActError, match="NO_PROXY"):
        SafeActHTTPClient(AWAY)
    SafeActHTTPClient("http://localhost:7860")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://localhost:1",
            "http://LOCALHOST",
            "https://a.localhost/x",
            "http://127.0.0.1",
            "http://127.9.9.9",
        ),
        *(
            "http://[::1]:7860",
            "http://0.0.0.0:8000",
            "http://[::]:80",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost.",
        ),
    ],
)
def test_addresses_of_this_machine_use_no_proxy(monkeypatch, url):
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    assert is_this_machine(url)
    assert options_for(url)["trust_env"] is False
    assert by_proxy(url) == ""


def test_without_certificates_none_is_trusted_and_none_is_needed():
    context = options_for("http://127.0.0.1:7860")["verify"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.get_ca_certs() == []
    assert "verify" not in options_for("https://127.0.0.1:7860"), "those of httpx"


@pytest.mark.parametrize(
    "url",
    ["https://server.example", "http://localhost.example", "http://127.0.0.1.example", "http://10.0.0.1"],
)
def test_other_addresses_do(monkeypatch, url):
    monkeypatch.setenv("all_proxy", "http://proxy.example:3128")
    assert not is_this_machine(url)
    assert options_for(url) == {}
    assert by_proxy(url) == "; all_proxy puts a proxy before it"


def test_a_proxy_that_does_not_answer_is_named_by_the_http_client(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(SafeActError, match="HTTP_PROXY puts a proxy before it"):
        SafeActHTTPClient("http://server.example", retries=0).reset()


def test_a_proxy_that_does_not_answer_is_named_beside_the_endpoint(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def ask():
        async with EndpointClient(Endpoint("openai", "m", "http://endpoint.example/v1")) as client:
            await client.ask([{"role": "user", "content": "x"}], {})

    with pytest.raises(Unusable, match="HTTP_PROXY puts a proxy before it"):
        asyncio.run(ask())


@pytest.mark.parametrize("url", ["http://[::1", "http://host:port"])
def test_a_url_that_is_none_is_not_blamed_on_the_environment(monkeypatch, url):
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    with pytest.raises(ValueError, match="base_url"):
        SafeActHTTPClient(url)


# Waiting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        *(
            ("7", 7),
            ("0", 0),
            ("1.5", 1.5),
            ("7s", 7),
            ("7 seconds", 7),
            ("350ms", 0.35),
            ("2m", 120),
            ("6m0s", 360),
        ),
        *((" 3 ", 3), ("10.673410956s", 10.673410956), ("1 min", 60)),
        *((None, None), ("", None), ("soon", None), ("-5", None), ("nan", None), ("inf", None), ("²", None)),
        *(("1h", None), ("7, 8", None), ("9" * 400, None), ("2026-01-01", None)),
    ],
)
def test_seconds_are_read_in_every_form(asked, seconds):
    assert seconds_in(asked) == (None if seconds is None else pytest.approx(seconds))


def test_a_date_is_read_as_the_time_until_it():
    now = datetime.now(UTC)
    assert 50 < seconds_in(format_datetime(now + timedelta(seconds=60), usegmt=True)) <= 60
    assert seconds_in(format_datetime(now - timedelta(days=9), usegmt=True)) == 0
    assert seconds_in("Wed, 21 Oct 99999 07:28:00 GMT") is None
