"""The year in a series: its waves, what is normal in each season, and anomalies from that."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DAYS_PER_YEAR = 365.25


def annual_waves(times: pl.Series) -> Floats:
    """Returns cosine and sine of each time's place in the year, shape (N, 2); 1 January is (1, 0)."""
    angle = 2 * np.pi * (times.dt.ordinal_day().to_numpy() - 1) / _DAYS_PER_YEAR
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def climatology(values: Floats, season: NDArray[np.int64], n_seasons: int) -> tuple[Floats, Floats]:
    """Returns mean and standard deviation of the values of each season, shape (S,) each.

    A season with fewer than two values gets those of all seasons; without any value they are 0 and 1.

    Args:
        values: Shape (N,), NaN where not known.
        season: Of each value, from 0, shape (N,).
        n_seasons: S.
    """
    is_known = np.isfinite(values)
    mean, std = np.zeros(n_seasons), np.ones(n_seasons)
    for number in range(n_seasons if is_known.any() else 0):
        found = values[is_known & (season == number)]
        found = found if found.size > 1 else values[is_known]
        mean[number], std[number] = found.mean(), found.std()
    return mean, std


def anomaly(column: str, season: pl.Expr, is_reference: pl.Expr) -> pl.Expr:
    """Returns a column less the mean of its season over the rows of the reference period.

    Args:
        column: The values.
        season: Rows of equal value share a season, such as ``pl.col("event_time").dt.month()``.
        is_reference: Which rows are of the reference period: those before the test, so that nothing of it leaks.
    """
    return pl.col(column) - pl.col(column).filter(is_reference).mean().over(season)
