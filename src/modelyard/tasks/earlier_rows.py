"""What an entity's earlier rows were like on average: features of scanners, regions, collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    import polars as pl

UNKNOWN = "unknown"
"""Entity of rows that do not name one: nothing is known about its past."""


def means_before(
    records: pl.DataFrame, entity: str, window: timedelta, means: Mapping[str, str], fewest_rows: int
) -> pl.DataFrame:
    """Means over an entity's rows in [t - window, t) for each of its rows' times t: never the row itself.

    Args:
        records: Columns ``entity``, ``event_time`` and those of ``means``, in any order of rows.
        entity: Name of the entity's column.
        window: How far back.
        means: Feature to the number or truth value that it is the mean of.
        fewest_rows: With fewer earlier rows the means are null, as they are for :data:`UNKNOWN`.

    Returns:
        ``entity``, ``event_time`` and the features (float64) in the order of ``means``; one row for each entity and
        time, sorted by both.
    """
    import polars as pl

    is_known = (pl.col("@rows") >= fewest_rows) & (pl.col(entity) != UNKNOWN)
    return (
        records.sort(entity, "event_time")
        .with_columns(pl.col(column).cast(pl.Float64) for column in set(means.values()))
        .rolling("event_time", period=window, group_by=entity, closed="left")
        .agg(pl.len().alias("@rows"), *(pl.col(column).mean().alias(name) for name, column in means.items()))
        .unique([entity, "event_time"], keep="last", maintain_order=True)
        .select(entity, "event_time", *(pl.when(is_known).then(name).alias(name) for name in means))
    )
