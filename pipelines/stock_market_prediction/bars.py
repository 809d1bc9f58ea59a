"""What a daily bar tells by itself and beside the bars before it, and what the following days made of it.

A record is one symbol at one close. Its descriptors use bars up to that close; ``move_pct``, ``next_volatility_pct``
and ``is_up`` are what was to be foreseen. A bar is linked to the next one only where the market's days follow each
other: across a hole in the data there is neither a return nor a target.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl
from pydantic import Field

from modelyard.own_data.cells import PARSE_ERRORS, with_problem
from modelyard.parameters import Parameters

CLOSE = timedelta(hours=22)
"""When a day's bar is complete (UTC): after the close in New York, in summer and in winter."""

TRADING_DAYS_PER_YEAR = 252

LARGEST_PRICE, LARGEST_VOLUME = 1e9, 1e15
"""More is a mistake of the file or of the request: no share costs a billion, and no company has as many shares."""

_LEAST_VOLATILITY_PCT = 1.0
"""A day on which nothing was traded has no range; its logarithm must stay finite."""

_MARKET_QUORUM = 0.5
"""A day is one of the market's when at least this share of the symbols listed at the time have a bar."""


class TargetParameters(Parameters):
    """What is to be foreseen."""

    horizon_days: int = Field(1, ge=1, le=60, description="Trading days from the close that is known to the target.")
    up_from_pct: float = Field(0.55, gt=0, lt=100, description="A move of at least this is up (Xu and Cohen 2018).")
    down_to_pct: float = Field(
        -0.5, gt=-100, lt=0, description="A move of at most this is down; days in between are dropped from the scores."
    )
    max_gap_days: int = Field(6, ge=1, le=60, description="Calendar days between bars that still follow each other.")
    max_jump_ratio: float = Field(
        1.9, gt=1, le=100, description="A close this many times (or one such part of) the last one is no day's move."
    )


def records_of(bars: pl.DataFrame, params: TargetParameters, *, is_volatility_index: bool = False) -> pl.DataFrame:
    """Returns bars as records, sorted by day and symbol.

    A bar that is not sound (a price that is missing or not positive, a day that the symbol has twice, a day on which
    the market was closed, a cell that could not be read) becomes a record without descriptors and lends nothing to its
    neighbours; validation says what is wrong with it.

    Args:
        bars: ``symbol``, ``sector``, ``day`` (date), ``open``, ``high``, ``low``, ``close`` (all adjusted alike),
            ``volume`` (null for an index), perhaps ``parse_errors``; any order.
        params: See :class:`TargetParameters`.
        is_volatility_index: The close is itself a volatility in annualised percent.

    Returns:
        The columns of the contract but ``split``, and ``parse_errors``.
    """
    calendar = market_days(bars)
    bars = bars.join(calendar, on="day", how="left").sort("day", "symbol", nulls_last=True)
    bars = with_problem(bars, _closed_market())
    sound = bars.filter(_is_sound())
    sound = with_market(described(sound, params, is_volatility_index=is_volatility_index), params)
    rows = pl.concat([with_targets(sound, calendar, params), bars.filter(~_is_sound())], how="diagonal")
    return _as_records(rows.sort("day", "symbol", nulls_last=True, maintain_order=True))


def market_days(bars: pl.DataFrame) -> pl.DataFrame:
    """Returns the days on which most of the symbols listed then have a bar: ``day``, and ``number`` from 0."""
    seen = bars.select("symbol", "day").drop_nulls().unique()
    lives = seen.group_by("symbol").agg(pl.col("day").min().alias("first"), pl.col("day").max().alias("last"))
    counts = seen.group_by("day").len("traded").sort("day")
    begun = lives.group_by(day="first").len("n").sort("day").select("day", begun=pl.col("n").cum_sum())
    ended = lives.select(day=pl.col("last") + pl.duration(days=1)).group_by("day").len("n").sort("day")
    ended = ended.select("day", ended=pl.col("n").cum_sum())
    listed = counts.join_asof(begun, on="day").join_asof(ended, on="day")
    share = pl.col("traded") / (pl.col("begun") - pl.col("ended").fill_null(0))
    return listed.filter(share >= _MARKET_QUORUM).select("day").with_row_index("number").cast({"number": pl.Int64})


