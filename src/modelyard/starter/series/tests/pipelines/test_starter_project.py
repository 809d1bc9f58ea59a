"""What a forecast is: of a day that was not known, with quantiles in order, wider the farther ahead."""

import math

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from modelyard.errors import ConfigurationError, DataContractError
from pipelines.starter_project.data import IngestParameters, ingest
from pipelines.starter_project.evaluate import QUANTILES, ScoreParameters, predict, score
from pipelines.starter_project.features import FeatureParameters, derive_features
from pipelines.starter_project.figures import figures
from pipelines.starter_project.serve import EXAMPLE, ForecastRequest, decode, encode


def test_a_later_day_changes_no_earlier_feature(trained):
    records = trained.examples.select("series", "event_time", "used_kwh")
    moment = records["event_time"].sort()[records.height // 2]
    is_later = pl.col("event_time") > moment
    changed = records.with_columns(pl.when(is_later).then(1e6).otherwise("used_kwh").alias("used_kwh"))
    before, after = (derive_features(table, FeatureParameters())["hall_use"] for table in (records, changed))
    assert not before.equals(after)
    assert before.filter(~is_later).equals(after.filter(~is_later))


def test_no_outcome_of_a_later_split_is_known_in_an_earlier_one(trained):
    ends = {split: trained.rows(split)["target_at"].max() for split in ("train", "valid", "test")}
    assert ends["train"] < ends["valid"] < ends["test"]
    assert (trained.examples["event_time"] < trained.examples["target_at"]).all()


def test_quantiles_ascend_and_are_wider_a_week_ahead(trained):
    test = trained.rows("test").with_columns(trained.predictions)
    values = test.select(QUANTILES).to_numpy()
    assert (np.diff(values, axis=1) >= 0).all()
    width = test.group_by("lead_count").agg((pl.col(QUANTILES[-1]) - pl.col(QUANTILES[0])).mean().alias("width"))
    by_lead = dict(width.iter_rows())
    assert by_lead[1] < by_lead[7]


def test_a_hall_that_uses_twice_as_much_will_use_twice_as_much(trained):
    double = EXAMPLE.model_copy(update={"used_kwh": [2 * used for used in EXAMPLE.used_kwh]})
    one, two = encode(predict(trained.model, decode([EXAMPLE, double])))
    assert two.quantiles_kwh == pytest.approx([2 * value for value in one.quantiles_kwh], rel=1e-5)


def test_metrics_of_two_rows_are_those_counted_by_hand():
    rows = pl.DataFrame({"outcome_kwh": [10.0, 0.0], "lead_count": [1, 1]}).with_columns(
        pl.lit(float(value)).alias(name) for name, value in zip(QUANTILES, (2, 4, 6, 8, 9), strict=True)
    )
    found = score(rows, ScoreParameters(min_rows=1))
    # Outcome 10: 0.1 * 8, 0.3 * 6, 0.5 * 4, 0.7 * 2, 0.9 * 1. Outcome 0: 0.9 * 2, 0.7 * 4, 0.5 * 6, 0.3 * 8, 0.1 * 9.
    assert found["mean_pinball_loss"] == pytest.approx((6.9 / 5 + 10.9 / 5) / 2)
    assert (found["mean_absolute_error"], found["coverage_80"]) == (5.0, 0.0)
    assert math.isnan(found["mean_pinball_loss_lead_7"])


def test_own_data_without_a_path_and_too_short_series_are_refused(trained, refit, tmp_path):
    with pytest.raises(ConfigurationError, match="No own data are named"):
        ingest(IngestParameters(source="own"))
    with pytest.raises(DataContractError, match="1 forecasts to learn from"):
        refit(trained.rows("train").head(1), tmp_path)


def test_a_request_without_days_or_for_another_lead_is_refused():
    for change in ({"used_kwh": []}, {"lead_count": 5}):
        with pytest.raises(ValidationError):
            ForecastRequest.model_validate(EXAMPLE.model_dump() | change)


def test_figures_are_drawn(trained):
    drawn = figures(trained.rows("test").hstack(trained.predictions), trained.model)
    assert set(drawn) == {"quantiles", "forecast"}
    assert all(figure.axes for figure in drawn.values())
