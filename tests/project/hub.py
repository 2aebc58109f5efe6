"""A stand-in for the Hugging Face Hub, as far as `openenv push` speaks to it. It takes any token."""

import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
"""What a Space may be coloured."""


class Hub:
    """What was sent.

    Attributes:
        url: Its address, for `HF_ENDPOINT`.
        created: The repositories that were asked for.
        files: The files that were uploaded, by path.
        cards: The README files that were shown for a check.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.cards: list[str] = []

    def answer(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        """The answer to a request; raises `KeyError` for one that is not expected."""
        if path == "/api/whoami-v2":
            return {"type": "user", "name": "someone", "orgs": []}
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return {"url": f"{self.url}/spaces/someone/safeact"}
        if path == "/api/validate-yaml":
            self.cards.append(json.loads(body)["content"])
            return {"warnings": [], "errors": []}
        if path.startswith("/api/spaces/someone/safeact/preupload/"):
            asked = [one["path"] for one in json.loads(body)["files"]]
            return {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in asked]}
        if path.startswith("/api/spaces/someone/safeact/commit/"):
            for line in body.splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    self.files[row["value"]["path"]] = b64decode(row["value"]["content"])
            return {
                "commitUrl": f"{self.url}/spaces/someone/safeact/commit/{'0' * 40}",
                "commitOid": "0" * 40,
                "success": True,
            }
        raise KeyError(f"{method} {path}")


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub that serves meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            try:
                code, told = 200, served.answer(self.command, self.path.partition("?")[0], self._body(length))
            except KeyError as unexpected:
                code, told = 404, {"error": str(unexpected)}
            body = json.dumps(told).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def _body(self, length: int) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(length)
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
