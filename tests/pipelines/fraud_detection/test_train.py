"""Training: what validation rows decide, and what they leave alone."""

import numpy as np
import optuna
import polars as pl
import pytest

from pipelines.fraud_detection.evaluate import ScoreParameters, predict, score
from pipelines.fraud_detection.model import AlertParameters, BlendParameters, FitParameters
from pipelines.fraud_detection.train import choose_blend, choose_threshold, search_space


def test_reports_end_with_the_blend_which_is_no_worse_than_its_parts(trained):
    _, values = zip(*trained.reports, strict=True)
    assert values[-1] >= max(values[:-1]) - 1e-9  # shares of 0 and 1 are among those tried
    valid = trained.rows("valid")
    rows = valid.hstack(predict(trained.model, valid))
    assert score(rows, ScoreParameters())["average_precision"] == pytest.approx(values[-1], rel=1e-9)


def test_validation_fills_in_everything_that_it_decides(trained):
    decided = trained.model.params
    assert None not in (decided.booster.best_iteration, decided.network.loop.best_epoch, decided.alert.threshold)
    assert None not in decided.blend.model_dump().values()
    assert trained.model.booster.num_boosted_rounds() == decided.booster.best_iteration + 1


def test_validation_rows_without_frauds_decide_nothing(trained, refit, tmp_path, caplog):
    calm = trained.examples.filter((pl.col("split") != "valid") | ~pl.col("is_fraud"))
    model, reports = refit(calm, tmp_path)
    assert reports == []
    assert model.params.blend == BlendParameters()
    assert "they decide nothing" in caplog.text


def test_the_better_model_gets_the_larger_share():
    random = np.random.default_rng(1)
    is_fraud = random.random(4000) < 0.05
    good, bad = 4.0 * is_fraud + random.normal(0, 1, 4000), random.normal(0, 1, 4000)
    assert choose_blend(good, bad, is_fraud, BlendParameters()).network_share < 0.5
    assert choose_blend(bad, good, is_fraud, BlendParameters()).network_share > 0.5
    assert choose_blend(good, bad, is_fraud, BlendParameters(network_share=0.3)).network_share == 0.3


def test_the_threshold_alerts_as_many_cards_a_day_as_wanted(trained):
    valid = trained.rows("valid")
    probability = np.random.default_rng(2).random(valid.height)
    threshold = choose_threshold(valid, probability, AlertParameters(cards_per_day=20)).threshold
    alerted = valid.filter(pl.Series(probability) >= threshold).select(pl.col("event_time").dt.date(), "customer_id")
    assert alerted.n_unique() == 20 * 3


def test_the_search_space_holds_the_configured_parameters_and_changes_what_it_says():
    study = optuna.create_study()
    params = FitParameters()
    configured = {
        "booster.learning_rate": 0.05,
        "booster.max_depth": 4,
        "booster.min_child_weight": 1.0,
        "booster.subsample": 0.8,
        "booster.colsample_bytree": 0.3,
        "booster.reg_lambda": 1.0,
        "network.width": 64,
        "network.loop.learning_rate": 2e-3,
        "network.dropout": 0.1,
    }
    study.enqueue_trial(configured)
    assert search_space(study.ask(), params) == params
    other = search_space(study.ask(), params)
    assert other != params
    assert (other.blend, other.alert) == (params.blend, params.alert)
