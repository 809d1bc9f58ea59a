"""What the models read from a home: its attributes as numbers, what follows from them, and prices nearby.

Training decides which attributes are inputs (those that some training row knows), which levels a category has and which
range a number has; all of it is kept with the model as an :class:`InputSchema`. Derived columns that a law speaks of
only grow with what they are derived from, so that the law holds for the attributes themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from modelyard.tasks.tabular import codes, fit_levels, numbers, one_hot, ordered_codes
from pipelines.house_price_prediction.attributes import ATTRIBUTES
from pipelines.house_price_prediction.simulator import KM_PER_DEGREE

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

PLACE = ("longitude_deg", "latitude_deg")
NEAREST = (5, 10, 30)
"""How many of the nearest homes the columns of nearby prices are means over."""

_RAREST_LEVEL = 3
_ANGLES_DEG = (15, 30, 45, 60, 75)
"""Directions along which trees may cut the map, beside its axes: the coast of California runs across them."""

_SOFT_KM = 0.3
_USUAL_QUALITY = 6
_OLDEST = 100.0
_LAWS = {attribute.name: attribute.law for attribute in ATTRIBUTES}
_GRADES = {attribute.name: list(attribute.levels) for attribute in ATTRIBUTES if attribute.levels}
_CATEGORIES = [each.name for each in ATTRIBUTES if each.dtype == "string" and not each.levels]
_NUMBERS = [each.name for each in ATTRIBUTES if each.dtype != "string"]


class InputSchema(BaseModel):
    """Which inputs a model has, as its training rows decided."""

    model_config = ConfigDict(frozen=True)

    numbers: list[str]
    grades: dict[str, list[str]]
    categories: dict[str, list[str]]
    """Name to levels, ascending by their mean price."""
    ranges: dict[str, tuple[float, float]]
    """Number to its least and largest value."""
    areas: dict[str, int]
    """Area to its fold: homes of an area are in the same one."""

    @property
    def has_place(self) -> bool:
        """Whether homes have a place on the map."""
        return all(name in self.numbers for name in PLACE)


class Column(NamedTuple):
    """One input: its values, float64 of shape (N,), and whether more of it is never worth less (1), else 0."""

    values: Floats
    law: int


def learn_schema(rows: pl.DataFrame, z: Floats, n_folds: int) -> InputSchema:
    """Returns the inputs that training rows have.

    Args:
        rows: Training rows.
        z: Their prices on the model's scale, shape (N,); levels are ordered by it.
        n_folds: Areas are dealt to this many folds, the largest first, so that folds are of about one size.
    """
    known = [name for name in rows.columns if rows[name].count()]
    present = [name for name in _NUMBERS if name in known]
    values = numbers(rows, present)
    sizes = pl.Series("area", area_of(rows)).value_counts().sort(["count", "area"], descending=[True, False])
    return InputSchema(
        numbers=present,
        grades={name: levels for name, levels in _GRADES.items() if name in known},
        categories=fit_levels(
            rows, [name for name in _CATEGORIES if name in known], order_by=z, min_rows=_RAREST_LEVEL
        ),
        ranges={
            name: (float(np.nanmin(column)), float(np.nanmax(column)))
            for name, column in zip(present, values.T, strict=True)
        },
        areas={str(area): place % n_folds for place, area in enumerate(sizes["area"])},
    )


def area_of(rows: pl.DataFrame) -> list[str]:
    """Returns the area of each row: its neighbourhood, else its square of one degree; empty where neither is known."""
    empty = pl.repeat("", rows.height, eager=True)
    named = rows["neighbourhood"].fill_null("") if "neighbourhood" in rows.columns else empty
    square = empty
    if all(name in rows.columns for name in PLACE):
        square = rows.select(
            pl.format("{} {}", *(pl.col(name).floor().cast(pl.Int64) for name in PLACE)).fill_null("")
        ).to_series()
    found: list[str] = named.zip_with(named != "", square).to_list()
    return found


def tree_columns(rows: pl.DataFrame, schema: InputSchema) -> dict[str, Column]:
    """Returns the trees' inputs by name, NaN where a value is missing or a level unknown."""
    raw = dict(zip(schema.numbers, numbers(rows, schema.numbers).T, strict=True))
    columns = {name: Column(values, _LAWS[name]) for name, values in raw.items()}
    for kind, law in ((schema.grades, 1), (schema.categories, 0)):
        coded = ordered_codes(rows, kind)
        columns |= {name: Column(values, law * _LAWS[name]) for name, values in zip(kind, coded.T, strict=True)}
    with np.errstate(divide="ignore", invalid="ignore"):
        derived = {**_of_homes(raw, rows), **_of_blocks(raw)}
    return columns | {
        name: Column(np.where(np.isfinite(each.values), each.values, np.nan), each.law)
        for name, each in derived.items()
    }


