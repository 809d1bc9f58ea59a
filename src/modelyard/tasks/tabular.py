"""Columns of a table as numbers for models: categories with a place for what is unknown, numbers with their gaps.

Training decides which levels a category has; serving meets others, and columns that are all missing. Both have a place
that no level has, so no answer fails and no level is taken for another.

Shapes: N rows, C categories, D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

UNKNOWN, MISSING, FIRST_LEVEL = 0, 1, 2
"""Codes of a level that training did not know, of a missing value, and of the first level."""

Levels = Mapping[str, Sequence[str]]
"""Column to its known levels, in the order of their codes."""


def fit_levels(
    rows: pl.DataFrame, names: Sequence[str], *, order_by: Floats | None = None, min_rows: int = 1
) -> dict[str, list[str]]:
    """Returns the levels of categories as training rows have them.

    Args:
        rows: Training rows; ``names`` are strings.
        names: The categories.
        order_by: Shape (N,): levels ascend by its mean over their rows (equal ones by name), so that trees can cut
            the codes where the answer changes. None: alphabetical.
        min_rows: Levels of fewer rows are left out, and so are unknown.
    """
    value = pl.Series("value", np.zeros(rows.height) if order_by is None else order_by)
    found = {}
    for name in names:
        counted = (
            pl.DataFrame({"level": rows[name].cast(pl.String), "value": value})
            .drop_nulls("level")
            .sort("level", "value")  # sums do not depend on the order of the rows
            .group_by("level", maintain_order=True)
            .agg(n=pl.len(), mean=pl.col("value").mean())
            .filter(pl.col("n") >= min_rows)
        )
        found[name] = counted.sort("mean", "level")["level"].to_list()
    return found


def codes(rows: pl.DataFrame, levels: Levels) -> Integers:
    """Returns the codes of categories, int64 of shape (N, C): a level's place + 2, 0 if unknown, 1 if missing.

    Args:
        rows: A category that they lack is missing in all of them.
        levels: Of :func:`fit_levels`.
    """
    columns = []
    for name, known in levels.items():
        values = rows[name].cast(pl.String) if name in rows.columns else pl.repeat(None, rows.height, eager=True)
        places = {level: place for place, level in enumerate(known, FIRST_LEVEL)}
        coded = values.cast(pl.String).replace_strict(places, default=UNKNOWN, return_dtype=pl.Int64)
        columns.append(np.where(values.is_null().to_numpy(), MISSING, coded.to_numpy()))
    return np.stack(columns, axis=1) if columns else np.zeros((rows.height, 0), np.int64)


def ordered_codes(rows: pl.DataFrame, levels: Levels) -> Floats:
    """Returns codes for trees, shape (N, C): a level's place from 0, NaN where it is unknown or missing."""
    coded = codes(rows, levels).astype(np.float64)
    return np.where(coded < FIRST_LEVEL, np.nan, coded - FIRST_LEVEL)


def one_hot(coded: Integers, levels: Levels) -> Floats:
    """Returns one column for each level of each category, shape (N, sum of levels); unknown and missing are all 0.

    Args:
        coded: Of :func:`codes`.
        levels: The same.
    """
    parts = [
        coded[:, [place]] == np.arange(FIRST_LEVEL, FIRST_LEVEL + len(known))
        for place, known in enumerate(levels.values())
    ]
    return np.concatenate(parts, axis=1).astype(np.float64) if parts else np.zeros((len(coded), 0))


def numbers(rows: pl.DataFrame, names: Sequence[str]) -> Floats:
    """Returns columns as float64 of shape (N, D), NaN where a value is missing; a column that is not there is NaN."""
    columns = [
        rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if name in rows.columns
        else np.full(rows.height, np.nan)
        for name in names
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((rows.height, 0))


def filled(values: Floats, fill: Floats) -> tuple[Floats, Floats]:
    """Returns numbers without gaps, and a mask of where the gaps were.

    Args:
        values: Shape (N, D); NaN is a gap.
        fill: What stands in a gap, shape (D,): the median of training rows, for one.

    Returns:
        float64 of shape (N, D), and the mask as 0 and 1 of the same shape.
    """
    is_missing = np.isnan(values)
    return np.where(is_missing, fill, values), is_missing.astype(np.float64)


def blend_weight(first: Floats, second: Floats, loss: Callable[[Floats], float], n_steps: int = 20) -> float:
    """Returns the weight of ``second`` in the mean of two models' answers that has the least loss; of equals the least.

    Args:
        first: One model's answers on validation rows.
        second: The other's, of the same shape.
        loss: Of blended answers.
        n_steps: The weights tried are 0, 1 / ``n_steps``, ..., 1.
    """
    weights = [step / n_steps for step in range(n_steps + 1)]
    return min(weights, key=lambda weight: (loss((1 - weight) * first + weight * second), weight))
