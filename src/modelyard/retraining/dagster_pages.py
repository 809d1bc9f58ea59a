"""Dagster's webserver, for requests that are meant for this machine: ``python -m modelyard.retraining.dagster_pages``.

Whoever reaches Dagster's GraphQL can start runs. It listens on the loopback address, but a page of any website can ask
a browser for it: by a name that the website's owner lets point to this machine (the request then has a strange
``Host``), or across origins (``Origin``). Both must be names of this machine. Options are those of
``dagster-webserver``.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dagster_webserver import app as webserver_app
from dagster_webserver import cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

TRUSTED_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names by which a browser of this machine, or one behind a tunnel to it, calls it."""


class TrustedHosts:
    """Answers requests and websockets whose ``Host``, and ``Origin`` if there is one, are trusted; others get 400.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request or websocket."""
        if scope["type"] not in ("http", "websocket") or is_trusted(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await PlainTextResponse("This host or origin is not trusted.", 400)(scope, receive, send)


def is_trusted(headers: Mapping[str, str]) -> bool:
    """Whether ``Host``, and ``Origin`` if there is one, name this machine."""
    names = [_host_of(f"//{headers.get('host', '')}")]
    if "origin" in headers:
        names.append(_host_of(headers["origin"]))
    return all(name in TRUSTED_HOSTS for name in names)


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # no address at all
        return ""


class _Webserver(DagsterWebserver[Any, Any]):
    def build_middleware(self) -> list[Any]:
        return [Middleware(TrustedHosts), *super().build_middleware()]


def main() -> None:
    """Runs ``dagster-webserver`` with :class:`TrustedHosts` in front."""
    # Its command makes the application from this name.
    webserver_app.DagsterWebserver = _Webserver  # type: ignore[attr-defined]
    cli.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
