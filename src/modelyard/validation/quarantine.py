"""Quarantine: stores rejected rows with their reasons, and lets released or corrected rows in at the next run.

A release names a row by a digest of its content as it was rejected, so it never applies to anything else: when the
source changes the row, the release is stale and the row is checked anew. A row released unchanged is exempt only from
the rules it broke when it was released; any other rule still rejects it. A corrected row is checked like any other.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelyard.errors import BusyError, ConfigurationError, StorageError
from modelyard.files import atomic_file, writing
from modelyard.own_data.cells import PARSE_ERRORS, SEPARATOR, read_text_cells
from modelyard.paths import data_directory
from modelyard.records import Contract

if TYPE_CHECKING:
    import polars as pl

ROW_NUMBER, REASONS, RULES, CHECKS, IS_RELEASABLE, ROW_DIGEST = (
    "row_number",
    "rejected_because",
    "broken_rules",
    "broken_checks",
    "is_releasable",
    "row_digest",
)
BOOKKEEPING = (ROW_NUMBER, PARSE_ERRORS, REASONS, RULES, CHECKS, IS_RELEASABLE, ROW_DIGEST)
"""Columns of the rejected table that are not the row's own content."""

CORRECTION_TIMEZONE = "UTC"
"""Time zone of a corrected time without an offset."""

_LOCK_WAIT_S = 10


