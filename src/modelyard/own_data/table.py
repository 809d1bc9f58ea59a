"""A user's own table, CSV or Parquet, as raw records of a project's contract.

A file that cannot be understood at all is refused with the way out. A cell that cannot be read becomes null and is
named in the column ``parse_errors``, so that the validate stage can put the row into quarantine, with its reason.
"""

import codecs
import contextlib
import csv
import io
import json
import logging
import re
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import polars as pl

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.own_data.cells import (
    NO_TIME_ZONE,
    PARSE_ERRORS,
    SEPARATOR,
    Cells,
    problems_of,
    read_identifiers,
    read_typed_cells,
    unreadable_columns,
)
from modelyard.own_data.format import TableFormat, TableSourceParameters
from modelyard.own_data.uneven_csv import read_uneven_csv
from modelyard.records import SPLITS, Contract, Dtype

logger = logging.getLogger(__name__)

_DELIMITERS = (",", ";", "\t", "|")
_HEAD_BYTES = 1 << 16
_LINES_ABOVE = 12
_YAML_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
_TIME_WORDS = {"at", "date", "datetime", "datum", "day", "month", "time", "timestamp", "week", "when", "zeit"}
"""One of them stands in the header of a column of times."""

_NO_PLACES = {"Factory", "localtime", "build/etc/localtime"}
"""Entries of the system's zone database that name no zone."""

_STANDARD = TableFormat()
_PARQUET_MAGIC = b"PAR1"
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"ARROW1": "an Arrow (Feather) file",
    codecs.BOM_UTF16_LE: "text in UTF-16",
    codecs.BOM_UTF16_BE: "text in UTF-16",
}


class UnreadableColumnsError(DataContractError):
    """Columns of which no cell can be read: one wrong format, not a million broken rows.

    Args:
        found: The columns, with example cells.
        where: The file.
        way_out: What is understood, or the parameter that reads the column.
        records: The rows as they were read; each says in ``parse_errors`` why it is unreadable. The validate stage
            rejects them and writes its report all the same.
    """

    def __init__(self, found: str, *, where: str, way_out: str, records: pl.DataFrame) -> None:
        super().__init__(found, where=where, way_out=way_out)
        self.records = records


class _MissingColumnsError(DataContractError):
    """Columns are missing; ``nearest`` maps all of them to columns of the file, if each has a near one."""

    def __init__(self, found: str, *, where: str, way_out: str, nearest: Mapping[str, str] | None) -> None:
        super().__init__(found, where=where, way_out=way_out)
        self.nearest = nearest


def read_own_source(
    params: TableSourceParameters,
    contract: Contract,
    timezone: str | None = None,
    *,
    as_written: Collection[str] = (),
    optional: Collection[str] = (),
) -> pl.DataFrame:
    """Returns the records of the table that a project's ingest parameters name; see :func:`read_own_table`.

    Args:
        params: Their ``path``, ``columns`` and ``format`` are followed.
        contract: The columns to find. A nullable one is read only where ``params.columns`` or ``optional`` names it.
        timezone: As for :func:`read_own_table`.
        as_written: As for :func:`read_own_table`.
        optional: Nullable columns that are read, too.

    Raises:
        ConfigurationError: ``params.path`` is empty, or as for :func:`read_own_table`.
        DataContractError: As for :func:`read_own_table`.
    """
    if not params.path:
        raise ConfigurationError(
            "No own data are named.",
            where="<project>.ingest.path",
            way_out="set it to a CSV or Parquet file or to a folder of Parquet files, or choose source: simulated",
        )
    named = {*params.columns, *optional}
    wanted = tuple(column for column in contract.columns if not column.nullable or column.name in named)
    contract = replace(contract, columns=wanted)
    return read_own_table(Path(params.path), contract, params.columns, timezone, params.format, as_written=as_written)


