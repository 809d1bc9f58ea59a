"""How have a region's tiles looked lately? What was known just before each tile was taken, never the tile itself.

The network reads a tile relative to these levels, so that haze or a season is not mistaken for a flood.
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

_WINDOW = timedelta(days=7)

FEATURE_VIEWS = (
    FeatureView(
        name="region_light",
        entity="region_id",
        entity_dtype="string",
        ttl=_WINDOW,
        description="How a region's tiles of the 7 days before a moment looked on average.",
        features=(
            Feature(
                name="region_brightness_7d",
                dtype="float64",
                description="Mean `brightness_ratio` of the region's earlier tiles of 7 days; null for too few.",
            ),
            Feature(
                name="region_contrast_7d",
                dtype="float64",
                description="Mean `contrast_ratio` of the region's earlier tiles of 7 days; null for too few.",
            ),
        ),
    ),
)
"""The features' schema."""

LEVELS = tuple(feature_names(FEATURE_VIEWS))
"""Names of the two levels, in the network's order."""


class FeatureParameters(Parameters):
    """What may vary without changing the features' meaning."""

    fewest_tiles: int = Field(10, ge=1, description="Earlier tiles below which a region's levels are not known.")


def derive_features(records: pl.DataFrame, params: FeatureParameters) -> dict[str, pl.DataFrame]:
    """Computes the feature view; a row at time t uses the region's tiles in [t - 7 days, t).

    Args:
        records: Columns ``region_id``, ``event_time``, ``brightness_ratio``, ``contrast_ratio``, in any order of rows.
        params: See :class:`FeatureParameters`.

    Returns:
        View name to frame (``region_id``, ``event_time``, features in the schema's order), one row for each region
        and time, sorted by both.
    """
    means = {"region_brightness_7d": "brightness_ratio", "region_contrast_7d": "contrast_ratio"}
    return {"region_light": means_before(records, "region_id", _WINDOW, means, params.fewest_tiles)}