class Applied(NamedTuple):
    """Records with the releases applied.

    Args:
        records: The records, corrected cells replaced; same rows, same order.
        waived: Columns ``row`` (position from 0) and ``check``: the rules that a row released unchanged may break.
        corrected: Positions of corrected rows.
        n_stale: Releases that match no row.
    """

    records: "pl.DataFrame"
    waived: "pl.DataFrame"
    corrected: list[int]
    n_stale: int


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Criteria that select rejected rows; a row is selected when it meets any of them.

    Args:
        keys: Values of the key column.
        rows: Row numbers, as ``kedro quarantine show`` prints them.
        reason: Part of a broken rule's text, upper or lower case.
        is_all: Every row.
    """

    keys: Sequence[str] = ()
    rows: Sequence[int] = ()
    reason: str = ""
    is_all: bool = False


def row_digests(records: "pl.DataFrame") -> "pl.Series":
    """Returns the hex sha256 of each row's content; the n-th identical copy of a row has its own digest.

    Args:
        records: Rows with ``parse_errors``; with a row, all its identical copies must be present.
    """
    import polars as pl

    # Hash the row as JSON of its columns by name, so that their order does not matter; number identical rows.
    texts = [pl.col(name).cast(pl.String) for name in sorted(records.columns)]
    content = records.select(pl.struct(texts).struct.json_encode().alias("content"))
    numbered = content.with_columns(pl.int_range(pl.len()).over("content").alias("copy"))
    digests = [sha256(f"{copy} {text}".encode()).hexdigest() for text, copy in numbered.iter_rows()]
    return pl.Series(ROW_DIGEST, digests, dtype=pl.String)


def no_releases() -> "pl.DataFrame":
    """Returns an empty table of releases, with its columns.

    ``row_digest`` and ``key`` name the row; ``corrections`` is a JSON object, column to new value as text or null,
    ``{}`` for a row released unchanged; ``waived_checks`` names the rules that such a row may break; ``note`` is the
    user's reason.
    """
    import polars as pl

    text = dict.fromkeys((ROW_DIGEST, "key", "corrections"), pl.String)
    return pl.DataFrame(schema=text | {"waived_checks": pl.List(pl.String), "note": pl.String})


def apply_releases(records: "pl.DataFrame", released: "pl.DataFrame | None", contract: Contract) -> Applied:
    """Finds the released rows among the records and replaces corrected cells.

    Args:
        records: The contract's columns, ``parse_errors``, perhaps ``split``.
        released: The result of :func:`release`; None if nothing was ever released.
        contract: Gives the types by which corrected values are parsed.
    """
    import polars as pl

    if released is None or released.is_empty():
        return Applied(records, pl.DataFrame(schema={"row": pl.Int64, "check": pl.String}), [], 0)
    key = pl.col(contract.key).cast(pl.String)
    # Digests are computed only for rows whose key was released. Identical copies share their key, so every row's
    # copies are all among the candidates, as row_digests requires.
    is_candidate = key.is_in(released["key"].drop_nulls().implode()) | key.is_null()
    rows = pl.int_range(pl.len(), dtype=pl.Int64).alias("row")
    candidates = records.with_columns(rows).filter(is_candidate)
    named = candidates.select("row", row_digests(candidates.drop("row")))
    matched = named.join(released, on=ROW_DIGEST, how="inner", maintain_order="left")
    # A match without corrections waives rules; one with corrections replaces cells.
    is_corrected = pl.col("corrections") != "{}"
    waived = matched.filter(~is_corrected).select("row", pl.col("waived_checks").alias("check")).explode("check")
    corrections = {
        row: json.loads(text) for row, text in matched.filter(is_corrected).select("row", "corrections").iter_rows()
    }
    corrected = _correct(records, corrections, contract)
    return Applied(corrected, waived.drop_nulls(), list(corrections), released.height - matched.height)


def _correct(
    records: "pl.DataFrame", corrections: Mapping[int, Mapping[str, str | None]], contract: Contract
) -> "pl.DataFrame":
    """Returns the records with corrected cells and with ``parse_errors`` updated for the corrected rows.

    Args:
        records: The contract's columns and ``parse_errors``.
        corrections: Row position to column name to new value as text.
        contract: Gives the columns' types.
    """
    import polars as pl

    # Column by column: parse the new values and write them to their rows; collect what cannot be parsed by row.
    problems: dict[int, list[str]] = {row: [] for row in corrections}
    replaced = []
    for column in contract.columns:
        rows = [row for row, values in corrections.items() if column.name in values]
        if not rows:
            continue
        text = pl.Series(column.name, [corrections[row][column.name] for row in rows], dtype=pl.String)
        read = read_text_cells(text, column.dtype, CORRECTION_TIMEZONE)
        # scatter works in place; the clone keeps the caller's column unchanged.
        replaced.append(records[column.name].clone().scatter(rows, read.values))
        for row, problem in zip(rows, read.problems, strict=True):
            problems[row] += [f"{column.name}: {problem}"] if problem else []
    # A corrected row keeps the parse errors of its other columns and gets those of its new values.
    names = [column.name for column in contract.columns]
    rest = [
        SEPARATOR.join([*_other_problems(records[PARSE_ERRORS][row], names, corrections[row]), *found]) or None
        for row, found in problems.items()
    ]
    if corrections:
        texts = pl.Series(PARSE_ERRORS, rest, dtype=pl.String)
        replaced.append(records[PARSE_ERRORS].clone().scatter(list(corrections), texts))
    return records.with_columns(replaced)


def _other_problems(text: str | None, names: Sequence[str], corrected: Mapping[str, str | None]) -> list[str]:
    """Returns the parse errors of columns that were not corrected.

    An error that names no column (a line with too many fields) is dropped: the user saw it while correcting the row.
    """
    parts = re.split(rf"{SEPARATOR}(?=(?:{'|'.join(map(re.escape, names))}): )", text or "")
    return [part for part in parts if (name := part.split(": ")[0]) in names and name not in corrected]


def select_rows(rejected: "pl.DataFrame", key: str, selection: Selection) -> "pl.DataFrame":
    """Returns the rejected rows that meet a selection's criteria.

    Args:
        rejected: Rejected rows.
        key: Name of the key column.
        selection: The criteria.
    """
    import polars as pl

    is_wanted = pl.lit(selection.is_all) | pl.col(ROW_NUMBER).is_in(list(selection.rows))
    if selection.keys and key in rejected.columns:
        is_wanted |= pl.col(key).cast(pl.String).is_in(list(selection.keys)).fill_null(False)
    if selection.reason:
        named = pl.element().str.to_lowercase().str.contains(selection.reason.lower(), literal=True)
        is_wanted |= pl.col(RULES).list.concat(REASONS).list.eval(named).list.any()
    return rejected.filter(is_wanted)


def release(
    released: "pl.DataFrame", rows: "pl.DataFrame", key: str, corrections: Sequence[Mapping[str, str | None]], note: str
) -> "pl.DataFrame":
    """Adds releases to the table; a new release of a row replaces its earlier one.

    Args:
        released: The releases so far.
        rows: Rejected rows to release.
        key: Name of the key column.
        corrections: For each of ``rows`` its new values as text; an empty mapping releases it unchanged.
        note: The user's reason, stored with each release.
    """
    import polars as pl

    new = pl.DataFrame(
        {
            ROW_DIGEST: rows[ROW_DIGEST],
            "key": rows[key].cast(pl.String),
            "corrections": [json.dumps(values, sort_keys=True) for values in corrections],
            "waived_checks": [
                [] if values else checks for values, checks in zip(corrections, rows[CHECKS].to_list(), strict=True)
            ],
            "note": [note] * rows.height,
        },
        schema=no_releases().schema,
    )
    kept = released.filter(~pl.col(ROW_DIGEST).is_in(new[ROW_DIGEST].implode()))
    return pl.concat([kept, new]).sort("key", ROW_DIGEST)


def withdraw(released: "pl.DataFrame", keys: Sequence[str], is_all: bool) -> "pl.DataFrame":
    """Returns the releases without those of the given keys (or none): the next run checks their rows like any other."""
    import polars as pl

    return released.clear() if is_all else released.filter(~pl.col("key").is_in(list(keys)).fill_null(False))


def rule_counts(rejected: "pl.DataFrame") -> "pl.DataFrame":
    """Returns ``rule``, ``n_rows`` and ``n_releasable``, most rows first; a row counts for each rule it breaks."""
    import polars as pl

    rules = rejected.select(pl.col(RULES).alias("rule"), IS_RELEASABLE).explode("rule")
    counts = rules.group_by("rule").agg(pl.len().alias("n_rows"), pl.col(IS_RELEASABLE).sum().alias("n_releasable"))
    return counts.sort("n_rows", "rule", descending=[True, False])


def folder(project: str) -> Path:
    """Returns the folder of a project's quarantine: ``02_intermediate/<project>`` in the data folder."""
    return data_directory() / "02_intermediate" / project