def read_own_table(
    path: Path,
    contract: Contract,
    columns: Mapping[str, str],
    timezone: str | None = None,
    table_format: TableFormat = _STANDARD,
    *,
    as_written: Collection[str] = (),
) -> pl.DataFrame:
    """Reads a user's table and gives it the contract's column names and types.

    Args:
        path: A CSV file (UTF-8, with a header; the delimiter is found by itself), a Parquet file, or a folder of
            Parquet files, read in the order of their names.
        contract: The columns to find. Others are dropped, with a word in the log; a column ``split`` is kept. Text of
            identifiers is kept as it stands, and a number in scientific notation is refused there.
        columns: Contract's column to the user's column, where they differ. Blanks around a header and its letter case
            do not matter.
        timezone: IANA name of the zone of times without an offset, such as ``Europe/Paris``.
        table_format: How cells are written.
        as_written: Columns of times that are taken as the clock shows them, whatever the zone or offset: the days and
            months of a series. They come out as if the clock were one in UTC.

    Returns:
        The contract's columns, ``split`` where the file has it, and ``parse_errors``, in the file's row order.

    Raises:
        ConfigurationError: The file is not there, or ``columns`` or ``timezone`` names something that does not exist.
        DataContractError: The file is empty, damaged or in another format, or columns are missing.
        UnreadableColumnsError: No cell of a column can be read.
    """
    _check_parameters(path, contract, columns, timezone)
    try:
        cells = _read_cells(path, {column.name: columns.get(column.name, column.name) for column in contract.columns})
    except _MissingColumnsError as error:
        if error.nearest is None:
            raise
        try:
            mapped = {**columns, **error.nearest}
            read_own_table(path, contract, mapped, timezone, table_format, as_written=as_written)
        except DataContractError as further:
            # What the file needs beside the mapping is said at once.
            raise DataContractError(
                f"{error.found} With these columns: {further.found}",
                where=error.where,
                way_out=f"{error.way_out}; and {further.way_out}",
            ) from further
        raise
    read: dict[str, Cells] = {}
    examples: dict[str, str] = {}
    for column in contract.columns:
        zone_free = column.name in as_written
        if column.dtype == "string" and (column.is_identifier or column.name in (contract.key, contract.group)):
            read[column.name] = _read_identifiers(path, cells[column.name])
        else:
            read[column.name] = _read_column(path, cells[column.name], column.dtype, timezone, table_format, zone_free)
        if column.dtype == "datetime" and not zone_free:
            examples |= _times_without_zone(cells[column.name], read[column.name])
    if "split" in cells.columns:
        read["split"] = _read_split(cells["split"].cast(pl.String))
    records = pl.DataFrame({name: column.values for name, column in read.items()})
    problems = {name: column.problems for name, column in read.items()}
    broken_lines = cells[PARSE_ERRORS] if PARSE_ERRORS in cells.columns else None
    records = records.with_columns(_joined(problems, broken_lines))
    _refuse_unreadable_columns(path, records, examples)
    n_unreadable = records[PARSE_ERRORS].count()
    if n_unreadable:
        logger.warning("%s rows of %s have cells that cannot be read: quarantine", f"{n_unreadable:,}", path.name)
    return records


def header_of(path: Path, wanted: Collection[str]) -> list[str]:
    """Returns the headers of a user's table, without blanks around them and in lower case.

    Args:
        path: A CSV or Parquet file, or a folder of Parquet files, whose first one is taken.
        wanted: Headers by which a line below a title is known to be the header.

    Raises:
        ConfigurationError: The file is not there, or is no regular one.
        DataContractError: The file is empty or damaged.
    """
    _check_file(path)
    path = next(iter(sorted(path.rglob("*.parquet"))), path) if path.is_dir() else path
    head = b"" if path.is_dir() else _head(path)
    if not head:
        return []  # a folder without tables, as reading it says
    if head.startswith(_PARQUET_MAGIC):
        return [_plain(name) for name in _parquet_names(path)]
    return [_plain(name) for name in _find_header(head, set(wanted))[2]]


