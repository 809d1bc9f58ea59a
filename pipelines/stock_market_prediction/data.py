"""Daily bars: simulated, the ACL18 stocks or the VIX, or your own; one record for each symbol and close."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.own_data.format import TableSourceParameters
from modelyard.own_data.table import read_own_source
from modelyard.parameters import Parameters
from modelyard.records import Column, Contract
from modelyard.tasks.series.splits import split_by_target
from pipelines.stock_market_prediction.bars import (
    CLOSE,
    LARGEST_PRICE,
    LARGEST_VOLUME,
    TargetParameters,
    records_of,
)
from pipelines.stock_market_prediction.simulator import SimulationParameters, simulate

if TYPE_CHECKING:
    import great_expectations.expectations as gxe


_PRICE = "in the source's currency (USD in ours; points for an index), adjusted for splits and dividends"

CONTRACT = Contract(
    key="bar_id",
    event_time="event_time",
    target="is_up",
    group="trading_day",
    columns=(
        Column(name="bar_id", dtype="string", description="Symbol and day."),
        Column(name="symbol", dtype="string", description="The stock or index."),
        Column(name="sector", dtype="string", description="Its sector, or 'unknown'."),
        Column(name="event_time", dtype="datetime", description="The close: from then on the bar is known."),
        Column(name="target_at", dtype="datetime", description="The close that is to be foreseen.", nullable=True),
        Column(name="trading_day", dtype="string", description="Day of the target (first day of its block)."),
        Column(name="open_usd", dtype="float64", description=f"First price, {_PRICE}.", unit="USD"),
        Column(name="high_usd", dtype="float64", description=f"Highest price, {_PRICE}.", unit="USD"),
        Column(name="low_usd", dtype="float64", description=f"Lowest price, {_PRICE}.", unit="USD"),
        Column(name="close_usd", dtype="float64", description=f"Last price, {_PRICE}.", unit="USD"),
        Column(name="volume_count", dtype="float64", description="Shares; none for an index.", nullable=True),
        Column(name="return_pct", dtype="float64", description="Since the last close.", unit="%", nullable=True),
        Column(name="gap_pct", dtype="float64", description="Last close to open.", unit="%", nullable=True),
        Column(name="range_pct", dtype="float64", description="Low to high.", unit="%", nullable=True),
        Column(name="close_position_share", dtype="float64", description="Close between low and high.", nullable=True),
        Column(name="volatility_pct", dtype="float64", description="Annualised, the day's.", unit="%", nullable=True),
        Column(
            name="market_return_pct", dtype="float64", description="Mean over the symbols.", unit="%", nullable=True
        ),
        Column(name="move_pct", dtype="float64", description="Close to target close.", unit="%", nullable=True),
        Column(name="next_volatility_pct", dtype="float64", description="The target day's.", unit="%", nullable=True),
        Column(name="is_up", dtype="bool", description="The target; null in the neutral band.", nullable=True),
        Column(name="split", dtype="string", description="By target day.", nullable=True),
    ),
)
"""What records promise. The last columns, from ``move_pct`` on, lie in the future of ``event_time``."""

BARS = Contract(
    key="symbol",
    event_time="traded_at",
    target="close",
    columns=(
        Column(name="symbol", dtype="string", description="The stock."),
        Column(name="traded_at", dtype="datetime", description="Day of the bar, or a moment of that day."),
        Column(name="open", dtype="float64", description="First price."),
        Column(name="high", dtype="float64", description="Highest price."),
        Column(name="low", dtype="float64", description="Lowest price."),
        Column(name="close", dtype="float64", description="Last price."),
        Column(name="adjusted_close", dtype="float64", description="Corrected for splits.", nullable=True),
        Column(name="volume", dtype="float64", description="Shares traded.", nullable=True),
        Column(name="sector", dtype="string", description="Sector.", nullable=True),
    ),
)
"""What a file of own bars has; nullable columns are read where ``columns`` names them."""

_STOCKS, _VIX = "stocknet_prices", "core_finance_vix"

_PUBLISHED_COUNTS = {"valid": 2_555, "test": 3_720}
"""Labelled rows of the ACL18 split (Xu and Cohen 2018; its 20,339 training rows are 20,346 in these files)."""

_VIX_JUMP_RATIO = 3.0
"""The VIX more than doubled on 2018-02-05; nobody splits an index."""


class PeriodParameters(Parameters):
    """The split by target day where the source brings none; the public sets' dates are fixed."""

    valid_share: float = Field(0.15, gt=0, lt=0.5, description="Share of the days for validation.")
    test_share: float = Field(0.2, gt=0, lt=0.5, description="Share of the days for the test, the last ones.")
    embargo_days: int = Field(
        7, ge=0, le=365, description="Calendar days between the last target of one split and the first bar of the next."
    )


