"""Every answered request on disk, never in the request's way.

What is kept of a request is what monitoring reads: the watched and identifying columns of ``decode``, what was
predicted, who answered and when; neither the body nor media nor what is sensitive. The loop appends to a queue in
memory. A writer thread brings it to a segment, a file of records, five times a second and calls fsync each time: a kill
loses what was answered in the last fraction of a second. Segments become Parquet when they are large or old, at
shutdown, and at the next start (:mod:`modelyard.serving.log_segments`).
"""

import fcntl
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import polars as pl

from modelyard.files import atomic_file
from modelyard.serving import log_segments
from modelyard.serving.worker_thread import WorkerThread
from modelyard.watched_columns import flat, identifying_columns, sensitive_columns, watched_columns

if TYPE_CHECKING:
    from modelyard.project import Project
    from modelyard.serving.metrics import Metrics

logger = logging.getLogger(__name__)

_WRITE_EVERY_S = 0.2
_MOST_WAITING_ROWS = 50_000
_ABOUT: dict[str, Any] = {
    "served_at": pl.Datetime("us", "UTC"),
    "request_id": pl.String,
    "row": pl.Int64,
    "role": pl.String,
    "version": pl.String,
    "features_as_of": pl.String,
}
_LAST_FILES_S = 60.0
"""Seconds for sealing at the end of the process; the next start seals what is left."""


class Logged(NamedTuple):
    """One HTTP request of an entry.

    Args:
        request_id: Its id.
        rows: How many rows of the entry are its.
        features_as_of: JSON for each row, or None.
        is_kept: Whether it is in the log: it was answered, and is in the sample.
        has_media: Whether its media are kept, too.
    """

    request_id: str
    rows: int
    features_as_of: Sequence[str] | None = None
    is_kept: bool = True
    has_media: bool = False


class Entry(NamedTuple):
    """What was predicted together.

    Args:
        served_at: Seconds since 1970.
        role: ``champion``, ``canary``, ``shadow``, ``stream``, or ``play``: a version that no alias made serve.
        version: That predicted.
        logged: The HTTP requests, in the order of the rows.
        inputs: What ``decode`` returned, N rows.
        predictions: N rows; None for a stream.
    """

    served_at: float
    role: str
    version: str
    logged: Sequence[Logged]
    inputs: pl.DataFrame
    predictions: pl.DataFrame | None


@dataclass(frozen=True, kw_only=True)
class LogLimits:
    """How large and how old the log may become.

    Args:
        rotate_bytes: A segment of this size is sealed.
        rotate_s: A segment of this age is sealed.
        keep_days: Older sealed files are deleted.
        keep_bytes: Beyond this size in all the oldest sealed files are deleted.
    """

    rotate_bytes: float
    rotate_s: float
    keep_days: float
    keep_bytes: float


class RequestLog:
    """The log of one project in one process.

    Args:
        project: Says what is watched, what is sensitive, and whether media are kept.
        limits: Of its files.
        metrics: Where rows are counted.
    """

    def __init__(self, project: "Project", limits: LogLimits, metrics: "Metrics") -> None:
        self._project, self._limits, self._metrics = project, limits, metrics
        self._folder = log_segments.served_folder(project.name)
        self._waiting: deque[Entry] = deque()
        self._waiting_rows = 0
        self._segment: _Segment | None = None
        self._stop = threading.Event()
        self._sealer = WorkerThread(f"seal-{project.name}")
        self._sealer.post(log_segments.seal_leftovers, self._folder)
        self._sealer.post(self._delete_old)
        self._writer = threading.Thread(target=self._run, name=f"log-{project.name}", daemon=True)
        self._writer.start()

    def append(self, entry: Entry) -> None:
        """Takes an entry; drops and counts it if the disk has not kept up."""
        if self._waiting_rows > _MOST_WAITING_ROWS:
            self._count("dropped", entry.inputs.height)
            return
        self._waiting_rows += entry.inputs.height
        self._waiting.append(entry)

    def close(self) -> None:
        """Writes what waits and seals the segment."""
        self._stop.set()
        self._writer.join()
        self._rotate()
        self._sealer.close(_LAST_FILES_S)

    def _run(self) -> None:
        while not self._stop.wait(_WRITE_EVERY_S):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        tables: list[pl.DataFrame] = []
        media: list[pl.DataFrame] = []
        while self._waiting:
            entry = self._waiting.popleft()
            self._waiting_rows -= entry.inputs.height
            try:
                kept, sampled = rows_of(self._project, entry), media_of(self._project, entry)
            except Exception:  # a table that Arrow cannot write: the others are still to be written
                self._count("dropped", entry.inputs.height)
                logger.exception("an answer could not be logged", extra={"project": self._project.name})
                continue
            tables.append(kept)
            media.append(sampled)
        rows = sum(table.height for table in tables)
        try:
            if rows:
                self._segment = self._segment or _Segment.new(self._folder)
                self._segment.write(b"".join(_records(tables)))
                self._count("written", rows)
            if self._segment and self._segment.is_due(self._limits):
                self._rotate()
        except OSError as error:
            self._count("dropped", rows)
            logger.error("the request log cannot be written: %s", error, extra={"project": self._project.name})
        try:
            self._write_media([table for table in media if table.height])
        except Exception:  # a full disk or a table that Parquet cannot hold must not end the thread that logs
            logger.exception("a sample of media could not be kept", extra={"project": self._project.name})

    def _write_media(self, tables: list[pl.DataFrame]) -> None:
        if tables:
            name = log_segments.new_name(datetime.now(UTC), os.getpid(), secrets.token_hex(4))
            path = log_segments.media_folder(self._project.name) / f"{Path(name).stem}.parquet"
            with atomic_file(path) as temporary:
                log_segments.together(tables).write_parquet(temporary, compression="zstd")

    def _rotate(self) -> None:
        if self._segment is not None:
            self._sealer.post(self._segment.seal)
            self._sealer.post(self._delete_old)
            self._segment = None

    def _delete_old(self) -> None:
        limits, wish = self._limits, self._project.api.logged_media
        keeps = {self._folder: limits.keep_days}
        keeps[log_segments.media_folder(self._project.name)] = wish.retention_days if wish else 0.0
        for folder, days in keeps.items():
            try:
                log_segments.delete_old(folder, keep_days=days, keep_bytes=limits.keep_bytes)
            except OSError as error:
                logger.error("old files of the request log stay: %s", error, extra={"project": self._project.name})

    def _count(self, outcome: str, rows: int) -> None:
        self._metrics.log_rows.labels(self._project.name, outcome).inc(rows)


