"""Simulated oscillations, whose best possible forecast is known exactly.

Two numbers that turn around each other, lose a share of their energy at each step and are kicked by noise, with a
growth and a noise that depend on the season:

    x(t + 1) = M(season) x(t) + S(season) e,   e two independent standard normal numbers

For El Niño it is the recharge oscillator (Jin 1997, Journal of the Atmospheric Sciences 54, 811; driven by noise in
Burgers et al. 2005, Geophysical Research Letters 32, L13706): temperature and heat content, once around in four years,
growing in summer and autumn, so that events peak in winter (seasonal phase locking). For the Madden-Julian Oscillation
it is a damped rotation, once around in 45 days, strongest in the northern winter. The system is linear with Gaussian
noise: a forecast that knows the state and the rules is Gaussian, and :func:`perfect_forecast` computes it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from modelyard.parameters import Parameters
from pipelines.climate_pattern_recognition.oscillations import OSCILLATIONS

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_FIRST_YEAR = 1900
_WARM_UP = 1000


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


class Rules(NamedTuple):
    """The rules of one oscillation for each of the year's P seasons.

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


def seasons_of(oscillation: str) -> int:
    """How many seasons the rules distinguish: months of the year, or days of the year."""
    return 12 if OSCILLATIONS[oscillation].step == "month" else 366


def rules_of(params: SimulationParameters) -> Rules:
    """The rules that :func:`simulate` follows."""
    import numpy as np

    shape = _SHAPES[params.oscillation]
    season = (np.arange(seasons_of(params.oscillation)) + 0.5) / seasons_of(params.oscillation)
    growth = np.cos(2 * np.pi * (season - shape.growth_peak))
    size = math.exp(-1 / shape.decay) * (1 + params.seasonality * shape.seasonal_decay * growth)
    angle = 2 * math.pi / shape.period
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    strength = 1 + params.seasonality * shape.seasonal_noise * np.cos(2 * np.pi * (season - shape.noise_peak))
    return Rules(size[:, None, None] * turn, strength[:, None] * np.array(shape.noise))


def simulate(params: SimulationParameters) -> pl.DataFrame:
    """One series.

    Returns:
        ``event_time`` (UTC, months or days without gaps from 1900 on), ``first_index``, ``second_index``.
    """
    import numpy as np
    import polars as pl

    rules, random = rules_of(params), np.random.default_rng(params.seed)
    times = _times(params)
    season = _season(times, params.oscillation)
    kicks = random.standard_normal((_WARM_UP + len(times), 2))
    state, states = np.zeros(2), np.empty((len(times), 2))
    for number in range(-_WARM_UP, len(times)):
        if number >= 0:
            states[number] = state
        now = season[number % len(season)]
        state = rules.motion[now] @ state + rules.noise[now] * kicks[number + _WARM_UP]
    states[:, 0] += shift_of(len(times), params)
    return pl.DataFrame({"event_time": times, "first_index": states[:, 0], "second_index": states[:, 1]})


def shift_of(n_steps: int, params: SimulationParameters) -> Floats:
    """What ``drift`` adds to the first index: nothing, then linearly more over the last quarter; shape (N,)."""
    import numpy as np

    begin = round(0.75 * n_steps)
    shift: Floats = params.drift * np.clip((np.arange(n_steps) - begin) / max(1, n_steps - begin), 0, 1)
    return shift


def perfect_forecast(params: SimulationParameters, lead: int) -> tuple[Floats, Floats]:
    """Mean and spread of the best possible forecast, from every step of the series.

    Args:
        params: Those of the series.
        lead: Steps ahead.

    Returns:
        Means (N, 2) and standard deviations (N, 2) of the two indices ``lead`` steps after each of the N steps, given
        the state there; NaN where the series ends before.
    """
    import numpy as np

    rules, series = rules_of(params), simulate(params)
    season = _season(series["event_time"], params.oscillation)
    shift = shift_of(len(season), params)
    state = series.select("first_index", "second_index").to_numpy() - np.stack([shift, 0 * shift], axis=1)
    motion, covariance = np.tile(np.eye(2), (len(season), 1, 1)), np.zeros((len(season), 2, 2))
    for step in range(lead):
        now = season[np.minimum(np.arange(len(season)) + step, len(season) - 1)]
        motion = rules.motion[now] @ motion
        covariance = rules.motion[now] @ covariance @ rules.motion[now].transpose(0, 2, 1)
        covariance += rules.noise[now][:, :, None] ** 2 * np.eye(2)
    mean = np.einsum("nij,nj->ni", motion, state)
    mean[: len(mean) - lead, 0] += shift[lead:]
    mean[len(mean) - lead :] = np.nan
    return mean, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))


def _times(params: SimulationParameters) -> pl.Series:
    from datetime import UTC, datetime

    import polars as pl

    begin, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (_FIRST_YEAR, _FIRST_YEAR + params.n_years))
    every = "1mo" if OSCILLATIONS[params.oscillation].step == "month" else "1d"
    return pl.datetime_range(begin, end, every, closed="left", time_unit="us", eager=True).alias("event_time")


def _season(times: pl.Series, oscillation: str) -> NDArray[np.int64]:
    """Season of each time, shape (N,)."""
    import numpy as np

    season = times.dt.month() if OSCILLATIONS[oscillation].step == "month" else times.dt.ordinal_day()
    return season.to_numpy().astype(np.int64) - 1
