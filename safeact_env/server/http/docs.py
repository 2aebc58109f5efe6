"""The page at /docs: Swagger UI over the OpenAPI document, under a content security policy.

Owns that page and its files. Must not know the API. The files come from the package fastapi-swagger, so that
the page works without the Internet; the policy allows them, and the page's one script by its hash.
"""

import hashlib
import re
from base64 import b64encode
from functools import cache
from importlib.resources import files

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
"""The files of Swagger UI, with their media types."""
INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


@cache
def _page(title: str) -> tuple[bytes, str]:
    """The page and its policy. URLs are relative, so that they work behind a proxy that adds a path."""
    script, style = (f"docs/{name}" for name in FILES)
    body = bytes(
        get_swagger_ui_html(
            openapi_url="openapi.json",
            title=title,
            swagger_js_url=script,
            swagger_css_url=style,
            swagger_favicon_url="demo/icon.svg",
        ).body
    )
    hashes = " ".join(
        f"'sha256-{b64encode(hashlib.sha256(script).digest()).decode()}'" for script in INLINE.findall(body)
    )
    policy = (
        "default-src 'none'",
        f"script-src 'self' {hashes}",
        # Swagger UI styles elements inline.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return body, "; ".join(policy)


@cache
def _file(name: str) -> bytes:
    return files("fastapi_swagger").joinpath("resources", name).read_bytes()


def docs_routes(title: str) -> list[Route]:
    """The routes: the page, and its files below it."""

    async def docs(_request: Request) -> HTMLResponse:
        body, policy = _page(title)
        return HTMLResponse(body, headers={"Content-Security-Policy": policy})

    async def file(request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        headers = {"Cache-Control": "max-age=86400", "X-Content-Type-Options": "nosniff"}
        return Response(_file(name), media_type=FILES[name], headers=headers)

    own = [Route(f"/docs/{name}", file, include_in_schema=False) for name in FILES]
    return [Route("/docs", docs, include_in_schema=False), *own]