def rows_of(project: "Project", entry: Entry) -> pl.DataFrame:
    """The entry's kept rows as the log has them: see :func:`modelyard.serving.log_segments.read_served`."""
    about = _about(entry)
    predictions = entry.predictions
    if predictions is not None:
        left_out = {*sensitive_columns(project), *(media.name for media in project.contract.media)}
        predictions = predictions.select(
            name for name, dtype in predictions.schema.items() if name not in left_out and not _is_media(dtype)
        )
        about = about.hstack(predictions.select(name for name in predictions.columns if name not in about.columns))
    wanted = {*identifying_columns(project), *watched_columns(project, entry.inputs)} - sensitive_columns(project)
    inputs = entry.inputs.select(flat(entry.inputs[name]) for name in entry.inputs.columns if name in wanted)
    taken = {name: f"request_{name}" for name in inputs.columns if name in about.columns}
    return about.hstack(inputs.rename(taken)).filter(_kept(entry, lambda one: one.is_kept))


def media_of(project: "Project", entry: Entry) -> pl.DataFrame:
    """The media of the rows whose media are kept, with the request's id; no rows where there are none."""
    names = [media.name for media in project.contract.media if media.name in entry.inputs.columns]
    if not names or not any(one.has_media for one in entry.logged):
        return pl.DataFrame()
    about = _about(entry).select("served_at", "request_id", "row")
    return about.hstack(entry.inputs.select(names)).filter(_kept(entry, lambda one: one.has_media))


def _about(entry: Entry) -> pl.DataFrame:
    """The columns that say which request a row belongs to, and who answered it when."""
    rows = [(logged, row) for logged in entry.logged for row in range(logged.rows)]
    return pl.DataFrame(
        {
            "served_at": [datetime.fromtimestamp(entry.served_at, UTC)] * len(rows),
            "request_id": [logged.request_id for logged, _ in rows],
            "row": [row for _, row in rows],
            "role": [entry.role] * len(rows),
            "version": [entry.version] * len(rows),
            "features_as_of": [logged.features_as_of[row] if logged.features_as_of else None for logged, row in rows],
        },
        schema=_ABOUT,
    )


def _kept(entry: Entry, is_wanted: Any) -> pl.Series:
    return pl.Series([is_wanted(one) for one in entry.logged for _ in range(one.rows)], dtype=pl.Boolean)


def _is_media(dtype: pl.DataType) -> bool:
    """Bytes, and what looks like pictures or sound: a log is not the place for it."""
    if isinstance(dtype, (pl.List, pl.Array)):
        return bool(dtype.inner in (pl.Int8, pl.UInt8) or getattr(dtype.inner, "is_nested", bool)())
    return dtype in (pl.Binary, pl.Object)


def _records(tables: list[pl.DataFrame]) -> list[bytes]:
    """As few records as there are changes of the columns."""
    return [
        log_segments.record_of(pl.concat(list(group), rechunk=True))
        for _, group in groupby(tables, key=lambda table: list(table.schema.items()))
    ]


class _Segment:
    """An open segment; its lock tells other processes that somebody still writes."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file, self._started = path, file, time.monotonic()

    @classmethod
    def new(cls, folder: Path) -> "_Segment":
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / log_segments.new_name(datetime.now(UTC), os.getpid(), secrets.token_hex(4))
        file = path.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        return cls(path, file)

    def write(self, data: bytes) -> None:
        """Appends whole records and brings them to the disk."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        os.fsync(self._file.fileno())

    def is_due(self, limits: LogLimits) -> bool:
        """Whether it is large or old enough to be sealed."""
        return self._file.tell() >= limits.rotate_bytes or time.monotonic() - self._started >= limits.rotate_s

    def seal(self) -> None:
        """Turns the segment into Parquet and lets go of it."""
        try:
            log_segments.seal(self._path)
        except Exception:  # the segment stays, and the next start tries again
            logger.exception("a segment of the request log could not be sealed", extra={"segment": str(self._path)})
        finally:
            self._file.close()
