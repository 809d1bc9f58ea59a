"""A market of simulated stocks: a market factor, sectors, volatility that comes in waves, a known bit of foresight.

A stock's log return on a day is normal given all days before:

    r = mu + beta * market + sector + own,    mu = signal_strength * s * tanh(-z)

where market, sector and own shocks each follow a GARCH(1, 1) (Bollerslev 1986,
https://doi.org/10.1016/0304-4076(86)90063-1), s is the standard deviation of r, and z is the stock's own shock of the
day before in its standard deviations: what it did against the market is partly undone (short-term reversal, Jegadeesh
1990, https://doi.org/10.1111/j.1540-6261.1990.tb05110.x). So the probability of "up" is known for every row, and with
it the best accuracy that any model can have.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.classification import matthews_corrcoef

Floats = NDArray[np.float64]

_SECTORS = ("Energy", "Finance", "Health", "Industry", "Retail", "Technology")
_PERSISTENCE, _REACTION = 0.90, 0.08
"""GARCH: weight of yesterday's variance and of yesterday's squared shock."""

_MARKET_PCT, _SECTOR_PCT, _OWN_PCT = 0.8, 0.4, 1.2
"""Mean daily standard deviations of the three shocks."""

_STEPS = 8
_OVERNIGHT_SHARE = 0.25
"""Share of a day's variance that happens before the open; the rest is walked in equal steps."""

_LATE_SHARE = 0.3
"""The last part of the days, in which drift has set in."""


class SimulationParameters(Parameters):
    """The simulated market."""

    n_symbols: int = Field(60, ge=4, le=2000, description="Stocks, those that are listed later or end early included.")
    n_days: int = Field(900, ge=80, le=20_000, description="Trading days (Monday to Friday).")
    start_date: date = Field(date(2012, 1, 2), description="First day.")
    signal_strength: float = Field(
        0.3, ge=0, le=1, description="Largest foreseeable part of a day's return, in its standard deviations. 0: none."
    )
    ended_share: float = Field(0.1, ge=0, le=1, description="Share of the stocks that stop trading on the way.")
    drift: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much of the signal is gone, and of 1 more volatility there is, in the last part.",
    )
    seed: int = Field(0, ge=0, description="Seed of the market.")


def simulate(params: SimulationParameters) -> pl.DataFrame:
    """Simulates all bars; the same parameters give the same bars.

    Args:
        params: See :class:`SimulationParameters`.

    Returns:
        The columns that ``records_of`` takes, with ``mean`` and ``deviation`` of the day's log return as they were
        known at the close before.
    """
    rng = np.random.default_rng(params.seed)
    n, n_days = params.n_symbols, params.n_days
    sector = np.arange(n) % len(_SECTORS)
    beta = rng.uniform(0.5, 1.5, n)
    level = np.exp(rng.uniform(np.log(10), np.log(300), n))
    late = np.arange(n_days) >= (1 - _LATE_SHARE) * n_days
    strength = params.signal_strength * np.where(late, 1 - params.drift, 1.0)
    swell = np.where(late, 1 + params.drift, 1.0)
    mean, deviation, returns = _returns(rng, beta, sector, strength, swell)
    paths = _paths(rng, returns, deviation, level)
    volume = np.exp(rng.normal(13, 0.3, (n_days, n)) + 0.3 * np.abs(returns) / deviation).round()
    first, last = _lives(rng, params)
    return _table(params, sector, paths, volume, mean, deviation, first, last)


def _returns(
    rng: np.random.Generator, beta: Floats, sector: NDArray[Any], strength: Floats, swell: Floats
) -> tuple[Floats, Floats, Floats]:
    """Mean, standard deviation and log return of each day and stock, shape (days, stocks) each."""
    n, n_days = len(beta), len(strength)
    usual = np.concatenate([[_MARKET_PCT], np.full(len(_SECTORS), _SECTOR_PCT), np.full(n, _OWN_PCT)]) / 100
    variance, own_z = usual**2, np.zeros(n)
    mean, deviation, returns = (np.empty((n_days, n)) for _ in range(3))
    first_own = 1 + len(_SECTORS)
    for day in range(n_days):
        shock = np.sqrt(variance) * rng.normal(size=len(usual))
        parts = variance[0] * beta**2 + variance[1 + sector] + variance[first_own:]
        deviation[day] = swell[day] * np.sqrt(parts)
        mean[day] = strength[day] * deviation[day] * np.tanh(-own_z)
        returns[day] = mean[day] + swell[day] * (beta * shock[0] + shock[1 + sector] + shock[first_own:])
        own_z = shock[first_own:] / np.sqrt(variance[first_own:])
        variance = (1 - _PERSISTENCE - _REACTION) * usual**2 + _PERSISTENCE * variance + _REACTION * shock**2
    return mean, deviation, returns


