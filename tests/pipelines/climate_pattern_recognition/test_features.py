"""Features: what they are, and that none of them knows the future."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from pipelines.climate_pattern_recognition.data import IngestParameters, ingest
from pipelines.climate_pattern_recognition.features import FEATURE_VIEWS, FeatureParameters, derive_features
from pipelines.climate_pattern_recognition.inputs import INPUTS, input_matrix, target_months
from pipelines.climate_pattern_recognition.simulator import SimulationParameters


@pytest.fixture(scope="module")
def records():
    return ingest(IngestParameters(simulation=SimulationParameters(oscillation="enso", n_years=20)))


def derived(records):
    return derive_features(records, FeatureParameters())["oscillation_state"]


def test_lags_and_means_are_those_of_the_series(records):
    series = records.unique("event_time", keep="first").sort("event_time")
    features = derived(records)
    assert features.columns == ["series", "event_time", *(each.name for each in FEATURE_VIEWS[0].features)]
    assert features["event_time"].to_list() == series["event_time"].to_list()
    values = series["first_index"]
    assert features["first_index_lag_7"][50] == values[43]
    assert features["first_index_lag_7"][:7].null_count() == 7
    assert features["second_index_mean_10"][50] == pytest.approx(series["second_index"][41:51].mean())
    assert features["first_index_mean_10"][2] == pytest.approx(values[:3].mean())
    assert features["qbo_index_lag_0"].null_count() == features.height


def test_a_gap_is_a_missing_lag_not_a_shifted_one(records):
    times = records["event_time"].unique().sort()
    features = derived(records.filter(pl.col("event_time") != times[50]))
    row = features.filter(pl.col("event_time") == times[52])
    assert row["first_index_lag_2"].to_list() == [None]
    assert row["first_index_lag_1"].null_count() == 0


def test_a_planted_future_value_changes_no_earlier_feature(records):
    moment = records["event_time"].unique().sort()[120]
    is_later = pl.col("event_time") > moment
    planted = records.with_columns(
        *(pl.when(is_later).then(1e6).otherwise(name).alias(name) for name in ("first_index", "second_index")),
        pl.lit(1e6).alias("target_index"),
        pl.lit(1e6).alias("dynamical_index"),
    )
    before = derived(records).filter(pl.col("event_time") <= moment)
    assert derived(planted).filter(pl.col("event_time") <= moment).equals(before)
    assert not derived(planted).equals(derived(records))


def test_the_order_of_rows_does_not_matter(records):
    assert derived(records.sample(fraction=1, shuffle=True, seed=0)).equals(derived(records))


def test_inputs_have_a_column_each_and_months_are_those_that_are_forecast(records):
    joined = records.join(derived(records), on=["series", "event_time"], how="left", maintain_order="left")
    assert input_matrix(joined).shape == (records.height, len(INPUTS))
    assert (target_months(joined) + 1).tolist() == records["target_at"].dt.month().to_list()
    days = pl.DataFrame({"event_time": [datetime(2001, 1, 30, tzinfo=UTC)], "oscillation": ["mjo"], "lead_count": [20]})
    assert target_months(days)[0] + 1 == (datetime(2001, 1, 30, tzinfo=UTC) + timedelta(days=20)).month
