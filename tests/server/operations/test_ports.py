"""The ports of the server: taken before it starts, both served by one process, given back on a signal."""

import errno
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest
from pydantic import ValidationError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from safeact_env.server.main import serve
from safeact_env.server.operations.ports import PortError, listen, url
from safeact_env.server.settings import Settings

SERVE = [sys.executable, "-m", "safeact_env", "serve"]


@contextmanager
def listener(port=0):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        sock.listen()
        yield sock.getsockname()[1]


@contextmanager
def serving(*options):
    """A server of its own process, and the URLs that its first line names."""
    with subprocess.Popen([*SERVE, *options], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, re.findall(r"http://\S+:\d+", process.stderr.readline())
        finally:
            process.kill()


def test_one_process_answers_on_both_ports_and_ends_quickly_and_well_with_connections_open():
    with serving("--port", "0", "--also-port", "0", "--drain-seconds", "0.2") as (process, urls):
        assert len({httpx.URL(found).port for found in urls}) == 2
        starts = []
        for found in urls:
            assert httpx.get(f"{found}/health").json()["status"] == "healthy"
            with connect(f"{found.replace('http', 'ws')}/ws") as socket_:
                socket_.send('{"type": "reset", "data": {"task_name": "easy", "seed": 1}}')
                starts.append(socket_.recv())
        assert starts[0] == starts[1]
        # The same server: what one port starts, the other one knows.
        begun = httpx.post(f"{urls[0]}/reset", json={}).json()["episode_id"]
        assert httpx.get(f"{urls[1]}/state", params={"episode_id": begun}).status_code == 200

        with connect(f"{urls[1].replace('http', 'ws')}/ws") as socket_:
            begin = time.monotonic()
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read()
            assert process.wait() == 0
            assert time.monotonic() - begin < 5
            assert "Traceback" not in said
            with pytest.raises(ConnectionClosed):
                socket_.recv(timeout=5)


def test_without_a_further_port_there_is_one():
    with serving("--port", "0") as (process, urls):
        assert [httpx.get(f"{found}/health").status_code for found in urls] == [200]
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
        assert process.wait() == 0


def test_a_stop_while_the_server_still_starts_is_obeyed():
    code = "import os, signal, sys\nfrom safeact_env.server import app, main\n"
    code += "app.create_app = lambda settings: os.kill(os.getpid(), signal.SIGTERM)\n"
    code += "main.serve(main.Settings(port=0))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def taken_is_told(taken):
    return f"Port {taken} of 127.0.0.1 is taken; stop the program that listens there, or choose another port."


def test_a_taken_port_is_told_in_a_sentence():
    with listener() as taken:
        run = subprocess.run([*SERVE, "--port", str(taken)], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (1, "", taken_is_told(taken) + "\n")


def test_a_taken_further_port_is_told_in_a_sentence():
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with listener() as taken, pytest.raises(SystemExit, match=taken_is_told(taken)):
            serve(Settings(port=0, also_port=taken))
    finally:
        signal.signal(signal.SIGTERM, handler)


def test_a_name_with_several_addresses_is_an_ipv4_one():
    (sock,) = listen("localhost", [0])
    with sock:
        assert sock.family == socket.AF_INET
        assert url("localhost", sock) == f"http://localhost:{sock.getsockname()[1]}"


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_an_ipv6_address_is_bracketed_in_a_url():
    try:
        (sock,) = listen("::1", [0])
    except PortError:
        pytest.skip("this machine has no IPv6")
    with sock:
        assert url("::1", sock) == f"http://[::1]:{sock.getsockname()[1]}"


def test_ports_taken_before_one_that_fails_are_free_again():
    with listener() as free:
        pass
    with listener() as taken:
        with pytest.raises(PortError, match=f"^Port {taken} of 127.0.0.1 is taken"):
            listen("127.0.0.1", [free, taken])
        with listener(free):
            pass


def test_a_port_that_was_taken_but_serves_nothing_yet_is_taken():
    (sock,) = listen("127.0.0.1", [0])
    with sock, pytest.raises(PortError, match="is taken"):
        listen("127.0.0.1", [sock.getsockname()[1]])


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EACCES, "Port 443 of 127.0.0.1 is not allowed for this user; choose a port from 1024 up."),
        (errno.EADDRNOTAVAIL, "'127.0.0.1' is not an address of this machine; choose another host."),
        (errno.ENOBUFS, "Port 443 of 127.0.0.1 cannot be listened on: No buffer space available."),
    ],
)
def test_every_reason_is_a_sentence(monkeypatch, number, sentence):
    class Refusing(socket.socket):
        def bind(self, _address):
            raise OSError(number, "No buffer space available")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(PortError) as caught:
        listen("127.0.0.1", [443])
    assert str(caught.value) == sentence


def test_a_host_that_is_no_address_is_told_so():
    with pytest.raises(PortError, match="'no address' is not an address of this machine"):
        listen("no address", [0])


def test_the_further_port_is_another_one():
    assert Settings(port=0, also_port=0).also_port == 0
    assert Settings(port=1, also_port=2).also_port == 2
    with pytest.raises(ValidationError, match="must differ from the first port"):
        Settings(port=7860, also_port=7860)


def test_an_empty_variable_takes_the_further_port_back(monkeypatch):
    monkeypatch.setenv("SAFEACT_ALSO_PORT", "8000")
    assert Settings().also_port == 8000
    monkeypatch.setenv("SAFEACT_ALSO_PORT", "")
    assert Settings().also_port is None