def _refuse_unreadable_columns(path: Path, records: pl.DataFrame, without_zone: Mapping[str, str]) -> None:
    zone = "set ingest.timezone to the zone they were written in, such as Europe/Paris or UTC"
    found = unreadable_columns(records)
    if without_zone and set(found) <= set(without_zone):
        name, example = next(iter(without_zone.items()))
        raise DataContractError(
            f"The times in '{name}' have no time zone, for example '{example}'.", where=str(path), way_out=zone
        )
    if not found:
        return
    lines = [f"'{name}': {'; '.join(problems)}" for name, problems in found.items()]
    raise UnreadableColumnsError(
        f"No cell of {'these columns' if len(found) > 1 else 'this column'} can be read: {' | '.join(lines)}.",
        where=str(path),
        way_out="set ingest.format (docs/data-contract.md, Your own data), or map another column with ingest.columns"
        + (f"; of the times {zone}" if without_zone else ""),
        records=records,
    )


def _check_parameters(path: Path, contract: Contract, columns: Mapping[str, str], timezone: str | None) -> None:
    names = [column.name for column in contract.columns]
    for name in columns:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            raise ConfigurationError(
                f"The contract has no column '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
                where="ingest.columns",
                way_out=f"map from the contract's names: {', '.join(names)}",
            )
    if timezone is not None and timezone not in (zones := available_timezones() - _NO_PLACES):
        near = get_close_matches(timezone, zones, n=1)
        raise ConfigurationError(
            f"There is no time zone '{timezone}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            where="ingest.timezone",
            way_out="use a name of the IANA database, such as Europe/Paris or UTC",
        )
    _check_file(path)


def _check_file(path: Path) -> None:
    if not path.exists():
        near = get_close_matches(path.name, [file.name for file in path.parent.glob("*")], n=1)
        raise ConfigurationError(
            "The data file is not there." + (f" Did you mean '{near[0]}'?" if near else ""),
            where=str(path.absolute()),
            way_out="set ingest.path to a CSV or Parquet file, or to a folder of Parquet files",
        )
    if not (path.is_dir() or stat.S_ISREG(path.stat().st_mode)):
        raise ConfigurationError(
            "The data file is a pipe or a device, which can be read only once.",
            where=str(path.absolute()),
            way_out="save its content as a file",
        )


def _read_cells(path: Path, wanted: Mapping[str, str]) -> pl.DataFrame:
    """The wanted columns under the contract's names, untouched, and ``split`` and ``parse_errors`` where present."""
    if path.is_dir():
        files = sorted(path.rglob("*.parquet"))
        if not files:
            raise DataContractError(
                "The folder holds no Parquet file.",
                where=str(path),
                way_out="set ingest.path to a CSV or Parquet file, or to a folder with *.parquet files",
            )
        return _concatenated(path, [_read_parquet(file, wanted) for file in files])
    head = _head(path)
    if head.startswith(_PARQUET_MAGIC) or path.suffix == ".parquet":
        return _concatenated(path, [_read_parquet(path, wanted)])
    return _read_csv(path, head, wanted)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"The data file cannot be read: {error.strerror}.", where=str(path), way_out="check its permissions"
        ) from error
    if not head.strip():
        raise DataContractError("The data file is empty.", where=str(path), way_out="set ingest.path to another file")
    return head


def _read_parquet(path: Path, wanted: Mapping[str, str]) -> pl.DataFrame:
    table = _arrow_table(path)
    found = _find_columns(path, table.column_names, wanted)
    try:
        with _panics_as_errors():
            read = pl.from_arrow(table.select([name for column in found for name in column.meta.root_names()]))
    except pl.exceptions.PolarsError as error:
        raise DataContractError(
            f"A column of the Parquet file cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            way_out="write it with another type",
        ) from error
    return pl.DataFrame(read).select(found)


