"""What does a reviewer look at? Whether quantiles mean what they say, how the error grows, and a forecast itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from modelyard.tasks.figures import COLOURS, INK, MUTED, axes, figure_style
from pipelines.starter_project.data import LEADS
from pipelines.starter_project.evaluate import QUANTILES
from pipelines.starter_project.model import LEVELS, ForecastModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure_style()
def figures(rows: pl.DataFrame, model: ForecastModel) -> dict[str, Figure]:
    """Draws the test rows' forecasts.

    Args:
        rows: Test rows with predictions.
        model: Not needed here.

    Returns:
        ``quantiles``: share of outcomes below each quantile, and errors by lead; ``forecast``: the outcomes of one hall
        and the forecasts of the shortest lead.
    """
    quantiles, (left, right) = axes(2)
    left.axline((0, 0), slope=1, color=MUTED, linewidth=1)
    is_below = rows["outcome_kwh"].to_numpy()[:, None] <= rows.select(QUANTILES).to_numpy()
    left.plot(LEVELS, is_below.mean(axis=0), "o", color=COLOURS[0])
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="level of the quantile", ylabel="share of outcomes below it")
    error = (pl.col("outcome_kwh") - pl.col(QUANTILES[len(QUANTILES) // 2])).abs().mean()
    by_lead = rows.group_by("lead_count").agg(error.alias("error")).sort("lead_count")
    right.plot(by_lead["lead_count"], by_lead["error"], "o-", color=COLOURS[0])
    right.set(xlabel="days ahead", ylabel="mean absolute error (kWh)", ylim=(0, None))
    return {"quantiles": quantiles, "forecast": _forecast(rows)}


def _forecast(rows: pl.DataFrame) -> Figure:
    figure, (place,) = axes(size=(8, 3.6))
    shown = rows.filter(pl.col("series") == rows["series"].min(), pl.col("lead_count") == min(LEADS)).sort("target_at")
    day = np.asarray(shown["target_at"].to_numpy())
    place.fill_between(day, shown[QUANTILES[0]], shown[QUANTILES[-1]], color=COLOURS[0], alpha=0.25, linewidth=0)
    place.plot(day, shown[QUANTILES[len(QUANTILES) // 2]], color=COLOURS[0], linewidth=1.5, label="forecast")
    place.plot(day, shown["outcome_kwh"], ".", color=INK, markersize=4, label="outcome")
    place.set(ylabel="use of a day (kWh)")
    place.tick_params(axis="x", labelrotation=30)
    place.legend(loc="best")
    return figure
