"""What was served: segments of JSON lines become Parquet, and both are read back as one table.

A segment's Parquet file has the segment's name, so sealing again after a kill makes the same file.
"""

import fcntl
import json
import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.files import atomic_file
from modelyard.paths import data_directory
from modelyard.projects import load_project

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

SEGMENT_SUFFIX = ".segment.jsonl"

_ABOUT = ("served_at", "request_id", "row", "role", "version", "features_as_of")


def served_folder(project: str) -> Path:
    """Where a project's request log lies."""
    return data_directory() / "07_model_output" / project / "served"


def read_served(project: str, *, since: datetime | None = None, until: datetime | None = None) -> "pl.DataFrame":
    """Everything that was logged, the newest rows included.

    Args:
        project: Its name.
        since: Leave out what was served before.
        until: Leave out what was served then or later.

    Returns:
        ``served_at`` (Datetime us UTC), ``request_id``, ``row`` (in its HTTP request), ``role`` (``champion``,
        ``canary``, ``shadow``), ``version``, ``features_as_of`` (JSON or null), the request's fields (those that the
        contract calls a time as Datetime us UTC) and the columns of ``predict``; a request's field of the same name
        as one of these goes as ``request_<name>``. Ordered by time; no columns where nothing was ever logged.
    """
    import polars as pl

    folder = served_folder(project)
    segments = sorted(folder.glob(f"*{SEGMENT_SUFFIX}"))
    # Segments are listed first: one that is sealed meanwhile is found as Parquet, and counted once by its name.
    tables = {path.stem: pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    for path in segments:
        if _stem(path) not in tables and (lines := _whole_lines(path)):
            tables[_stem(path)] = _table(lines)
    frames = [_flat(table) for table in tables.values()]
    if not frames:
        return pl.DataFrame()
    rows = pl.concat(frames, how="diagonal_relaxed").sort("served_at", maintain_order=True)
    times = [column.name for column in load_project(project).contract.columns if column.dtype == "datetime"]
    texts = [name for name in times if rows.schema.get(name) == pl.String]
    rows = rows.with_columns(pl.col(texts).str.to_datetime("%+", time_unit="us", time_zone="UTC"))
    if since is not None:
        rows = rows.filter(pl.col("served_at") >= since)
    return rows if until is None else rows.filter(pl.col("served_at") < until)


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
    """Writes a segment's whole lines as Parquet beside it, then removes it."""
    if lines := _whole_lines(segment):
        with atomic_file(segment.with_name(f"{_stem(segment)}.parquet")) as temporary:
            _table(lines).write_parquet(temporary, compression="zstd")
    segment.unlink()


def _stem(segment: Path) -> str:
    return segment.name.removesuffix(SEGMENT_SUFFIX)


def _whole_lines(segment: Path) -> bytes:
    """Without the half line that a kill may have left; empty if the segment was sealed meanwhile."""
    try:
        data = segment.read_bytes()
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]


def _table(lines: bytes) -> "pl.DataFrame":
    """Lines as a table; a line that a failing disk has damaged is left out."""
    import polars as pl

    try:
        table = pl.read_ndjson(lines, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        good = [line for line in lines.splitlines(keepends=True) if _is_json(line)]
        logger.warning("%d damaged lines left out (%s)", lines.count(b"\n") - len(good), error)
        table = pl.read_ndjson(b"".join(good), infer_schema_length=None)
    return table.with_columns(
        pl.col("served_at").str.to_datetime("%+", time_unit="us", time_zone="UTC"),
        pl.col("features_as_of").cast(pl.String),
    )


def _flat(table: "pl.DataFrame") -> "pl.DataFrame":
    """The structs' fields as columns."""
    prediction: Any = table.schema["prediction"]
    taken = {*_ABOUT, *(field.name for field in prediction.fields)}
    request: Any = table.schema["request"]
    names = [f"request_{field.name}" if field.name in taken else field.name for field in request.fields]
    import polars as pl

    return table.with_columns(pl.col("request").struct.rename_fields(names)).unnest("request", "prediction")


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
