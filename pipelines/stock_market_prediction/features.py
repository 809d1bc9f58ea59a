"""What a symbol's last twenty bars say at each close, by itself and against the market; nothing later, and no price.

Levels of prices never enter: an adjusted price of 2014 knows the dividends of 2017, a ratio of two does not. Windows
run over consecutive bars and never across a hole in the data. Sums are taken lag by lag, so that a row does not depend,
not even in its last digit, on how many other rows there are.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.feature_store.schema import Feature, FeatureView, feature_names
from modelyard.parameters import Parameters

Floats = NDArray[np.float64]

LONGEST = 20
"""Bars of the longest window; one more is needed for its first return."""

_LAGS = 5
_EPSILON = 1e-9

_DESCRIPTIONS: tuple[tuple[str, str, str], ...] = (
    *((f"return_lag_{lag}_pct", "%", f"Log return of the bar {lag} before.") for lag in range(_LAGS)),
    *((f"relative_return_lag_{lag}_pct", "%", f"The same minus the market's, {lag} before.") for lag in range(_LAGS)),
    *((f"return_{n}d_pct", "%", f"Log return over {n} bars.") for n in (5, 10, 20)),
    *((f"relative_return_{n}d_pct", "%", f"Log return minus the market's over {n} bars.") for n in (5, 10, 20)),
    ("market_lag_0_pct", "%", "The market's log return of the day."),
    ("market_lag_1_pct", "%", "The market's log return of the day before."),
    *((f"market_{n}d_pct", "%", f"The market's log return over {n} bars.") for n in (5, 20)),
    ("deviation_5d_pct", "%", "Root mean square of 5 log returns."),
    ("deviation_20d_pct", "%", "Root mean square of 20 log returns."),
    ("relative_deviation_20d_pct", "%", "Root mean square of 20 log returns minus the market's."),
    ("market_deviation_20d_pct", "%", "Root mean square of the market's 20 log returns."),
    ("standard_return", "", "Latest log return over its 20-bar deviation."),
    ("standard_relative_return", "", "Latest log return minus the market's, over its 20-bar deviation."),
    ("beta_20d", "", "Return per return of the market, 20 bars, shrunk to 1 by one bar's worth."),
    ("up_share_20d", "", "Share of 20 bars with a positive return."),
    ("log_volatility_1d", "log %", "Logarithm of the day's volatility."),
    ("log_volatility_5d", "log %", "Mean of 5 logarithms of volatility."),
    ("log_volatility_20d", "log %", "Mean of 20 logarithms of volatility."),
    ("latest_gap_pct", "%", "From the last close to the latest open."),
    ("latest_close_position", "", "Where the latest close lies between the bar's low (0) and high (1)."),
    ("range_ratio_20d", "", "Latest range over the mean of 20."),
    ("volume_ratio_20d", "", "Latest volume over the mean of 20; missing for an index."),
)

FEATURE_VIEWS = (
    FeatureView(
        name="recent_bars",
        entity="symbol",
        entity_dtype="string",
        ttl=None,
        description="The last twenty bars of a symbol at each of its closes, that one included.",
        features=tuple(
            Feature(name=name, dtype="float64", unit=unit, description=text) for name, unit, text in _DESCRIPTIONS
        ),
    ),
)
"""The features' schema."""

FEATURES = tuple(feature_names(FEATURE_VIEWS))


class FeatureParameters(Parameters):
    """What may vary without changing the features' meaning; window lengths are part of their names."""

    clip_return_pct: float = Field(
        25.0,
        gt=0,
        le=100,
        description="Log returns count for no more than this, so that one day does not rule a window.",
    )


