"""Cells of a user's file as values of a contract's types; a cell that cannot be read says why, in words.

Everything is vectorised: a column of a million cells takes a fraction of a second, a column of times about one.
"""

from typing import TYPE_CHECKING, NamedTuple

from modelyard.records import Dtype

if TYPE_CHECKING:
    import polars as pl

MISSING = ("", "na", "n/a", "nan", "null", "none")
"""Spellings of a missing value in columns that are no text, in lower case."""

PARSE_ERRORS = "parse_errors"
"""Name of the column that says which cells of a row could not be read and why, joined by :data:`SEPARATOR`."""

SEPARATOR = "; "

NO_TIME_ZONE = "has no time zone"
"""How the problem of a time without offset begins, where no zone was given."""

_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
_LARGEST_EXACT_FLOAT = 2.0**53
_SHOWN_CHARACTERS = 60
_DAY = 86_400

_DAY_FIRST = r"^(\d{1,2})\.(\d{1,2})\.(\d{4})"
_YEAR_FIRST = r"^(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
_ISO_8601 = (
    r"^(?P<date>\d{4}-\d{1,2}-\d{1,2})(?:[T ]\s*(?P<time>\d{1,2}:\d{2})(?P<seconds>:\d{2}(?:[.,]\d+)?)?)?"
    r"\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
)


class Cells(NamedTuple):
    """One column, read.

    Args:
        values: The column in the contract's type; null where a cell is missing or cannot be read.
        problems: Why a cell cannot be read (String), null where it can: "'12,x' is no number".
    """

    values: "pl.Series"
    problems: "pl.Series"


def read_text_cells(text: "pl.Series", dtype: Dtype, timezone: str | None) -> Cells:
    """Reads a column of strings.

    Args:
        text: Strings as they stand in the file. Blanks around a value and the spellings of :data:`MISSING` are
            understood in every type but ``string``.
        dtype: The type to read.
        timezone: IANA name of the zone that times without an offset are in; None: such a time is a problem.
    """
    import polars as pl

    if dtype == "string":
        return Cells(text, _none(text))
    stripped = text.str.strip_chars()
    lowered = stripped.str.to_lowercase()
    stripped = pl.select(pl.when(~lowered.is_in(MISSING)).then(stripped).alias(text.name)).to_series()
    if dtype == "datetime":
        return _read_times(stripped, timezone)
    if dtype == "bool":
        return _read_booleans(stripped)
    return _read_numbers(stripped, dtype)


def read_typed_cells(column: "pl.Series", dtype: Dtype, timezone: str | None) -> Cells | None:
    """Reads a column that has a type already (Parquet); None where no cell of its type can become ``dtype``.

    Args:
        column: Any column.
        dtype: The type to read.
        timezone: As for :func:`read_text_cells`.
    """
    import polars as pl

    if column.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return read_text_cells(column.cast(pl.String), dtype, timezone)
    if column.dtype.is_decimal():
        column = column.cast(pl.Float64)
    if column.dtype == pl.Boolean:
        text = column.cast(pl.String)
        return None if dtype == "datetime" else read_text_cells(text.replace(*_as_number(dtype)), dtype, timezone)
    if column.dtype.is_numeric():
        return None if dtype == "datetime" else _read_typed_numbers(column, dtype)
    if column.dtype in (pl.Date, pl.Datetime) and dtype == "datetime":
        return _read_typed_times(column, timezone)
    return None


def quoted(text: "pl.Expr") -> "pl.Expr":
    """An expression for a cell in a message: in quotes, on one line, cut where it is long."""
    import polars as pl

    short = text.str.replace_all(r"\s+", " ").str.slice(0, _SHOWN_CHARACTERS)
    return pl.format(
        "'{}{}'", short, pl.when(text.str.len_chars() > _SHOWN_CHARACTERS).then(pl.lit("…")).otherwise(pl.lit(""))
    )


def _as_number(dtype: Dtype) -> tuple[list[str], list[str]]:
    return (["true", "false"], ["1", "0"]) if dtype in ("int64", "float64") else ([], [])