class IngestParameters(TableSourceParameters):
    """Where daily bars come from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["stocknet_prices", "core_finance_vix"] = Field(
        "stocknet_prices", description="Public data set: stocks and their direction, or the VIX and its level."
    )
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated market.")
    target: TargetParameters = Field(TargetParameters(), description="What is to be foreseen.")
    periods: PeriodParameters = Field(PeriodParameters(), description="The split of simulated and own bars.")
    timezone: str = Field(
        "America/New_York", description="Own data: IANA zone of the exchange; a bar's day is the day there."
    )


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's bars as records, with their split.

    Args:
        params: See :class:`IngestParameters`.

    Returns:
        Columns of :data:`CONTRACT`, and ``parse_errors``, sorted by day and symbol. Rows without a known target, and
        those within an embargo, are ``unused``; rows of the neutral band keep their split and have no ``is_up``.

    Raises:
        DataContractError: The data cannot be split, or the public data are not the ones described.
        ConfigurationError: ``source`` is ``own`` and its file cannot be found.
        FetchError: The public data cannot be brought here.
    """
    match params.source:
        case "simulated":
            return split_by_share(records_of(simulate(params.simulation), params.target), params.periods)
        case "public":
            return _stocks(params) if params.dataset == _STOCKS else _vix(params)
        case "own":
            return split_by_share(records_of(_own(params), params.target), params.periods)


def split_by_share(records: pl.DataFrame, periods: PeriodParameters) -> pl.DataFrame:
    """Fills in ``split`` by shares of the target days.

    Args:
        records: Has ``event_time``, ``target_at``.
        periods: See :class:`PeriodParameters`.

    Raises:
        DataContractError: There are too few days, or an embargo leaves none of a split.
    """
    days = records["target_at"].drop_nulls().unique().sort()
    n_test, n_valid = (round(share * len(days)) for share in (periods.test_share, periods.valid_share))
    if min(n_test, n_valid) < 1 or n_test + n_valid >= len(days):
        raise DataContractError(
            f"There are {len(days)} days with a known target: too few for training, validation and test.",
            where="columns 'symbol' and 'traded_at'",
            way_out="bring more days; a bar without a next bar within ingest.target.max_gap_days has no target",
        )
    begins = {"train": days[0], "valid": days[len(days) - n_test - n_valid], "test": days[len(days) - n_test]}
    return split_by_target(records, begins, timedelta(days=periods.embargo_days))


def _stocks(params: IngestParameters) -> pl.DataFrame:
    """The ACL18 stocks with the official split and labels."""
    from modelyard.public_data.fetch import fetch

    folder = fetch(_STOCKS)
    table = pl.read_csv(folder / "StockTable.tsv", separator="\t")
    sectors = table.select(
        pl.col("Symbol").str.strip_prefix("$").alias("symbol"),
        pl.col("Sector").str.replace("Matierials", "Materials").alias("sector"),
    )
    files = [
        pl.read_csv(path, infer_schema=False).with_columns(symbol=pl.lit(path.stem))
        for path in sorted((folder / "price_raw").glob("*.csv"))
    ]
    prices = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Adj Close": "adjusted_close"}
    bars = pl.concat(files).select(
        "symbol",
        pl.col("Date").str.to_date("%Y-%m-%d").alias("day"),
        *(pl.col(theirs).cast(pl.Float64).alias(ours) for theirs, ours in prices.items()),
        pl.col("Volume").cast(pl.Float64).alias("volume"),
    )
    target = params.target.model_copy(update={"horizon_days": 1})
    records = records_of(adjusted(bars).join(sectors, on="symbol", how="left"), target)
    begins = {"train": _close(2014, 1, 1), "valid": _close(2015, 8, 1), "test": _close(2015, 10, 1)}
    records = split_by_target(records, begins, embargo=timedelta(0))
    _check_counts(records, folder)
    return records


