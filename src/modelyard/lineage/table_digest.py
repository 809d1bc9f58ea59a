"""Digests of tables: the same content gives the same sha256, whatever file it came from."""

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def table_digest(table: "pl.DataFrame") -> str:
    """Returns the hex sha256 over column names, dtypes, missing values and content, row order included.

    It is computed from the values and not from a file's bytes, so that another Parquet writer does not change it.

    Args:
        table: Columns of numbers, booleans, strings, datetimes or lists of these.
    """
    import polars as pl

    digest = sha256(f"{table.height}".encode())
    for column in table:
        series = column
        digest.update(f"\0{series.name}\0{series.dtype}\0".encode())
        if isinstance(series.dtype, (pl.List, pl.Array)):
            lengths = series.arr.len() if isinstance(series.dtype, pl.Array) else series.list.len()
            digest.update(lengths.fill_null(0).cast(pl.UInt32).to_numpy().tobytes())
            digest.update(series.is_null().to_numpy().tobytes())
            series = series.explode(empty_as_null=False, keep_nulls=False)
        if series.null_count():
            digest.update(series.is_null().to_numpy().tobytes())
        if series.dtype == pl.String:
            filled = series.fill_null("")
            digest.update(filled.str.len_bytes().to_numpy().tobytes())
            digest.update("".join(filled.to_list()).encode())
        else:
            physical = series.to_physical()
            filler = False if physical.dtype == pl.Boolean else 0
            digest.update(physical.fill_null(filler).to_numpy().tobytes())
    return digest.hexdigest()
