"""What would the predictions have earned, after costs?

Each day's predictions make a book of equal parts, long what is to rise and short what is to fall, held from close to
close. Rows of the neutral band are held too: at the close nobody knows which they will be. A position that turns around
is traded twice its size. Dividends are in the adjusted closes; lending fees and market impact are not.
"""

from __future__ import annotations

import numpy as np
import polars as pl


def daily_book(rows: pl.DataFrame, cost_bps: float) -> pl.DataFrame:
    """Returns the book of each day on which something can be traded.

    Args:
        rows: ``symbol``, ``event_time``, ``target_at``, ``trading_day``, ``volume_count`` (null: cannot be traded),
            ``move_pct``, ``is_up_predicted``; all rows of a day, those of the neutral band included. Days that a
            bootstrap drew several times are held once and counted so often.
        cost_bps: Cost of trading, in hundredths of a percent of what is traded.

    Returns:
        ``event_time``, ``gross_bps``, ``turnover_ratio`` (traded over held), ``net_bps`` and ``n_drawn``, sorted by
        time; empty where targets lie more than a day ahead, since such books would overlap. Where a bootstrap left days
        out, what is traded is the difference to the last day that was drawn.
    """
    span = (pl.col("target_at") - pl.col("event_time")).dt.total_days().median()
    tradable = rows.filter(pl.col("volume_count").is_not_null(), span < 2)
    held = (
        tradable.group_by("symbol", "event_time")
        .agg(pl.col("move_pct").first(), pl.col("is_up_predicted").first(), pl.col("trading_day").n_unique())
        .sort("symbol", "event_time")
        .with_columns((2 * pl.col("is_up_predicted").cast(pl.Float64) - 1).alias("position"))
    )
    before = pl.col("position").shift(1).over("symbol").fill_null(0.0)
    return (
        held.with_columns((pl.col("position") - before).abs().alias("traded"))
        .group_by("event_time")
        .agg(
            (100 * (pl.col("position") * pl.col("move_pct")).mean()).alias("gross_bps"),
            pl.col("traded").mean().alias("turnover_ratio"),
            pl.col("trading_day").max().alias("n_drawn"),
        )
        .with_columns((pl.col("gross_bps") - cost_bps * pl.col("turnover_ratio")).alias("net_bps"))
        .sort("event_time")
    )


def earnings(rows: pl.DataFrame, cost_bps: float) -> dict[str, float]:
    """Returns means over the days: ``gross_bps_per_day``, ``net_bps_per_day``; NaN for no book."""
    book = daily_book(rows, cost_bps)
    names = {"gross_bps_per_day": "gross_bps", "net_bps_per_day": "net_bps"}
    if not book.height:
        return dict.fromkeys(names, float("nan"))
    weights = book["n_drawn"].to_numpy()
    return {ours: float(np.average(book[name].to_numpy(), weights=weights)) for ours, name in names.items()}


def turnover_ratio(rows: pl.DataFrame) -> float:
    """Returns what is traded over what is held, the mean over the days in their order; NaN for no book."""
    book = daily_book(rows, cost_bps=0.0)
    return float(book["turnover_ratio"].to_numpy().mean()) if book.height else float("nan")
