"""Metrics that a reader can follow, floors, figures, the API and its words."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from pipelines.house_price_prediction.evaluate import ScoreParameters, floor, score
from pipelines.house_price_prediction.figures import figures
from pipelines.house_price_prediction.serve import (
    BLOCK_EXAMPLE,
    EXAMPLE,
    SALE_EXAMPLE,
    HouseRequest,
    answer,
    decode,
    encode,
)


def scored(price, predicted, **columns):
    table = {"price": price, "predicted_price": predicted, "new_area_price": predicted, "cap_probability": None}
    ends = {"low_price": 0.0, "high_price": 1e9, "new_area_low_price": 0.0, "new_area_high_price": 1e9}
    return score(pl.DataFrame(table | ends | columns), ScoreParameters())


def test_metrics_are_the_assessors():
    found = scored([100.0, 200.0, 400.0], [110.0, 200.0, 300.0])
    assert found["root_mean_squared_error"] == pytest.approx(np.sqrt((100 + 0 + 10_000) / 3))
    assert found["root_mean_squared_log_error"] == pytest.approx(np.sqrt((np.log(1.1) ** 2 + np.log(0.75) ** 2) / 3))
    assert found["median_absolute_percentage_error"] == pytest.approx(10)
    assert found["share_within_10_pct"] == pytest.approx(2 / 3)
    assert found["coefficient_of_dispersion"] == pytest.approx(100 * (0.1 + 0 + 0.25) / 3)
    assert found["price_related_differential"] == pytest.approx(((1.1 + 1 + 0.75) / 3) / (610 / 700))


def test_coverage_is_told_by_third_and_open_ends_hold_everything_above():
    price = [float(value) for value in range(1, 10)]
    low, high = [0.0] * 3 + [4.5] * 3 + [1.0] * 3, [10.0] * 6 + [None] * 3
    found = scored(price, price, low_price=low, high_price=high)
    assert found["picp_90_lower_third"] == 1
    assert found["picp_90_middle_third"] == pytest.approx(2 / 3)
    assert found["picp_90_upper_third"] == 1
    assert np.isfinite(found["pinball_loss"])
    assert np.isfinite(found["mean_width_share"])


def test_the_floor_is_the_median_of_the_nearest_or_of_the_neighbourhood(trained):
    train, test = trained.rows("train"), trained.rows("test").drop("price")
    assert set(floor(train, test).columns) == set(trained.predictions.columns)
    flat = floor(train.drop("latitude_deg"), test.drop("latitude_deg"))
    name = test["neighbourhood"][0]
    assert flat["predicted_price"][0] == train.filter(pl.col("neighbourhood") == name)["price"].median()
    lost = test.head(1).with_columns(latitude_deg=pl.lit(None, pl.Float64))
    assert floor(train, lost)["predicted_price"][0] == train["price"].median()


def test_the_error_on_new_ground_is_larger(trained):
    found = score(trained.rows("test").hstack(trained.predictions), ScoreParameters())
    assert found["rmse_new_area"] > 1.2 * found["root_mean_squared_error"]
    assert found["picp_90_new_area"] > 0.75


def test_figures_are_drawn_with_and_without_a_map(trained):
    rows = trained.rows("test").hstack(trained.predictions)
    drawn = figures(rows, trained.model)
    assert set(drawn) == {"prices", "error_map", "coverage", "ratio_by_price", "importance"}
    assert all(figure.axes for figure in drawn.values())


def test_the_examples_survive_json_and_are_answered(trained):
    for example in (EXAMPLE, BLOCK_EXAMPLE, SALE_EXAMPLE):
        assert HouseRequest.model_validate_json(json.dumps(example.model_dump(mode="json"))) == example
    frame = decode([EXAMPLE, EXAMPLE.model_copy(update={"latitude_deg": 51.0, "neighbourhood": None})])
    near, far = encode(answer(trained.model, frame))
    assert near.price_low < near.price < near.price_high
    assert near.currency == "USD"
    assert near.is_above_cap_probability is None
    assert (near.is_far_from_training, far.is_far_from_training) == (False, True)
    assert 1 <= len(near.reasons) <= 4
    assert all(reason.endswith(" %") and ": " in reason for reason in near.reasons)


def test_prices_nearby_are_a_reason_where_the_trees_look_at_them(trained):
    params = trained.model.params.model_copy(update={"second_share": 0.0})
    model = dataclasses.replace(trained.model, params=params)
    frame = decode([EXAMPLE, EXAMPLE.model_copy(update={"latitude_deg": 51.0})])
    near, far = encode(answer(model, frame))
    assert any(reason.startswith("prices nearby") for reason in near.reasons)
    assert not any(reason.startswith("prices nearby") for reason in far.reasons)


def test_what_is_left_out_is_unknown(trained):
    bare = HouseRequest(living_area_sqft=1500, overall_quality=5, year_built=1980)
    (found,) = encode(answer(trained.model, decode([bare])))
    assert found.is_far_from_training
    assert found.price > 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"living_area_sqft": None}, "too little is known"),
        ({"living_area_sqft": -1.0}, "greater than or equal to 0"),
        ({"latitude_deg": 122.0}, "less than or equal to 90"),
        ({"overall_quality": 11}, "less than or equal to 10"),
        ({"lot_area_sqft": float("nan")}, "finite"),
        ({"event_time": "2024-05-17T00:00:00"}, "timezone"),
        ({"price": 1.0}, "not permitted"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        HouseRequest.model_validate(EXAMPLE.model_dump() | {"median_income": None} | changes)