def _of_homes(raw: dict[str, Floats], rows: pl.DataFrame) -> dict[str, Column]:
    """Sums of areas and of bathrooms, the age, and the time of the sale."""
    if "living_area_sqft" not in raw:
        return {}
    found = {}
    area = raw["living_area_sqft"] + np.nan_to_num(raw.get("basement_sqft", np.zeros(rows.height)))
    found["total_area_sqft"] = Column(area, 1)
    if "overall_quality" in raw:
        found["quality_times_area"] = Column(area * raw["overall_quality"], 1)
    baths = [
        weight * np.nan_to_num(raw[name])
        for name, weight in (("full_baths", 1.0), ("half_baths", 0.5), ("basement_full_baths", 1.0))
        if name in raw
    ]
    if baths:
        found["baths"] = Column(np.sum(baths, axis=0), 1)
    year = _years(rows)
    found["year_sold"] = Column(year, 0)
    for name in ("year_built", "year_remodelled"):
        if name in raw:
            found[f"years_since_{name}"] = Column(year - raw[name], 0)
    return found


def _of_blocks(raw: dict[str, Floats]) -> dict[str, Column]:
    """Homes and people of a block against each other, and the map along other directions."""
    found = {}
    for name, above, below in (
        ("rooms_per_household", "total_rooms", "households"),
        ("bedrooms_per_room", "total_bedrooms", "total_rooms"),
        ("people_per_household", "population", "households"),
        ("people_per_room", "population", "total_rooms"),
    ):
        if above in raw and below in raw:
            found[name] = Column(raw[above] / raw[below], 0)
    if all(name in raw for name in PLACE):
        east, north = raw[PLACE[0]], raw[PLACE[1]]
        for angle in _ANGLES_DEG:
            turned = east * np.cos(np.radians(angle)) + north * np.sin(np.radians(angle))
            found[f"place_at_{angle}_deg"] = Column(turned, 0)
    return found


def _years(rows: pl.DataFrame) -> Floats:
    """The time of each sale as a year with its fraction, shape (N,)."""
    time = pl.col("event_time").dt
    years = rows.select((time.year() + (time.ordinal_day() - 1) / 365.25).cast(pl.Float64)).to_series()
    return years.to_numpy()


def linear_columns(rows: pl.DataFrame, schema: InputSchema) -> dict[str, Column]:
    """Returns the ridge's inputs by name, NaN where a number is missing.

    They are logarithms of areas, the other numbers and grades as they are, where these bend, one column for each level,
    and the time.
    """
    raw = dict(zip(schema.numbers, numbers(rows, schema.numbers).T, strict=True))
    columns: dict[str, Column] = {}
    for name, values in raw.items():
        is_size = name.endswith(("_sqft", "_ft")) or name in (
            "median_income",
            "total_rooms",
            "population",
            "households",
        )
        columns[name] = Column(np.log1p(np.maximum(values, 0)) if is_size else values, _LAWS[name])
    grades = ordered_codes(rows, schema.grades)
    columns |= {name: Column(values, _LAWS[name]) for name, values in zip(schema.grades, grades.T, strict=True)}
    columns |= _bends(columns, _of_homes(raw, rows))
    columns["year_sold"] = Column(_years(rows), 0)
    levels = [f"{name}: {level}" for name, known in schema.categories.items() for level in known]
    hot = one_hot(codes(rows, schema.categories), schema.categories)
    return columns | {name: Column(values, 0) for name, values in zip(levels, hot.T, strict=True)}


def _bends(columns: dict[str, Column], derived: dict[str, Column]) -> dict[str, Column]:
    """What a straight line misses: the best and the oldest homes, and attributes that count for more together."""
    found = {}
    if "total_area_sqft" in derived:
        found["log_total_area"] = Column(np.log1p(derived["total_area_sqft"].values), 1)
    if "baths" in derived:
        found["baths"] = derived["baths"]
    if "overall_quality" in columns:
        above = columns["overall_quality"].values - _USUAL_QUALITY
        found["quality_squared"] = Column(above * np.abs(above), 1)
        if "log_total_area" in found:
            found["quality_times_log_area"] = Column(
                columns["overall_quality"].values * found["log_total_area"].values, 1
            )
    for name in ("year_built", "year_remodelled"):
        if f"years_since_{name}" in derived:
            found[f"root_of_years_since_{name}"] = Column(
                np.sqrt(np.maximum(derived[f"years_since_{name}"].values, 0)), 0
            )
    if "overall_condition" in columns and "years_since_year_built" in derived:
        age = np.clip(derived["years_since_year_built"].values, 0, _OLDEST)
        found["condition_times_age"] = Column(columns["overall_condition"].values * age, 1)
    return found


