"""Cells of a user's file as values of a contract's types; a cell that cannot be read says why, in words.

Everything is vectorised: a column of a million cells takes a fraction of a second, a column of times about one.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl

from modelyard.errors import ConfigurationError
from modelyard.own_data.format import TableFormat
from modelyard.records import Dtype

PARSE_ERRORS = "parse_errors"
"""Name of the column that says which cells of a row could not be read and why, joined by :data:`SEPARATOR`."""

SEPARATOR = "; "

NO_TIME_ZONE = "has no time zone"
"""How the problem of a time without offset begins, where no zone was given."""

_STANDARD = TableFormat()
_ROUNDED = r"^[+-]?\d(?:[.,]\d+)?[eE]\+?\d+$"
"""Digits in scientific notation: how a spreadsheet writes a long identifier, whose last digits are then lost."""

_LARGEST_EXACT_FLOAT = 2.0**53
_FIRST_TIME = datetime.min.replace(tzinfo=UTC)
_LAST_TIME = datetime.max.replace(tzinfo=UTC)
_SHOWN_CHARACTERS = 60
_DAY = 86_400

_DAY_FIRST = r"^(\d{1,2})\.(\d{1,2})\.(\d{4})"
_YEAR_FIRST = r"^(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
_MONTH_ONLY = r"^(\d{4})-(\d{2})$"
_BASIC = r"^(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})?(\d{2}(?:[.,]\d+)?)?)?(Z|[+-]\d{2}(?::?\d{2})?)?$"
_HOUR_ONLY = r"^(\d{4}-\d{2}-\d{2}T\d{2})(Z|[+-]\d{2}(?::?\d{2})?)?$"
_ISO_8601 = (
    r"^(?P<date>\d{4}-\d{1,2}-\d{1,2})(?:[T ]\s*(?P<time>\d{1,2}:\d{2})(?P<seconds>:\d{2}(?:[.,]\d+)?)?)?"
    r"\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
)
"""The extended form; :func:`_in_extended_form` brings the other forms that are understood into it."""


class Cells(NamedTuple):
    """One column, read.

    Args:
        values: The column in the contract's type; null where a cell is missing or cannot be read.
        problems: Why a cell cannot be read (String), null where it can: "'12,x' is no number".
    """

    values: pl.Series
    problems: pl.Series


def read_text_cells(
    text: pl.Series,
    dtype: Dtype,
    timezone: str | None,
    table_format: TableFormat = _STANDARD,
    *,
    as_written: bool = False,
) -> Cells:
    """Reads a column of strings.

    Args:
        text: Strings as they stand in the file. Blanks around a value and the spellings of a missing value are
            understood in every type but ``string``.
        dtype: The type to read.
        timezone: IANA name of the zone that times without an offset are in; None: such a time is a problem.
        table_format: How numbers, dates, truth and missing values are written.
        as_written: Times are taken as the clock shows them, whatever their zone or offset: a date stays that date. They
            come out as if the clock were one in UTC.
    """
    if dtype == "string":
        return Cells(text, _none(text))
    stripped = text.str.strip_chars()
    is_missing = stripped.str.to_lowercase().is_in([value.lower() for value in table_format.missing_values])
    stripped = pl.select(pl.when(~is_missing).then(stripped).alias(text.name)).to_series()
    if dtype == "datetime":
        return _in_calendar(stripped, _read_times(stripped, timezone, table_format, as_written))
    if dtype == "bool":
        return _read_booleans(stripped, table_format)
    return _read_numbers(stripped, dtype, table_format)


def read_identifiers(text: pl.Series) -> Cells:
    """Reads a column of identifiers as they stand, leading zeros included; a number that lost its digits is a problem.

    Args:
        text: Strings as they stand in the file; blanks around them are dropped, and blanks alone are missing.
    """
    stripped = text.str.strip_chars().replace("", None)
    values = pl.select(pl.when(~stripped.str.contains(_ROUNDED)).then(stripped).alias(text.name)).to_series()
    reason = pl.lit("is a rounded number, not an identifier: a spreadsheet has cut its digits; export it as text")
    return Cells(values, problems_of(stripped, values, reason))


def read_typed_cells(
    column: pl.Series,
    dtype: Dtype,
    timezone: str | None,
    table_format: TableFormat = _STANDARD,
    *,
    as_written: bool = False,
) -> Cells | None:
    """Reads a column that has a type already (Parquet); None where no cell of its type can become ``dtype``.

    Args:
        column: Any column.
        dtype: The type to read.
        timezone: As for :func:`read_text_cells`.
        table_format: As for :func:`read_text_cells`.
        as_written: As for :func:`read_text_cells`.
    """
    if column.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return read_text_cells(column.cast(pl.String), dtype, timezone, table_format, as_written=as_written)
    if column.dtype.is_decimal():
        # Decimals hold identifiers of more digits than a float has; their text is exact.
        exact = column.cast(pl.String).str.replace(r"\.0+$", "")
        return None if dtype == "datetime" else read_text_cells(exact, dtype, timezone)
    if column.dtype == pl.Boolean:
        text = column.cast(pl.String)
        return None if dtype == "datetime" else read_text_cells(text.replace(*_as_number(dtype)), dtype, timezone)
    if column.dtype.is_numeric():
        return None if dtype == "datetime" else _read_typed_numbers(column, dtype)
    if column.dtype in (pl.Date, pl.Datetime) and dtype == "datetime":
        return _in_calendar(column.cast(pl.String), _read_typed_times(column, timezone, as_written))
    return None


def unreadable_columns(records: pl.DataFrame) -> dict[str, list[str]]:
    """Returns the columns that nobody can read, each with up to three of its problems.

    Such a column has no value, and its cells are unreadable in more than half of the rows: one wrong format, not single
    bad cells among missing ones, which go to quarantine with their rows.

    Args:
        records: Rows with :data:`PARSE_ERRORS`, as :func:`modelyard.own_data.table.read_own_table` gives them.
    """
    if PARSE_ERRORS not in records.columns or 2 * records[PARSE_ERRORS].count() <= records.height:
        return {}
    problems = records.select(pl.col(PARSE_ERRORS).str.split(SEPARATOR).alias("each")).explode("each")
    named = problems.select(
        name=pl.col("each").str.extract(r"^(\w+): "), problem=pl.col("each").str.replace(r"^\w+: ", "")
    ).drop_nulls("name")
    counted = named.group_by("name", maintain_order=True).agg(
        n=pl.len(), examples=pl.col("problem").unique(maintain_order=True).head(3)
    )
    return {
        name: examples
        for name, n, examples in counted.iter_rows()
        if 2 * n > records.height and not (name in records.columns and records[name].count())
    }


def with_problem(rows: pl.DataFrame, problem: pl.Expr) -> pl.DataFrame:
    """Returns rows with one more problem in :data:`PARSE_ERRORS`, behind those that are there; the column may be new.

    Args:
        rows: Perhaps with :data:`PARSE_ERRORS`.
        problem: What is wrong with a row (String), null where nothing is.
    """
    if PARSE_ERRORS not in rows.columns:
        return rows.with_columns(problem.alias(PARSE_ERRORS))
    joined = pl.concat_str(PARSE_ERRORS, problem, separator=SEPARATOR, ignore_nulls=True)
    return rows.with_columns(pl.when(joined != "").then(joined).alias(PARSE_ERRORS))


def quoted(text: pl.Expr) -> pl.Expr:
    """An expression for a cell in a message: in quotes, on one line, cut where it is long."""
    short = text.str.replace_all(r"\s+", " ").str.slice(0, _SHOWN_CHARACTERS)
    return pl.format(
        "'{}{}'", short, pl.when(text.str.len_chars() > _SHOWN_CHARACTERS).then(pl.lit("…")).otherwise(pl.lit(""))
    )


def _as_number(dtype: Dtype) -> tuple[list[str], list[str]]:
    return (["true", "false"], ["1", "0"]) if dtype in ("int64", "float64") else ([], [])


def problems_of(text: pl.Series, values: pl.Series, reason: pl.Expr) -> pl.Series:
    """``'cell' reason`` where a cell is there and its value is not."""
    unreadable = (text.is_not_null() & values.is_null()).alias("unreadable")
    if not unreadable.any():
        return _none(text)
    problem = pl.when(unreadable).then(pl.format("{} {}", quoted(pl.col("text")), reason))
    return pl.DataFrame({"text": text}).with_columns(unreadable).select(problem.alias(text.name)).to_series()


def _none(text: pl.Series) -> pl.Series:
    return pl.Series(text.name, [None], dtype=pl.String).new_from_index(0, text.len())


def _read_booleans(text: pl.Series, table_format: TableFormat = _STANDARD) -> Cells:
    spellings = {value.lower(): True for value in table_format.true_values}
    spellings |= {value.lower(): False for value in table_format.false_values}
    values = text.str.to_lowercase().replace_strict(spellings, default=None, return_dtype=pl.Boolean)
    found = text.filter(values.is_null() & text.is_not_null()).unique().sort().head(3).to_list()
    hint = ""
    if len(found) == 2 and not values.count():
        hint = f": set ingest.format.true_values and false_values (the column has {found[0]!r} and {found[1]!r})"
    return Cells(values, problems_of(text, values, pl.lit(f"is neither true nor false{hint}")))


def _read_numbers(text: pl.Series, dtype: Dtype, table_format: TableFormat) -> Cells:
    plain = _without_mark(text, table_format) if table_format.currency_marks else text
    if table_format.thousands:
        plain = plain.str.replace_all(table_format.thousands, "", literal=True)
    if table_format.decimal != ".":
        plain = plain.str.replace_all(".", "?", literal=True).str.replace(table_format.decimal, ".", literal=True)
    plain = plain.str.replace("\u2212", "-", literal=True)  # the minus sign of typesetting
    values = plain.cast(pl.Float64, strict=False)
    values = pl.select(pl.when(values.is_finite()).then(values).alias(text.name)).to_series()
    cell = pl.col("text")
    finite = pl.lit("is no finite number")
    if dtype == "int64":
        # 1.29403E+15 has lost the digits that tell one identifier from another.
        values = _whole(plain, pl.select(pl.when(~plain.str.contains(_ROUNDED)).then(values)).to_series())
        finite = (
            pl.when(cell.str.contains(_ROUNDED))
            .then(pl.lit("is a rounded number: a spreadsheet has cut its digits; export it as text"))
            .otherwise(pl.lit("is no whole number"))
        )
    hint = _number_hint(text.filter(values.is_null() & text.is_not_null()))
    reason = (
        pl.when(cell.str.contains(r"^[+-]?[\d.,' ]*,[\d.,' ]*$"))
        .then(pl.lit(f"is no number: {hint or 'write a decimal point and no thousands separators (1234.5)'}"))
        .when(cell.cast(pl.Float64, strict=False).is_not_null())
        .then(finite)
        .otherwise(pl.lit("is no number"))
    )
    return Cells(values, problems_of(text, values, reason))


def _without_mark(text: pl.Series, table_format: TableFormat) -> pl.Series:
    """Amounts without the mark of their currency: ``$250,000`` is 250000; what has no mark, or another, stays."""
    marks = "|".join(re.escape(mark) for mark in sorted(table_format.currency_marks, key=len, reverse=True))
    cell = pl.col("text")
    amount = pl.coalesce(
        cell.str.extract(rf"^([+-]?)(?:{marks})\s*[\d]", 1)
        + cell.str.extract(rf"^[+-]?(?:{marks})\s*(\d[\d.,' ]*)$", 1),
        cell.str.extract(rf"^([+-]?\d[\d.,' ]*?)\s*(?:{marks})$", 1),
    )
    # Beside a mark, commas in front of three digits each are no decimals.
    is_grouped = amount.str.contains(r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$") & pl.lit(table_format.decimal == ".")
    whole = pl.when(is_grouped).then(amount.str.replace_all(",", "", literal=True)).otherwise(amount)
    return pl.DataFrame({"text": text}).select(pl.coalesce(whole, cell).alias(text.name)).to_series()


def _number_hint(unread: pl.Series) -> str:
    """The parameter that would read these cells, if only one reading is possible; else empty."""
    if not unread.len():
        return ""
    if unread.str.contains(r"^[+-]?\d{1,3}(\.\d{3})*,(\d{1,2}|\d{4,})$|^[+-]?\d{4,},\d+$").all():
        has_points = unread.str.contains(".", literal=True).any()
        return "set ingest.format.decimal: ','" + (" and ingest.format.thousands: '.'" if has_points else "")
    grouped = unread.str.contains(r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$").all()
    if grouped and unread.str.contains(r"\.|,.*,").any():
        return "set ingest.format.thousands: ','"
    return ""


def _whole(text: pl.Series, numbers: pl.Series) -> pl.Series:
    """Integers of any size as written, and ``3.0``, which pandas writes for an integer beside missing ones."""
    is_whole = (numbers == numbers.round()) & (numbers.abs() <= _LARGEST_EXACT_FLOAT)
    rounded = pl.select(pl.when(is_whole).then(numbers).cast(pl.Int64).alias(text.name)).to_series()
    exact = text.cast(pl.Int64, strict=False)
    return pl.select(pl.coalesce(exact, rounded).alias(text.name)).to_series()


def _read_typed_numbers(column: pl.Series, dtype: Dtype) -> Cells:
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


def _in_calendar(text: pl.Series, read: Cells) -> Cells:
    """Times outside the years 1 to 9999 in UTC, which Python has no value for, are problems."""
    inside = read.values.is_between(_FIRST_TIME, _LAST_TIME)
    if inside.all():
        return read
    values = pl.select(pl.when(inside).then(read.values).alias(text.name)).to_series()
    outside = problems_of(text.zip_with(~inside.fill_null(True), _none(text)), values, pl.lit("lies in no year in UTC"))
    return Cells(values, pl.select(pl.coalesce(read.problems, outside)).to_series().alias(text.name))


def _read_typed_times(column: pl.Series, timezone: str | None, as_written: bool) -> Cells:
    text = column.cast(pl.String)
    local = column.cast(pl.Datetime("us")) if column.dtype == pl.Date else column.dt.cast_time_unit("us")
    if as_written:
        clock = local.dt.replace_time_zone(None).dt.replace_time_zone("UTC")
        return Cells(clock, problems_of(text, clock, pl.lit("")))
    if isinstance(local.dtype, pl.Datetime) and local.dtype.time_zone is not None:
        return Cells(local.dt.convert_time_zone("UTC"), problems_of(text, local, pl.lit("")))
    return _read_local_times(text, local, timezone)


def _read_times(text: pl.Series, timezone: str | None, table_format: TableFormat, as_written: bool) -> Cells:
    """Cells with an offset become UTC by it, cells without one by ``timezone``; each cell for itself."""
    parts = _time_parts(text) if table_format.date_format is None else _formatted(text, table_format.date_format)
    local, zone = _local_times(parts), parts["zone"]
    if as_written:
        values, problems = local.dt.replace_time_zone("UTC").alias(text.name), _none(text)
    elif zone.null_count() == zone.len():
        values, problems = _read_local_times(text, local, timezone)
    else:
        known = {written: _offset_seconds(written) for written in zone.unique().drop_nulls()}
        offset = zone.replace_strict(known, default=None, return_dtype=pl.Int64)
        shifted = pl.select((local - pl.duration(seconds=pl.lit(offset))).dt.replace_time_zone("UTC")).to_series()
        placed, problems = _read_local_times(text, local.zip_with(zone.is_null(), local.clear(local.len())), timezone)
        values = shifted.zip_with(zone.is_not_null(), placed).alias(text.name)
    cell = pl.col("text")
    hint = _date_hint(text.filter(local.is_null() & text.is_not_null()))
    if table_format.date_format is not None:
        reason = pl.lit(f"is not in the form {table_format.date_format} of ingest.format.date_format")
    else:
        reason = (
            pl.when(cell.str.contains(r"^\d{1,2}/\d{1,2}/\d{2,4}"))
            .then(pl.lit(f"may have day or month first: {hint or 'write 2024-12-31'}"))
            .otherwise(pl.lit(f"is no date and time: {hint or 'write 2024-12-31T23:59:00+01:00'}"))
        )
    return Cells(
        values, pl.select(pl.coalesce(problems, problems_of(text, values, reason))).to_series().alias(text.name)
    )


_DATE_FORMATS = (
    (r"^(1[3-9]|2\d|3[01])/\d{1,2}/\d{4}$", r"^\d{1,2}/\d{1,2}/\d{4}$", "%d/%m/%Y"),
    (r"^\d{1,2}/(1[3-9]|2\d|3[01])/\d{4}$", r"^\d{1,2}/\d{1,2}/\d{4}$", "%m/%d/%Y"),
    (r"^[A-Za-z]{3}-\d{2}$", r"^[A-Za-z]{3}-\d{2}$", "%b-%y"),
    (r"^[A-Za-z]{3} \d{4}$", r"^[A-Za-z]{3} \d{4}$", "%b %Y"),
    (r"^\d{4}(0[1-9]|1[0-2])$", r"^\d{4}(0[1-9]|1[0-2])$", "%Y%m"),
    (r"^\d{4}M\d{2}$", r"^\d{4}M\d{2}$", "%YM%m"),
)
"""What one cell must look like, what all of them must look like, and the only format that they then have."""


def _date_hint(unread: pl.Series) -> str:
    """The parameter that would read these cells, if only one reading is possible; else empty."""
    if not unread.len():
        return ""
    fits = [
        form
        for one, every, form in _DATE_FORMATS
        if unread.str.contains(every).all() and unread.str.contains(one).any()
    ]
    return f"set ingest.format.date_format: '{fits[0]}'" if len(fits) == 1 else ""


def _formatted(text: pl.Series, date_format: str) -> pl.DataFrame:
    """The parts of cells in a format of the user's (chrono's specifiers, which are those of strptime)."""
    has_day = any(code in date_format for code in ("%d", "%e", "%j"))
    has_hour = "%H" in date_format or "%I" in date_format
    day = "" if has_day else " 01"
    form = f"{date_format}{'' if has_day else ' %d'}{'' if has_hour else ' %H:%M'}"
    written = pl.select(pl.lit(text) + f"{day}{'' if has_hour else ' 00:00'}").to_series()
    try:
        local = written.str.to_datetime(form, time_unit="us", strict=False)
    except pl.exceptions.PolarsError as error:
        raise ConfigurationError(
            f"'{date_format}' is no date format: {str(error).splitlines()[0]}",
            where="ingest.format.date_format",
            way_out="use the codes of strptime, such as %d/%m/%Y or %b-%y",
        ) from error
    zone = pl.Series("zone", ["Z" if "%z" in date_format else None], dtype=pl.String).new_from_index(0, text.len())
    local = local.dt.replace_time_zone(None)  # polars has brought offsets to UTC
    return pl.DataFrame(
        {
            "date": local.dt.strftime("%Y-%m-%d"),
            "time": local.dt.strftime("%H:%M"),
            "seconds": local.dt.strftime(":%S%.f"),
            "zone": zone,
        }
    )


def _time_parts(text: pl.Series) -> pl.DataFrame:
    """Columns date, time, seconds, zone (String), all null where a cell is in no known format."""
    parts = text.str.extract_groups(_ISO_8601).struct.unnest()
    other = text.is_not_null() & parts["date"].is_null()
    if not other.any():
        return parts
    iso = _in_extended_form(text.filter(other))
    rows = other.arg_true()
    read = iso.str.extract_groups(_ISO_8601).struct.unnest()
    return pl.DataFrame([parts[name].clone().scatter(rows, read[name]) for name in parts.columns])


def _in_extended_form(text: pl.Series) -> pl.Series:
    """Day first with points, year first with slashes, a month alone, an hour alone, the basic form, a typeset minus."""
    plain = text.str.replace("\u2212", "-", literal=True)
    plain = plain.str.replace(_DAY_FIRST, "$3-$2-$1").str.replace(_YEAR_FIRST, "$1-$2-$3")
    plain = plain.str.replace(_MONTH_ONLY, "$1-$2-01").str.replace(_HOUR_ONLY, "$1:00$2")
    basic = plain.str.extract_groups(_BASIC).struct.unnest()
    year, month, day, hour, minute, second, zone = (pl.col(name) for name in basic.columns)
    clock = pl.format("T{}:{}:{}", hour, minute.fill_null("00"), second.fill_null("00"))
    joined = pl.format("{}-{}-{}", year, month, day) + clock.fill_null("") + zone.fill_null("")
    return pl.select(pl.coalesce(basic.select(joined).to_series(), plain)).to_series()


def _local_times(parts: pl.DataFrame) -> pl.Series:
    seconds = pl.col("seconds").str.replace(",", ".", literal=True)
    # 24:00 is the end of a day (ISO 8601), which is the next one's beginning.
    is_end = pl.col("time") == "24:00"
    clock = pl.when(is_end).then(pl.lit("00:00")).otherwise(pl.col("time").fill_null("00:00"))
    written = pl.concat_str("date", pl.concat_str(clock, seconds.fill_null(":00")), separator=" ")
    read = written.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    return parts.select(read + pl.duration(days=is_end.fill_null(False).cast(pl.Int64))).to_series()


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


def _read_local_times(text: pl.Series, local: pl.Series, timezone: str | None) -> Cells:
    """Times without an offset, as clocks in ``timezone`` show them; null and no problem where ``local`` is null."""
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
