"""A city that does not exist: homes whose price is a sum of known effects, so that the best possible error is known.

    log price = base + size + quality (it counts for more in a large home) + age + lot + baths
                + way to the centre + the sea + district + market + noise

Noise is normal with a standard deviation of the district's own, so the best answer in squared error is known for every
sale: exp(sum + variance / 2). ``drift`` makes the market of the last third of the days grow faster, and one district
fashionable.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters

Floats = NDArray[np.float64]

CENTRE = (47.60, -122.20)
"""Latitude and longitude of the centre, degrees; the sea begins 12 km west of it."""

KM_PER_DEGREE = 111.2
_RADIUS_KM, _SEA_KM = 15.0, -12.0
_SQFT_SIGMA, _SQFT_MEDIAN = 0.33, 1600.0
_LATE_SHARE = 1 / 3
"""The last part of the days, in which drift has set in."""


class SimulationParameters(Parameters):
    """The simulated city and its market."""

    n_homes: int = Field(4000, ge=200, le=1_000_000, description="Sales.")
    n_districts: int = Field(24, ge=4, le=500, description="Neighbourhoods.")
    n_years: int = Field(4, ge=1, le=50, description="Years of sales, the first from 2020.")
    noise: float = Field(0.1, ge=0.01, le=1, description="Mean standard deviation of log prices around their sum.")
    growth_pct: float = Field(3.0, ge=-50, le=100, description="Growth of the market in a year, percent.")
    drift: float = Field(
        0.0,
        ge=0,
        le=5,
        description="0: none. 1: in the last third of the days the market grows by another 10 % a year, and one"
        " district becomes fashionable: 30 % dearer, with larger homes on sale.",
    )
    seed: int = Field(0, ge=0, description="Seed of the city.")


class _City(NamedTuple):
    """The districts: centres in km from the city's centre (shape (D, 2)), log effects and noise (shape (D,))."""

    centres_km: Floats
    effects: Floats
    noise: Floats
    fashionable: int


def simulate(params: SimulationParameters) -> pl.DataFrame:
    """Simulates sales; the same parameters give the same table, to the bit.

    Returns:
        The columns of the contract that this city knows, ordered by time.
    """
    return _drawn(params).drop("best_price")


def known_ceiling(records: pl.DataFrame, params: SimulationParameters) -> dict[str, float]:
    """Returns the least errors that any model can have on the test rows.

    Args:
        records: The city's sales with their ``split``.
        params: The city.

    Returns:
        ``root_mean_squared_error`` of the conditional mean, in the unit of the price.
    """
    drawn = _drawn(params).select("home_id", "best_price")
    test = records.filter(pl.col("split") == "test").join(drawn, on="home_id", how="left")
    error = test["price"].to_numpy() - test["best_price"].to_numpy()
    return {"root_mean_squared_error": float(np.sqrt(np.mean(error**2)))}


def _drawn(params: SimulationParameters) -> pl.DataFrame:
    """The sales with ``best_price``, the conditional mean of the price."""
    rng = np.random.default_rng([params.seed, 0])
    city, n = _city(params, rng), params.n_homes
    day = np.sort(rng.integers(0, 365 * params.n_years, n))
    is_late = day >= 365 * params.n_years * (1 - _LATE_SHARE)
    district = rng.integers(0, params.n_districts, n)
    is_fashionable = is_late & (district == city.fashionable)
    place = city.centres_km[district] + rng.normal(0, 0.8, (n, 2))

    # The homes: larger and better ones in dearer districts.
    level = city.effects[district] + params.drift * 0.3 * is_fashionable
    sqft = np.round(_SQFT_MEDIAN * np.exp(_SQFT_SIGMA * rng.normal(size=n) + 0.3 * level))
    quality = np.clip(np.round(5.5 + 2 * level + rng.normal(0, 1.3, n)), 1, 10).astype(np.int64)
    condition = np.clip(np.round(5.5 + rng.normal(0, 1.0, n)), 1, 10).astype(np.int64)
    lot = np.round(sqft * np.exp(1.2 + 0.4 * rng.normal(size=n)))
    baths = 1 + rng.binomial(2, np.clip(sqft / 3500, 0.05, 0.9))
    garage = rng.binomial(2, np.clip(0.3 + 0.07 * quality, 0, 1))
    year_sold = 2020 + day // 365
    built = np.minimum(np.round(1985 + 20 * rng.normal(size=n) + 5 * (quality - 5)).astype(np.int64), year_sold)
    bedrooms = np.clip(np.round(sqft / 600 + rng.normal(0, 0.6, n)), 1, 8).astype(np.int64)

    years = day / 365
    late_years = np.maximum(years - params.n_years * (1 - _LATE_SHARE), 0)
    centre_km, sea_km = np.hypot(*place.T), np.maximum(place[:, 0] - _SEA_KM, 0)
    mean = (
        np.log(300_000)
        + 0.75 * np.log(sqft / _SQFT_MEDIAN)
        + (0.07 + 0.05 * np.log(sqft / _SQFT_MEDIAN).clip(-1, 1)) * (quality - 5)
        + 0.02 * (condition - 5)
        + 0.08 * np.log(lot / 5300)
        + 0.04 * (baths - 1)
        + 0.03 * garage
        - 0.25 * (1 - np.exp(-(year_sold - built) / 25))
        - 0.03 * centre_km
        + 0.25 * np.exp(-sea_km / 2)
        + level
        + np.log1p(params.growth_pct / 100) * years
        + np.log1p(0.10 * params.drift) * late_years
    )
    sigma = city.noise[district]
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "home_id": [f"S{number:06d}" for number in range(n)],
            "event_time": pl.Series(
                [start + timedelta(days=int(each)) for each in day], dtype=pl.Datetime("us", "UTC")
            ),
            "price": np.round(np.exp(mean + sigma * rng.normal(size=n)), -2),
            "longitude_deg": np.round(CENTRE[1] + place[:, 0] / (KM_PER_DEGREE * np.cos(np.radians(CENTRE[0]))), 5),
            "latitude_deg": np.round(CENTRE[0] + place[:, 1] / KM_PER_DEGREE, 5),
            "living_area_sqft": sqft,
            "lot_area_sqft": lot,
            "overall_quality": quality,
            "overall_condition": condition,
            "year_built": built,
            "full_baths": baths,
            "garage_cars": garage,
            "bedrooms": bedrooms,
            "neighbourhood": [f"District {number + 1}" for number in district],
            "best_price": np.exp(mean + sigma**2 / 2),
        }
    )


def _city(params: SimulationParameters, rng: np.random.Generator) -> _City:
    n = params.n_districts
    angle, radius = rng.uniform(0, 2 * np.pi, n), _RADIUS_KM * np.sqrt(rng.random(n))
    centres = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    centres[:, 0] = np.maximum(centres[:, 0], _SEA_KM + 0.5)
    return _City(
        centres_km=centres,
        effects=rng.normal(0, 0.2, n),
        noise=params.noise * np.exp(0.3 * rng.normal(size=n)),
        fashionable=int(rng.integers(0, n)),
    )
