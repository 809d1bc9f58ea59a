"""A plant whose parts wear, with a known ceiling.

A part wears, each at its own pace. Wear makes it warm and makes it shake, and the more it is worn the more likely it
fails within the week; a failed part is replaced by a new one. Sensors see wear through noise, so no model can rank
parts better than their true risk does.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.simulation import known_risk_ceiling

_PACE_SPREAD = 0.6
"""Standard deviation of the logarithm of the parts' pace: one in six wears at least 1.8 times as fast as the median."""


class SimulationParameters(Parameters):
    """What :func:`simulate` draws."""

    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    n_machines: int = Field(300, ge=1, le=1_000_000, description="Machines, each with one part at a time.")
    n_weeks: int = Field(104, ge=2, le=5_000, description="Weeks, one reading of each machine in each.")
    start_date: date = Field(date(2024, 1, 1), description="Day of the first readings (UTC).")
    weekly_wear: float = Field(0.04, gt=0, lt=1, description="Wear of a typical part in a week; 1 is worn out.")
    noise: float = Field(1.0, ge=0, le=10, description="Factor of the sensors' noise; 0: they tell the wear exactly.")
    drift: float = Field(
        0.0, ge=0, le=1, description="By how much wear speeds up until the last week; 1: twice as fast."
    )


def simulate(params: SimulationParameters) -> pl.DataFrame:
    """Simulates a plant; the same parameters give the same table, to the bit.

    Returns:
        The records' columns and ``true_risk``, the probability with which ``is_failing`` was drawn; ordered
        by time.
    """
    rng, n = np.random.default_rng(params.seed), params.n_machines
    part, age_weeks = np.arange(n), rng.integers(0, 30, n)
    wear, pace = rng.uniform(0.0, 0.8, n), rng.lognormal(0.0, _PACE_SPREAD, n)
    weeks = []
    for week in range(params.n_weeks):
        speed = params.weekly_wear * (1 + params.drift * week / params.n_weeks)
        wear, age_weeks = wear + speed * pace * rng.gamma(2.0, 0.5, n), age_weeks + 1
        true_risk = 1 / (1 + np.exp(-12 * (wear - 1)))
        readings = _sensors(wear, week, params.noise, rng).with_columns(
            pl.Series("part_id", part), pl.Series("age_d", 7.0 * age_weeks), pl.Series("true_risk", true_risk)
        )
        is_failing = rng.random(n) < true_risk
        weeks.append(readings.with_columns(pl.Series("is_failing", is_failing), week=week, machine=pl.int_range(n)))
        # A failed part is replaced before the next reading.
        part = np.where(is_failing, part.max() + np.cumsum(is_failing), part)
        pace = np.where(is_failing, rng.lognormal(0.0, _PACE_SPREAD, n), pace)
        wear, age_weeks = np.where(is_failing, 0.0, wear), np.where(is_failing, 0, age_weeks)
    start = pl.lit(datetime.combine(params.start_date, datetime.min.time(), UTC)).cast(pl.Datetime("us", "UTC"))
    # Machines are read one after the other, a minute each.
    since_start = pl.duration(weeks=pl.col("week"), minutes=pl.col("machine") % 1440)
    return pl.concat(weeks).select(
        pl.format("R-{}", (pl.col("week") * n + pl.col("machine")).cast(pl.String).str.zfill(7)).alias("reading_id"),
        (start + since_start).alias("event_time"),
        pl.format("P-{}", pl.col("part_id").cast(pl.String).str.zfill(6)).alias("part_id"),
        *("age_d", "temperature_c", "vibration_mm_s", "is_failing", "true_risk"),
    )


def _sensors(wear: NDArray[np.float64], week: int, noise: float, rng: np.random.Generator) -> pl.DataFrame:
    """What the sensors of parts with this wear read in a week, one row for each part."""
    season_c = 4 * np.sin(2 * np.pi * week / 52)  # the hall is warmer in summer
    temperature_c = 55 + season_c + 12 * wear + noise * rng.normal(0, 3.0, len(wear))
    vibration_mm_s = np.maximum(2 + 3 * wear**2 + noise * rng.normal(0, 0.8, len(wear)), 0.0)
    return pl.DataFrame({"temperature_c": temperature_c, "vibration_mm_s": vibration_mm_s})


def known_ceiling(params: SimulationParameters) -> dict[str, float]:
    """Returns ROC AUC and accuracy of a model that knew each part's true risk, on the latest readings: the test."""
    rows = simulate(params)
    return known_risk_ceiling(rows["true_risk"].to_numpy(), rows["is_failing"].to_numpy())
