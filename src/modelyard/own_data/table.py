"""A user's own table, CSV or Parquet, as raw records of a project's contract.

A file that cannot be understood at all is refused with the way out. A cell that cannot be read becomes null and is
named in the column ``parse_errors``, so that the validate stage can put the row into quarantine, with its reason.
"""

import codecs
import csv
import io
import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.own_data.cells import NO_TIME_ZONE, PARSE_ERRORS, SEPARATOR, Cells, problems_of, read_typed_cells
from modelyard.own_data.uneven_csv import read_uneven_csv
from modelyard.records import SPLITS, Contract, Dtype

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

_DELIMITERS = (",", ";", "\t", "|")
_HEAD_BYTES = 1 << 16
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


def read_own_table(
    path: Path, contract: Contract, columns: Mapping[str, str], timezone: str | None = None
) -> "pl.DataFrame":
    """Reads a user's table and gives it the contract's column names and types.

    Args:
        path: A CSV file (UTF-8, with a header; the delimiter is found by itself), a Parquet file, or a folder of
            Parquet files, read in the order of their names.
        contract: The columns to find. Others are dropped, with a word in the log; a column ``split`` is kept.
        columns: Contract's column to the user's column, where they differ.
        timezone: IANA name of the zone of times without an offset, such as ``Europe/Paris``.

    Returns:
        The contract's columns, ``split`` where the file has it, and ``parse_errors``, in the file's row order.

    Raises:
        ConfigurationError: The file is not there, or ``columns`` or ``timezone`` names something that does not exist.
        DataContractError: The file is empty, damaged or in another format, or columns are missing.
    """
    import polars as pl

    _check_parameters(path, contract, columns, timezone)
    cells = _read_cells(path, {column.name: columns.get(column.name, column.name) for column in contract.columns})
    read = {}
    for column in contract.columns:
        read[column.name] = _read_column(path, cells[column.name], column.dtype, timezone)
        if column.dtype == "datetime":
            _refuse_times_without_zone(path, column.name, cells[column.name], read[column.name])
    if "split" in cells.columns:
        read["split"] = _read_split(cells["split"].cast(pl.String))
    records = pl.DataFrame({name: column.values for name, column in read.items()})
    problems = {name: column.problems for name, column in read.items()}
    broken_lines = cells[PARSE_ERRORS] if PARSE_ERRORS in cells.columns else None
    records = records.with_columns(_joined(problems, broken_lines))
    n_unreadable = records[PARSE_ERRORS].count()
    if n_unreadable:
        logger.warning("%s rows of %s have cells that cannot be read: quarantine", f"{n_unreadable:,}", path.name)
    return records


def _check_parameters(path: Path, contract: Contract, columns: Mapping[str, str], timezone: str | None) -> None:
    import zoneinfo

    names = [column.name for column in contract.columns]
    for name in columns:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            raise ConfigurationError(
                f"The contract has no column '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
                where="ingest.columns",
                way_out=f"map from the contract's names: {', '.join(names)}",
            )
    if timezone is not None and timezone not in zoneinfo.available_timezones():
        near = get_close_matches(timezone, zoneinfo.available_timezones(), n=1)
        raise ConfigurationError(
            f"There is no time zone '{timezone}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            where="ingest.timezone",
            way_out="use a name of the IANA database, such as Europe/Paris or UTC",
        )
    if not path.exists():
        near = get_close_matches(path.name, [file.name for file in path.parent.glob("*")], n=1)
        raise ConfigurationError(
            "The data file is not there." + (f" Did you mean '{near[0]}'?" if near else ""),
            where=str(path.absolute()),
            way_out="set ingest.path to a CSV or Parquet file, or to a folder of Parquet files",
        )


def _read_cells(path: Path, wanted: Mapping[str, str]) -> "pl.DataFrame":
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


def _read_parquet(path: Path, wanted: Mapping[str, str]) -> "pl.DataFrame":
    import polars as pl

    head = _head(path)
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_PARQUET_MAGIC)))
        has_end = file.read() == _PARQUET_MAGIC
    if not head.startswith(_PARQUET_MAGIC):
        raise DataContractError("This is no Parquet file.", where=str(path), way_out="write it again, or name it .csv")
    if not has_end:
        raise DataContractError(
            "The Parquet file is truncated: its end is missing.", where=str(path), way_out="copy or write it again"
        )
    try:
        header = list(pl.read_parquet_schema(path))
        found = _find_columns(path, header, wanted)
        # Not projected while reading: a damaged page in any column means a damaged file.
        return pl.read_parquet(path, hive_partitioning=False).select(found)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataContractError(
            f"The Parquet file is damaged: {str(error).splitlines()[0]}",
            where=str(path),
            way_out="copy or write it again",
        ) from error


