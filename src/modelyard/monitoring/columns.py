"""Counts the values of each watched column in bins that the reference has fixed.

Numbers are binned at quantiles of the reference, frequent categories have a bin each, rare ones share one, and a list
is represented by the mean of its entries. The verdict needs only these counts of a window.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from modelyard.watched_columns import flat

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

N_CATEGORIES = 20
"""Number of categories with a separate bin: the most frequent ones."""

N_KNOWN_CATEGORIES = 1_000
"""A column with more categories has no list of known ones, because new values are normal for it."""

_DAY_US = 86_400_000_000
_OUTERMOST = 0.005
"""Share of rows at either end of a window that is ignored when its length is measured."""


class Counted(NamedTuple):
    """One column of a window in the reference's bins.

    Args:
        counts: Rows in each bin, shape (K,).
        n_missing: Rows without a value.
        n_unknown: Rows whose value is outside the reference's range, or a category that it does not have.
        is_constant: Whether all values are the same.
        mean: Mean of a numeric column, else NaN.
        example: One of the unknown values, for messages.
    """

    counts: "Integers"
    n_missing: int
    n_unknown: int
    is_constant: bool
    mean: float
    example: str


def describe(series: "pl.Series", n_bins: int) -> dict[str, Any]:
    """Returns the bins of a column of the reference.

    Args:
        series: The column's values.
        n_bins: Largest number of bins of a numeric column.

    Returns:
        ``{"kind": "number", "edges", "minimum", "maximum"}`` or ``{"kind": "category", "categories", "known"}``;
        a bin holds the values above the edge before it, up to and including its own; ``known`` may be None.
    """
    import numpy as np

    series = flat(series)
    if not series.dtype.is_numeric():
        counts = series.drop_nulls().value_counts(sort=True, name="rows")
        found = counts[series.name].cast(_text()).to_list()
        # If most values occur once, many more values are still unseen (Good 1953, Biometrika 40).
        is_open = len(found) > N_KNOWN_CATEGORIES or 2 * int((counts["rows"] == 1).sum()) > len(found)
        return {"kind": "category", "categories": found[:N_CATEGORIES], "known": None if is_open else sorted(found)}
    values = _numbers(series)
    values = values[np.isfinite(values)]
    if not len(values):
        return {"kind": "number", "edges": [], "minimum": None, "maximum": None}
    # Use quantiles that occur as values, so that rows with equal values share a bin.
    inner = np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1], method="inverted_cdf")
    edges = [float(edge) for edge in np.unique(inner)]
    return {"kind": "number", "edges": edges, "minimum": float(values.min()), "maximum": float(values.max())}


def widened(column: Mapping[str, Any], learned: "pl.Series") -> dict[str, Any]:
    """Returns the column with its known range or categories extended by those of ``learned``, and the same bins."""
    if column["kind"] == "category":
        if column["known"] is None:
            return dict(column)
        known = {*column["known"], *learned.drop_nulls().unique().cast(_text())}
        return dict(column) | {"known": sorted(known) if len(known) <= N_KNOWN_CATEGORIES else None}
    other = describe(learned, 2)
    bounds = {
        name: choose([each for each in (column[name], other[name]) if each is not None], default=None)
        for name, choose in (("minimum", min), ("maximum", max))
    }
    return dict(column) | bounds


def bins_of(series: "pl.Series", column: Mapping[str, Any]) -> "Integers":
    """Returns each row's bin, -1 for a missing value; shape (N,)."""
    import numpy as np
    import polars as pl

    series = flat(series)
    if column["kind"] == "category":
        places = {value: place for place, value in enumerate(column["categories"])}
        text = series.cast(pl.String)
        found = text.replace_strict(places, default=len(places), return_dtype=pl.Int64)
        return found.set(text.is_null(), -1).to_numpy()
    values = _numbers(series)
    return np.where(np.isnan(values), -1, np.searchsorted(np.array(column["edges"]), values, side="left"))


def n_bins_of(column: Mapping[str, Any]) -> int:
    """Returns the number of bins of a column."""
    return len(column["edges"] if column["kind"] == "number" else column["categories"]) + 1


def count(series: "pl.Series", column: Mapping[str, Any]) -> Counted:
    """Returns the counts of a window's column in the bins of the reference."""
    import numpy as np

    bins = bins_of(series, column)
    counts = np.bincount(bins + 1, minlength=n_bins_of(column) + 1)
    series = flat(series)
    mean = float("nan")
    if column["kind"] == "category":
        n_unknown, example, is_constant = _new_categories(series, column)
    else:
        values = _numbers(series)
        values = values[bins >= 0]
        n_unknown, example, is_constant = _out_of_range(values, column)
        mean = float(values.mean()) if len(values) else mean
    return Counted(counts[1:], int(counts[0]), n_unknown, is_constant, mean, example)


def clusters_of(table: "pl.DataFrame", names: list[str], event_time: str) -> "dict[str, Integers]":
    """Returns the clusters of resembling rows, by entity and by day: name to cluster code of each row, shape (N,).

    Args:
        table: Any rows.
        names: Columns that identify a customer, a place, a patient; those that the table lacks are left out.
        event_time: Name of its time column, if it has one.
    """
    import numpy as np
    import polars as pl

    keys = {name: table[name] for name in dict.fromkeys(names) if name in table.columns}
    if isinstance(table.schema.get(event_time), pl.Datetime):
        keys["day"] = table[event_time].dt.cast_time_unit("us").to_physical() // _DAY_US
    found = {name: key.rank("dense").fill_null(0).cast(pl.Int64).to_numpy() for name, key in keys.items()}
    return {name: codes for name, codes in found.items() if len(np.unique(codes)) > 1}


def days_in(table: "pl.DataFrame", event_time: str) -> float:
    """Returns the days from the first to the last row, without the outermost half percent on either side.

    Thus a single wrong time (the year 1) does not change the length. 0 if the table has no times.
    """
    import numpy as np
    import polars as pl

    if not isinstance(table.schema.get(event_time), pl.Datetime):
        return 0.0
    times = table[event_time].drop_nulls().dt.cast_time_unit("us").to_physical().to_numpy()
    if not len(times):
        return 0.0
    first, last = np.quantile(times, [_OUTERMOST, 1 - _OUTERMOST], method="nearest")
    return float(last - first) / _DAY_US


def _numbers(series: "pl.Series") -> "Floats":
    import polars as pl

    return series.cast(pl.Float64, strict=False).to_numpy()


def _text() -> Any:
    import polars as pl

    return pl.String


def _new_categories(series: "pl.Series", column: Mapping[str, Any]) -> tuple[int, str, bool]:
    found = series.cast(_text()).drop_nulls().value_counts(name="rows")
    is_constant = found.height == 1
    if column["known"] is None:
        return 0, "", is_constant
    new = found.filter(~found[series.name].is_in(column["known"]))
    return int(new["rows"].sum()), str(new[series.name][0]) if new.height else "", is_constant


def _out_of_range(values: "Floats", column: Mapping[str, Any]) -> tuple[int, str, bool]:
    if not len(values):
        return 0, "", False
    lowest, highest = float(values.min()), float(values.max())
    minimum, maximum = column["minimum"], column["maximum"]
    if minimum is None:
        return len(values), f"{lowest:g}", lowest == highest
    if minimum <= lowest and highest <= maximum:
        return 0, "", lowest == highest
    n_outside = int(((values < minimum) | (values > maximum)).sum())
    return n_outside, f"{lowest if lowest < minimum else highest:g}", lowest == highest
