"""Bars and records: the official protocol, the user's own file in every bad shape, and no look ahead."""

import os
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.stages.validate import ValidateParameters, validate
from pipelines.stock_market_prediction.bars import TargetParameters, market_days, records_of
from pipelines.stock_market_prediction.data import (
    CONTRACT,
    IngestParameters,
    PeriodParameters,
    expectations,
    ingest,
    split_by_share,
)
from pipelines.stock_market_prediction.simulator import SimulationParameters, simulate
from tests.mutations import assert_every_mutation_is_answered
from tests.pipelines.stock_market_prediction.small import ceiling

MIRROR = os.environ.get("MODELYARD_DATA_MIRROR", "")
needs_mirror = pytest.mark.skipif(
    not Path(MIRROR, "stocknet_prices").is_dir(), reason="needs MODELYARD_DATA_MIRROR with the two public data sets"
)
FUTURE = ("target_at", "trading_day", "move_pct", "next_volatility_pct", "is_up")


def row(records, symbol, day):
    return records.row(by_predicate=pl.col("bar_id") == f"{symbol} {day}", named=True)


def on(bars, symbol, day):
    """A condition: this symbol on that day."""
    return (pl.col("symbol") == symbol) & (pl.col("day") == day)


@pytest.fixture(scope="module")
def days(bars):
    return bars.filter(pl.col("symbol") == "S0001")["day"].sort().to_list()


# The public sets.


@needs_mirror
def test_the_acl18_protocol_gives_the_published_numbers_of_samples(data_directory):
    records = ingest(IngestParameters(source="public"))
    counts = dict(records.drop_nulls("is_up").group_by("split").len().iter_rows())
    assert (counts["train"], counts["valid"], counts["test"]) == (20_346, 2_555, 3_720)
    test = records.filter(pl.col("split") == "test")
    assert test.drop_nulls("is_up")["is_up"].mean() == pytest.approx(0.5129, abs=5e-5)
    neutral = test.filter(pl.col("is_up").is_null())["move_pct"]
    assert neutral.is_between(-0.5, 0.55, closed="none").all()
    assert records["target_at"].max().date() == date(2015, 12, 31)


@needs_mirror
def test_other_labels_than_the_published_ones_are_refused(data_directory):
    with pytest.raises(DataContractError, match="not the published ones"):
        ingest(IngestParameters(source="public", target=TargetParameters(up_from_pct=1.0)))


@needs_mirror
@pytest.mark.parametrize(("horizon", "no_change"), [(1, 2.204), (5, 4.213), (20, 7.956)])
def test_no_change_of_the_vix_is_as_wrong_as_the_catalogue_says(data_directory, horizon, no_change):
    target = TargetParameters(horizon_days=horizon)
    records = ingest(IngestParameters(source="public", dataset="core_finance_vix", target=target))
    rows = records.filter(pl.col("split") == "test")
    error = rows["next_volatility_pct"] - rows["volatility_pct"]
    assert float(np.sqrt((error**2).mean())) == pytest.approx(no_change, rel=1e-3)
    assert rows["event_time"].min() >= records.filter(pl.col("split") == "valid")["target_at"].max()


# The simulated market.


def test_the_market_is_believable_and_repeatable(bars, small):
    assert simulate(small.simulation).equals(bars)
    returns = bars.sort("symbol", "day").select(
        pl.col("symbol", "day"), r=(pl.col("close") / pl.col("close").shift(1)).over("symbol").log()
    )
    wide = returns.drop_nulls().pivot("symbol", index="day", values="r").drop_nulls().drop("day").to_numpy()
    assert np.corrcoef(wide.T)[np.triu_indices(wide.shape[1], 1)].mean() > 0.1  # one market moves all
    assert (bars["high"] >= bars.select(pl.max_horizontal("open", "close")).to_series()).all()
    assert (bars["low"] <= bars.select(pl.min_horizontal("open", "close")).to_series()).all()


def test_volatility_comes_in_waves():
    params = SimulationParameters(n_symbols=4, n_days=4000, ended_share=0.0)
    one = simulate(params).filter(pl.col("symbol") == "S0000").sort("day")["close"].log().diff().drop_nulls().abs()
    assert pl.DataFrame({"today": one, "before": one.shift(1)}).select(pl.corr("today", "before")).item() > 0.03


