"""Connections that must come to the point: a head in time, an answer read in time, few of one address.

uvicorn leaves a connection open whose request never ends; enough of them take the process its descriptors.
"""

import asyncio
import resource
from collections import Counter
from functools import cache
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelyard.serving.server_settings import ServingSettings

_KEPT_DESCRIPTORS = 128
"""For files, databases and the log, whatever knocks at the door."""

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedConnection(HttpToolsProtocol):
    """One connection; bodies have their time limit where they are read."""

    _open: ClassVar[Counter[str]] = Counter()
    _address: str | None = None
    _due: asyncio.TimerHandle | None = None
    """When the head must be here."""
    _unread: asyncio.TimerHandle | None = None
    """When the client must have taken something of its answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Takes the connection, unless there are enough."""
        super().connection_made(transport)
        settings = _settings()
        self._address = self.client[0] if self.client else ""
        self._open[self._address] += 1
        is_one_too_many = self._open[self._address] > settings.max_connections_per_address
        if is_one_too_many or self._open.total() > _most_connections():
            transport.write(_FULL)
            transport.close()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        super().connection_lost(exc)
        for timer in (self._due, self._unread):
            if timer is not None:
                timer.cancel()
        if self._address is not None:
            self._open[self._address] -= 1
            if not self._open[self._address]:
                del self._open[self._address]
            self._address = None

    def data_received(self, data: bytes) -> None:
        """From the first byte of a request on, its head must come in time."""
        if self._due is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is here."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """The client does not read; it gets some time to begin again."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(_settings().client_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _expect_head(self) -> None:
        self._due = self.loop.call_later(_settings().client_timeout_s, self.transport.abort)


@cache
def _settings() -> ServingSettings:
    return ServingSettings.from_environment()


@cache
def _most_connections() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 65_536 if soft == resource.RLIM_INFINITY else max(soft - _KEPT_DESCRIPTORS, 16)
