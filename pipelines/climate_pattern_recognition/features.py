"""What is known of an oscillation at an issue time: its indices a few steps back, and their means over longer spans."""

from datetime import timedelta

import polars as pl

from modelyard.feature_store.schema import Feature, FeatureView
from modelyard.parameters import Parameters
from modelyard.tasks.series.lags import with_lags, with_means
from pipelines.climate_pattern_recognition.oscillations import COVARIATES, STATE, steps_of

LAGS = (0, 1, 2, 3, 4, 7, 12)
COVARIATE_LAGS = (0, 3)
SPANS = (5, 10, 20, 30, 60, 120)
"""Steps (months, weeks or days). Spans of 60 and 120 days hold the slow part that the interannual RMM has left in."""

MAX_HISTORY = max(SPANS)
"""How many steps the features look back, the issue time included."""

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
    absent = [name for name in (*STATE, *COVARIATES) if name not in records.columns]
    rows = (
        records.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent)
        .select("series", "event_time", steps_of().alias("step"), *STATE, *COVARIATES)
        .unique(["series", "event_time"], keep="first", maintain_order=True)
        .sort("series", "step")
    )
    rows = with_lags(with_lags(rows, STATE, LAGS), COVARIATES, COVARIATE_LAGS)
    view = FEATURE_VIEWS[0]
    return {
        view.name: with_means(rows, STATE, SPANS).select(
            "series", "event_time", *(feature.name for feature in view.features)
        )
    }
