"""The page at /demo: its files, their caching and compression, and their content security policy.

The page names its files below the *edition*, a hash of all of them. A browser keeps such a file for good, and
asks for the page only when it comes again. An upgrade makes another edition, and so other addresses.

Owns the headers of static files. Must not know the API, or what the page shows.
"""

import gzip
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
from safeact_env.server.packing import takes_gzip

PACKAGE = Path(safeact_env.__file__).parent
# Inside the package if it is installed, beside it in a checkout.
STATIC = next((path for path in (PACKAGE / "static", PACKAGE.parent / "static") if path.is_dir()), PACKAGE)
"""The folder with the page's files."""

EMBEDDERS = "https://huggingface.co https://*.hf.space"
"""Sites that may show the page in a frame: Hugging Face Spaces do."""

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
            # No string may become markup or code, not even by our own mistake.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every file. With `no-cache` a browser keeps the file and asks whether it has changed."""

FOR_GOOD = "public, max-age=31536000, immutable"
"""`Cache-Control` of a file whose address names the edition that it is from: a year, and never a question."""

LONGEST = 255
"""Longest path of a file, in characters."""
MARK = "@"
"""What an edition in an address begins with; no file's name does."""

TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""Media types by suffix. Python's own table differs between machines, and gradio changes it."""


@lru_cache(maxsize=256)
def _tag(path: str, _modified: int, _size: int) -> str:
    return f'"{hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]}"'


@lru_cache(maxsize=256)
def _packed(path: str, _tag: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), mtime=0)


def edition(folder: Path) -> str:
    """A short hash of all files below a folder, by name and content."""
    paths = sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    stats = [(path, os.stat(path)) for path in paths]
    tags = [
        (os.path.relpath(path, folder), _tag(path, stat.st_mtime_ns, stat.st_size)) for path, stat in stats
    ]
    return hashlib.sha256(repr(tags).encode()).hexdigest()[:16]


@lru_cache(maxsize=8)
def _page(edition: str, is_packed: bool) -> bytes:
    """The page, which names its files below an edition."""
    text = (STATIC / "index.html").read_text(encoding="utf-8")
    body = text.replace('"demo/', f'"demo/{MARK}{edition}/').encode()
    return gzip.compress(body, mtime=0) if is_packed else body


class PageFiles(StaticFiles):
    """Static files with an ETag of their content.

    Starlette's ETag is made of time and size, but a package unpacks all its files with the same time.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The place of a file. Older versions of Starlette fail on a path with a null character.

        A long path is none: each of its parts would be looked for on the disk.
        """
        return ("", None) if "\0" in path or len(path) > LONGEST else super().lookup_path(path)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; one that is named below the edition there is now is kept for good."""
        named, _, rest = path.partition("/")
        if not named.startswith(MARK):
            return await super().get_response(path, scope)
        # A tab of before an upgrade gets what there is now, for this time only.
        is_now = named == MARK + edition(STATIC)
        response = await super().get_response(rest, scope)
        if is_now and response.status_code in (200, 206, 304):
            response.headers["Cache-Control"] = FOR_GOOD
        return response

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file, packed if the browser takes that, or 304 if it has it."""
        request = Request(scope)
        response: Response = FileResponse(
            full_path,
            status_code=status_code,
            stat_result=stat_result,
            headers=HEADERS,
            media_type=TYPES.get(Path(full_path).suffix),
        )
        tag = _tag(str(full_path), stat_result.st_mtime_ns, stat_result.st_size)
        if (
            status_code == 200
            and takes_gzip(request.headers)
            and "range" not in request.headers
            and Path(full_path).suffix in TYPES
        ):
            # Another tag: the bytes are others.
            packed = f'{tag[:-1]}-gzip"'
            headers = {**HEADERS, "Content-Encoding": "gzip"}
            body = _packed(str(full_path), tag)
            response = Response(body, headers=headers, media_type=response.media_type)
            tag = packed
        else:
            del response.headers["Last-Modified"]
        response.headers["ETag"] = tag
        return self.unless_kept(request, response)

    def unless_kept(self, request: Request, response: Response) -> Response:
        """The response, or 304 if the browser has it."""
        if not self.is_not_modified(response.headers, request.headers):
            return response
        kept = NotModifiedResponse(response.headers)
        kept.headers.update(HEADERS)
        return kept


def page_routes() -> APIRouter:
    """The routes: the page at /demo, its files below it."""
    files = PageFiles(directory=STATIC)

    async def page(request: Request) -> Response:
        now, is_packed = edition(STATIC), takes_gzip(request.headers)
        response = Response(_page(now, is_packed), headers=HEADERS, media_type="text/html")
        response.headers["ETag"] = f'"{now}{"-gzip" * is_packed}"'
        if is_packed:
            response.headers["Content-Encoding"] = "gzip"
        return files.unless_kept(request, response)

    # Starlette's own routes, which stay out of the OpenAPI document.
    return APIRouter(
        routes=[Route("/", to_page), Route("/demo", page), Route("/demo/", to_page), Mount("/demo", files)]
    )


def instead_of_web() -> list[Route]:
    """The routes that lead from /web, the front page that `openenv push` gives a Space, to the page."""
    return [Route("/web", to_page), Route("/web/", to_page)]


async def to_page(request: Request) -> Response:
    """Redirect to the page, relatively: it works behind a proxy that adds a path or another scheme."""
    return RedirectResponse("../demo" if request.url.path.endswith(("/demo/", "/web/")) else "demo")
