"""Finds requests that were sent again and again: they say nothing about what others ask, and would alarm everywhere."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from modelyard.watched_columns import flat

if TYPE_CHECKING:
    import polars as pl

_FEW = 20
"""Rows of one request that are never too many."""


class Distinct(NamedTuple):
    """Rows among which a request that was sent very often counts once.

    Args:
        rows: Those rows.
        n_copies: Rows of the request that was sent most often; 0 if none was sent too often.
    """

    rows: "pl.DataFrame"
    n_copies: int


def distinct_requests(rows: "pl.DataFrame", inputs: Sequence[str], largest_share: float) -> Distinct:
    """Returns the rows, with the first one alone of each request that is a larger share of them than it may be.

    Args:
        rows: M rows.
        inputs: Watched inputs; rows that are equal in all of them are copies of one request.
        largest_share: Share of the M rows that one request may be; so many as 20 rows it may be in any window.
    """
    import polars as pl

    if not inputs or not rows.height:
        return Distinct(rows, 0)
    groups = _groups(rows, inputs)
    is_copied = (pl.col("n") > _FEW) & (pl.col("n") > largest_share * rows.height)
    copied = groups.filter(is_copied)
    if not copied.height:
        return Distinct(rows, 0)
    kept = groups.filter(~is_copied | pl.col("is_first"))["_row"]
    return Distinct(rows[kept], int(copied["n"].to_numpy().max()))


def largest_share(rows: "pl.DataFrame", inputs: Sequence[str]) -> float:
    """Returns the share of the rows that are equal to the most frequent one; 0 without rows or inputs."""
    if not inputs or not rows.height:
        return 0.0
    return int(_groups(rows, inputs)["n"].to_numpy().max()) / rows.height


def _groups(rows: "pl.DataFrame", inputs: Sequence[str]) -> "pl.DataFrame":
    """Returns for each row, in order: ``_row``, ``n`` rows that are equal to it, ``is_first`` of them."""
    import polars as pl

    values = pl.DataFrame([flat(rows[name]) for name in inputs]).with_row_index("_row")
    names = [name for name in values.columns if name != "_row"]
    return values.select("_row", n=pl.len().over(names), is_first=pl.col("_row") == pl.col("_row").min().over(names))
