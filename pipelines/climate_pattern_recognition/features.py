"""What is known of an oscillation at an issue time: its indices a few steps back, and their means over longer spans."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from modelyard.feature_store.schema import Feature, FeatureView
from modelyard.parameters import Parameters
from pipelines.climate_pattern_recognition.oscillations import step_number
from pipelines.climate_pattern_recognition.series import COVARIATES

if TYPE_CHECKING:
    import polars as pl

STATE = ("first_index", "second_index")
LAGS = (0, 1, 2, 3, 4, 7, 12)
COVARIATE_LAGS = (0, 3)
SPANS = (5, 10, 20, 30, 60, 120)
"""Steps (months or days). Spans of 60 and 120 days hold the slow part that the interannual RMM has left in."""

LONGEST_LOOK = max(SPANS)
"""How many steps a forecast looks back, the issue time included."""

FEATURE_VIEWS = (
    FeatureView(
        name="oscillation_state",
        entity="series",
        entity_dtype="string",
        ttl=timedelta(days=92),
        description="How the oscillation has been moving, at each step and including it.",
        features=(
            *(
                Feature(
                    name=f"{name}_lag_{lag}",
                    dtype="float64",
                    description=f"`{name}` {lag} steps before; null in a gap.",
                )
                for name in STATE
                for lag in LAGS
            ),
            *(
                Feature(
                    name=f"{name}_mean_{span}",
                    dtype="float64",
                    description=f"Mean of `{name}` over the last {span} steps, as far as they are known.",
                )
                for name in STATE
                for span in SPANS
            ),
            *(
                Feature(name=f"{name}_lag_{lag}", dtype="float64", description=f"`{name}` {lag} steps before.")
                for name in COVARIATES
                for lag in COVARIATE_LAGS
            ),
        ),
    ),
)
"""The features' schema."""


class FeatureParameters(Parameters):
    """Nothing to steer: lags and spans are part of the features' names, and serving needs the very same."""


def derive_features(records: pl.DataFrame, params: FeatureParameters) -> dict[str, pl.DataFrame]:
    """Computes the feature view; a row at step t uses the series' values at steps up to t.

    Args:
        records: Columns ``series``, ``oscillation``, ``event_time``, the indices at that time, in any order of rows;
            rows of one series and time are equal in these.
        params: See :class:`FeatureParameters`.

    Returns:
        View name to frame (``series``, ``event_time``, features in the schema's order), one row for each series and
        time, sorted by both.
    """
    import polars as pl

    values = (*STATE, *COVARIATES)
    present = [name for name in values if name in records.columns]
    steps = (
        records.select("series", "oscillation", "event_time", *present)
        .unique(["series", "event_time"], keep="first", maintain_order=True)
        .with_columns(
            step_number().cast(pl.Int64).alias("step"),
            *(pl.lit(None, dtype=pl.Float64).alias(name) for name in values if name not in present),
        )
        .sort("series", "step")
    )
    features = steps.select("series", "step", "event_time")
    for lag in LAGS:
        features = features.join(_lagged(steps, lag), on=["series", "step"], how="left", maintain_order="left")
    for span in SPANS:
        means = steps.rolling("step", period=f"{span}i", group_by="series").agg(
            pl.col(name).mean().alias(f"{name}_mean_{span}") for name in STATE
        )
        features = features.join(means, on=["series", "step"], how="left", maintain_order="left")
    view = FEATURE_VIEWS[0]
    return {view.name: features.select("series", "event_time", *(feature.name for feature in view.features))}


def _lagged(steps: pl.DataFrame, lag: int) -> pl.DataFrame:
    """The values ``lag`` steps before; a step that is not there gives no row."""
    import polars as pl

    names = (*STATE, *COVARIATES) if lag in COVARIATE_LAGS else STATE
    return steps.select("series", pl.col("step") + lag, *(pl.col(name).alias(f"{name}_lag_{lag}") for name in names))
