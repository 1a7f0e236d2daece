"""The page of the service: files that the browser gets as they are, without a build step.

The page has no address but those of its own service, and its policy allows it no other. Addresses in it are
relative, so a proxy may put the service below a path.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["POLICY", "add_page", "page_file"]

_HERE = Path(__file__).parent
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # Text from dialogues and models never becomes markup: where browsers know this line, it would be an error.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""The Content-Security-Policy of every file of the page."""


def page_file(name: str) -> tuple[bytes, str] | None:
    """Return the content of a file of the page and its media type; None if the page has no such file."""
    files = {path.name: path for path in _HERE.iterdir() if path.suffix in _TYPES}
    path = files.get(name)
    return None if path is None else (path.read_bytes(), _TYPES[path.suffix])


def add_page(app: FastAPI) -> None:
    """Add the page to an application: ``/``, and its files below ``/page/``. No key is needed for them."""
    from starlette.exceptions import HTTPException
    from starlette.responses import Response

    from llm_summ.serve.gate import record_of

    def answer(request: Request, name: str) -> Response:
        record_of(request.scope).path = "/" if name == "index.html" else "/page"
        found = page_file(name)
        if found is None:
            raise HTTPException(404)
        content, media_type = found
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-cache",  # asks each time whether the file changed
            "ETag": tag,
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    async def index(request: Request) -> Response:
        return answer(request, "index.html")

    async def file(request: Request) -> Response:
        return answer(request, request.path_params["name"])

    app.add_route("/", index, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_route("/page/{name}", file, methods=["GET", "HEAD"], include_in_schema=False)