def _check_ends(path: Path) -> None:
    """Checks that a Parquet file begins and ends as one does.

    Raises:
        DataContractError: It does not.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_PARQUET_MAGIC)))
        has_end = file.read() == _PARQUET_MAGIC
    if not _head(path).startswith(_PARQUET_MAGIC):
        raise DataContractError("This is no Parquet file.", where=str(path), way_out="write it again, or name it .csv")
    if not has_end:
        raise DataContractError(
            "The Parquet file is truncated: its end is missing.", where=str(path), way_out="copy or write it again"
        )


def _arrow_table(path: Path) -> Any:
    """All of a Parquet file, so that a damaged page of any column is found.

    Arrow says what is wrong with a damaged file; polars panics at some, and asks at others for more memory than there
    is, which ends the process. Times in a zone that the system does not name, such as ``+05:30``, become times in UTC.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_ends(path)
    try:
        table = pq.ParquetFile(path).read()
        table.validate(full=True)  # Arrow reads texts that are no UTF-8
        known = available_timezones()
        fields = [
            field.with_type(pa.timestamp(field.type.unit, "UTC"))
            if pa.types.is_timestamp(field.type) and field.type.tz and field.type.tz not in known
            else field
            for field in table.schema
        ]
        return table.cast(pa.schema(fields))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _parquet_names(path: Path) -> list[str]:
    """Returns the names of a Parquet file's columns without reading them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_ends(path)
    try:
        names: list[str] = pq.ParquetFile(path).schema_arrow.names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    return names


def _damaged(path: Path, error: Exception) -> DataContractError:
    return DataContractError(
        f"The Parquet file is damaged: {(str(error).splitlines() or ['it cannot be read'])[0]}",
        where=str(path),
        way_out="copy or write it again",
    )


@contextlib.contextmanager
def _panics_as_errors() -> Iterator[None]:
    """Polars answers some files with a panic, which is no Exception and would end the process."""
    try:
        yield
    except pl.exceptions.PanicException as panic:
        raise pl.exceptions.ComputeError(str(panic)) from panic


def _concatenated(path: Path, tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    try:
        table = pl.concat(tables, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataContractError(
            f"The files of the folder do not fit together: {str(error).splitlines()[0]}",
            where=str(path),
            way_out="give every file the same columns and types",
        ) from error
    if table.is_empty():
        raise DataContractError("The table has no rows.", where=str(path), way_out="set ingest.path to another file")
    return table


def _read_csv(path: Path, head: bytes, wanted: Mapping[str, str]) -> pl.DataFrame:
    _check_is_text(path, head)
    source: Path | bytes = path
    if b"\n" not in head and b"\r" in head:
        # Lines that end in a carriage return alone, as old spreadsheets for the Macintosh write them.
        source = path.read_bytes().replace(b"\r", b"\n")
        head = source[:_HEAD_BYTES]
    n_above, delimiter, header = _find_header(head, set(wanted.values()))
    if n_above:
        logger.info("passed over %s lines above the header of %s", n_above, path.name)
    found = _find_columns(path, header, wanted)
    try:
        # Every cell as a string: a type guessed from the first rows would turn a later bad cell into a failed read.
        with _panics_as_errors():
            table = pl.read_csv(source, separator=delimiter, infer_schema=False, skip_lines=n_above)
            table.select(found)  # raises where the fast reader has split the header otherwise
    except pl.exceptions.PolarsError as error:
        _check_is_utf8(path)
        logger.warning("%s is no regular CSV (%s); reading it line by line", path.name, str(error).splitlines()[0])
        table = read_uneven_csv(path, delimiter, n_above)
        found = [*_find_columns(path, table.columns, wanted), pl.col(PARSE_ERRORS)]
    is_blank = pl.all_horizontal(pl.all().is_null())
    n_blank = table.select(is_blank.sum()).item() if table.width > 1 else 0
    if n_blank:
        logger.info("skipped %s blank lines of %s", n_blank, path.name)
        table = table.filter(~is_blank)
    if table.is_empty():
        raise DataContractError(
            "The data file has a header and no rows.", where=str(path), way_out="set ingest.path to another file"
        )
    return table.select(found)


def _check_is_text(path: Path, head: bytes) -> None:
    for magic, what in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise DataContractError(
                f"The data file is {what}, neither CSV nor Parquet.",
                where=str(path),
                way_out="save it as CSV in UTF-8, or as Parquet",
            )
    if b"\0" in head:
        raise DataContractError(
            "The data file is binary, neither CSV nor Parquet.",
            where=str(path),
            way_out="save it as CSV in UTF-8, or as Parquet",
        )


def _check_is_utf8(path: Path) -> None:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataContractError(
                    f"The CSV file is not in UTF-8: byte 0x{line[error.start]:02x}, which is "
                    f"'{line[error.start : error.start + 1].decode('cp1252', errors='replace')}' in Windows-1252.",
                    where=f"{path}, line {number}",
                    way_out=f"convert it: iconv -f WINDOWS-1252 -t UTF-8 '{path.name}' > 'utf8_{path.name}'",
                ) from error


def _find_header(head: bytes, wanted: set[str]) -> tuple[int, str, list[str]]:
    """How many lines stand above the header, the delimiter, and the header's fields.

    A header is the line, of the first few, in which some delimiter makes most of the wanted columns; a line ``sep=;``,
    a title or comments may stand above it. Where no line has a wanted column, the first one is taken, with the
    delimiter that makes most fields.
    """
    lines = head.decode("utf-8-sig", errors="replace").splitlines(keepends=True)[:_LINES_ABOVE]
    names = {_plain(name) for name in wanted}
    best: tuple[int, int, int, str, list[str]] | None = None
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        for delimiter in _DELIMITERS:
            fields = _fields("".join(lines[number:]), delimiter)
            score = (len(names.intersection(map(_plain, fields))), -number, len(fields), delimiter, fields)
            if best is None or score[:3] > best[:3]:
                best = score
    if best is None:
        raise DataContractError("The data file is empty.", where="its first lines")
    return -best[1], best[3], best[4]


def _fields(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []


def _plain(name: str) -> str:
    """A header without what people do not see: blanks around it, letter case."""
    return name.strip().casefold()


def _find_columns(path: Path, header: Sequence[str], wanted: Mapping[str, str]) -> list[pl.Expr]:
    """Expressions that select the wanted columns, and ``split`` where present, under the contract's names."""
    names = ({"split": "split"} if "split" in map(_plain, header) else {}) | dict(wanted)
    taken, twice = {}, []
    for name, user in names.items():
        same = [column for column in header if column == user]
        same = same or [column for column in header if _plain(column) == _plain(user)]
        if len(same) > 1:
            twice.append(user)
        elif same:
            taken[name] = same[0]
    if twice:
        raise DataContractError(
            f"The file has more than one column called {', '.join(map(repr, sorted(set(twice))))}.",
            where=str(path),
            way_out="rename one of them",
        )
    if missing := {name: user for name, user in names.items() if name not in taken}:
        raise _missing_columns(path, header, missing)
    dropped = [column for column in header if column not in taken.values()]
    if dropped:
        logger.info("dropped columns that the contract does not have: %s", ", ".join(dropped))
    return [pl.col(user).alias(name) for name, user in taken.items()]