def _vix(params: IngestParameters) -> pl.DataFrame:
    """The VIX, split by date."""
    from modelyard.public_data.fetch import fetch

    table = pl.read_csv(fetch(_VIX) / "vix-daily.csv")
    bars = table.select(
        pl.lit("VIX").alias("symbol"),
        pl.lit("Index").alias("sector"),
        pl.col("DATE").str.to_date("%m/%d/%Y").alias("day"),
        *(pl.col(name.upper()).cast(pl.Float64).alias(name) for name in ("open", "high", "low", "close")),
        pl.lit(None, pl.Float64).alias("volume"),
    )
    # After 11 September 2001 the exchanges were closed for a week.
    target = params.target.model_copy(update={"max_jump_ratio": _VIX_JUMP_RATIO, "max_gap_days": 7})
    records = records_of(bars, target, is_volatility_index=True)
    begins = {"train": _close(1990, 1, 1), "valid": _close(2018, 1, 1), "test": _close(2020, 1, 1)}
    return split_by_target(records, begins, embargo=timedelta(0))


def _own(params: IngestParameters) -> pl.DataFrame:
    """The user's bars, in any order."""
    bars = read_own_source(params, BARS, params.timezone)
    absent = {"adjusted_close": pl.Float64, "volume": pl.Float64, "sector": pl.String}
    bars = bars.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in absent.items() if name not in bars)
    day = pl.col("traded_at").dt.convert_time_zone(params.timezone).dt.date()
    return adjusted(bars.with_columns(day.alias("day"), pl.coalesce("adjusted_close", "close").alias("adjusted_close")))


def adjusted(bars: pl.DataFrame) -> pl.DataFrame:
    """Returns each day's prices times ``adjusted_close / close``, so that days can be compared."""
    factor = pl.col("adjusted_close") / pl.col("close")
    return bars.with_columns(
        *(pl.col(name) * factor for name in ("open", "high", "low")), pl.col("adjusted_close").alias("close")
    )


def expectations(params: IngestParameters) -> list[gxe.Expectation]:
    """Returns what records must look like beyond the contract, which the spine checks (columns, types, key, nulls).

    Args:
        params: Those of :func:`ingest`.

    Returns:
        Great Expectations objects, each with a ``description`` for people.
    """
    import great_expectations.expectations as gxe

    is_index = params.source == "public" and params.dataset == _VIX
    ratio = _VIX_JUMP_RATIO if is_index else params.target.max_jump_ratio
    low, high = 100 / ratio - 100, 100 * ratio - 100
    return [
        *(
            gxe.ExpectColumnValuesToBeBetween(
                column=name,
                min_value=0,
                strict_min=True,
                max_value=LARGEST_PRICE,
                description=f"A price is positive and at most {LARGEST_PRICE:,.0f} ('{name}').",
            )
            for name in ("open_usd", "high_usd", "low_usd", "close_usd")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="return_pct",
            min_value=low,
            max_value=high,
            description=f"A close moves by {low:.0f} % to {high:+.0f} % in a day; more looks like a split that is not "
            "adjusted (map adjusted_close, or release the row if it is true).",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="range_pct", min_value=0, description="The highest price is not below the lowest."
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="close_position_share",
            min_value=-0.01,
            max_value=1.01,
            description="The close lies between the lowest and the highest price.",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="volume_count",
            min_value=0,
            max_value=LARGEST_VOLUME,
            description=f"A volume is not negative and at most {LARGEST_VOLUME:,.0f}.",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="event_time",
            min_value=datetime(1900, 1, 1, tzinfo=UTC),
            max_value=_end(params),
            description="A close lies in the past.",
        ),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column="is_up", value_set=[True, False], description="Some days go up and some go down."
        ),
    ]


def _end(params: IngestParameters) -> datetime:
    """The latest close that can have happened: the end of a public set, else the next midnight (UTC)."""
    if params.source == "public":
        return _close(2016, 1, 1) if params.dataset == _STOCKS else _close(2025, 1, 1)
    if params.source == "simulated":
        first = params.simulation.start_date
        return _close(first.year, first.month, first.day) + timedelta(days=7 * params.simulation.n_days // 5 + 7)
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _close(year: int, month: int, day: int) -> datetime:
    return datetime.combine(date(year, month, day), datetime.min.time(), UTC) + CLOSE


def _check_counts(records: pl.DataFrame, folder: Path) -> None:
    labelled = records.filter(pl.col("is_up").is_not_null())
    found = {name: labelled.filter(pl.col("split") == name).height for name in _PUBLISHED_COUNTS}
    if found != _PUBLISHED_COUNTS:
        raise DataContractError(
            f"The labelled rows are not the published ones: {found}, not {_PUBLISHED_COUNTS}.",
            where=str(folder),
            way_out="keep up_from_pct, down_to_pct at their defaults; verify the download (kedro data verify)",
        )
