"""The page at /demo: its files, how they are cached, and what a browser lets them do.

Owns the headers of static files. Must not know the API, nor what the page shows.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

import safeact_env

__all__ = ["HEADERS", "STATIC", "TYPES", "page_routes"]

PACKAGE = Path(safeact_env.__file__).parent
# In the package once it is installed, beside it in a checkout.
STATIC = next((path for path in (PACKAGE / "static", PACKAGE.parent / "static") if path.is_dir()), PACKAGE)
"""The page's files, part of the package."""

EMBEDDERS = "https://huggingface.co https://*.hf.space"
"""Who else may show the page in a frame: Spaces do."""

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            f"frame-ancestors 'self' {EMBEDDERS}",
            # No string may become markup or code, not even by a mistake of ours.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every file. `no-cache` means: keep it, and ask whether it is still the same."""

TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""Types of the files, by suffix. Python's own table differs by machine, and gradio changes it."""


@lru_cache(maxsize=256)
def _tag(path: str, _modified: int, _size: int) -> str:
    return f'"{hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]}"'


class PageFiles(StaticFiles):
    """Static files that are told apart by their content.

    Starlette tells them apart by time and size, but packages are unpacked with one fixed time for all files.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Where a file is. No path holds a null character; older versions of Starlette fail on one."""
        return ("", None) if "\0" in path else super().lookup_path(path)

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file, or 304 if the browser has it."""
        response = FileResponse(
            full_path,
            status_code=status_code,
            stat_result=stat_result,
            headers=HEADERS,
            media_type=TYPES.get(Path(full_path).suffix),
        )
        response.headers["ETag"] = _tag(str(full_path), stat_result.st_mtime_ns, stat_result.st_size)
        del response.headers["Last-Modified"]
        if self.is_not_modified(response.headers, Request(scope).headers):
            kept = NotModifiedResponse(response.headers)
            kept.headers.update(HEADERS)
            return kept
        return response


def page_routes() -> APIRouter:
    """The routes: the page at /demo, its files below it."""
    files = PageFiles(directory=STATIC)

    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    async def to_page(request: Request) -> Response:
        # Relative, so that it holds behind a proxy that serves this app under another scheme or path.
        return RedirectResponse("../demo" if request.url.path.endswith("/demo/") else "demo")

    # Starlette's own routes, as none of this is part of the API's description.
    return APIRouter(
        routes=[
            Route("/", to_page),
            Route("/demo", page),
            Route("/demo/", to_page),
            Mount("/demo", files),
        ]
    )
