"""Where is a building? Coordinates, cells of neighbours for honest intervals, regions, and places new to training."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.own_data.cells import PARSE_ERRORS, with_problem

Floats = NDArray[np.float64]

UNKNOWN = "unknown"
"""``region_id`` of a tile without coordinates."""

CELL_DEG = 0.05
"""Side of a cell: about 5 km. Tiles of one cell were flooded together and photographed together."""

REGION_DEG = 1.0

NEAR_KM = 0.5
"""A test tile with a training tile within this distance may show the same street."""

_KM_PER_DEG = 111.195
"""Of latitude, on a sphere with the Earth's mean radius of 6,371.0 km."""

_COORDINATES = ("longitude_deg", "latitude_deg")
_NAME = r"(?:^|/)(-?\d{1,3}\.\d+)_(-?\d{1,2}\.\d+)\.[^./]+$"
"""Of a file as in the Hurricane Harvey set: ``<longitude>_<latitude>.jpeg``, degrees."""


def with_coordinates(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns rows with ``longitude_deg`` and ``latitude_deg``: as a CSV file says, else as the file's name says.

    Args:
        rows: ``tile_id`` (a file's name); perhaps the two coordinates as text, and ``parse_errors``, which gets a word
            where the text is no number.
    """
    given = [pl.col(name) if name in rows.columns else pl.lit(None, pl.String) for name in _COORDINATES]
    numbers = [text.cast(pl.Float64, strict=False) for text in given]
    named = [pl.col("tile_id").str.extract(_NAME, number + 1).cast(pl.Float64) for number in range(2)]
    is_given = given[0].is_not_null() & given[1].is_not_null()
    is_number = numbers[0].is_not_null() & numbers[1].is_not_null()
    places = [
        pl.when(is_number).then(number).when(is_given).then(None).otherwise(name).alias(column)
        for number, name, column in zip(numbers, named, _COORDINATES, strict=True)
    ]
    if PARSE_ERRORS not in rows.columns:
        return rows.with_columns(places)
    problem = pl.when(is_given & ~is_number).then(pl.format("longitude_deg: '{}', '{}' are no degrees", *given))
    return with_problem(rows, problem).with_columns(places)


def with_places(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns rows with ``cell_id`` and ``region_id`` for their ``longitude_deg`` and ``latitude_deg``.

    Where a coordinate is missing, the tile is a cell of its own (its ``tile_id``) in the region ``unknown``.
    """

    def square(side: float) -> pl.Expr:
        west, south = ((pl.col(name) / side).floor() * side for name in _COORDINATES)
        return pl.format("{}_{}", west.round(2), south.round(2))

    is_known = pl.col("longitude_deg").is_not_null() & pl.col("latitude_deg").is_not_null()
    return rows.with_columns(
        pl.when(is_known).then(square(CELL_DEG)).otherwise("tile_id").alias("cell_id"),
        pl.when(is_known).then(square(REGION_DEG)).otherwise(pl.lit(UNKNOWN)).alias("region_id"),
    )


def with_new_places(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns rows with ``is_new_place``: whether no tile of the split ``train`` lies within 500 m.

    Null for a tile without coordinates, and for all where no training tile is known yet (the spine splits later).
    """
    learnt = rows.filter(pl.col("split") == "train") if "split" in rows.columns else rows.clear()
    known = learnt.drop_nulls(list(_COORDINATES))
    if known.is_empty():
        return rows.with_columns(pl.lit(None, dtype=pl.Boolean).alias("is_new_place"))
    distance = pl.Series(nearest_km(_points(rows), _points(known)))
    return rows.with_columns(pl.when(distance.is_nan()).then(None).otherwise(distance > NEAR_KM).alias("is_new_place"))


def _points(rows: pl.DataFrame) -> Floats:
    points: Floats = rows.select(_COORDINATES).to_numpy().astype(float)
    return points


def nearest_km(points: Floats, others: Floats) -> Floats:
    """Returns the distance to the nearest of ``others``, shape (N,), km; NaN where a coordinate is missing.

    Over such short ways the Earth is flat and its parallels shrink with the cosine of the latitude.

    Args:
        points: Longitude and latitude, degrees, shape (N, 2).
        others: The same, shape (M, 2), M > 0, none missing.
    """
    shrunk = np.cos(np.radians(points[:, 1]))
    nearest = np.full(len(points), np.inf)
    for start in range(0, len(others), 256):
        east = (points[:, None, 0] - others[None, start : start + 256, 0]) * shrunk[:, None]
        north = points[:, None, 1] - others[None, start : start + 256, 1]
        nearest = np.minimum(nearest, np.hypot(east, north).min(axis=1))
    distance: Floats = nearest * _KM_PER_DEG
    return distance
