"""The page's built files: what is sent with them, and what is said where they are missing.

The files in ``static/`` are made from ``page/`` by ``make page`` and committed, so that nobody needs node to see them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

STATIC = Path(__file__).resolve().parent / "static"

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src blob:;"
        " connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}

_HASHED = re.compile(r"-[A-Z2-7]{8}\.[a-z0-9]+$")
"""Files whose name changes with their content, as esbuild names them: ``app-4F2QXJ7A.js``."""

_FOR_EVER, _ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"


def page_routes(folder: Path = STATIC) -> list[BaseRoute]:
    """Returns ``/`` and ``/play/<file>``; without the folder both say how it is made.

    Args:
        folder: With ``index.html`` and what it loads.
    """
    if not (folder / "index.html").is_file():
        return [Route("/", _missing), Route("/play/{file:path}", _missing)]

    async def index(request: Request) -> Response:
        request.scope["route_name"] = "page"
        return FileResponse(folder / "index.html", headers={**HEADERS, "cache-control": _ASK_AGAIN})

    return [Route("/", index), Mount("/play", _Files(directory=folder))]


class _Files(StaticFiles):
    """Files with the page's headers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route_name"] = "page"
        await super().__call__(scope, receive, send)

    def file_response(self, full_path: Any, *arguments: Any, **named: Any) -> Response:
        """Returns the file, or 304, with the headers of every page and how long it may be kept."""
        response = super().file_response(full_path, *arguments, **named)
        is_hashed = _HASHED.search(Path(full_path).name)
        response.headers.update({**HEADERS, "cache-control": _FOR_EVER if is_hashed else _ASK_AGAIN})
        return response


async def _missing(request: Request) -> Response:
    request.scope["route_name"] = "page"
    body = {
        "detail": "The page has not been built here; the projects' routes work without it.",
        "where": str(STATIC),
        "way_out": "make page; or see /docs",
    }
    return JSONResponse(body, 404, headers=HEADERS)
