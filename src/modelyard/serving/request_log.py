"""Every answered request on disk, never in the request's way.

The prediction thread appends to a queue in memory. A writer thread brings it to a segment, a file of JSON lines, five
times a second and calls fsync each time: a kill loses what was answered in the last fraction of a second, and at most
the half line at the end of a segment. Segments become Parquet when they are large or old, at shutdown, and at the next
start (:mod:`modelyard.serving.log_segments`).
"""

import fcntl
import json
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from modelyard.serving import log_segments

if TYPE_CHECKING:
    import polars as pl
    from pydantic import BaseModel

    from modelyard.serving.metrics import Metrics

logger = logging.getLogger(__name__)

_WRITE_EVERY_S = 0.2
_MOST_WAITING_ROWS = 50_000


class Logged(NamedTuple):
    """One HTTP request of an entry.

    Args:
        request_id: Its id.
        rows: How many rows of the entry are its.
        features_as_of: One object for each row, or None.
        is_sampled: Whether it is logged.
    """

    request_id: str
    rows: int
    features_as_of: Sequence[Any] | None
    is_sampled: bool


class Entry(NamedTuple):
    """What was predicted together.

    Args:
        served_at: Seconds since 1970.
        role: ``champion``, ``canary`` or ``shadow``.
        version: That predicted.
        logged: The HTTP requests, in the order of the rows.
        requests: N rows.
        predictions: N rows.
    """

    served_at: float
    role: str
    version: str
    logged: Sequence[Logged]
    requests: "Sequence[BaseModel]"
    predictions: "pl.DataFrame"


class RequestLog:
    """The log of one project in one process.

    Args:
        project: Its name.
        folder: Where it goes.
        sensitive: Names of request fields and predictions that are left out.
        rotate_bytes: A segment of this size is sealed.
        rotate_s: A segment of this age is sealed.
        metrics: Where rows are counted.
    """

    def __init__(
        self,
        project: str,
        folder: Path,
        *,
        sensitive: Collection[str],
        rotate_bytes: float,
        rotate_s: float,
        metrics: "Metrics",
    ) -> None:
        self._project, self._folder, self._sensitive = project, folder, set(sensitive)
        self._rotate_bytes, self._rotate_s, self._metrics = rotate_bytes, rotate_s, metrics
        self._waiting: deque[Entry] = deque()
        self._waiting_rows = 0
        self._segment: _Segment | None = None
        self._stop = threading.Event()
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix=f"seal-{project}")
        self._sealer.submit(log_segments.seal_leftovers, folder)
        self._writer = threading.Thread(target=self._run, name=f"log-{project}", daemon=True)
        self._writer.start()

    def append(self, entry: Entry) -> None:
        """Takes an entry; drops and counts it if the disk has not kept up."""
        if self._waiting_rows > _MOST_WAITING_ROWS:
            self._count("dropped", len(entry.requests))
            return
        self._waiting_rows += len(entry.requests)
        self._waiting.append(entry)

    def close(self) -> None:
        """Writes what waits and seals the segment."""
        self._stop.set()
        self._writer.join()
        self._rotate()
        self._sealer.shutdown()

    def _run(self) -> None:
        while not self._stop.wait(_WRITE_EVERY_S):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        rows = 0
        lines: list[bytes] = []
        while self._waiting:
            entry = self._waiting.popleft()
            rows += len(entry.requests)
            try:
                lines += lines_of(entry, self._sensitive)
            except Exception:  # a value that has no JSON: the others are still to be written
                self._count("dropped", len(entry.requests))
                logger.exception("an answer could not be logged", extra={"project": self._project})
        self._waiting_rows -= rows
        try:
            if lines:
                self._segment = self._segment or _Segment.new(self._folder)
                self._segment.write(b"".join(lines))
                self._count("written", len(lines))
            if self._segment and self._segment.is_due(self._rotate_bytes, self._rotate_s):
                self._rotate()
        except OSError as error:
            self._count("dropped", len(lines))
            logger.error("the request log cannot be written: %s", error, extra={"project": self._project})

    def _rotate(self) -> None:
        if self._segment is not None:
            self._sealer.submit(self._segment.seal)
            self._segment = None

    def _count(self, outcome: str, rows: int) -> None:
        self._metrics.log_rows.labels(self._project, outcome).inc(rows)


def lines_of(entry: Entry, sensitive: set[str]) -> Iterator[bytes]:
    """The entry's sampled rows as lines of JSON, without what is sensitive."""
    predictions = entry.predictions.drop(sensitive, strict=False).write_ndjson().splitlines()
    at = datetime.fromtimestamp(entry.served_at, UTC).isoformat(timespec="microseconds")
    start = 0
    for logged in entry.logged:
        if logged.is_sampled:
            for row in range(logged.rows):
                request = entry.requests[start + row]
                about = {
                    "served_at": at,
                    "request_id": logged.request_id,
                    "row": row,
                    "role": entry.role,
                    "version": entry.version,
                    "features_as_of": json.dumps(logged.features_as_of[row]) if logged.features_as_of else None,
                }
                yield b'%s,"request":%s,"prediction":%s}\n' % (
                    json.dumps(about)[:-1].encode(),
                    request.__pydantic_serializer__.to_json(request, exclude=sensitive),
                    predictions[start + row].encode(),
                )
        start += logged.rows


class _Segment:
    """An open segment; its lock tells other processes that somebody still writes."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file, self._started = path, file, time.monotonic()

    @classmethod
    def new(cls, folder: Path) -> "_Segment":
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{secrets.token_hex(4)}{log_segments.SEGMENT_SUFFIX}"
        file = (folder / name).open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        return cls(folder / name, file)

    def write(self, data: bytes) -> None:
        """Appends whole lines and brings them to the disk."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        os.fsync(self._file.fileno())

    def is_due(self, rotate_bytes: float, rotate_s: float) -> bool:
        return self._file.tell() >= rotate_bytes or time.monotonic() - self._started >= rotate_s

    def seal(self) -> None:
        """Turns the segment into Parquet and lets go of it."""
        try:
            log_segments.seal(self._path)
        except Exception:  # the segment stays, and the next start tries again
            logger.exception("a segment of the request log could not be sealed", extra={"segment": str(self._path)})
        finally:
            self._file.close()
