"""What a part's recent readings tell at each reading: levels and rises over the last 28 days."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from modelyard.feature_store.schema import Feature, FeatureView
from modelyard.parameters import Parameters

FEATURE_VIEWS = (
    FeatureView(
        name="part_condition",
        entity="part_id",
        entity_dtype="string",
        ttl=timedelta(days=28),
        description="How a part has been doing, at each of its readings and including it.",
        features=(
            Feature(
                name="temperature_mean_28d_c",
                dtype="float64",
                description="Mean temperature over the readings of the last 28 days.",
                unit="°C",
            ),
            Feature(
                name="temperature_rise_28d_c",
                dtype="float64",
                description="Latest temperature minus the first of the last 28 days; 0 for a single reading.",
                unit="°C",
            ),
            Feature(
                name="vibration_mean_28d_mm_s",
                dtype="float64",
                description="Mean vibration over the readings of the last 28 days.",
                unit="mm/s",
            ),
            Feature(
                name="vibration_rise_28d_mm_s",
                dtype="float64",
                description="Latest vibration minus the first of the last 28 days; 0 for a single reading.",
                unit="mm/s",
            ),
        ),
    ),
)
"""The features' schema."""


class FeatureParameters(Parameters):
    """Nothing to steer: the window's length is part of the features' names, and serving needs the very same."""


def derive_features(records: pl.DataFrame, params: FeatureParameters) -> dict[str, pl.DataFrame]:
    """Computes the feature view; a row at time t uses the part's readings in (t - 28 days, t].

    Args:
        records: Columns ``part_id``, ``event_time``, ``temperature_c``, ``vibration_mm_s``, in any order of rows.
        params: See :class:`FeatureParameters`.

    Returns:
        View name to frame (``part_id``, ``event_time``, features in the schema's order), one row for each part and
        time, sorted by both.
    """
    temperature, vibration = pl.col("temperature_c"), pl.col("vibration_mm_s")
    condition = (
        records.sort("part_id", "event_time")
        .rolling("event_time", period="28d", group_by="part_id")
        .agg(
            temperature.mean().alias("temperature_mean_28d_c"),
            (temperature.last() - temperature.first()).alias("temperature_rise_28d_c"),
            vibration.mean().alias("vibration_mean_28d_mm_s"),
            (vibration.last() - vibration.first()).alias("vibration_rise_28d_mm_s"),
        )
        .unique(["part_id", "event_time"], keep="last", maintain_order=True)
    )
    return {"part_condition": condition}
