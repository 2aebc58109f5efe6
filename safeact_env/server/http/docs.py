"""The page at /docs: Swagger UI over the OpenAPI document, under a content security policy.

Owns that page. Must not know the API. The browser loads Swagger UI from the CDN that FastAPI uses; the policy
allows that library, and the page's one script by its hash.
"""

import hashlib
import re
from base64 import b64encode
from functools import cache

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

LIBRARY = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"
INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


@cache
def _page(title: str) -> tuple[bytes, str]:
    """The page and its policy. URLs are relative, so that they work behind a proxy that adds a path."""
    body = bytes(
        get_swagger_ui_html(
            openapi_url="openapi.json",
            title=title,
            swagger_js_url=f"{LIBRARY}swagger-ui-bundle.js",
            swagger_css_url=f"{LIBRARY}swagger-ui.css",
            swagger_favicon_url="demo/icon.svg",
        ).body
    )
    hashes = " ".join(
        f"'sha256-{b64encode(hashlib.sha256(script).digest()).decode()}'" for script in INLINE.findall(body)
    )
    policy = (
        "default-src 'none'",
        f"script-src {hashes} {LIBRARY}",
        # Swagger UI styles elements inline.
        f"style-src 'unsafe-inline' {LIBRARY}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return body, "; ".join(policy)


def docs_route(title: str) -> Route:
    """The route."""

    async def docs(_request: Request) -> HTMLResponse:
        body, policy = _page(title)
        return HTMLResponse(body, headers={"Content-Security-Policy": policy})

    return Route("/docs", docs, include_in_schema=False)