def problems_of(text: "pl.Series", values: "pl.Series", reason: "pl.Expr") -> "pl.Series":
    """``'cell' reason`` where a cell is there and its value is not."""
    import polars as pl

    unreadable = (text.is_not_null() & values.is_null()).alias("unreadable")
    if not unreadable.any():
        return _none(text)
    problem = pl.when(unreadable).then(pl.format("{} {}", quoted(pl.col("text")), reason))
    return pl.DataFrame({"text": text}).with_columns(unreadable).select(problem.alias(text.name)).to_series()


def _none(text: "pl.Series") -> "pl.Series":
    import polars as pl

    return pl.Series(text.name, [None], dtype=pl.String).new_from_index(0, text.len())


def _read_booleans(text: "pl.Series") -> Cells:
    import polars as pl

    spellings = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
    values = text.str.to_lowercase().replace_strict(spellings, default=None, return_dtype=pl.Boolean)
    return Cells(values, problems_of(text, values, pl.lit("is neither true nor false")))


def _read_numbers(text: "pl.Series", dtype: Dtype) -> Cells:
    import polars as pl

    values = text.cast(pl.Float64, strict=False)
    values = pl.select(pl.when(values.is_finite()).then(values).alias(text.name)).to_series()
    if dtype == "int64":
        values = _whole(text, values)
    cell = pl.col("text")
    finite = pl.lit("is no finite number") if dtype == "float64" else pl.lit("is no whole number")
    reason = (
        pl.when(cell.str.contains(r"^[+-]?[\d.,' ]*,[\d.,' ]*$"))
        .then(pl.lit("is no number: write a decimal point and no thousands separators (1234.5)"))
        .when(cell.cast(pl.Float64, strict=False).is_not_null())
        .then(finite)
        .otherwise(pl.lit("is no number"))
    )
    return Cells(values, problems_of(text, values, reason))


def _whole(text: "pl.Series", numbers: "pl.Series") -> "pl.Series":
    """Integers of any size as written, and ``3.0``, which pandas writes for an integer beside missing ones."""
    import polars as pl

    is_whole = (numbers == numbers.round()) & (numbers.abs() <= _LARGEST_EXACT_FLOAT)
    rounded = pl.select(pl.when(is_whole).then(numbers).cast(pl.Int64).alias(text.name)).to_series()
    exact = text.cast(pl.Int64, strict=False)
    return pl.select(pl.coalesce(exact, rounded).alias(text.name)).to_series()


def _read_typed_numbers(column: "pl.Series", dtype: Dtype) -> Cells:
    import polars as pl

    column = column.fill_nan(None) if column.dtype.is_float() else column
    text = column.cast(pl.String)
    if dtype == "string":
        # pandas turns an identifier column with a missing value into floats: 123.0 is the identifier 123.
        whole = _whole(text, column.cast(pl.Float64)).cast(pl.String)
        return read_text_cells(pl.select(pl.coalesce(whole, text).alias(column.name)).to_series(), dtype, None)
    if dtype == "float64":
        values = column.cast(pl.Float64)
        values = pl.select(pl.when(values.is_finite()).then(values).alias(column.name)).to_series()
        return Cells(values, problems_of(text, values, pl.lit("is no finite number")))
    if dtype == "int64":
        values = (
            column.cast(pl.Int64, strict=False) if column.dtype.is_integer() else _whole(text, column.cast(pl.Float64))
        )
        return Cells(values, problems_of(text, values, pl.lit("is no whole number")))
    return _read_booleans(text)


def _read_typed_times(column: "pl.Series", timezone: str | None) -> Cells:
    import polars as pl

    text = column.cast(pl.String)
    local = column.cast(pl.Datetime("us")) if column.dtype == pl.Date else column.dt.cast_time_unit("us")
    if isinstance(local.dtype, pl.Datetime) and local.dtype.time_zone is not None:
        return Cells(local.dt.convert_time_zone("UTC"), problems_of(text, local, pl.lit("")))
    return _read_local_times(text, local, timezone)


