"""What a good forecast is: quantiles that are sharp, and that outcomes keep to as often as they promise."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.quantiles import interval_coverage, pinball
from modelyard.tasks.series.leads import by_lead
from pipelines.starter_project.data import LEADS
from pipelines.starter_project.model import LEVELS, ForecastModel, quantiles_kwh

Floats = NDArray[np.float64]

QUANTILES = tuple(f"quantile_{100 * each:.0f}_kwh" for each in LEVELS)
"""Columns of a prediction."""

_MIDDLE = LEVELS.index(0.5)


class ScoreParameters(Parameters):
    """What is reported."""

    min_rows: int = Field(50, ge=1, description="A metric of a single lead with fewer rows is not reported.")


def predict(model: ForecastModel, examples: pl.DataFrame) -> pl.DataFrame:
    """How much each hall will use.

    Args:
        model: A trained model.
        examples: Features, ``event_time`` and ``lead_count``; at least one row.

    Returns:
        :data:`QUANTILES`, float64, ascending, row for row.
    """
    return _as_columns(quantiles_kwh(model, examples))


def _as_columns(quantiles: Floats) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(QUANTILES, quantiles.T, strict=True)))


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of forecasts.

    Args:
        rows: Has ``outcome_kwh``, ``lead_count`` and :data:`QUANTILES`.
        params: See :class:`ScoreParameters`.

    Returns:
        ``mean_pinball_loss`` over all quantiles and ``mean_absolute_error`` of the median, in kWh, ``coverage_80``, the
        share of outcomes between the outer quantiles, and the loss of each lead. NaN where the rows cannot answer.
    """
    outcome, quantiles = rows["outcome_kwh"].to_numpy(), rows.select(QUANTILES).to_numpy()
    losses: Floats = pinball(quantiles, np.array(LEVELS), outcome).mean(axis=1)
    return {
        "mean_pinball_loss": float(losses.mean()) if rows.height else np.nan,
        "mean_absolute_error": float(np.abs(outcome - quantiles[:, _MIDDLE]).mean()) if rows.height else np.nan,
        "coverage_80": interval_coverage(quantiles[:, 0], quantiles[:, -1], outcome),
        **by_lead(
            rows["lead_count"].to_numpy(),
            LEADS,
            {"mean_pinball_loss": lambda at: float(losses[at].mean())},
            params.min_rows,
        ),
    }


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Returns the trivial rule's forecast: the same weekday before, give or take how wrong that was in training."""
    errors = train["outcome_kwh"].to_numpy() / _week_before(train) - 1
    spread = np.quantile(errors[np.isfinite(errors)], LEVELS)
    return _as_columns(_week_before(test)[:, None] * (1 + spread))


def _week_before(rows: pl.DataFrame) -> Floats:
    """What was used on the latest known day with the weekday that is forecast; the issue day where it is not known."""
    used = pl.col("used_kwh")
    for lead in LEADS:
        before = pl.coalesce(f"used_kwh_lag_{7 - lead}", "used_kwh")
        used = pl.when(pl.col("lead_count") == lead).then(before).otherwise(used)
    return rows.select(used.clip(lower_bound=1e-3)).to_series().to_numpy()