def described(bars: pl.DataFrame, params: TargetParameters, *, is_volatility_index: bool = False) -> pl.DataFrame:
    """Adds to sound bars, sorted by day, what each tells: return, gap, range, place of the close, volatility.

    Volatility of a day from its four prices: Garman and Klass 1980 (https://doi.org/10.1086/296072), equation 20, and
    the square of the move overnight; annualised.
    """
    before = pl.col("close").shift(1).over("symbol")
    skipped = pl.col("number") - pl.col("number").shift(1).over("symbol")
    gap = (pl.col("day") - pl.col("day").shift(1).over("symbol")).dt.total_days()
    is_next = ((skipped == 1) & (gap <= params.max_gap_days)).fill_null(False)
    overnight = pl.when(is_next).then((pl.col("open") / before).log()).otherwise(0.0)
    body, span = (pl.col("close") / pl.col("open")).log(), (pl.col("high") / pl.col("low")).log()
    variance = overnight**2 + 0.5 * span**2 - (2 * pl.lit(2.0).log() - 1) * body**2
    measured = 100 * (TRADING_DAYS_PER_YEAR * variance).clip(lower_bound=0).sqrt()
    volatility = pl.col("close") if is_volatility_index else measured.clip(lower_bound=_LEAST_VOLATILITY_PCT)
    width = pl.col("high") - pl.col("low")
    return bars.with_columns(
        pl.when(is_next).then(100 * (pl.col("close") / before - 1)).alias("return_pct"),
        pl.when(is_next).then(100 * (pl.col("open") / before - 1)).alias("gap_pct"),
        (100 * (pl.col("high") / pl.col("low") - 1)).alias("range_pct"),
        pl.when(width == 0)
        .then(0.5)
        .otherwise((pl.col("close") - pl.col("low")) / width)
        .alias("close_position_share"),
        volatility.alias("volatility_pct"),
    )


def with_market(bars: pl.DataFrame, params: TargetParameters) -> pl.DataFrame:
    """Adds ``market_return_pct``: the mean return of that day's symbols, without those that jumped."""
    known = pl.when(_is_move(pl.col("return_pct"), params)).then("return_pct")
    return bars.with_columns(known.mean().over("day").alias("market_return_pct"))


def with_targets(bars: pl.DataFrame, calendar: pl.DataFrame, params: TargetParameters) -> pl.DataFrame:
    """Adds ``move_pct``, ``next_volatility_pct``, ``is_up``, ``target_day`` and ``trading_day``, null where unknown."""
    horizon = params.horizon_days
    is_break = ~_is_move(pl.col("return_pct"), params).fill_null(False)
    breaks = is_break.cum_sum().over("symbol")

    def later(name: str) -> pl.Expr:
        return pl.col(name).shift(-horizon).over("symbol")

    move = 100 * (later("close") / pl.col("close") - 1)
    is_up = pl.when(move >= params.up_from_pct).then(True).when(move <= params.down_to_pct).then(False)
    targets = {
        "move_pct": move,
        "next_volatility_pct": later("volatility_pct"),
        "is_up": is_up,
        "target_day": later("day"),
        "block": later("number") // horizon * horizon,
    }
    days = calendar.select(pl.col("number").alias("block"), pl.col("day").dt.to_string("%Y-%m-%d").alias("trading_day"))
    bars = bars.with_columns((breaks == breaks.shift(-horizon).over("symbol")).alias("is_known"))
    return bars.with_columns(
        pl.when("is_known").then(expression).alias(name) for name, expression in targets.items()
    ).join(days, on="block", how="left", maintain_order="left")


def _is_move(move_pct: pl.Expr, params: TargetParameters) -> pl.Expr:
    ratio = 1 + move_pct / 100
    return (ratio < params.max_jump_ratio) & (ratio > 1 / params.max_jump_ratio)


def _closed_market() -> pl.Expr:
    is_closed = pl.col("number").is_null() & pl.col("day").is_not_null()
    words = pl.format("day: on {} most symbols were not traded", pl.col("day").dt.to_string("%Y-%m-%d"))
    return pl.when(is_closed).then(words)


def _is_sound() -> pl.Expr:
    prices = [pl.col(name).fill_null(0) for name in ("open", "high", "low", "close")]
    return (
        pl.col(PARSE_ERRORS).is_null()
        & pl.col("symbol").is_not_null()
        & pl.col("day").is_not_null()
        & pl.all_horizontal((price > 0) & (price <= LARGEST_PRICE) for price in prices)
        & pl.col("volume").fill_null(0).is_between(0, LARGEST_VOLUME)
        # Of equal copies the first counts; of different ones nobody knows which is true.
        & pl.struct("symbol", "day").is_first_distinct()
        & (pl.struct("open", "high", "low", "close").n_unique().over("symbol", "day") == 1)
    )


def _as_records(rows: pl.DataFrame) -> pl.DataFrame:
    moment = (pl.col("day").cast(pl.Datetime("us")) + pl.lit(CLOSE)).dt.replace_time_zone("UTC")
    target = (pl.col("target_day").cast(pl.Datetime("us")) + pl.lit(CLOSE)).dt.replace_time_zone("UTC")
    return rows.select(
        pl.format("{} {}", "symbol", pl.col("day").dt.to_string("%Y-%m-%d")).alias("bar_id"),
        "symbol",
        pl.col("sector").fill_null("unknown"),
        moment.alias("event_time"),
        target.alias("target_at"),
        pl.col("trading_day").fill_null("none"),
        pl.col("open").alias("open_usd"),
        pl.col("high").alias("high_usd"),
        pl.col("low").alias("low_usd"),
        pl.col("close").alias("close_usd"),
        pl.col("volume").alias("volume_count"),
        "return_pct",
        "gap_pct",
        "range_pct",
        "close_position_share",
        "volatility_pct",
        "market_return_pct",
        "move_pct",
        "next_volatility_pct",
        "is_up",
        PARSE_ERRORS,
    )
