"""Reads corrections of rejected rows from ``--set`` or an edited CSV, and checks them before they are stored."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import ConfigurationError
from modelyard.files import atomic_file
from modelyard.own_data.cells import read_text_cells
from modelyard.records import Column, Contract
from modelyard.validation.quarantine import CORRECTION_TIMEZONE, REASONS, ROW_DIGEST, ROW_NUMBER

if TYPE_CHECKING:
    import polars as pl


def corrections_from_settings(settings: Sequence[str], contract: Contract) -> dict[str, str | None]:
    """Reads settings such as ``["amount_eur=12.5", "city="]``; an empty value stands for a missing one.

    Raises:
        ConfigurationError: The contract has no such column, or the value does not fit the column's type.
    """
    columns = {column.name: column for column in contract.columns}
    corrections: dict[str, str | None] = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign or name not in columns:
            near = get_close_matches(name, columns, n=1, cutoff=0.5)
            raise ConfigurationError(
                f"The contract has no column '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
                where=f"--set {setting}",
                way_out=f"write --set column=value; the columns are {', '.join(columns)}",
            )
        corrections[name] = _checked(columns[name], text, f"--set {setting}")
    return corrections


def save_for_editing(rows: "pl.DataFrame", contract: Contract, path: Path) -> None:
    """Writes rejected rows as a CSV to edit, for ``kedro quarantine release --from``.

    Args:
        rows: Rejected rows.
        contract: The columns to write.
        path: The file; it is replaced.
    """
    import polars as pl

    names = [column.name for column in contract.columns if column.name in rows.columns]
    times = [column.name for column in contract.columns if column.dtype == "datetime" and column.name in names]
    with atomic_file(path) as temporary:
        rows.select(ROW_NUMBER, *names, pl.col(REASONS).list.join("; "), ROW_DIGEST).with_columns(
            pl.col(times).dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
        ).write_csv(temporary)


def corrections_from_table(
    path: Path, rejected: "pl.DataFrame", contract: Contract
) -> tuple["pl.DataFrame", list[dict[str, str | None]]]:
    """Reads an edited CSV and returns the changed cells.

    Args:
        path: A file written by :func:`save_for_editing`, or any CSV with the key and the corrected columns.
        rejected: The rejected rows of the last run.
        contract: Its columns are compared, others are ignored.

    Returns:
        The rejected rows with a changed cell, and the changed cells of each (column name to text, None if missing).

    Raises:
        ConfigurationError: The file cannot be read, names a row that is not rejected (or more than one), or holds a
            cell that does not fit its column's type.
    """
    import polars as pl

    edited = _read_edited(path, contract)
    by = ROW_DIGEST if ROW_DIGEST in edited.columns else contract.key
    found = [_find_row(path, rejected, by, line, value) for line, value in enumerate(edited[by], start=2)]
    # Compare the parsed cells of each column with the rejected ones, so that other spellings of a value do not count.
    current = rejected[found]
    changes: list[dict[str, str | None]] = [{} for _ in found]
    for column in contract.columns:
        if column.name not in edited.columns or column.name not in rejected.columns:
            continue
        texts = edited[column.name]
        values, problems = read_text_cells(texts, column.dtype, CORRECTION_TIMEZONE)
        if problems.count():
            line = int(problems.is_not_null().arg_true()[0])
            raise ConfigurationError(
                f"{column.name}: {problems[line]}", where=f"{path}, line {line + 2}", way_out="correct the cell"
            )
        # A spreadsheet writes an empty string and a missing value alike, so they count as equal.
        was, now = (
            each.replace("", None) if each.dtype == pl.String else each for each in (current[column.name], values)
        )
        for row in (~was.eq_missing(now)).arg_true():
            changes[row][column.name] = _checked(column, texts[row] or "", f"{path}, line {row + 2}")
    is_changed = pl.Series([bool(change) for change in changes], dtype=pl.Boolean)
    return current.filter(is_changed), [change for change in changes if change]


def _read_edited(path: Path, contract: Contract) -> "pl.DataFrame":
    import polars as pl

    try:
        edited = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ConfigurationError(
            f"The corrections cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            way_out="give a CSV with commas, in UTF-8, as `kedro quarantine show <project> --save` writes it",
        ) from error
    if not {ROW_DIGEST, contract.key} & set(edited.columns):
        raise ConfigurationError(
            f"The corrections name no rows: there is neither a column {ROW_DIGEST} nor {contract.key}.",
            where=f"{path}, which has {', '.join(edited.columns)}",
            way_out="start from `kedro quarantine show <project> --save corrected.csv`",
        )
    return edited


def _find_row(path: Path, rejected: "pl.DataFrame", by: str, line: int, value: str | None) -> int:
    import polars as pl

    rows = rejected.select((pl.col(by).cast(pl.String) == (value or "")).arg_true()).to_series()
    if rows.len() != 1:
        raise ConfigurationError(
            f"{rows.len()} rejected rows have {by} = {value}, not one.",
            where=f"{path}, line {line}",
            way_out="the data may have changed: start from `kedro quarantine show <project> --save corrected.csv`",
        )
    return int(rows[0])


def _checked(column: Column, text: str, where: str) -> str | None:
    """Returns the text if it fits the column's type, None for a missing value."""
    import polars as pl

    read = read_text_cells(pl.Series(column.name, [text]), column.dtype, CORRECTION_TIMEZONE)
    if read.problems[0]:
        raise ConfigurationError(f"{column.name}: {read.problems[0]}", where=where, way_out="give another value")
    if text == "" or read.values[0] is None:
        if not column.nullable:
            raise ConfigurationError(f"{column.name} must have a value.", where=where, way_out="give one")
        return None
    return text
