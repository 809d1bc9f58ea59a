"""CSV files whose lines have different numbers of fields: every line becomes a row, the odd ones say so."""

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import DataContractError
from modelyard.own_data.cells import PARSE_ERRORS

if TYPE_CHECKING:
    import _csv

    import polars as pl

_ROWS_AT_ONCE = 100_000
_SHOWN_CHARACTERS = 120


def read_uneven_csv(path: Path, delimiter: str, n_above: int = 0) -> "pl.DataFrame":
    """Reads a CSV that the fast reader refused, line by line.

    Args:
        path: A file in UTF-8 with a header.
        delimiter: One character.
        n_above: Lines above the header.

    Returns:
        The header's columns as strings, cut or filled with nulls where a line has another number of fields, and
        ``parse_errors``, which names those lines; an empty cell is null.

    Raises:
        DataContractError: A quotation mark is never closed, or a field is longer than any CSV reader takes.
    """
    import polars as pl

    with path.open(encoding="utf-8-sig") as file:  # lines may end in a carriage return alone
        for _ in range(n_above):
            file.readline()
        rows = _numbered_rows(path, csv.reader(file, delimiter=delimiter, strict=True), n_above)
        _, header = next(rows)
        names = _unique(header)
        parts = [pl.DataFrame(schema=dict.fromkeys(names, pl.String))]
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            columns = zip(*(_fit(line, row, len(header)) for line, row in chunk), strict=True)
            cells = dict(zip(names, columns, strict=True))  # of series, polars would rename one without a name
            parts.append(pl.DataFrame(cells, dict.fromkeys(names, pl.String)).with_columns(pl.all().replace("", None)))
    return pl.concat(parts)


def _unique(header: list[str]) -> list[str]:
    names: dict[str, None] = {}
    for name in header:
        names[name if name not in (*names, PARSE_ERRORS) else f"{name}_duplicated_{len(names)}"] = None
    return [*names, PARSE_ERRORS]


def _numbered_rows(path: Path, reader: "_csv.Reader", n_above: int) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of the line that each begins on; blank lines are left out."""
    line = n_above + 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = n_above + reader.line_num + 1
    except csv.Error as error:
        raise DataContractError(
            f"The CSV file cannot be split into rows: {error}.",
            where=f"{path}, the row that begins on line {line}",
            way_out="close the quotation mark there (a quotation mark inside a field is written twice)",
        ) from error


def _fit(line: int, row: list[str], width: int) -> list[str | None]:
    if len(row) == width:
        return [*row, None]
    text = " | ".join(row)[:_SHOWN_CHARACTERS]
    problem = f"line {line} has {len(row)} fields where the header has {width}: {text!r}"
    return [*row[:width], *[None] * (width - len(row)), problem]