def _missing_columns(path: Path, header: Sequence[str], missing: Mapping[str, str]) -> _MissingColumnsError:
    """All missing columns at once, with the nearest ones of the file, and a way out that can be pasted."""
    # A file without a header, or a link to something else, must not be printed in an error.
    is_header = len(header) > 1 and 2 * sum(map(_is_name, header)) >= len(header)
    near = _nearest(missing, header) if is_header else {}
    hints = [
        f"'{user}'" + (f" (did you mean '{near[name]}'?)" if name in near else "") for name, user in missing.items()
    ]
    mapping = {name: near.get(name, "<your column>") for name in missing}
    shown = ", ".join(header) if is_header else f"{len(header)} fields like {_masked(header)}: is the header missing?"
    yaml = ", ".join(f"{name}: {_yaml(column)}" for name, column in mapping.items())
    option = ",".join(f"<project>.ingest.columns.{name}={column}" for name, column in mapping.items())
    can_be_option = not any(set(column) & set(",=:<> ") for column in mapping.values())
    return _MissingColumnsError(
        f"Columns are missing: {', '.join(hints)}.",
        where=f"{path}, which has {shown}",
        way_out=f"set ingest.columns: {{{yaml}}} in conf/base/<project>/parameters.yml"
        + (f", or --params={option}" if can_be_option else ""),
        nearest=mapping if not any(column.startswith("<") for column in mapping.values()) else None,
    )


