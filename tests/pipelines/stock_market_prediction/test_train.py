"""Training: it learns what is there and finds nothing where nothing is; it walks forward; it is repeatable."""

from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from modelyard.errors import DataContractError, StorageError
from pipelines.stock_market_prediction.data import known_ceiling
from pipelines.stock_market_prediction.evaluate import ScoreParameters, floor, predict, score
from pipelines.stock_market_prediction.model import FitParameters, load, save, volatility_forecast
from pipelines.stock_market_prediction.simulator import SimulationParameters, simulate
from pipelines.stock_market_prediction.train import search_space, steps_of


def scored(model, rows):
    return score(rows.hstack(predict(model, rows)), ScoreParameters())


def test_the_model_lies_between_floor_and_ceiling(trained, small):
    ours, rows = scored(trained.model, trained.rows("test")), trained.rows("test")
    trivial = score(rows.hstack(floor(trained.rows("train"), rows)), ScoreParameters())
    ceiling = known_ceiling(small)
    assert trivial["accuracy"] + 0.05 < ours["accuracy"] < ceiling["accuracy"] + 0.01
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


def test_the_same_seed_gives_the_same_bits(trained, refit, tmp_path):
    again, reports = refit(trained.examples, tmp_path)
    assert again.booster.save_raw("ubj") == trained.model.booster.save_raw("ubj")
    assert again.params == trained.model.params
    assert reports == trained.reports
    assert [step for step, _ in reports] == list(range(1, len(reports) + 1))


def test_a_loaded_model_predicts_the_same(trained, tmp_path):
    save(trained.model, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".ubj", ".json")]
    rows = trained.rows("test")
    assert predict(load(tmp_path), rows).equals(predict(trained.model, rows))
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(StorageError, match="cannot be read"):
        load(tmp_path)


def test_without_validation_rows_the_decisions_are_kept(trained, refit, tmp_path):
    everything = trained.examples.with_columns(pl.col("split").replace("valid", "train"))
    model, reports = refit(everything, tmp_path, trained.model.params)
    assert model.params == trained.model.params
    assert model.booster.num_boosted_rounds() == trained.model.params.rounds
    assert reports == []


def test_each_step_learns_only_from_targets_that_were_known_an_embargo_before(trained):
    params = FitParameters(n_periods=4, embargo_days=10)
    steps = steps_of(trained.rows("train"), trained.rows("valid"), params)
    assert len(steps) == 4
    for step in steps:
        assert step.past["target_at"].max() <= step.future["event_time"].min() - timedelta(days=10)
    for earlier, later in pairwise(steps):
        assert earlier.future["event_time"].max() < later.future["event_time"].min()
    assert steps[-1].future.equals(trained.rows("valid").drop_nulls("is_up"))
    assert len(trained.model.params.walk_forward) == 4


def test_a_label_of_a_later_period_cannot_reach_an_earlier_step(trained):
    flipped = trained.rows("valid").with_columns(~pl.col("is_up"))
    ours, theirs = (
        steps_of(trained.rows("train"), valid, FitParameters()) for valid in (trained.rows("valid"), flipped)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one.past.equals(other.past)


def test_training_rows_that_only_rise_are_refused(trained, refit, tmp_path):
    rising = trained.examples.with_columns(pl.when(pl.col("is_up")).then(True).alias("is_up"))
    with pytest.raises(DataContractError, match="nothing to tell apart"):
        refit(rising, tmp_path)


def test_more_swing_so_far_means_more_swing_foreseen(trained):
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
    return {"learning_rate": 0.1, "max_depth": 5, "min_child_weight": 400.0, "column_share": 0.9}
