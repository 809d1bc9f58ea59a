"""How has a scanner exposed its pictures lately? What was known just before each exam, never the exam itself.

The networks read a picture relative to these levels, so that a scanner that becomes brighter is followed instead of
being mistaken for a disease.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.feature_store.schema import Feature, FeatureView, feature_names
from modelyard.parameters import Parameters
from modelyard.tasks.earlier_rows import means_before

if TYPE_CHECKING:
    import polars as pl

_WINDOW = timedelta(days=28)

FEATURE_VIEWS = (
    FeatureView(
        name="scanner_exposure",
        entity="scanner_id",
        entity_dtype="string",
        ttl=_WINDOW,
        description="How a scanner's pictures of the 28 days before a moment looked on average.",
        features=(
            Feature(
                name="scanner_brightness_28d",
                dtype="float64",
                description="Mean `brightness_ratio` of the scanner's earlier exams of 28 days; null for too few.",
            ),
            Feature(
                name="scanner_contrast_28d",
                dtype="float64",
                description="Mean `contrast_ratio` of the scanner's earlier exams of 28 days; null for too few.",
            ),
        ),
    ),
)
"""The features' schema."""

LEVELS = tuple(feature_names(FEATURE_VIEWS))
"""Names of the two levels, in the networks' order."""


class FeatureParameters(Parameters):
    """What may vary without changing the features' meaning."""

    fewest_exams: int = Field(10, ge=1, description="Earlier exams below which a scanner's levels are not known.")


def derive_features(records: pl.DataFrame, params: FeatureParameters) -> dict[str, pl.DataFrame]:
    """Computes the feature view; a row at time t uses the scanner's exams in [t - 28 days, t).

    Args:
        records: Columns ``scanner_id``, ``event_time``, ``brightness_ratio``, ``contrast_ratio``, in any order of rows.
        params: See :class:`FeatureParameters`.

    Returns:
        View name to frame (``scanner_id``, ``event_time``, features in the schema's order), one row for each scanner
        and time, sorted by both.
    """
    means = {"scanner_brightness_28d": "brightness_ratio", "scanner_contrast_28d": "contrast_ratio"}
    return {"scanner_exposure": means_before(records, "scanner_id", _WINDOW, means, params.fewest_exams)}