def _nearest(missing: Mapping[str, str], header: Sequence[str]) -> dict[str, str]:
    """The likeliest column of the file for each missing one, where there is a likely one; none for two of them."""
    free = {_plain(column): column.strip() for column in header}
    found = {}
    for name, user in missing.items():
        near = get_close_matches(_plain(user), free, n=1, cutoff=0.5)
        if name == "event_time" or name.endswith("_at"):
            dated = [column for column in free if _TIME_WORDS & set(re.split(r"[^a-z]+", column))]
            near = [column for column in near if column in dated] or dated
        if near:
            found[name] = free.pop(near[0])
    left = [name for name in missing if name not in found]
    if len(left) == len(free) == 1:
        found[left[0]] = next(iter(free.values()))
    return found


def _is_name(header: str) -> bool:
    return re.fullmatch(r"[^\W\d][\w .%°€$/()-]{0,40}", header.strip()) is not None


def _masked(header: Sequence[str]) -> str:
    masked = [re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "x", field.strip()))[:20] for field in header[:4]]
    return " | ".join(masked)


def _yaml(text: str) -> str:
    """A scalar that YAML reads back as this text."""
    return text if re.fullmatch(r"[A-Za-z_][\w-]*", text) and text.lower() not in _YAML_WORDS else json.dumps(text)


def _read_identifiers(path: Path, cells: pl.Series) -> Cells:
    typed = _read_column(path, cells, "string", None, _STANDARD, zone_free=False)
    return read_identifiers(typed.values)


def _read_column(
    path: Path, cells: pl.Series, dtype: Dtype, timezone: str | None, table_format: TableFormat, zone_free: bool
) -> Cells:
    read = read_typed_cells(cells, dtype, timezone, table_format, as_written=zone_free)
    if read is None:
        raise DataContractError(
            f"Column '{cells.name}' holds {cells.dtype}, which cannot become {dtype}.",
            where=str(path),
            way_out="convert the column, or map another one with ingest.columns",
        )
    return read


def _times_without_zone(cells: pl.Series, read: Cells) -> dict[str, str]:
    """The column and an example, if it has no time zone throughout: one missing parameter, not a million bad cells."""
    n_without = read.problems.str.contains(NO_TIME_ZONE, literal=True).sum()
    if not n_without or read.values.count():
        return {}
    return {cells.name: cells.drop_nulls().cast(pl.String)[0]}


def _read_split(cells: pl.Series) -> Cells:
    values = cells.replace_strict({name: name for name in SPLITS}, default=None, return_dtype=pl.String)
    return Cells(values, problems_of(cells, values, pl.lit(f"is none of {', '.join(SPLITS)}")))


def _joined(problems: Mapping[str, pl.Series], broken_lines: pl.Series | None) -> pl.Series:
    """``"amount_eur: '12,x' is no number; …"``, null where a row has no problem."""
    n_rows = next(iter(problems.values())).len()
    texts: list[pl.Expr] = [
        pl.when(pl.lit(problem).is_not_null()).then(pl.format("{}: {}", pl.lit(name), pl.lit(problem)))
        for name, problem in problems.items()
        if problem.count()
    ]
    if broken_lines is not None:
        texts.insert(0, pl.lit(broken_lines))
    if not texts:
        return pl.Series(PARSE_ERRORS, [None], dtype=pl.String).new_from_index(0, n_rows)
    is_broken = pl.any_horizontal(text.is_not_null() for text in texts)
    joined = pl.concat_str(texts, separator=SEPARATOR, ignore_nulls=True)
    return pl.select(pl.when(is_broken).then(joined).alias(PARSE_ERRORS)).to_series()
