"""Answers that come piece by piece, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

A piece is made when the one before has left: a slow client slows its own stream, and nothing piles up. Each stream has
a thread of its own, so that neither predictions nor other projects wait for it.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from modelyard.serving.worker_thread import WorkerThread

_Result = TypeVar("_Result")

_END: Any = object()
_CLOSING_S = 1.0
"""Seconds in which the last event must leave."""


class Stream:
    """One stream of pieces, with an end in time.

    Args:
        pieces: Called in the stream's thread; returns an iterator over values that JSON knows.
        name: Of the thread.
        timeout_s: Seconds until it is given up.
        ended: Called once, with whether at least one piece was made.
    """

    def __init__(
        self, pieces: Callable[[], Iterator[Any]], *, name: str, timeout_s: float, ended: Callable[[bool], None]
    ) -> None:
        self._make, self._ended = pieces, ended
        self._iterator: Iterator[Any] | None = None
        self._worker = WorkerThread(name)
        self._deadline = time.monotonic() + timeout_s
        self._is_begun = self._is_closed = False

    async def next(self) -> bytes | None:
        """The next piece as JSON; None after the last one.

        Raises:
            TimeoutError: The stream's time is over.
            ValueError: The piece has no JSON.
        """
        async with asyncio.timeout(self.remaining_s()):
            piece = await self._worker.run(self._advance)
        self._is_begun = True
        return piece

    def remaining_s(self) -> float:
        """Seconds until the stream is given up."""
        return max(self._deadline - time.monotonic(), 0.0)

    def _advance(self) -> bytes | None:
        if self._iterator is None:
            self._iterator = self._make()
        piece = next(self._iterator, _END)
        return None if piece is _END else json.dumps(piece, allow_nan=False, ensure_ascii=False).encode()

    def close(self) -> None:
        """Ends the work, wherever it is."""
        if not self._is_closed:
            self._is_closed = True
            self._worker.close()
            self._ended(self._is_begun)


class EventStream(Response):
    """Sends a stream: an event for each piece, then ``event: end``, or ``event: error`` if it could not go on.

    Args:
        stream: Where pieces come from; closed at the end, or as soon as the client leaves.
        first: The first piece, which has been made before the answer begins, so that errors until then have a status.
        headers: Added to the answer's.
        describe: Returns what is said of an error.
    """

    media_type = "text/event-stream"

    def __init__(
        self, stream: Stream, first: bytes | None, headers: dict[str, str], describe: Callable[[Exception], Any]
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"} | headers)
        del self.headers["content-length"]
        self._stream, self._first, self._describe = stream, first, describe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the stream ends, its time is over, or the client leaves."""
        with contextlib.suppress(ClientDisconnect, TimeoutError):
            try:
                async with asyncio.timeout(self._stream.remaining_s() + _CLOSING_S):
                    await while_connected(self._send(send), receive)
            finally:
                self._stream.close()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece = self._first
        last = b"event: end\ndata: {}\n\n"
        try:
            while piece is not None:
                await send({"type": "http.response.body", "body": b"data: %s\n\n" % piece, "more_body": True})
                piece = await self._stream.next()
        except Exception as error:  # the status has been sent: what is left is to say it in the stream
            last = b"event: error\ndata: %s\n\n" % json.dumps(self._describe(error)).encode()
        await send({"type": "http.response.body", "body": last, "more_body": False})


async def while_connected(work: Coroutine[Any, Any, _Result], receive: Receive) -> _Result:
    """What ``work`` returns or raises; it is cancelled when the client leaves. The body must have been read.

    Raises:
        ClientDisconnect: The client has left.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_client_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
