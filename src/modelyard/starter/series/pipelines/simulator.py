"""Daily use of electricity of a plant's halls, with a known ceiling.

Each hall has a level, a rhythm of the week and a wave over the year; what it uses beyond them dies away from day to day
(an autoregressive process of order 1). The best forecast knows all of that but the coming shocks.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.quantiles import pinball
from modelyard.tasks.series.scores import gaussian_quantiles

Floats = NDArray[np.float64]

_DAYS_PER_YEAR = 365.25


class SimulationParameters(Parameters):
    """What :func:`simulate` draws."""

    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    n_halls: int = Field(12, ge=1, le=10_000, description="Halls, a series each.")
    n_days: int = Field(730, ge=60, le=20_000, description="Days, one value of each hall in each.")
    start_date: date = Field(date(2023, 1, 2), description="First day (UTC), by default a Monday.")
    memory: float = Field(0.7, ge=0, lt=1, description="Share of a day's deviation that is left on the next day.")
    noise: float = Field(0.06, gt=0, le=1, description="Standard deviation of a day's shock, in shares of the level.")


class _World(NamedTuple):
    """Values of D days and H halls."""

    expected_kwh: Floats  # (D, H), from level, week and year
    used_kwh: Floats  # (D, H)
    shock_kwh: Floats  # (H,), standard deviation


def simulate(params: SimulationParameters) -> pl.DataFrame:
    """Simulates a plant; the same parameters give the same table, to the bit.

    Returns:
        ``series`` (the hall), ``event_time`` and ``used_kwh``, by hall and day.
    """
    used = _world(params).used_kwh
    start = datetime.combine(params.start_date, datetime.min.time(), UTC)
    halls = [f"hall_{number:02d}" for number in range(params.n_halls)]
    return pl.DataFrame(
        {
            "series": np.repeat(halls, params.n_days),
            "day": np.tile(np.arange(params.n_days), params.n_halls),
            "used_kwh": used.T.ravel(),
        }
    ).select(
        "series",
        (pl.lit(start).cast(pl.Datetime("us", "UTC")) + pl.duration(days="day")).alias("event_time"),
        "used_kwh",
    )


def _world(params: SimulationParameters) -> _World:
    rng, n = np.random.default_rng(params.seed), params.n_halls
    level = rng.lognormal(7.0, 0.5, n)
    week = 1 + rng.normal(0, 0.1, (7, n)) - np.array([0, 0, 0, 0, 0, 0.35, 0.45])[:, None]
    day = np.arange(params.n_days)
    year = 0.15 * np.cos(2 * np.pi * (day[:, None] / _DAYS_PER_YEAR + rng.uniform(0, 1, n)))
    expected = level * (week[day % 7] + year)
    shock = params.noise * level
    deviation = np.zeros((params.n_days, n))
    for number in range(1, params.n_days):
        deviation[number] = params.memory * deviation[number - 1] + rng.normal(0, shock)
    return _World(expected, np.maximum(expected + deviation, 0.0), shock)


def known_ceiling(
    params: SimulationParameters, leads: tuple[int, ...], levels: tuple[float, ...], first_test_day: int
) -> dict[str, float]:
    """Returns the loss of a forecast that knew the process, on all outcomes from ``first_test_day`` on.

    Args:
        params: Those of the simulation.
        leads: Days ahead.
        levels: Of the quantiles.
        first_test_day: Number of the day, from 0, of the first outcome.

    Returns:
        ``mean_pinball_loss``, in kWh.
    """
    expected, used, shock = _world(params)
    losses = []
    for lead in leads:
        target = np.arange(max(first_test_day, lead), params.n_days)
        decay = params.memory**lead
        mean = expected[target] + decay * (used - expected)[target - lead]
        std = shock * np.sqrt((1 - decay**2) / (1 - params.memory**2))
        quantiles = gaussian_quantiles(mean, np.broadcast_to(std, mean.shape), levels)
        losses.append(pinball(quantiles, np.array(levels), used[target]).mean(axis=-1).ravel())
    return {"mean_pinball_loss": float(np.concatenate(losses).mean())}
