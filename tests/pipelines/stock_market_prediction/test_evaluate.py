"""Scores: the protocol, chance, costs; and figures that can be drawn."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from modelyard.gate import Evaluation, GateParameters, Interval
from pipelines.stock_market_prediction.evaluate import ScoreParameters, gate, once, predict, score
from pipelines.stock_market_prediction.figures import figures
from pipelines.stock_market_prediction.significance import p_value_beats_constant
from pipelines.stock_market_prediction.trading import daily_book
from tests.modelyard.tasks.overlapping_words import overlapping_words


@pytest.fixture(scope="module")
def rows(trained):
    test = trained.rows("test")
    return test.hstack(predict(trained.model, test))


def predicted(n_days, n_symbols, skill, seed):
    """Labelled rows whose predictions are right with probability ``skill``; moves of a day share a sign often."""
    rng = np.random.default_rng(seed)
    market = rng.random(n_days)[:, None]
    is_up = rng.random((n_days, n_symbols)) < np.clip(market, 0.2, 0.8)
    is_right = rng.random(is_up.shape) < skill
    days = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(n_days)]
    return pl.DataFrame(
        {
            "event_time": [day for day in days for _ in range(n_symbols)],
            "trading_day": [f"{day:%Y-%m-%d}" for day in days for _ in range(n_symbols)],
            "is_up": is_up.ravel(),
            "is_up_predicted": np.where(is_right, is_up, ~is_up).ravel(),
        }
    )


def test_rows_of_the_neutral_band_are_dropped_from_the_direction_but_not_from_the_book(rows):
    params, labelled = ScoreParameters(), rows.drop_nulls("is_up")
    assert labelled.height < rows.height
    everything, protocol = score(rows, params), score(labelled, params)
    assert everything["accuracy"] == protocol["accuracy"]
    assert everything["gross_bps_per_day"] != protocol["gross_bps_per_day"]


def test_skill_beats_the_constant_prediction_and_coins_do_not():
    assert p_value_beats_constant(predicted(60, 40, 0.7, seed=0)) < 0.01
    assert p_value_beats_constant(predicted(60, 40, 0.4, seed=0)) > 0.9
    assert np.isnan(p_value_beats_constant(predicted(9, 40, 0.7, seed=0)))
    by_chance = [p_value_beats_constant(predicted(60, 40, 0.5, seed)) for seed in range(20)]
    assert np.mean(np.array(by_chance) < 0.05) <= 0.1


def test_days_that_move_together_are_no_evidence():
    """Forty symbols that all follow one coin for each day are sixty throws, not 2,400."""
    rng = np.random.default_rng(1)
    day_up, day_predicted = rng.random(60) < 0.5, rng.random(60) < 0.5
    day_predicted[:33] = day_up[:33]  # a little luck
    one = predicted(60, 40, 0.5, seed=0)
    rows = one.with_columns(
        pl.Series("is_up", np.repeat(day_up, 40)), pl.Series("is_up_predicted", np.repeat(day_predicted, 40))
    )
    assert p_value_beats_constant(rows) > 0.005


def test_what_needs_the_days_in_their_order_is_measured_once(rows):
    drawn = rows.sample(rows.height, with_replacement=True, seed=0)
    assert np.isfinite(list(score(drawn, ScoreParameters()).values())).all()
    found = once(rows, ScoreParameters())
    assert set(found) == {"p_value_beats_constant", "turnover_ratio"}
    assert not found.keys() & score(rows, ScoreParameters()).keys()
    none = rows.clear().with_columns(pl.lit(None, pl.Float64).alias("volume_count"))
    assert np.isnan(list(once(none, ScoreParameters()).values())).all()


def test_costs_are_paid_for_what_is_traded(rows):
    free, dear = daily_book(rows, 0.0), daily_book(rows, 10.0)
    assert (dear["net_bps"] <= free["net_bps"]).all()
    assert np.allclose(free["net_bps"] - dear["net_bps"], 10 * free["turnover_ratio"])
    held = daily_book(rows.with_columns(pl.lit(True).alias("is_up_predicted")), 10.0)
    assert held["turnover_ratio"][0] == 1  # bought once
    assert held["turnover_ratio"].slice(1).max() < 0.1  # later only what is listed anew


def test_a_book_by_hand():
    days = [datetime(2020, 1, day, 22, tzinfo=UTC) for day in (1, 2, 3)]
    rows = pl.DataFrame(
        {
            "symbol": ["A", "B"] * 2,
            "event_time": [days[0], days[0], days[1], days[1]],
            "target_at": [days[1], days[1], days[2], days[2]],
            "trading_day": ["1", "1", "2", "2"],
            "volume_count": [1.0] * 4,
            "move_pct": [1.0, -2.0, 3.0, 1.0],
            "is_up_predicted": [True, False, False, False],
        }
    )
    book = daily_book(rows, 5.0)
    assert book["gross_bps"].to_list() == pytest.approx([150.0, -200.0])
    assert book["turnover_ratio"].to_list() == pytest.approx([1.0, 1.0])
    assert book["net_bps"].to_list() == pytest.approx([145.0, -205.0])
    assert daily_book(rows.with_columns(pl.lit(None, pl.Float64).alias("volume_count")), 5.0).is_empty()
    twice = daily_book(pl.concat([rows, rows.with_columns(pl.col("trading_day") + "x")]), 5.0)
    assert twice["n_drawn"].to_list() == [2, 2]
    assert twice["net_bps"].to_list() == pytest.approx(book["net_bps"].to_list())


def test_rows_without_an_answer_are_nan_not_an_error(rows):
    found = score(rows.with_columns(pl.lit(None, pl.Boolean).alias("is_up")), ScoreParameters())
    assert np.isnan(found["accuracy"])
    assert np.isfinite(found["volatility_rmse_pct"])


@pytest.mark.parametrize(("p_value", "passes"), [(0.001, True), (0.2, False), (float("nan"), False)])
def test_the_gate_stays_shut_where_chance_would_do_as_well(p_value, passes):
    values = {"matthews_corrcoef": 0.1, "accuracy": 0.55, "best_constant_accuracy": 0.51}
    metrics = {name: Interval(value, value - 0.01, value + 0.01) for name, value in values.items()}
    metrics["p_value_beats_constant"] = Interval(p_value, float("nan"), float("nan"))
    evaluation = Evaluation(
        primary="matthews_corrcoef",
        greater_is_better=True,
        metrics=metrics,
        floor={"matthews_corrcoef": 0.0},
        champion=None,
    )
    verdict = gate(evaluation, GateParameters())
    assert verdict.passed is passes
    assert passes or "beyond chance" in verdict.reason


def test_figures_are_drawn_also_where_nothing_can_be_traded(rows, trained):
    drawn = figures(rows, trained.model)
    assert set(drawn) == {"walk_forward", "chance", "predictions", "volatility", "importance", "book"}
    assert {name: overlapping_words(figure) for name, figure in drawn.items()} == {name: [] for name in drawn}
    index = rows.with_columns(pl.lit(None, pl.Float64).alias("volume_count"))
    assert "book" not in figures(index, trained.model)
