"""What was served: segments of records become Parquet, and both are read back as one table.

A segment is a file of records, each a table in Arrow's stream format behind its length and checksum: what a kill cut
off or a disk damaged is told apart from what is whole, and every column comes back with its type. A segment's Parquet
file has the segment's name, so sealing again after a kill makes the same file.
"""

import fcntl
import io
import logging
import struct
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

from modelyard.files import atomic_file
from modelyard.paths import data_directory

logger = logging.getLogger(__name__)

SEGMENT_SUFFIX = ".segment"
_DAMAGED_SUFFIX = ".damaged"
_STAMP = "%Y%m%dT%H%M%S"
_HEADER = struct.Struct("<4sIII")
"""Magic, rows, bytes of the table, CRC-32 of the table."""
_MAGIC = b"MYL1"
_PLAUSIBLE_ROWS = 1_000_000


class Served(NamedTuple):
    """What the log holds.

    Args:
        rows: One for each answered row.
        n_unreadable: Rows that are in the log but cannot be read.
    """

    rows: pl.DataFrame
    n_unreadable: int


def served_folder(project: str) -> Path:
    """Where a project's request log lies."""
    return data_directory() / "07_model_output" / project / "served"


def media_folder(project: str) -> Path:
    """Where the sample of media lies, of projects that ask for one: Parquet, keyed by request id and row."""
    return data_directory() / "07_model_output" / project / "served_media"


def read_served(project: str, *, since: datetime | None = None, until: datetime | None = None) -> Served:
    """Everything that was logged, the newest rows included.

    Args:
        project: Its name.
        since: Leave out what was served before.
        until: Leave out what was served then or later.

    Returns:
        ``served_at`` (Datetime us UTC), ``request_id``, ``row`` (in its HTTP request), ``role`` (``champion``,
        ``canary``, ``shadow``, ``stream``, ``play``), ``version``, ``features_as_of`` (JSON or null), the identifying
        and watched columns of ``decode`` and the columns of the predictions; a column of ``decode`` with the name of
        another goes as ``request_<name>``. Ordered by time; no columns where nothing was ever logged.
    """
    folder = served_folder(project)
    segments = sorted(folder.glob(f"*{SEGMENT_SUFFIX}"))
    # Segments are listed first: one that is sealed meanwhile is found as Parquet, and counted once by its name.
    frames, n_unreadable, sealed, n_older = [], 0, set(), 0
    for path in sorted(folder.glob("*.parquet")):
        sealed.add(path.stem)
        if since is not None and path.stat().st_mtime < since.timestamp():
            continue
        try:
            table = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            logger.warning("%s cannot be read and is left out: %s", path, str(error).splitlines()[0])
            n_unreadable += 1
            continue
        if "request" in table.columns and isinstance(table.schema["request"], pl.Struct):
            n_older += 1
            continue
        frames.append(table)
    for path in segments:
        if path.name.removesuffix(SEGMENT_SUFFIX) not in sealed:
            tables, n_damaged = read_segment(path)
            frames += tables
            n_unreadable += n_damaged
    n_unreadable += sum(read_segment(path)[1] for path in folder.glob(f"*{_DAMAGED_SUFFIX}"))
    if n_older := n_older + len(list(folder.glob("*.jsonl"))):
        logger.warning("%d files of the request log have the form of an earlier release and are left out", n_older)
    rows = together(frames)
    if rows.height:
        rows = rows.sort("served_at", maintain_order=True)
        rows = rows if since is None else rows.filter(pl.col("served_at") >= since)
        rows = rows if until is None else rows.filter(pl.col("served_at") < until)
    return Served(rows, n_unreadable)


def record_of(rows: pl.DataFrame) -> bytes:
    """One record."""
    buffer = io.BytesIO()
    rows.write_ipc_stream(buffer)
    table = buffer.getvalue()
    return _HEADER.pack(_MAGIC, rows.height, len(table), zlib.crc32(table)) + table


