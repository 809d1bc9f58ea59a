"""Features: what they count, that nothing later and no price level is in them, and when they are missing."""

import numpy as np
import polars as pl
import pytest

from pipelines.stock_market_prediction.bars import TargetParameters, records_of
from pipelines.stock_market_prediction.evaluate import predict
from pipelines.stock_market_prediction.features import FEATURES, LONGEST, FeatureParameters, derive_features


def features_of(bars):
    return derive_features(records_of(bars, TargetParameters()), FeatureParameters())["recent_bars"]


@pytest.fixture(scope="module")
def features(bars):
    return features_of(bars)


def test_windows_count_what_they_say(bars, features):
    close = bars.filter(pl.col("symbol") == "S0001").sort("day")["close"].to_numpy()
    returns = 100 * np.diff(np.log(close))
    own = features.filter(pl.col("symbol") == "S0001")
    for number in (40, 123):
        row = own.row(number, named=True)
        assert row["return_lag_0_pct"] == pytest.approx(returns[number - 1])
        assert row["return_lag_3_pct"] == pytest.approx(returns[number - 4])
        assert row["return_10d_pct"] == pytest.approx(returns[number - 10 : number].sum())
        assert row["deviation_20d_pct"] == pytest.approx(np.sqrt(np.mean(returns[number - 20 : number] ** 2)))
        assert row["up_share_20d"] == pytest.approx(np.mean(returns[number - 20 : number] > 0))
    assert own["relative_return_5d_pct"][50] == pytest.approx(own["return_5d_pct"][50] - own["market_5d_pct"][50])


def test_a_window_that_is_not_full_is_missing(features):
    own = features.filter(pl.col("symbol") == "S0001")
    assert own["return_20d_pct"].is_null().to_list() == [number < LONGEST for number in range(own.height)]
    assert own["return_lag_4_pct"].head(6).is_null().to_list() == [True] * 5 + [False]


def test_no_window_crosses_a_hole(bars):
    days = bars.filter(pl.col("symbol") == "S0001")["day"].sort()
    holed = bars.filter(~((pl.col("symbol") == "S0001") & (pl.col("day") == days[100])))
    own = features_of(holed).filter(pl.col("symbol") == "S0001")
    assert own["return_20d_pct"].slice(100, LONGEST + 2).is_null().to_list() == [True] * LONGEST + [False] * 2


@pytest.mark.parametrize("symbol", ["S0001", None])
def test_a_planted_future_price_changes_no_earlier_feature_and_no_earlier_prediction(bars, trained, symbol):
    moment = bars["day"].unique().sort()[180]
    is_later = (pl.col("day") > moment) & ((pl.col("symbol") == symbol) if symbol else pl.lit(True))
    planted = bars.with_columns(
        pl.when(is_later).then(pl.col(name) * 1.5).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close", "volume")
    )
    before, after = (records_of(each, TargetParameters()) for each in (bars, planted))
    assert not before.equals(after)
    known = pl.col("event_time").dt.date() <= moment
    before, after = (
        derive_features(each, FeatureParameters())["recent_bars"]
        .filter(known)
        .join(each.select("symbol", "event_time", "volatility_pct"), on=["symbol", "event_time"])
        for each in (before, after)
    )
    assert before.equals(after)
    assert predict(trained.model, before).equals(predict(trained.model, after))


def test_a_planted_leak_would_be_noticed(bars):
    """The test above can fail: a feature that peeks at the next bar differs."""
    planted = bars.with_columns(pl.col("close") * (1 + (pl.col("day") == bars["day"].max()).cast(pl.Float64)))
    peeks = [
        each.sort("symbol", "day").select(pl.col("close").shift(-1).over("symbol")).to_series()
        for each in (bars, planted)
    ]
    assert not peeks[0].equals(peeks[1])


def test_the_level_of_prices_is_in_no_feature(bars, features):
    scaled = bars.with_columns(pl.col("open", "high", "low", "close") / 1024)
    assert np.allclose(features_of(scaled).select(FEATURES), features.select(FEATURES), rtol=1e-9, equal_nan=True)


def test_rows_in_any_order_give_the_same_features(bars, features):
    records = records_of(bars, TargetParameters())
    shuffled = derive_features(records.sample(fraction=1, shuffle=True, seed=2), FeatureParameters())["recent_bars"]
    assert shuffled.equals(features)