def _concatenated(path: Path, tables: Sequence["pl.DataFrame"]) -> "pl.DataFrame":
    import polars as pl

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


def _read_csv(path: Path, head: bytes, wanted: Mapping[str, str]) -> "pl.DataFrame":
    import polars as pl

    _check_is_text(path, head)
    delimiter, header = _find_delimiter(head, set(wanted.values()))
    found = _find_columns(path, header, wanted)
    try:
        # Every cell as a string: a type guessed from the first rows would turn a later bad cell into a failed read.
        table = pl.read_csv(path, separator=delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        _check_is_utf8(path)
        logger.warning("%s is no regular CSV (%s); reading it line by line", path.name, str(error).splitlines()[0])
        table = read_uneven_csv(path, delimiter)
        found.append(pl.col(PARSE_ERRORS))
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


def _find_delimiter(head: bytes, wanted: set[str]) -> tuple[str, list[str]]:
    """The delimiter that makes most wanted columns (then: most fields) of the header line, and that header."""
    text = head.decode("utf-8-sig", errors="replace").lstrip("\r\n")
    headers = {delimiter: next(csv.reader(io.StringIO(text), delimiter=delimiter)) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda each: (len(wanted.intersection(headers[each])), len(headers[each])))
    return best, headers[best]


def _find_columns(path: Path, header: Sequence[str], wanted: Mapping[str, str]) -> list["pl.Expr"]:
    """Expressions that select the wanted columns, and ``split`` where present, under the contract's names."""
    import polars as pl

    missing = {name: user for name, user in wanted.items() if user not in header}
    if missing:
        raise _missing_columns(path, header, missing)
    twice = sorted({user for user in wanted.values() if list(header).count(user) > 1})
    if twice:
        raise DataContractError(
            f"The file has more than one column called {', '.join(map(repr, twice))}.",
            where=str(path),
            way_out="rename one of them",
        )
    names = ({"split": "split"} if "split" in header else {}) | dict(wanted)
    dropped = [column for column in header if column not in names.values()]
    if dropped:
        logger.info("dropped columns that the contract does not have: %s", ", ".join(dropped))
    return [pl.col(user).alias(name) for name, user in names.items()]


def _missing_columns(path: Path, header: Sequence[str], missing: Mapping[str, str]) -> DataContractError:
    lowered = {column.lower(): column for column in header}
    hints, mapping = [], []
    for name, user in missing.items():
        near = get_close_matches(user.lower(), lowered, n=1, cutoff=0.5)
        hints.append(f"'{user}'" + (f" (did you mean '{lowered[near[0]]}'?)" if near else ""))
        mapping.append(f"{name}: {lowered[near[0]] if near else '<your column>'}")
    return DataContractError(
        f"Columns are missing: {', '.join(hints)}.",
        where=f"{path}, which has {', '.join(header)}",
        way_out=f"set ingest.columns: {{{', '.join(mapping)}}}",
    )


def _read_column(path: Path, cells: "pl.Series", dtype: Dtype, timezone: str | None) -> Cells:
    read = read_typed_cells(cells, dtype, timezone)
    if read is None:
        raise DataContractError(
            f"Column '{cells.name}' holds {cells.dtype}, which cannot become {dtype}.",
            where=str(path),
            way_out="convert the column, or map another one with ingest.columns",
        )
    return read


def _refuse_times_without_zone(path: Path, name: str, cells: "pl.Series", read: Cells) -> None:
    """A whole column without a time zone is one missing parameter, not a million broken cells."""
    import polars as pl

    n_without = read.problems.str.contains(NO_TIME_ZONE, literal=True).sum()
    if n_without and not read.values.count():
        example = cells.drop_nulls().cast(pl.String)[0]
        raise DataContractError(
            f"The times in '{name}' have no time zone, for example '{example}'.",
            where=str(path),
            way_out="set ingest.timezone to the zone they were written in, such as Europe/Paris or UTC",
        )


def _read_split(cells: "pl.Series") -> Cells:
    import polars as pl

    values = cells.replace_strict({name: name for name in SPLITS}, default=None, return_dtype=pl.String)
    return Cells(values, problems_of(cells, values, pl.lit(f"is none of {', '.join(SPLITS)}")))


def _joined(problems: Mapping[str, "pl.Series"], broken_lines: "pl.Series | None") -> "pl.Series":
    """``"amount_eur: '12,x' is no number; …"``, null where a row has no problem."""
    import polars as pl

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
