"""The API: a symbol's latest bars in, direction and volatility of the next one out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.stock_market_prediction.bars import LARGEST_PRICE, LARGEST_VOLUME, TargetParameters, records_of
from pipelines.stock_market_prediction.features import FEATURES, LONGEST, FeatureParameters, derive_features

_DESCRIPTORS = ("return_pct", "gap_pct", "range_pct", "close_position_share", "volatility_pct", "market_return_pct")
"""Columns of the record that monitoring watches beside the features: what has no price level in it."""


_Price = Annotated[float, Field(gt=0, le=LARGEST_PRICE)]
_Volume = Annotated[float, Field(ge=0, le=LARGEST_VOLUME)]
_Return = Annotated[float, Field(ge=-100, le=10_000)]


class StockRequest(BaseModel):
    """The latest daily bars of one symbol, oldest first; the last one has just closed.

    The four prices are adjusted alike for splits and dividends.
    """

    model_config = ConfigDict(extra="forbid")

    days: list[Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]] = Field(
        min_length=2, max_length=250, description=f"YYYY-MM-DD; {LONGEST + 1} trading days fill all windows."
    )
    opens: list[_Price] = Field(description="First prices.")
    highs: list[_Price] = Field(description="Highest prices.")
    lows: list[_Price] = Field(description="Lowest prices.")
    closes: list[_Price] = Field(description="Last prices.")
    volumes: list[_Volume] = Field([], description="Shares; empty for an index.")
    market_returns_pct: list[_Return] = Field(
        [], description="Mean return of the market's symbols on each day, in %; empty: the symbol is its own market."
    )
    is_volatility_index: bool = Field(False, description="The closes are themselves volatilities, as of the VIX.")

    @model_validator(mode="after")
    def _are_sound_bars_in_order(self) -> StockRequest:
        for name in ("opens", "highs", "lows", "closes", "volumes", "market_returns_pct"):
            length = len(getattr(self, name))
            if length != len(self.days) and (length or name not in ("volumes", "market_returns_pct")):
                raise ValueError(f"{length} {name} for {len(self.days)} days: give one for each day")
        for earlier, later in pairwise(date.fromisoformat(day) for day in self.days):
            if later <= earlier:
                raise ValueError(f"{later} comes after {earlier}: give each day once, oldest first")
        for day, first, high, low, last in zip(self.days, self.opens, self.highs, self.lows, self.closes, strict=True):
            if not 0 < low <= min(first, last) <= max(first, last) <= high < float("inf"):
                raise ValueError(f"{day}: prices are positive, and open and close lie between low and high")
        return self


class StockResponse(BaseModel):
    """The answer."""

    up_probability: float = Field(description="Of a rise, given that the price leaves the neutral band.")
    is_up_predicted: bool = Field(description="Whether the probability reaches the model's threshold.")
    volatility_forecast_pct: float = Field(description="Annualised volatility of the target day, in %.")


def decode(requests: Sequence[StockRequest]) -> pl.DataFrame:
    """Returns the frame that ``predict`` takes, a row for each request."""
    rows: list[pl.DataFrame] = []
    for is_index in (False, True):
        chosen = [number for number, request in enumerate(requests) if request.is_volatility_index == is_index]
        if chosen:
            rows.append(_latest({number: requests[number] for number in chosen}, is_index))
    return pl.concat(rows).sort("number").drop("number")


def _latest(requests: dict[int, StockRequest], is_index: bool) -> pl.DataFrame:
    """The latest record of each request with its features; each request is a market of its own."""
    records = pl.concat([_records(number, request, is_index) for number, request in requests.items()])
    features = derive_features(records, FeatureParameters())["recent_bars"]
    last = records.group_by("symbol", maintain_order=True).last()
    joined = last.join(features, on=["symbol", "event_time"], how="left", maintain_order="left")
    return joined.select("symbol", "event_time", *_DESCRIPTORS, *FEATURES, pl.Series("number", list(requests)))


def _records(number: int, request: StockRequest, is_index: bool) -> pl.DataFrame:
    n_days = len(request.days)
    columns: dict[str, Any] = {
        "open": request.opens,
        "high": request.highs,
        "low": request.lows,
        "close": request.closes,
        "volume": request.volumes or [None] * n_days,
    }
    bars = pl.DataFrame(
        {"symbol": [f"{number:09d}"] * n_days, "sector": "unknown", "day": pl.Series(request.days).str.to_date()}
    ).with_columns(pl.Series(name, values, dtype=pl.Float64) for name, values in columns.items())
    records = records_of(bars, TargetParameters(), is_volatility_index=is_index)
    if request.market_returns_pct:
        records = records.with_columns(pl.Series("market_return_pct", request.market_returns_pct, dtype=pl.Float64))
    return records


def encode(predictions: pl.DataFrame) -> list[StockResponse]:
    """Returns one response for each prediction, in order."""
    names = ("up_probability", "is_up_predicted", "volatility_forecast_pct")
    return [StockResponse(**row) for row in predictions.select(names).iter_rows(named=True)]


def _example() -> StockRequest:
    """Thirty made-up weekdays of a stock that sways around 100."""
    days = [date.fromordinal(date(2024, 1, 1).toordinal() + 7 * (number // 5) + number % 5) for number in range(30)]
    closes = [100 + 2 * ((number * 7) % 11 - 5) / 5 for number in range(30)]
    return StockRequest(
        days=[day.isoformat() for day in days],
        opens=[round(close - 0.3, 2) for close in closes],
        highs=[round(close + 0.9, 2) for close in closes],
        lows=[round(close - 0.8, 2) for close in closes],
        closes=[round(close, 2) for close in closes],
        volumes=[1e6 + 1e4 * (number % 7) for number in range(30)],
        market_returns_pct=[round(0.2 * ((number * 5) % 9 - 4) / 4, 3) for number in range(30)],
    )


EXAMPLE = _example()
"""A valid request."""