def read_rejected(project: str) -> "pl.DataFrame":
    """Returns the rejected rows of a project's last run.

    Raises:
        ConfigurationError: The project has not been run.
        StorageError: The file is damaged.
    """
    path = folder(project) / "rejected_records.parquet"
    if not path.exists():
        raise ConfigurationError(
            f"There are no rejected rows of {project}: it has not been run here.",
            where=str(path),
            way_out=f"kedro run --pipeline={project}",
        )
    return _read(path, BOOKKEEPING)


def read_released(project: str) -> "pl.DataFrame":
    """Returns the releases of a project; an empty table if it has none.

    Raises:
        StorageError: The file is damaged.
    """
    path = folder(project) / "released_records.parquet"
    return _read(path, no_releases().columns) if path.exists() else no_releases()


def change_releases(project: str, change: "Callable[[pl.DataFrame], pl.DataFrame]") -> tuple[int, int]:
    """Reads the releases, changes them and stores them, whole or not at all; one process at a time.

    Args:
        project: The project's name.
        change: ``change(releases)`` returns the new table of releases.

    Returns:
        The number of releases before and after.

    Raises:
        BusyError: Another process is changing them.
        StorageError: The disk is full or the folder read-only; the old file is untouched.
    """
    from filelock import FileLock, Timeout

    path = folder(project) / "released_records.parquet"
    lock = data_directory() / "locks" / f"{project}.quarantine.lock"
    with writing(path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=_LOCK_WAIT_S):
                before = read_released(project)
                after = change(before)
                with atomic_file(path) as temporary:
                    after.write_parquet(temporary)
        except Timeout as error:
            raise BusyError(
                f"Another process is changing the releases of {project}.", where=str(lock), way_out="try again"
            ) from error
    return before.height, after.height


def _read(path: Path, columns: Sequence[str]) -> "pl.DataFrame":
    import polars as pl

    try:
        table = pl.read_parquet(path)
        table.select(columns)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StorageError(
            f"The stored table cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            way_out="restore it, or delete it and run the pipeline again",
        ) from error
    return table
