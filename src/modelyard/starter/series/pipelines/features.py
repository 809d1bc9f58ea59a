"""What is known of a hall at the end of each day: its use on the days of the last two weeks, and its usual level."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from modelyard.feature_store.schema import Feature, FeatureView
from modelyard.parameters import Parameters
from modelyard.tasks.series.lags import with_lags, with_means
from modelyard.tasks.series.steps import step_number

LAGS = tuple(range(14))
"""Days back."""

SPAN = 28
"""Days of the usual level."""

FEATURE_VIEWS = (
    FeatureView(
        name="hall_use",
        entity="series",
        entity_dtype="string",
        ttl=timedelta(days=1),
        description="How much a hall has used lately, each day included.",
        features=(
            *(
                Feature(name=f"used_kwh_lag_{lag}", dtype="float64", description=f"Use {lag} days before.", unit="kWh")
                for lag in LAGS
            ),
            Feature(
                name=f"used_kwh_mean_{SPAN}",
                dtype="float64",
                description=f"Mean of the last {SPAN} days as far as they are known.",
                unit="kWh",
            ),
        ),
    ),
)
"""The features' schema."""


class FeatureParameters(Parameters):
    """Nothing to steer: lags and span are part of the features' names, and serving needs the very same."""


def derive_features(records: pl.DataFrame, params: FeatureParameters) -> dict[str, pl.DataFrame]:
    """Computes the feature view; a row of a day uses that day and those before it.

    Args:
        records: Columns ``series``, ``event_time``, ``used_kwh``, in any order; a day may have several rows.
        params: See :class:`FeatureParameters`.

    Returns:
        View name to frame (``series``, ``event_time``, features in the schema's order), one row for each hall and day,
        sorted by both.
    """
    days = records.select("series", "event_time", "used_kwh").unique(["series", "event_time"], keep="first")
    days = days.sort("series", "event_time").with_columns(step_number(pl.col("event_time"), "day").alias("step"))
    known = with_means(with_lags(days, ["used_kwh"], LAGS), ["used_kwh"], [SPAN])
    names = [feature.name for feature in FEATURE_VIEWS[0].features]
    return {"hall_use": known.select("series", "event_time", *names)}