def derive_features(records: pl.DataFrame, params: FeatureParameters) -> dict[str, pl.DataFrame]:
    """Computes the view.

    Args:
        records: ``symbol``, ``event_time`` and the descriptors of bars, in any order; never changed.
        params: See :class:`FeatureParameters`.

    Returns:
        View name to frame (symbol, ``event_time``, features; float64, missing where a window is not full), sorted by
        symbol and time.
    """
    rows = records.sort("symbol", "event_time")
    names = ("return_pct", "market_return_pct", "gap_pct", "close_position_share", "range_pct", "volume_count")
    raw = {name: rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names}
    raw["volatility_pct"] = rows["volatility_pct"].fill_null(float("nan")).to_numpy()
    columns = _columns(raw, _age(rows), params.clip_return_pct)
    features = (pl.Series(name, columns[name]).fill_nan(None) for name in FEATURES)
    return {FEATURE_VIEWS[0].name: rows.select("symbol", "event_time").with_columns(features)}


def _age(rows: pl.DataFrame) -> NDArray[np.int64]:
    """How many bars without a hole lie before each row, shape (N,)."""
    starts = rows.select(
        (pl.col("symbol") != pl.col("symbol").shift(1)).fill_null(True) | pl.col("return_pct").is_null()
    ).to_series()
    place = np.arange(rows.height)
    return place - np.maximum.accumulate(np.where(starts.to_numpy(), place, 0))


def _columns(raw: dict[str, Floats], age: NDArray[np.int64], clip_pct: float) -> dict[str, Floats]:
    def log_return(name: str) -> Floats:
        clipped: Floats = np.clip(100 * np.log1p(raw[name] / 100), -clip_pct, clip_pct)
        return clipped

    def lag(values: Floats, bars: int, needed: int | None = None) -> Floats:
        shifted = np.full(len(values), np.nan)
        shifted[bars:] = values[: len(values) - bars]
        return np.where(age >= (bars if needed is None else needed), shifted, np.nan)

    def total(values: Floats, window: int) -> Floats:
        """Sum over ``window`` bars that all have a return."""
        result = np.zeros(len(values))
        for bars in range(window):
            result = result + lag(values, bars, window)
        return result

    own, market = log_return("return_pct"), log_return("market_return_pct")
    relative = own - market
    with np.errstate(divide="ignore", invalid="ignore"):
        log_volatility, volume = np.log(raw["volatility_pct"]), raw["volume_count"]
        deviation = {n: np.sqrt(total(own**2, n) / n) for n in (5, 20)}
        relative_deviation = np.sqrt(total(relative**2, 20) / 20)
        market_square = total(market**2, 20) / 20
        columns = {
            "market_lag_0_pct": lag(market, 0, 1),
            "market_lag_1_pct": lag(market, 1, 2),
            "deviation_5d_pct": deviation[5],
            "deviation_20d_pct": deviation[20],
            "relative_deviation_20d_pct": relative_deviation,
            "market_deviation_20d_pct": np.sqrt(market_square),
            "standard_return": own / (deviation[20] + _EPSILON),
            "standard_relative_return": relative / (relative_deviation + _EPSILON),
            "beta_20d": (total(own * market, 20) / 20 + market_square / 20) / (market_square * 1.05 + _EPSILON),
            "up_share_20d": total(np.where(np.isnan(own), np.nan, own > 0), 20) / 20,
            **{f"log_volatility_{n}d": total(log_volatility, n) / n for n in (1, 5, 20)},
            "latest_gap_pct": raw["gap_pct"],
            "latest_close_position": raw["close_position_share"],
            "range_ratio_20d": raw["range_pct"] / (total(raw["range_pct"], 20) / 20 + _EPSILON),
            "volume_ratio_20d": volume / (total(volume, 20) / 20 + _EPSILON),
        }
    for bars in range(_LAGS):
        columns[f"return_lag_{bars}_pct"] = lag(own, bars, bars + 1)
        columns[f"relative_return_lag_{bars}_pct"] = lag(relative, bars, bars + 1)
    for n in (5, 10, 20):
        columns[f"return_{n}d_pct"], columns[f"relative_return_{n}d_pct"] = total(own, n), total(relative, n)
    for n in (5, 20):
        columns[f"market_{n}d_pct"] = total(market, n)
    return columns