def _paths(rng: np.random.Generator, returns: Floats, deviation: Floats, level: Floats) -> dict[str, Floats]:
    """Open, high, low and close, shape (days, stocks): a random walk within each day that ends at the day's return."""
    weights = np.array([_OVERNIGHT_SHARE, *[(1 - _OVERNIGHT_SHARE) / _STEPS] * _STEPS])
    noise = rng.normal(size=(*returns.shape, len(weights))) * np.sqrt(weights)
    noise -= weights * noise.sum(axis=2, keepdims=True)
    walked = np.cumsum(weights * returns[:, :, None] + deviation[:, :, None] * noise, axis=2)
    closes = np.log(level) + np.cumsum(returns, axis=0)
    before = np.concatenate([np.log(level)[None], closes[:-1]])
    trades = np.exp(before[:, :, None] + walked)
    trades[:, :, -1] = np.exp(closes)
    return {"open": trades[:, :, 0], "high": trades.max(2), "low": trades.min(2), "close": trades[:, :, -1]}


def _lives(rng: np.random.Generator, params: SimulationParameters) -> tuple[NDArray[Any], NDArray[Any]]:
    """Number of each stock's first and last day: some are listed later, some end."""
    n, n_days = params.n_symbols, params.n_days
    first = np.where(rng.random(n) < 0.2, rng.integers(0, n_days // 2, n), 0)
    ends = rng.random(n) < params.ended_share
    return first, np.where(ends, rng.integers(n_days // 2 + 21, n_days, n), n_days - 1)


def _table(
    params: SimulationParameters,
    sector: NDArray[Any],
    paths: dict[str, Floats],
    volume: Floats,
    mean: Floats,
    deviation: Floats,
    first: NDArray[Any],
    last: NDArray[Any],
) -> pl.DataFrame:
    """One row for each listed stock and day."""
    n_days, n = mean.shape
    days = [params.start_date]
    while len(days) < n_days:
        days.append(days[-1] + timedelta(days=3 if days[-1].weekday() == 4 else 1))
    day, stock = (grid.ravel() for grid in np.meshgrid(np.arange(n_days), np.arange(n), indexing="ij"))
    is_listed = (day >= first[stock]) & (day <= last[stock])
    columns: dict[str, Any] = {name: values.ravel() for name, values in paths.items()}
    return pl.DataFrame(
        {
            "symbol": pl.Series([f"S{number:04d}" for number in range(n)]).gather(stock),
            "sector": pl.Series([_SECTORS[number] for number in sector]).gather(stock),
            "day": pl.Series(days, dtype=pl.Date).gather(day),
            **columns,
            "volume": volume.ravel(),
            "mean": mean.ravel(),
            "deviation": deviation.ravel(),
        }
    ).filter(pl.Series(is_listed))


def up_probabilities(bars: pl.DataFrame, up_from_pct: float, down_to_pct: float) -> pl.DataFrame:
    """Returns how likely each row's next move is up, given all that was known, and that it leaves the neutral band.

    Returns:
        ``bar_id`` and ``up_probability`` of every bar that has a next one.
    """
    from scipy.special import ndtr  # type: ignore[import-untyped]  # scipy has no types of its own

    bars = bars.sort("symbol", "day").with_columns(
        pl.col("mean", "deviation").shift(-1).over("symbol"),
        pl.format("{} {}", "symbol", pl.col("day").dt.to_string("%Y-%m-%d")).alias("bar_id"),
    )
    bars = bars.drop_nulls("mean")
    mean, deviation = bars["mean"].to_numpy(), bars["deviation"].to_numpy()
    above = ndtr((mean - np.log1p(up_from_pct / 100)) / deviation)
    below = ndtr((np.log1p(down_to_pct / 100) - mean) / deviation)
    return bars.select("bar_id", pl.Series("up_probability", above / (above + below)))


def known_ceiling(
    records: pl.DataFrame, params: SimulationParameters, up_from_pct: float, down_to_pct: float
) -> dict[str, float]:
    """Returns how good any forecast of direction can be on test rows: Bayes' rule, which knows the generator.

    Args:
        records: Made of ``simulate(params)`` with targets one day ahead: ``bar_id``, ``split``, ``is_up``.
        params: The market.
        up_from_pct: A move of at least this is up.
        down_to_pct: A move of at most this is down.

    Returns:
        ``accuracy_expected`` (before the days happened) and, on the days that did, ``accuracy`` and
        ``matthews_corrcoef``.
    """
    truth = up_probabilities(simulate(params), up_from_pct, down_to_pct)
    test = records.filter((pl.col("split") == "test") & pl.col("is_up").is_not_null())
    test = test.join(truth, on="bar_id", how="left", maintain_order="left")
    probability, is_up = test["up_probability"].to_numpy(), test["is_up"].to_numpy()
    return {
        "accuracy_expected": float(abs(probability - 0.5).mean() + 0.5),
        "accuracy": float((is_up == (probability > 0.5)).mean()),
        "matthews_corrcoef": matthews_corrcoef(is_up, probability > 0.5),
    }
