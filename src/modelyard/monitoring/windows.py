"""Reads the rows to compare: those served in a time window, or a batch that is scored first."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from modelyard.errors import ConfigurationError, DataContractError

if TYPE_CHECKING:
    import polars as pl

    from modelyard.project import Project

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_CHUNK = 20_000


class Served(NamedTuple):
    """Rows to compare with the reference.

    Args:
        rows: Rows with inputs and predictions.
        n_set_aside: Rows of the log that cannot be read.
    """

    rows: "pl.DataFrame"
    n_set_aside: int


class Window(NamedTuple):
    """A span of time; the end is excluded."""

    since: datetime
    until: datetime


def window_of(length: str, since: str | None, until: str | None, now: datetime) -> Window:
    """Returns the time window that the options describe.

    Args:
        length: Length such as ``7d``, ``12h``, ``30m``, ``2w``; used where ``since`` is not given.
        since: ISO 8601 time; without an offset it is UTC.
        until: End of the window in the same form; None: now.
        now: The current time.

    Raises:
        ConfigurationError: A time cannot be read, or the window ends before it begins.
    """
    end = _time(until, "--until") if until else now
    if since:
        begin = _time(since, "--since")
    else:
        found = re.fullmatch(r"(\d+)([mhdw])", length)
        if not found:
            raise ConfigurationError(
                f"'{length}' is no length of time.", where="--window", way_out="write it like 7d, 12h, 30m or 2w"
            )
        begin = end - timedelta(**{_UNITS[found[2]]: int(found[1])})
    if begin >= end:
        raise ConfigurationError(
            f"The window begins at {begin:%Y-%m-%d %H:%M} and ends at {end:%Y-%m-%d %H:%M}.",
            where="--since, --until, --window",
            way_out="let it begin before it ends; times without an offset are UTC",
        )
    return Window(begin, end)


def _time(text: str, option: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"'{text}' is no time.", where=option, way_out="write it like 2026-05-31 or 2026-05-31T08:00+02:00"
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def served_rows(project: "Project", version: str, window: Window) -> "Served":
    """Returns the rows that the version answered in the window, as champion, canary or stream, from the log.

    Args:
        project: The project's record.
        version: The version whose answers are read.
        window: The time window.

    Raises:
        DataContractError: Nothing was served in the window.
    """
    import polars as pl

    from modelyard.serving.log_segments import read_served, served_folder

    rows, n_unreadable = read_served(project.name, since=window.since, until=window.until)
    if rows.height:
        rows = rows.filter(~pl.col("role").is_in(["shadow", "play"]))
    versions = sorted(rows["version"].unique()) if rows.height else []
    ours = rows.filter(pl.col("version") == version) if rows.height else rows
    if not ours.height:
        others = f"; version {', '.join(versions)} answered then" if versions else ""
        damaged = f" {n_unreadable:,} rows of the log cannot be read." if n_unreadable else ""
        raise DataContractError(
            f"Version {version} of {project.name} answered nothing from {window.since:%Y-%m-%d %H:%M} to "
            f"{window.until:%Y-%m-%d %H:%M} (UTC){others}.{damaged}",
            where=str(served_folder(project.name)),
            way_out="choose another --window, --since or --version; kedro serve logs what it answers",
        )
    return Served(ours, n_unreadable)


def _present(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def read_table(project: "Project", path: Path, option: str) -> "pl.DataFrame":
    """Returns the table in a Parquet or CSV file; what is text in the contract stays text (``0007``).

    Raises:
        ConfigurationError: The file does not exist.
        DataContractError: The file cannot be read, or has no rows.
    """
    import polars as pl

    if not path.is_file():
        raise ConfigurationError("The file is not there.", where=f"{option} {path}", way_out="check its name")
    try:
        table = pl.read_parquet(path) if path.suffix == ".parquet" else _read_csv(project, path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataContractError(
            f"The file cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            way_out="give a Parquet file, or a CSV file in UTF-8 with a header",
        ) from error
    if not table.height:
        raise DataContractError("The file has no rows.", where=str(path), way_out="give one that has")
    return table


def _read_csv(project: "Project", path: Path) -> "pl.DataFrame":
    import polars as pl

    text = {column.name: pl.String for column in project.contract.columns if column.dtype == "string"}
    return pl.read_csv(path, infer_schema_length=None, schema_overrides=text)


def scored_batch(project: "Project", model: Any, path: Path) -> "pl.DataFrame":
    """Returns a batch, scored as by the server: each row is a request.

    Args:
        project: Gives the request schema and ``predict``.
        model: The project's model.
        path: Parquet or CSV with the request's fields; other columns are kept.

    Returns:
        The columns of ``decode``, the predictions, and the batch's other columns, row by row.

    Raises:
        DataContractError: Columns are missing, or a row is not a valid request.
    """
    import polars as pl

    batch = read_table(project, path, "--batch")
    fields = project.api.request.model_fields
    missing = [name for name, field in fields.items() if field.is_required() and name not in batch.columns]
    if missing:
        raise DataContractError(
            f"The batch lacks {len(missing)} columns that every request has: {', '.join(missing)}.",
            where=str(path),
            way_out=f"its columns are {', '.join(batch.columns[:20])}; name them as the request does (/docs)",
        )
    parts = []
    for start in range(0, batch.height, _CHUNK):
        part = batch[start : start + _CHUNK]
        inputs = project.api.decode(
            _requests(project, part.select(n for n in fields if n in part.columns), path, start)
        )
        answers = (project.api.answer or project.predict)(model, inputs)
        table = inputs.hstack(answers.select(name for name in answers.columns if name not in inputs.columns))
        parts.append(table.hstack(part.select(name for name in part.columns if name not in table.columns)))
    return pl.concat(parts, how="diagonal_relaxed")


def _requests(project: "Project", part: "pl.DataFrame", path: Path, start: int) -> list[Any]:
    from pydantic import ValidationError

    requests = []
    for number, row in enumerate(part.iter_rows(named=True), start=start + 1):
        try:
            requests.append(project.api.request.model_validate(_present(row)))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise DataContractError(
                f"Row {number} is no valid request: {'.'.join(map(str, first['loc']))}: {first['msg']}.",
                where=str(path),
                way_out="correct the row; a time needs its offset, such as 2026-05-31T08:00:00Z",
            ) from error
    return requests
