"""Laws of prices, which hold whatever the model has learnt."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from pipelines.house_price_prediction.attributes import HOME
from pipelines.house_price_prediction.data import IngestParameters, ingest
from pipelines.house_price_prediction.evaluate import predict
from pipelines.house_price_prediction.model import FitParameters, Scale, interval
from pipelines.house_price_prediction.simulator import SimulationParameters
from tests.pipelines.house_price_prediction.small import QUICK, SMALL


def prices(model, rows, part="predicted_price"):
    return SMALL.predicted(model, rows)[part].to_numpy()


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("living_area_sqft", (10.0, 300.0, 2000.0)),
        ("lot_area_sqft", (100.0, 20_000.0)),
        ("overall_quality", (1, 3)),
        ("overall_condition", (1, 3)),
        ("full_baths", (1, 2)),
        ("garage_cars", (1, 3)),
    ],
)
def test_a_larger_or_better_home_is_not_cheaper(trained, name, steps):
    rows = trained.rows("test")
    for part in ("predicted_price", "trees_price", "second_price", "new_area_price"):
        usual = trained.predictions[part].to_numpy()
        more = [prices(trained.model, rows.with_columns(pl.col(name) + step), part) for step in steps]
        assert all((each >= usual * (1 - 1e-9)).all() for each in more)
        assert part != "predicted_price" or any((each > usual * 1.001).any() for each in more), "nobody looks at it"


def test_every_attribute_that_a_law_speaks_of_is_bounded_in_the_trees_and_in_the_ridge(trained):
    lawful = {each.name for each in HOME if each.law} & set(trained.examples.columns)
    assert {"living_area_sqft", "overall_quality", "garage_cars"} <= lawful
    coefficients = trained.model.second.coefficients
    from pipelines.house_price_prediction.inputs import linear_columns

    places = {name: place for place, name in enumerate(linear_columns(trained.rows("test"), trained.model.schema))}
    assert all(coefficients[places[name]] >= 0 for name in lawful)


def test_far_from_training_it_says_so_and_the_interval_widens(trained):
    rows = trained.rows("test")
    away = rows.with_columns(pl.col("latitude_deg") + 3, neighbourhood=pl.lit("Elsewhere"))
    near, far = trained.predictions, SMALL.predicted(trained.model, away)
    assert far["is_far"].all()
    assert near["is_far"].mean() < 0.2

    def width(found):
        return np.log(found["high_price"] / found["low_price"]).to_numpy()

    is_known = ~near["is_far"].to_numpy()
    assert np.median(width(far)[is_known] / width(near)[is_known]) > 1.2
    assert (width(far)[is_known] > width(near)[is_known]).mean() > 0.9


def test_dearer_training_prices_give_dearer_answers(trained, refit, tmp_path):
    dearer, _ = refit(trained.examples.with_columns(pl.col("price") * 1.1), tmp_path)
    rows = trained.rows("test")
    assert prices(dearer, rows) == pytest.approx(1.1 * prices(trained.model, rows), rel=0.02)
    assert np.median(prices(dearer, rows) / prices(trained.model, rows)) == pytest.approx(1.1, rel=1e-3)


def test_the_order_of_columns_changes_nothing(trained):
    rows = trained.rows("test")
    turned = rows.select(sorted(rows.columns, reverse=True))
    assert SMALL.predicted(trained.model, turned).equals(trained.predictions)


def test_a_new_neighbourhood_and_a_column_that_is_all_missing_are_answered(trained):
    rows = trained.rows("test").with_columns(
        neighbourhood=pl.lit("Newtown"), garage_cars=pl.lit(None, pl.Int64), lot_area_sqft=pl.lit(None, pl.Float64)
    )
    found = SMALL.predicted(trained.model, rows.drop("full_baths"))
    assert found["predicted_price"].is_finite().all()
    assert np.abs(np.log(found["predicted_price"] / trained.predictions["predicted_price"])).median() < 0.5


def test_prices_nearby_are_not_looked_at_on_new_ground(trained):
    away = trained.rows("test").with_columns(pl.col("latitude_deg") + 3)
    bare = dataclasses.replace(trained.model, trees=dataclasses.replace(trained.model.trees, nearby=None, places=None))

    def of_trees(model, rows):
        return SMALL.predicted(model, rows)["trees_price"]

    assert of_trees(trained.model, away).equals(of_trees(bare, away))
    assert not of_trees(trained.model, trained.rows("test")).equals(of_trees(bare, trained.rows("test")))


def test_a_price_nearby_counts_and_its_own_does_not(trained):
    from pipelines.house_price_prediction.inputs import Places, nearby_columns, to_km

    rows = trained.rows("train")
    km, z = to_km(rows), np.log(rows["price"].to_numpy())
    before, _ = nearby_columns(km, Places(km, z), is_training=True)
    raised = z.copy()
    raised[7] += 1
    after, _ = nearby_columns(km, Places(km, raised), is_training=True)
    changed = np.any([~np.isclose(before[name].values, after[name].values) for name in before], axis=0)
    assert not changed[7]
    assert changed.sum() > 5


def test_homes_at_one_place_do_not_see_themselves():
    from pipelines.house_price_prediction.inputs import Places, nearby_columns

    km, z = np.zeros((50, 3)), np.arange(50.0)
    columns, _ = nearby_columns(km, Places(km, z), is_training=True)
    assert all(np.isfinite(column.values).all() for column in columns.values())
    (spread,) = {len(column.values) for column in columns.values()}
    assert spread == 50


def test_a_cap_is_found_and_opens_the_interval(trained, refit, tmp_path):
    price = trained.examples["price"]
    cap = float(price.quantile(0.9))
    capped = trained.examples.with_columns(pl.col("price").clip(upper_bound=cap))
    params = FitParameters.model_validate(SMALL.fit.model_dump() | {"cap": {"trees": QUICK}})
    model, _ = refit(capped, tmp_path, params)
    assert model.scale.cap == cap
    found = SMALL.predicted(model, trained.rows("test"))
    assert found["predicted_price"].max() <= cap
    is_above = trained.rows("test")["price"].to_numpy() >= cap
    chance = found["cap_probability"].to_numpy()
    assert chance[is_above].mean() > 5 * chance[~is_above].mean()
    is_open = found["high_price"].is_null().to_numpy()
    assert np.array_equal(is_open, chance > 0.05)
    assert is_open[is_above].mean() > 0.8
    assert trained.model.scale.cap is None
    assert trained.predictions["cap_probability"].null_count() == trained.predictions.height


def test_intervals_hold_what_they_promise_on_rows_like_those_of_validation(trained):
    rows = trained.rows("test")
    inside = rows["price"].is_between(trained.predictions["low_price"], trained.predictions["high_price"])
    assert 0.8 <= inside.mean() <= 0.99
    params = trained.model.params.interval
    assert {"all", "new_area"} <= set(params.offsets)
    wide = params.model_copy(update={"offsets": {"all": 1.0}})
    z, around, chance = np.zeros(2), np.array([[-0.1, 0.1]] * 2), np.array([np.nan, 0.5])
    low, high = interval(z, around, chance, wide, ["all", "all"])
    assert low == pytest.approx([-1.1, -1.1])
    assert high == pytest.approx([1.1, np.inf])


def test_scales_return_prices():
    price = np.array([100.0, 250.0])
    for is_log in (True, False):
        scale = Scale(is_log=is_log, unit=150.0, cap=None, currency="USD")
        assert scale.to_price(scale.to_z(price)) == pytest.approx(price)
    assert Scale(is_log=True, unit=150.0, cap=200.0, currency="USD").to_price(np.array([9.0, np.inf])).tolist() == [
        200.0,
        np.inf,
    ]


def test_the_network_learns_beside_the_trees(trained, refit, tmp_path):
    params = SMALL.fit.model_copy(update={"second": "network"})
    network = params.network.model_copy(update={"loop": params.network.loop.model_copy(update={"epochs": 6})})
    model, reports = refit(trained.examples, tmp_path / "fit", params.model_copy(update={"network": network}))
    assert len(reports) >= 6
    save, load = SMALL.project.model_format.save, SMALL.project.model_format.load
    (tmp_path / "model").mkdir()
    save(model, tmp_path / "model")
    rows = trained.rows("test")
    found = SMALL.predicted(model, rows)
    assert SMALL.predicted(load(tmp_path / "model"), rows).equals(found)
    error = np.log(found["second_price"] / rows["price"]).to_numpy()
    assert np.sqrt(np.mean(error**2)) < 0.7 * np.std(np.log(rows["price"].to_numpy()))
    gaps = predict(model, rows.drop("price").with_columns(lot_area_sqft=pl.lit(None, pl.Float64)))
    assert gaps["second_price"].is_finite().all()


def test_planted_drift_is_found_and_an_unchanged_market_is_not():
    from modelyard.monitoring.reference import MonitorParameters, summarise_reference
    from modelyard.monitoring.verdict import judge

    def sales(drift):
        city = SimulationParameters(n_homes=6000, growth_pct=0, drift=drift)
        return ingest(IngestParameters(simulation=city))

    def answers(rows):  # a model that knows the market: what it says drifts as prices do
        return rows.select(predicted_price="price", is_far=pl.lit(False))

    still, moved = sales(0.0), sales(3.0)
    reference = still[2000:4000]
    summary = summarise_reference(
        SMALL.project, reference, answers(reference), still[:2000], MonitorParameters()
    ).summary
    same, other = (
        judge(SMALL.project, summary, rows[4000:].hstack(answers(rows[4000:])), MonitorParameters())
        for rows in (still, moved)
    )
    assert not same["is_drifted"], same["alarms"]
    assert other["is_drifted"]
    assert any("predicted_price" in alarm for alarm in other["alarms"]), other["alarms"]
