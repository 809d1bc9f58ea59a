"""Weekly sensor readings of machine parts: simulated with a known ceiling, or your own file.

A part wears, each at its own pace. Wear makes it warm and makes it shake, and the more it is worn the more likely it
fails within the week; a failed part is replaced by a new one. Sensors see wear through noise, so no model can rank
parts better than their true risk does: :func:`simulate` tells that risk, and the tests measure the ceiling with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from modelyard.errors import ConfigurationError
from modelyard.parameters import Parameters, SourceParameters
from modelyard.records import Column, Contract

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from great_expectations.expectations.expectation import Expectation
    from numpy.typing import NDArray

CONTRACT = Contract(
    key="reading_id",
    event_time="event_time",
    target="is_failing",
    group="part_id",
    columns=(
        Column(name="reading_id", dtype="int64", description="Identifies the reading."),
        Column(name="event_time", dtype="datetime", description="When the sensors were read."),
        Column(name="part_id", dtype="int64", description="Which part; its successor has another id."),
        Column(name="age_d", dtype="float64", description="Time since the part was installed.", unit="d"),
        Column(name="temperature_c", dtype="float64", description="At the part's bearing.", unit="°C"),
        Column(name="vibration_mm_s", dtype="float64", description="Velocity, root mean square.", unit="mm/s"),
        Column(name="is_failing", dtype="bool", description="Whether the part failed within the following week."),
    ),
)
"""What records promise."""

_PLAUSIBLE = (
    ("age_d", 0, 36_525, "a century"),
    ("temperature_c", -50, 250, "beyond it the sensor is broken"),
    ("vibration_mm_s", 0, 100, "beyond it the sensor is broken"),
)
"""Columns with their least and largest believable value, and why."""

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


class IngestParameters(SourceParameters):
    """Where readings come from. There is no well-known public data set for this toy, so none is offered."""

    source: Literal["simulated", "own"] = Field("simulated", description="Which source.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated plant.")
    path: str = Field("", description="Own data: a CSV or Parquet file, or a folder of Parquet files.")
    columns: Mapping[str, str] = Field({}, description="Own data: contract's column to the file's, where they differ.")
    timezone: str | None = Field(None, description="Own data: IANA zone of times without an offset.")


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's readings.

    Args:
        params: See :class:`IngestParameters`.

    Returns:
        Columns of :data:`CONTRACT`; own data may bring ``split`` and ``parse_errors``.

    Raises:
        ConfigurationError: ``source`` is ``own`` and no path is given, or nothing is there.
        DataContractError: The user's file cannot be read or lacks columns.
    """
    if params.source == "simulated":
        return simulate(params.simulation).select(column.name for column in CONTRACT.columns)
    if not params.path:
        raise ConfigurationError(
            "No file of own readings is named.",
            where="starter_project.ingest.path",
            way_out="set it to a CSV or Parquet file, or choose source: simulated",
        )
    from modelyard.own_data.table import read_own_table

    return read_own_table(Path(params.path), CONTRACT, params.columns, params.timezone)


def simulate(params: SimulationParameters) -> pl.DataFrame:
    """Simulates a plant; the same parameters give the same table, to the bit.

    Returns:
        Columns of :data:`CONTRACT` and ``true_risk``, the probability with which ``is_failing`` was drawn; ordered
        by time.
    """
    import numpy as np
    import polars as pl

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
        (pl.col("week") * n + pl.col("machine")).alias("reading_id"),
        (start + since_start).alias("event_time"),
        *("part_id", "age_d", "temperature_c", "vibration_mm_s", "is_failing", "true_risk"),
    )


def _sensors(wear: NDArray[np.float64], week: int, noise: float, rng: np.random.Generator) -> pl.DataFrame:
    """What the sensors of parts with this wear read in a week, one row for each part."""
    import numpy as np
    import polars as pl

    season_c = 4 * np.sin(2 * np.pi * week / 52)  # the hall is warmer in summer
    temperature_c = 55 + season_c + 12 * wear + noise * rng.normal(0, 3.0, len(wear))
    vibration_mm_s = np.maximum(2 + 3 * wear**2 + noise * rng.normal(0, 0.8, len(wear)), 0.0)
    return pl.DataFrame({"temperature_c": temperature_c, "vibration_mm_s": vibration_mm_s})


def expectations(params: IngestParameters) -> list[Expectation]:
    """What readings must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`; not needed here.
    """
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=low, max_value=high, description=f"'{name}' lies between {low} and {high} ({why})."
        )
        for name, low, high, why in _PLAUSIBLE
    ]