def _read_times(text: "pl.Series", timezone: str | None) -> Cells:
    """Cells with an offset become UTC by it, cells without one by ``timezone``; each cell for itself."""
    import polars as pl

    parts = _time_parts(text)
    local, zone = _local_times(parts), parts["zone"]
    if zone.null_count() == zone.len():
        values, problems = _read_local_times(text, local, timezone)
    else:
        known = {written: _offset_seconds(written) for written in zone.unique().drop_nulls()}
        offset = zone.replace_strict(known, default=None, return_dtype=pl.Int64)
        shifted = pl.select((local - pl.duration(seconds=pl.lit(offset))).dt.replace_time_zone("UTC")).to_series()
        placed, problems = _read_local_times(text, local.zip_with(zone.is_null(), local.clear(local.len())), timezone)
        values = shifted.zip_with(zone.is_not_null(), placed).alias(text.name)
    cell = pl.col("text")
    reason = (
        pl.when(cell.str.contains(r"^\d{1,2}/\d{1,2}/\d{2,4}"))
        .then(pl.lit("may have day or month first: write 2024-12-31"))
        .otherwise(pl.lit("is no date and time: write 2024-12-31T23:59:00+01:00"))
    )
    return Cells(
        values, pl.select(pl.coalesce(problems, problems_of(text, values, reason))).to_series().alias(text.name)
    )


def _time_parts(text: "pl.Series") -> "pl.DataFrame":
    """Columns date, time, seconds, zone (String), all null where a cell is in no known format."""
    import polars as pl

    parts = text.str.extract_groups(_ISO_8601).struct.unnest()
    other = text.is_not_null() & parts["date"].is_null()
    if not other.any():
        return parts
    iso = text.filter(other).str.replace(_DAY_FIRST, "$3-$2-$1").str.replace(_YEAR_FIRST, "$1-$2-$3")
    rows = other.arg_true()
    read = iso.str.extract_groups(_ISO_8601).struct.unnest()
    return pl.DataFrame([parts[name].clone().scatter(rows, read[name]) for name in parts.columns])


def _local_times(parts: "pl.DataFrame") -> "pl.Series":
    import polars as pl

    seconds = pl.col("seconds").str.replace(",", ".", literal=True)
    clock = pl.concat_str(pl.col("time").fill_null("00:00"), seconds.fill_null(":00"))
    written = pl.concat_str("date", clock, separator=" ")
    return parts.select(written.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)).to_series()


def _offset_seconds(zone: str) -> int | None:
    """Seconds east of Greenwich; None for an offset of a day or more."""
    if zone in ("Z", "z", "UTC", "GMT"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    seconds = hours * 3600 + minutes * 60
    if minutes > 59 or seconds >= _DAY:
        return None
    return -seconds if zone[0] == "-" else seconds


def _read_local_times(text: "pl.Series", local: "pl.Series", timezone: str | None) -> Cells:
    """Times without an offset, as clocks in ``timezone`` show them; null and no problem where ``local`` is null."""
    import polars as pl

    written = text.zip_with(local.is_not_null(), _none(text))
    if timezone is None:
        nothing = pl.Series(text.name, [None], dtype=pl.Datetime("us", "UTC")).new_from_index(0, text.len())
        reason = pl.lit(f"{NO_TIME_ZONE}: add an offset or set ingest.timezone")
        return Cells(nothing, problems_of(written, nothing, reason))
    values = local.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    if values.null_count() == local.null_count():
        return Cells(values.alias(text.name), _none(text))
    earliest = local.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    is_twice = pl.when(pl.lit(earliest).is_not_null())
    word = is_twice.then(pl.lit("is there twice")).otherwise(pl.lit("does not exist"))
    reason = pl.format("{} in {} (clocks change): add the offset", word, pl.lit(timezone))
    return Cells(values.alias(text.name), problems_of(written, values, reason))
