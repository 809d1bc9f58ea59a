"""Simulated oscillations, whose best possible forecast is known exactly.

Two numbers that turn around each other, lose a share of their energy at each step and are kicked by noise, with a
growth and a noise that depend on the season:

    x(t + 1) = M(season) x(t) + S(season) e,   e two independent standard normal numbers

For El Niño it is the recharge oscillator (Jin 1997, Journal of the Atmospheric Sciences 54, 811; driven by noise in
Burgers et al. 2005, Geophysical Research Letters 32, L13706): temperature and heat content, once around in four years,
growing in summer and autumn, so that events peak in winter (seasonal phase locking). For the Madden-Julian Oscillation
it is a damped rotation, once around in 45 days, strongest in the northern winter. The system is linear with Gaussian
noise: a forecast that knows the state and the dynamics is Gaussian, and :func:`perfect_forecast` computes it.
"""

import math
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from pipelines.climate_pattern_recognition.oscillations import OSCILLATIONS, forecast_phases

Floats = NDArray[np.float64]

_FIRST_YEAR = 1900
_N_WARM_UP = 1000


class SimulationParameters(Parameters):
    """A simulated oscillation."""

    oscillation: Literal["enso", "mjo"] = Field(
        "mjo", description="El Niño (monthly) or the Madden-Julian Oscillation (daily)."
    )
    n_years: int = Field(25, ge=8, le=400, description="Length of the series, in years.")
    seasonality: float = Field(
        1.0, ge=0, le=1, description="How much growth and noise vary over the year; 0: not at all, 1: as in nature."
    )
    drift: float = Field(
        0.0, ge=-5, le=5, description="By how much the first index has moved at the end of the last quarter."
    )
    seed: int = Field(0, ge=0, description="Seed of the noise.")


class Dynamics(NamedTuple):
    """The dynamics of one oscillation in each of the year's P seasons.

    Args:
        motion: M, shape (P, 2, 2).
        noise: S's diagonal, shape (P, 2).
    """

    motion: Floats
    noise: Floats


class _Shape(NamedTuple):
    """Period and decay time in steps, seasonal amplitudes as shares, and their peaks as shares of the year."""

    period: float
    decay: float
    seasonal_decay: float
    growth_peak: float
    noise: tuple[float, float]
    seasonal_noise: float
    noise_peak: float


_SHAPES: dict[Literal["enso", "mjo"], _Shape] = {
    "enso": _Shape(48, 14, 0.10, 0.62, (0.20, 0.12), 0.35, 0.85),
    "mjo": _Shape(45, 16, 0.04, 0.08, (0.20, 0.20), 0.5, 0.08),
}
"""Chosen so that amplitude, turning and loss of predictability look like the real indices'."""


def dynamics_of(params: SimulationParameters) -> Dynamics:
    """Returns the dynamics that :func:`simulate` follows, by month or by day of the year."""
    shape, n_seasons = _SHAPES[params.oscillation], 12 if _is_monthly(params) else 366
    season = (np.arange(n_seasons) + 0.5) / n_seasons
    growth = np.cos(2 * np.pi * (season - shape.growth_peak))
    size = math.exp(-1 / shape.decay) * (1 + params.seasonality * shape.seasonal_decay * growth)
    angle = 2 * math.pi / shape.period
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    strength = 1 + params.seasonality * shape.seasonal_noise * np.cos(2 * np.pi * (season - shape.noise_peak))
    return Dynamics(size[:, None, None] * turn, strength[:, None] * np.array(shape.noise))


def simulate(params: SimulationParameters) -> pl.DataFrame:
    """Simulates one series.

    Returns:
        ``event_time`` (UTC, months or days without gaps from 1900 on), ``first_index``, ``second_index``.
    """
    dynamics, random = dynamics_of(params), np.random.default_rng(params.seed)
    times = _times(params)
    season = _season(times, params)
    kicks = random.standard_normal((_N_WARM_UP + len(times), 2))
    state, states = np.zeros(2), np.empty((len(times), 2))
    for number in range(-_N_WARM_UP, len(times)):
        if number >= 0:
            states[number] = state
        now = season[number % len(season)]
        state = dynamics.motion[now] @ state + dynamics.noise[now] * kicks[number + _N_WARM_UP]
    states[:, 0] += shift_of(len(times), params)
    return pl.DataFrame({"event_time": times, "first_index": states[:, 0], "second_index": states[:, 1]})