def read_segment(segment: Path) -> tuple[list[pl.DataFrame], int]:
    """The tables of a segment's whole records, and how many rows of it are damaged.

    The record that a kill has cut off at the end was never whole, and does not count. Nothing, if the segment was
    sealed meanwhile.
    """
    try:
        data = segment.read_bytes()
    except FileNotFoundError:
        return [], 0
    tables, n_damaged = [], 0
    for n_rows, table in _records(data):
        try:
            tables.append(pl.read_ipc_stream(io.BytesIO(table)))
        except (pl.exceptions.PolarsError, OSError, ValueError):
            n_damaged += n_rows
    return tables, n_damaged


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Rows and table of each record; what is damaged between two whole ones has an empty table.

    What a kill has cut off begins like a record and goes beyond the end: it is none.
    """
    start = expected = lost = 0
    while (start := data.find(_MAGIC, start)) >= 0 and start + _HEADER.size <= len(data):
        _, n_rows, length, checksum = _HEADER.unpack_from(data, start)
        end = start + _HEADER.size + length
        lost = max(lost, int(start > expected))
        if end <= len(data) and zlib.crc32(table := data[start + _HEADER.size : end]) == checksum:
            if lost:
                yield lost, b""
            yield n_rows, table
            start, expected, lost = end, end, 0
        else:
            if end <= len(data):
                lost = max(lost, n_rows if 0 < n_rows < _PLAUSIBLE_ROWS else 1)
            start += len(_MAGIC)
    rest = data[expected:]
    if lost or not rest.startswith(_MAGIC[: len(rest)]):
        yield max(lost, 1), b""


def together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All rows under all columns; a column whose types do not go together is text."""
    if not frames:
        return pl.DataFrame()
    try:
        return pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError:
        kinds: dict[str, set[pl.DataType]] = {}
        for frame in frames:
            for name, dtype in frame.schema.items():
                kinds.setdefault(name, set()).add(dtype)
        mixed = {name for name, found in kinds.items() if len(found) > 1}
        logger.warning("columns of the request log changed their type and are read as text: %s", ", ".join(mixed))
        as_text = [
            frame.with_columns(_as_text(frame[name]) for name in mixed if name in frame.columns) for frame in frames
        ]
        return pl.concat(as_text, how="diagonal")


def _as_text(series: pl.Series) -> pl.Series:
    if series.dtype.is_nested():
        return pl.Series(
            series.name, [None if value is None else str(value) for value in series.to_list()], dtype=pl.String
        )
    return series.cast(pl.String)


def new_name(at: datetime, process: int, mark: str) -> str:
    """Name of a segment that is begun; it tells when."""
    return f"{at:{_STAMP}}-{process}-{mark}{SEGMENT_SUFFIX}"


def seal_leftovers(folder: Path) -> None:
    """Seals the segments that killed servers left; those that a living one still writes are locked and stay."""
    for path in sorted(folder.glob(f"*{SEGMENT_SUFFIX}")):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                seal(path)
        except (BlockingIOError, FileNotFoundError):
            continue  # somebody else's
        except Exception:  # the segment stays, and so does everything in it
            logger.exception("a segment of the request log could not be sealed", extra={"segment": str(path)})


def seal(segment: Path) -> None:
    """Writes a segment's whole records as Parquet beside it, then removes it; a damaged one is set aside."""
    tables, n_damaged = read_segment(segment)
    if tables:
        with atomic_file(segment.with_name(f"{segment.name.removesuffix(SEGMENT_SUFFIX)}.parquet")) as temporary:
            together(tables).write_parquet(temporary, compression="zstd")
    if n_damaged:
        aside = segment.with_suffix(_DAMAGED_SUFFIX)
        logger.error("%d rows of the request log are damaged: %s", n_damaged, aside)
        segment.rename(aside)
    else:
        segment.unlink(missing_ok=True)


def delete_old(folder: Path, *, keep_days: float, keep_bytes: float) -> None:
    """Deletes closed files that are older than ``keep_days``, and the oldest ones beyond ``keep_bytes`` in all."""
    closed = [path for path in folder.glob("*") if path.suffix in (".parquet", _DAMAGED_SUFFIX)]
    before = f"{datetime.now(UTC) - timedelta(days=keep_days):{_STAMP}}"
    size = 0
    for path in sorted(closed, key=lambda one: one.name, reverse=True):
        size += path.stat().st_size
        if path.name[: len(before)] <= before or size > keep_bytes:
            path.unlink(missing_ok=True)