def test_the_ceiling_is_what_happens_when_the_generator_is_known():
    params = IngestParameters(simulation=SimulationParameters(n_symbols=100, n_days=400, signal_strength=0.5))
    found = ceiling(params)
    assert found["accuracy"] == pytest.approx(found["accuracy_expected"], abs=0.02)
    assert found["accuracy_expected"] > 0.6
    nothing = params.model_copy(update={"simulation": SimulationParameters(n_days=300, signal_strength=0.0)})
    assert ceiling(nothing)["accuracy_expected"] < 0.52


def test_drift_takes_the_foresight_away_and_brings_volatility():
    calm, drifted = (SimulationParameters(n_symbols=20, n_days=300, drift=drift) for drift in (0.0, 1.0))
    late = pl.col("day") > date(2012, 12, 10)
    before, after = (simulate(params).filter(late) for params in (calm, drifted))
    assert after["mean"].abs().max() == 0 < before["mean"].abs().max()
    assert after["deviation"].mean() == pytest.approx(2 * before["deviation"].mean(), rel=1e-6)


# No look ahead, no survivors' bias.


def test_a_changed_future_price_changes_no_earlier_descriptor(bars, days):
    moment = days[200]
    prices = [pl.col(name) * 1.3 for name in ("open", "high", "low", "close")]
    changed = bars.with_columns(pl.when(pl.col("day") > moment).then(price).otherwise(price / 1.3) for price in prices)
    changed = changed.with_columns(pl.when(pl.col("day") > moment).then(7 * pl.col("volume")).otherwise("volume"))
    ours, theirs = (
        records_of(each, TargetParameters()).filter(pl.col("event_time").dt.date() <= moment).drop(FUTURE)
        for each in (bars, changed)
    )
    numbers = [name for name, dtype in ours.schema.items() if dtype == pl.Float64]
    assert np.allclose(ours.select(numbers), theirs.select(numbers), rtol=1e-12, equal_nan=True)


def test_splits_neither_share_targets_nor_touch(small):
    records = ingest(small)
    for earlier, later in (("train", "valid"), ("valid", "test")):
        last = records.filter(pl.col("split") == earlier)["target_at"].max()
        first = records.filter(pl.col("split") == later)["event_time"].min()
        assert first >= last + timedelta(days=small.periods.embargo_days)


def test_a_ticker_that_ends_stays_in_until_its_last_day(bars):
    records = split_by_share(records_of(bars, TargetParameters()), PeriodParameters())
    last_day = bars["day"].max()
    ended = bars.group_by("symbol").agg(pl.col("day").max(), pl.len()).filter(pl.col("day") < last_day)
    assert ended.height
    for symbol, day, n_bars in ended.iter_rows():
        own = records.filter(pl.col("symbol") == symbol)
        assert own.height == n_bars
        assert row(records, symbol, day)["move_pct"] is None
        assert row(records, symbol, day)["split"] == "unused"
        assert own["move_pct"].null_count() == 1


def test_too_few_days_cannot_be_split(bars):
    third = bars["day"].unique().sort()[2]
    with pytest.raises(DataContractError, match="too few"):
        split_by_share(records_of(bars.filter(pl.col("day") <= third), TargetParameters()), PeriodParameters())


# Own bars.


def write_own(bars, path, **changes):
    """A file as people have it: other names, dates as text."""
    names = {"symbol": "Ticker", "day": "Date", "open": "Open", "high": "High", "low": "Low", "close": "Close"}
    table = bars.select(*(pl.col(ours).alias(theirs) for ours, theirs in names.items()), pl.col("volume").alias("Vol"))
    table = table.with_columns(**changes)
    table.write_csv(path) if path.suffix == ".csv" else table.write_parquet(path)
    mapping = {"symbol": "Ticker", "traded_at": "Date", "volume": "Vol"}
    mapping |= {name: name.capitalize() for name in ("open", "high", "low", "close")}
    return IngestParameters(source="own", path=str(path), columns=mapping)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_unsorted_file_gives_the_same_records(bars, tmp_path, suffix):
    params = write_own(bars.sample(fraction=1, shuffle=True, seed=1), tmp_path / f"own{suffix}")
    ours = split_by_share(records_of(bars, TargetParameters()), PeriodParameters())
    own = ingest(params)
    assert own["bar_id"].to_list() == ours["bar_id"].to_list()
    assert own["split"].to_list() == ours["split"].to_list()
    assert np.allclose(own["return_pct"].fill_null(0), ours["return_pct"].fill_null(0), rtol=1e-9)