def shift_of(n_steps: int, params: SimulationParameters) -> Floats:
    """Returns what ``drift`` adds to the first index: 0, then linearly more over the last quarter; shape (N,)."""
    begin = round(0.75 * n_steps)
    shift: Floats = params.drift * np.clip((np.arange(n_steps) - begin) / max(1, n_steps - begin), 0, 1)
    return shift


def perfect_forecast(params: SimulationParameters, lead: int) -> tuple[Floats, Floats]:
    """Returns mean and spread of the best possible forecast, from every step of the series.

    Args:
        params: Those of the series.
        lead: Steps ahead.

    Returns:
        Means (N, 2) and standard deviations (N, 2) of the two indices ``lead`` steps after each of the N steps, given
        the state there; NaN where the series ends before.
    """
    dynamics, series = dynamics_of(params), simulate(params)
    season = _season(series["event_time"], params)
    shift = shift_of(len(season), params)
    state = series.select("first_index", "second_index").to_numpy() - np.stack([shift, 0 * shift], axis=1)
    # Motion and covariance of the noise over all steps of the lead, for every step of the series at once.
    motion, covariance = np.tile(np.eye(2), (len(season), 1, 1)), np.zeros((len(season), 2, 2))
    for step in range(lead):
        now = season[np.minimum(np.arange(len(season)) + step, len(season) - 1)]
        motion = dynamics.motion[now] @ motion
        covariance = dynamics.motion[now] @ covariance @ dynamics.motion[now].transpose(0, 2, 1)
        covariance += dynamics.noise[now][:, :, None] ** 2 * np.eye(2)
    mean = np.einsum("nij,nj->ni", motion, state)
    mean[: len(mean) - lead, 0] += shift[lead:]
    mean[len(mean) - lead :] = np.nan
    return mean, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))


def known_ceiling(rows: pl.DataFrame, params: SimulationParameters) -> pl.DataFrame:
    """Returns the rows with the best possible forecast, that of someone who knows state and dynamics, in place of ours.

    Its score is the ceiling: its skill is measured against the linear baseline that stands in the rows.

    Args:
        rows: Records of the simulation with predictions.
        params: Those of the simulation.
    """
    times, parts = simulate(params)["event_time"], []
    for lead in rows["lead_count"].unique().sort().to_list():
        mean, spread = perfect_forecast(params, lead)
        columns = {
            "forecast_first": mean[:, 0],
            "forecast_first_spread": spread[:, 0],
            "forecast_second": mean[:, 1],
            "forecast_second_spread": spread[:, 1],
        }
        part = pl.DataFrame({"event_time": times, **columns}).hstack(forecast_phases(params.oscillation, mean, spread))
        parts.append(part.with_columns(pl.lit(lead, pl.Int64).alias("lead_count")))
    keys = ["event_time", "lead_count"]
    perfect = rows.select(keys).join(pl.concat(parts), on=keys, how="left", maintain_order="left")
    return rows.with_columns(perfect.drop(keys))


def _is_monthly(params: SimulationParameters) -> bool:
    return OSCILLATIONS[params.oscillation].step == "month"


def _times(params: SimulationParameters) -> pl.Series:
    begin, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (_FIRST_YEAR, _FIRST_YEAR + params.n_years))
    every = "1mo" if _is_monthly(params) else "1d"
    return pl.datetime_range(begin, end, every, closed="left", time_unit="us", eager=True).alias("event_time")


def _season(times: pl.Series, params: SimulationParameters) -> NDArray[np.int64]:
    """Returns the season of each time from 0, shape (N,)."""
    season = times.dt.month() if _is_monthly(params) else times.dt.ordinal_day()
    return season.to_numpy().astype(np.int64) - 1
