"""Where is a building? Cells of neighbours for honest intervals, regions, and whether training has seen the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.tasks.earlier_rows import UNKNOWN

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CELL_DEG = 0.05
"""Side of a cell: about 5 km. Tiles of one cell were flooded together and photographed together."""

REGION_DEG = 1.0

NEAR_KM = 0.5
"""A test tile with a training tile within this distance may show the same street."""

_KM_PER_DEG = 111.195
"""Of latitude, on a sphere with the Earth's mean radius of 6,371.0 km."""


def with_places(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds ``cell_id`` and ``region_id`` to rows with ``longitude_deg`` and ``latitude_deg``.

    Where a coordinate is missing, the tile is a cell of its own (its ``tile_id``) in the region ``unknown``.
    """
    import polars as pl

    def square(side: float) -> pl.Expr:
        west, south = ((pl.col(name) / side).floor() * side for name in ("longitude_deg", "latitude_deg"))
        return pl.format("{}_{}", west.round(2), south.round(2))

    is_known = pl.col("longitude_deg").is_not_null() & pl.col("latitude_deg").is_not_null()
    return rows.with_columns(
        pl.when(is_known).then(square(CELL_DEG)).otherwise("tile_id").alias("cell_id"),
        pl.when(is_known).then(square(REGION_DEG)).otherwise(pl.lit(UNKNOWN)).alias("region_id"),
    )


def with_new_places(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds ``is_new_place``: whether no tile of the split ``train`` lies within 500 m.

    Null for a tile without coordinates, and for all where no training tile is known yet (the spine splits later).
    """
    import polars as pl

    known = rows.filter(pl.col("split") == "train").drop_nulls(["longitude_deg", "latitude_deg"])
    if known.is_empty():
        return rows.with_columns(pl.lit(None, dtype=pl.Boolean).alias("is_new_place"))
    distance = nearest_km(_points(rows), _points(known))
    is_new = pl.Series("is_new_place", distance).is_nan()
    return rows.with_columns(pl.when(is_new).then(None).otherwise(pl.Series(distance) > NEAR_KM).alias("is_new_place"))


def _points(rows: pl.DataFrame) -> Floats:
    points: Floats = rows.select("longitude_deg", "latitude_deg").to_numpy().astype(float)
    return points


def nearest_km(points: Floats, others: Floats) -> Floats:
    """Distance to the nearest of ``others``, shape (N,), km; NaN where a coordinate is missing.

    Over such short ways the Earth is flat and its parallels shrink with the cosine of the latitude.

    Args:
        points: Longitude and latitude, degrees, shape (N, 2).
        others: The same, shape (M, 2), M > 0, none missing.
    """
    import numpy as np

    shrunk = np.cos(np.radians(points[:, 1]))
    nearest = np.full(len(points), np.inf)
    for start in range(0, len(others), 256):
        east = (points[:, None, 0] - others[None, start : start + 256, 0]) * shrunk[:, None]
        north = points[:, None, 1] - others[None, start : start + 256, 1]
        nearest = np.minimum(nearest, np.hypot(east, north).min(axis=1))
    distance: Floats = nearest * _KM_PER_DEG
    return distance