def test_a_bar_belongs_to_the_day_at_its_exchange(bars, tmp_path):
    tokyo = pl.col("Date").cast(pl.Datetime("us")).dt.offset_by("6h").dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    params = write_own(bars, tmp_path / "own.csv", Date=tokyo)  # 6:00 UTC is 15:00 in Tokyo, and 1:00 in New York
    there = ingest(params.model_copy(update={"timezone": "Asia/Tokyo"}))
    assert there["bar_id"].to_list() == records_of(bars, TargetParameters())["bar_id"].to_list()
    early = pl.col("Date").cast(pl.Datetime("us")).dt.offset_by("-9h").dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    params = write_own(bars, tmp_path / "early.csv", Date=early)  # midnight in Tokyo is the day before in UTC
    there = ingest(params.model_copy(update={"timezone": "Asia/Tokyo"}))
    assert there["bar_id"].to_list() == records_of(bars, TargetParameters())["bar_id"].to_list()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"path": ""}, ConfigurationError, "No own data"),
        ({"path": "/nowhere/own.csv"}, ConfigurationError, "not there"),
        ({"columns": {"close": "Closed"}}, DataContractError, "Columns are missing"),
        ({"timezone": "New York"}, ConfigurationError, "no time zone"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(bars, tmp_path, changes, error, words):
    params = write_own(bars.head(100), tmp_path / "own.csv")
    with pytest.raises(error, match=words):
        ingest(params.model_copy(update=changes))


@pytest.fixture(scope="module")
def bad(bars, days):
    """Bars with one fault of each kind, all on other symbols than the first."""
    unadjusted = on(bars, "S0001", days[100]) | ((pl.col("symbol") == "S0001") & (pl.col("day") > days[100]))
    prices = ("open", "high", "low", "close")
    table = bars.with_columns(pl.when(unadjusted).then(pl.col(name) / 7).otherwise(name).alias(name) for name in prices)
    for symbol, name, value in (("S0002", "close", -3.0), ("S0003", "open", 0.0), ("S0004", "high", None)):
        fault = on(bars, symbol, days[120])
        table = table.with_columns(pl.when(fault).then(pl.lit(value)).otherwise(name).alias(name))
    for symbol, value in (("S0010", -5.0), ("S0011", 1e18)):
        fault = on(bars, symbol, days[120])
        table = table.with_columns(volume=pl.when(fault).then(pl.lit(value)).otherwise("volume"))
    fault = on(bars, "S0005", days[120])
    table = table.with_columns(pl.when(fault).then(pl.col("low") * 0.9).otherwise("high").alias("high"))
    twice = bars.filter(on(bars, "S0007", days[130])).with_columns(pl.col("close") * 1.01)
    sunday = bars.filter(on(bars, "S0008", days[130])).with_columns(pl.lit(date(2012, 7, 1)).alias("day"))
    hole = (pl.col("symbol") == "S0009") & pl.col("day").is_between(days[140], days[149])
    return pl.concat([table.filter(~hole), twice, sunday])


@pytest.fixture(scope="module")
def validated(bad, tmp_path_factory):
    params = write_own(bad, tmp_path_factory.mktemp("own") / "own.csv")
    about = {"project": "stock_market_prediction", "source": "own"}
    return validate(ingest(params), None, CONTRACT, expectations(params), ValidateParameters(), about)


@pytest.mark.parametrize(
    ("symbol", "n_rows", "words"),
    [
        ("S0001", 1, "split that is not adjusted"),
        ("S0002", 1, "close_usd"),
        ("S0003", 1, "open_usd"),
        ("S0004", 1, "high_usd"),
        ("S0005", 1, "not below the lowest"),
        ("S0007", 1, "bar_id"),
        ("S0008", 1, "most symbols were not traded"),
        ("S0010", 1, "volume_count = -5.0: A volume is not negative"),
        ("S0011", 1, "A volume is not negative and at most 1,000,000,000,000,000."),
    ],
)
def test_a_bad_bar_goes_into_quarantine_with_its_reason(validated, symbol, n_rows, words):
    rejected = validated.rejected.filter(pl.col("symbol") == symbol)
    assert rejected.height == n_rows
    assert all(words in "; ".join(reasons) for reasons in rejected["rejected_because"])


def test_nothing_else_is_rejected_and_the_run_goes_on(validated):
    assert validated.rejected.height == 9
    assert validated.summary["stop"] == []


def test_a_bad_bar_is_neither_a_target_nor_a_step_to_its_neighbours(bad, days):
    records = records_of(bad, TargetParameters())
    for symbol, number in (("S0001", 100), ("S0002", 120), ("S0003", 120), ("S0007", 130)):
        assert row(records, symbol, days[number - 1])["move_pct"] is None
        assert abs(row(records, symbol, days[number + 1])["return_pct"] or 0) < 20
    assert row(records, "S0002", days[121])["return_pct"] is None
    assert row(records, "S0011", days[120])["volatility_pct"] is None
    assert row(records, "S0001", days[101])["return_pct"] is not None  # the new level is a level
    assert records["market_return_pct"].abs().max() < 10


def test_of_equal_copies_one_counts_and_of_different_ones_none(bars, days):
    copy = bars.filter(on(bars, "S0001", days[50]))
    equal = records_of(pl.concat([bars, copy]), TargetParameters())
    different = records_of(pl.concat([bars, copy.with_columns(pl.col("close") * 1.01)]), TargetParameters())
    assert equal.drop_nulls("volatility_pct").equals(records_of(bars, TargetParameters()))
    assert different.filter(bar_id=f"S0001 {days[50]}")["volatility_pct"].to_list() == [None, None]


def test_a_gap_is_neither_a_return_nor_a_target(bad, days):
    records = records_of(bad, TargetParameters())
    assert row(records, "S0009", days[139])["move_pct"] is None
    assert row(records, "S0009", days[150])["return_pct"] is None
    assert row(records, "S0009", days[151])["return_pct"] is not None
    one_step_of_two_weeks = TargetParameters(max_gap_days=60)
    alone = bad.filter(pl.col("symbol") == "S0009")
    assert row(records_of(alone, TargetParameters()), "S0009", days[150])["return_pct"] is None
    assert row(records_of(alone, one_step_of_two_weeks), "S0009", days[150])["return_pct"] is not None


def test_a_day_on_which_few_symbols_traded_is_not_the_markets(bad):
    assert date(2012, 7, 1) not in market_days(bad)["day"].to_list()


def test_targets_over_several_days_need_all_of_them(bars, days):
    records = records_of(bars.filter(~on(bars, "S0001", days[102])), TargetParameters(horizon_days=5))
    assert row(records, "S0001", days[96])["target_at"].date() == days[101]
    assert all(row(records, "S0001", days[number])["move_pct"] is None for number in (97, 98, 101))
    assert row(records, "S0001", days[103])["target_at"].date() == days[108]
    assert records["trading_day"].n_unique() < len(days) / 4  # blocks of five days are resampled together


def test_every_mutation_of_own_bars_is_answered(bars, tmp_path):
    few = bars.filter(pl.col("symbol") <= "S0001").sort("day")[:80]
    params = write_own(few, tmp_path / "own.csv")
    content = (tmp_path / "own.csv").read_bytes()
    words = [
        b"\n",
        b",",
        b'"',
        b"1e308",
        b"0",
        b"-1",
        b"5e-324",
        b"nan",
        b"0001-01-01",
        b"9999-12-31",
        b"S0001",
        b"\xff",
    ]
    assert_every_mutation_is_answered(
        lambda _: ingest(params), tmp_path / "own.csv", [content], words=words, at_most=60
    )
