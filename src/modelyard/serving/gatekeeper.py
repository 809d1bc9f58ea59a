"""What every request passes: its id, the API key, the access log and the counters.

Plain ASGI, because it stands in the way of every request.
"""

import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from modelyard.serving.api_keys import ApiKeys

if TYPE_CHECKING:
    from modelyard.serving.metrics import Metrics

logger = logging.getLogger("modelyard.serving.access")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_GUARDED_PREFIX = b"/v1/"
"""What needs a key where keys are required; health, metrics and documentation do not."""


class Gatekeeper:
    """Wraps the application.

    Args:
        app: The application.
        metrics: Of the process.
        keys: Who may ask.
        access_log: Whether answers without an error get a line.
    """

    def __init__(self, app: App, *, metrics: "Metrics", keys: ApiKeys, access_log: bool) -> None:
        self._app, self._metrics, self._keys, self._access_log = app, metrics, keys, access_log
        self._counters: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            if scope["raw_path"].startswith(_GUARDED_PREFIX) and not self._keys.allow(headers):
                await _refuse(send_with_id)
            else:
                await self._app(scope, receive, send_with_id)
        except Exception:  # the server's framework has answered 500 by now; here it gets its line with the id
            logger.exception("a request failed", extra={"request_id": request_id, "path": scope["path"]})
        finally:
            self._account(scope, request_id, status, time.perf_counter() - started)

    def _account(self, scope: MutableMapping[str, Any], request_id: str, status: int, seconds: float) -> None:
        project, route = scope.get("project", ""), scope.get("route_name", "other")
        key = (project, route, status)
        if key not in self._counters:
            self._counters[key] = (
                self._metrics.requests.labels(project, route, str(status)),
                self._metrics.request_seconds.labels(project, route),
            )
        counter, histogram = self._counters[key]
        counter.inc()
        histogram.observe(seconds)
        if route != "probe" and (status >= 400 or self._access_log):
            logger.log(
                logging.WARNING if status >= 500 else logging.INFO,
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                    "version": scope.get("version"),
                },
            )


def _request_id(headers: dict[bytes, bytes]) -> str:
    """The client's own id if it is a sane one, else a new one."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


async def _refuse(send: Send) -> None:
    body = json.dumps({"detail": "Give an API key as 'Authorization: Bearer <key>' or 'X-API-Key'."}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
