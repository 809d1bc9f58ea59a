"""What was known of a series at each step: values some steps before, means over spans, windows of samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


def with_lags(rows: pl.DataFrame, columns: Sequence[str], lags: Sequence[int]) -> pl.DataFrame:
    """Returns ``rows`` with ``<column>_lag_<lag>``: the value so many steps before, null where there is no such step.

    Args:
        rows: ``series``, ``step`` (int64; together unique) and ``columns``.
        columns: What is looked up.
        lags: Steps back; 0 is the row itself.
    """
    for lag in lags:
        # A join on the step, not a shift of rows: across a gap the value before is not the neighbouring row's.
        earlier = rows.select(
            "series", pl.col("step") + lag, *(pl.col(name).alias(f"{name}_lag_{lag}") for name in columns)
        )
        rows = rows.join(earlier, on=["series", "step"], how="left", maintain_order="left")
    return rows


def with_means(rows: pl.DataFrame, columns: Sequence[str], spans: Sequence[int]) -> pl.DataFrame:
    """Returns ``rows`` with ``<column>_mean_<span>``: the mean of the last so many steps as far as they are known.

    Args:
        rows: ``series``, ``step`` (int64; together unique, in this order) and ``columns``.
        columns: What is averaged.
        spans: Numbers of steps, the row's own included.
    """
    for span in spans:
        means = rows.rolling("step", period=f"{span}i", group_by="series").agg(
            pl.col(name).mean().alias(f"{name}_mean_{span}") for name in columns
        )
        rows = rows.join(means, on=["series", "step"], how="left", maintain_order="left")
    return rows


def windows(samples: NDArray[Any], length: int, stride: int) -> NDArray[Any]:
    """Returns all full windows of a signal as a read-only view, shape (M, length, ...), the earliest first.

    Window m holds the samples from ``m * stride`` on; M is 0 where the signal is shorter than a window.

    Args:
        samples: Shape (N, ...), one row for each sample.
        length: Samples in a window.
        stride: Samples from the begin of one window to the begin of the next.
    """
    if len(samples) < length:
        return np.empty((0, length, *samples.shape[1:]), samples.dtype)
    found = np.lib.stride_tricks.sliding_window_view(samples, length, axis=0)[::stride]
    return np.moveaxis(found, -1, 1)
