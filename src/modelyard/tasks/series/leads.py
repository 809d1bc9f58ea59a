"""Forecasts at several leads: the outcome of each issue time so many steps later, and metrics for each lead."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.own_data.cells import PARSE_ERRORS, with_problem


def with_outcomes(rows: pl.DataFrame, leads: Sequence[int], outcomes: Mapping[str, str]) -> pl.DataFrame:
    """Returns one row for each row and lead that has an outcome: a row of the series ``lead`` steps later.

    Args:
        rows: ``series``, ``step`` (int64; together unique), ``event_time``, ``parse_errors`` and the outcomes' columns.
        leads: Steps ahead, each at least 1.
        outcomes: New column to the column whose later value it holds.

    Returns:
        The columns of ``rows`` at the issue time, then ``lead_count`` (int64), ``target_at`` (the outcome's
        ``event_time``) and the outcomes, in the order of series, step and lead. ``parse_errors`` also tells what could
        not be read of the outcome.
    """
    later = rows.select(
        "series",
        "step",
        pl.col("event_time").alias("target_at"),
        *(pl.col(column).alias(name) for name, column in outcomes.items()),
        pl.format("at the time that is forecast: {}", PARSE_ERRORS).alias("_of_outcome"),
    )
    parts = [
        rows.with_columns(pl.lit(lead, pl.Int64).alias("lead_count")).join(
            later.with_columns(pl.col("step") - lead), on=["series", "step"], how="inner", maintain_order="left"
        )
        for lead in leads
    ]
    found = pl.concat(parts).sort("series", "step", "lead_count")
    return with_problem(found, pl.col("_of_outcome")).drop("_of_outcome")


def by_lead(
    lead: NDArray[np.int64],
    leads: Sequence[int],
    metrics: Mapping[str, Callable[[NDArray[np.bool_]], float]],
    min_rows: int,
) -> dict[str, float]:
    """Returns ``<metric>_lead_<lead>`` of each of ``leads``; NaN where there are fewer than ``min_rows`` rows.

    Args:
        lead: Of N rows, shape (N,).
        leads: Those that are reported.
        metrics: Name to a function of a mask over the rows, shape (N,), that returns the metric of the masked rows.
        min_rows: A metric of fewer rows would be chance.
    """
    found: dict[str, float] = {}
    for each in leads:
        at = lead == each
        is_enough = int(at.sum()) >= min_rows
        found |= {f"{name}_lead_{each}": metric(at) if is_enough else float("nan") for name, metric in metrics.items()}
    return found