def stacked(columns: dict[str, Column]) -> Floats:
    """Returns inputs as one array of shape (N, D)."""
    return np.stack([column.values for column in columns.values()], axis=1)


def is_outside(rows: pl.DataFrame, schema: InputSchema) -> Booleans:
    """Returns whether a home has a number beyond all of training, or an area that nobody has been in, shape (N,)."""
    values = numbers(rows, schema.numbers)
    low, high = (np.array([schema.ranges[name][end] for name in schema.numbers]) for end in (0, 1))
    beyond: Booleans = np.any((values < low) | (values > high), axis=1)
    if schema.has_place:
        return np.logical_or(beyond, np.isnan(numbers(rows, PLACE)).any(axis=1))
    return np.logical_or(beyond, [area not in schema.areas for area in area_of(rows)])


class Places(NamedTuple):
    """Homes whose prices are known.

    Args:
        km: Where they are, shape (M, 3): points of the globe, km from its centre.
        z: Their prices on the model's scale, shape (M,).
    """

    km: Floats
    z: Floats

    @classmethod
    def of(cls, rows: pl.DataFrame, z: Floats) -> Places:
        """Returns the places of rows with coordinates."""
        km = to_km(rows)
        is_there = ~np.isnan(km).any(axis=1)
        return cls(km[is_there], z[is_there])


def to_km(rows: pl.DataFrame) -> Floats:
    """Returns places as points of the globe, shape (N, 3), km.

    Straight distances between them are those on the map, as far as a city reaches.
    """
    east, north = np.radians(numbers(rows, PLACE)).T
    radius = KM_PER_DEGREE * 180 / np.pi
    return radius * np.column_stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])


def nearby_columns(km: Floats, places: Places, *, is_training: bool) -> tuple[dict[str, Column], Floats]:
    """Returns what homes nearby cost, and how far the nearest one is.

    Args:
        km: Of the homes asked about, shape (N, 3).
        places: Homes whose prices are known.
        is_training: Whether the homes asked about are ``places`` themselves, in their order: none then sees its own
            price.

    Returns:
        Inputs of the trees, and the distance to the nearest home, shape (N,), km; infinite for a home without a place.
    """
    n = min(max(NEAREST), len(places.z) - is_training)
    is_there = ~np.isnan(km).any(axis=1)
    found = np.full((len(km), n), np.nan), np.full((len(km), n), np.inf)
    if is_there.any() and n:
        distances, indices = neighbours(km[is_there], places, n + is_training)
        if is_training:
            distances, indices = _without_itself(distances, indices, np.arange(len(indices)))
        found[0][is_there], found[1][is_there] = places.z[indices], distances
    return _summaries(*found), found[1][:, 0] if n else np.full(len(km), np.inf)


def neighbours(km: Floats, places: Places, n: int) -> tuple[Floats, NDArray[np.int64]]:
    """Returns distances to the nearest places, km, and which these are, shape (N, n) each, the nearest first.

    Args:
        km: Of homes with a place, shape (N, 3).
        places: At least ``n``.
        n: How many are wanted.
    """
    from scipy.spatial import cKDTree  # type: ignore[import-untyped]  # scipy ships no types

    distances, indices = cKDTree(places.km).query(km, k=n)
    return distances.reshape(len(km), n), indices.reshape(len(km), n)


def _without_itself(
    distances: Floats, indices: NDArray[np.int64], own: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Neighbours without the row itself, which many homes at the same place may have pushed out of them."""
    is_self = indices == own[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    kept = ~is_self
    shape = (len(own), indices.shape[1] - 1)
    return distances[kept].reshape(shape), indices[kept].reshape(shape)


def _summaries(z: Floats, distances: Floats) -> dict[str, Column]:
    columns = {}
    for count in NEAREST:
        near = z[:, :count]
        weights = 1 / (distances[:, :count] + _SOFT_KM)
        columns[f"mean_of_nearest_{count}"] = Column(near.mean(axis=1), 0)
        columns[f"weighted_mean_of_nearest_{count}"] = Column((near * weights).sum(axis=1) / weights.sum(axis=1), 0)
    columns["spread_of_nearest"] = Column(z.std(axis=1), 0)
    for count in (1, max(NEAREST)):
        ends = distances[:, min(count, distances.shape[1]) - 1]
        columns[f"km_to_nearest_{count}"] = Column(np.where(np.isfinite(ends), ends, np.nan), 0)
    return columns


def laws_of(columns: Sequence[Column]) -> tuple[int, ...]:
    """Returns the law of each column, in XGBoost's form of ``monotone_constraints``."""
    return tuple(column.law for column in columns)
