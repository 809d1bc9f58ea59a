"""At what pace has a collection moved lately? What was known just before each piece, never the piece itself."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.feature_store.schema import Feature, FeatureView, feature_names
from modelyard.parameters import Parameters
from modelyard.tasks.earlier_rows import means_before

if TYPE_CHECKING:
    import polars as pl

_WINDOW = timedelta(days=90)

FEATURE_VIEWS = (
    FeatureView(
        name="collection_style",
        entity="collection_id",
        entity_dtype="string",
        ttl=_WINDOW,
        description="How a collection's pieces of the 90 days before a moment were on average.",
        features=(
            Feature(
                name="collection_change_90d",
                dtype="float64",
                description="Mean `change_share` of the collection's earlier pieces of 90 days; null for too few.",
            ),
            Feature(
                name="collection_minor_90d",
                dtype="float64",
                description="Share of minor among the collection's earlier pieces of 90 days; null for too few.",
            ),
        ),
    ),
)
"""The features' schema."""

STYLE = tuple(feature_names(FEATURE_VIEWS))
"""Names of the two numbers, in the network's order."""


class FeatureParameters(Parameters):
    """What may vary without changing the features' meaning."""

    fewest_pieces: int = Field(5, ge=1, description="Earlier pieces below which a collection's style is not known.")


def derive_features(records: pl.DataFrame, params: FeatureParameters) -> dict[str, pl.DataFrame]:
    """Computes the feature view; a row at time t uses the collection's pieces in [t - 90 days, t).

    Args:
        records: Columns ``collection_id``, ``event_time``, ``change_share``, ``is_minor``, in any order of rows.
        params: See :class:`FeatureParameters`.

    Returns:
        View name to frame (``collection_id``, ``event_time``, features in the schema's order), one row for each
        collection and time, sorted by both.
    """
    means = {"collection_change_90d": "change_share", "collection_minor_90d": "is_minor"}
    return {"collection_style": means_before(records, "collection_id", _WINDOW, means, params.fewest_pieces)}
