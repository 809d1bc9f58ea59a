"""Training: it learns what is there and finds nothing where nothing is; it walks forward without looking ahead."""

from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from modelyard.project import FitRun
from pipelines.stock_market_prediction.evaluate import ScoreParameters, floor, once, predict, score
from pipelines.stock_market_prediction.model import FitParameters, volatility_forecast
from pipelines.stock_market_prediction.simulator import SimulationParameters, simulate
from pipelines.stock_market_prediction.train import choose_rounds, folds_of, search_space


def scored(model, rows):
    rows = rows.hstack(predict(model, rows))
    return score(rows, ScoreParameters()) | once(rows, ScoreParameters())


def test_where_something_can_be_foreseen_it_is_found(trained):
    ours, rows = scored(trained.model, trained.rows("test")), trained.rows("test")
    trivial = score(rows.hstack(floor(trained.rows("train"), rows)), ScoreParameters())
    assert trivial["accuracy"] + 0.05 < ours["accuracy"]
    assert trivial["matthews_corrcoef"] == 0
    assert ours["matthews_corrcoef"] > 0.15
    assert ours["p_value_beats_constant"] < 0.01
    assert ours["neg_log_loss"] > trivial["neg_log_loss"]
    assert ours["volatility_skill_share"] > 0.15
    assert trivial["volatility_skill_share"] == 0


def test_where_nothing_can_be_foreseen_nothing_is_found(prepared, refit, tmp_path):
    bars = simulate(SimulationParameters(n_symbols=30, n_days=300, signal_strength=0.0, seed=3))
    examples = prepared(bars)
    model, _ = refit(examples, tmp_path)
    found = scored(model, examples.filter(pl.col("split") == "test"))
    assert abs(found["matthews_corrcoef"]) < 0.1
    assert found["p_value_beats_constant"] > 0.05


def test_each_step_learns_only_from_targets_that_were_known_an_embargo_before(trained):
    params = FitParameters(n_periods=4, embargo_days=10)
    folds = folds_of(trained.rows("train"), trained.rows("valid"), params)
    assert len(folds) == 4
    for fold in folds:
        assert fold.past["target_at"].max() <= fold.future["event_time"].min() - timedelta(days=10)
    for earlier, later in pairwise(folds):
        assert earlier.future["event_time"].max() < later.future["event_time"].min()
    assert folds[-1].future.equals(trained.rows("valid").drop_nulls("is_up"))
    assert len(trained.model.params.walk_forward) == 4


def test_every_day_of_the_later_half_is_predicted_once(trained):
    valid, days = trained.rows("valid"), trained.rows("train")["event_time"].unique().sort()
    for n_days in (len(days), len(days) - 1):
        train = trained.rows("train").filter(pl.col("event_time") <= days[n_days - 1])
        *early, _ = folds_of(train, valid, FitParameters(n_periods=4))
        predicted = pl.concat(fold.future["event_time"].unique() for fold in early).sort()
        assert predicted.to_list() == days[n_days // 2 : n_days].to_list()
    assert len(folds_of(trained.rows("train"), valid, FitParameters(n_periods=1))) == 1


@pytest.mark.parametrize(("n_estimators", "n_reports"), [(7, 1), (25, 3), (30, 3)])
def test_the_last_rounds_are_judged_too(trained, n_estimators, n_reports, tmp_path):
    reported = []
    run = FitRun(seed=0, n_threads=1, device="cpu", folder=tmp_path, report=lambda step, _: reported.append(step))
    # Trees that learn so slowly get better with every round, so the last round is the best one.
    params = FitParameters.model_validate({"booster": {"n_estimators": n_estimators, "learning_rate": 1e-3}})
    chosen = choose_rounds(trained.rows("train"), trained.rows("valid"), params, run)
    assert chosen.booster.best_iteration == n_estimators - 1
    assert reported == list(range(1, n_reports + 1))
    assert n_reports == params.booster.n_reports


def test_a_label_of_a_later_period_cannot_reach_an_earlier_step(trained):
    flipped = trained.rows("valid").with_columns(~pl.col("is_up"))
    ours, theirs = (
        folds_of(trained.rows("train"), valid, FitParameters()) for valid in (trained.rows("valid"), flipped)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one.past.equals(other.past)


def test_more_volatility_so_far_means_a_higher_forecast(trained):
    rows = trained.rows("test").drop_nulls("log_volatility_20d")
    wilder = rows.with_columns(pl.col("log_volatility_1d", "log_volatility_5d", "log_volatility_20d") + np.log(2))
    calm, wild = (volatility_forecast(trained.model.volatility, each) for each in (rows, wilder))
    assert (wild > calm).all()


def test_without_a_full_window_nothing_changes(trained):
    row = trained.rows("test").head(1).with_columns(pl.lit(None, pl.Float64).alias("log_volatility_20d"))
    assert volatility_forecast(trained.model.volatility, row)[0] == row["volatility_pct"][0]


def test_the_search_stays_within_the_bounds():
    import optuna

    found = search_space(optuna.trial.FixedTrial(_edge()), FitParameters())
    assert FitParameters.model_validate(found.model_dump()) == found


def _edge():
    edges = {"learning_rate": 0.1, "max_depth": 5, "min_child_weight": 400.0, "colsample_bytree": 0.9}
    return {f"booster.{name}": value for name, value in edges.items()}
