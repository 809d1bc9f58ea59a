"""Training: it learns, repeats itself to the bit, and goes on where it was killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from modelyard.errors import DataContractError
from modelyard.scoring import learning_rows
from pipelines.fraud_detection.evaluate import ScoreParameters, floor, predict, score
from pipelines.fraud_detection.train import (
    AlertParameters,
    BlendParameters,
    FitParameters,
    choose_blend,
    choose_threshold,
    platt,
    search_space,
)

ROOT = Path(__file__).resolve().parents[3]


def test_the_model_beats_the_trivial_rule(trained):
    test = trained.rows("test")
    ours = score(test.hstack(predict(trained.model, test)), ScoreParameters())
    trivial = score(test.hstack(floor(trained.rows("train"), test)), ScoreParameters())
    assert ours["average_precision"] > trivial["average_precision"] + 0.1
    assert ours["roc_auc"] > trivial["roc_auc"] + 0.1


def test_steps_are_reported_in_ascending_order_and_end_with_the_blend(trained):
    steps, values = zip(*trained.reports, strict=True)
    assert list(steps) == sorted(set(steps))
    assert values[-1] >= max(values[:-1]) - 1e-9  # shares of 0 and 1 are among those tried
    valid = trained.rows("valid")
    rows = valid.hstack(predict(trained.model, valid))
    assert score(rows, ScoreParameters())["average_precision"] == pytest.approx(values[-1], rel=1e-9)


def test_the_loss_falls_with_every_epoch(trained, refit, tmp_path):
    refit(trained.examples, tmp_path)
    state = max((tmp_path / "network").glob("epoch_*/state.json"))
    losses = [epoch["train_loss"] for epoch in json.loads(state.read_text())["history"]]
    assert losses[-1] < losses[0]


def test_validation_fills_in_everything_that_it_decides(trained):
    decided = trained.model.params
    assert None not in (decided.booster.rounds, decided.network.best_epoch, decided.alert.threshold)
    assert None not in decided.blend.model_dump().values()
    assert trained.model.booster.num_boosted_rounds() == decided.booster.rounds


def test_without_validation_rows_the_parameters_are_followed_exactly(trained, refit, tmp_path):
    both = learning_rows(trained.examples).with_columns(pl.lit("train").alias("split"))
    model, reports = refit(both, tmp_path, trained.model.params)
    assert model.params == trained.model.params
    assert model.booster.num_boosted_rounds() == trained.model.params.booster.rounds
    assert reports == []


def test_a_stopped_fit_goes_on_and_ends_at_the_same_bits(trained, refit, tmp_path):
    last = trained.reports[-1][0]
    for stop_at in (3, last - 1):  # among the trees' blocks, and at the network's last epoch
        with pytest.raises(InterruptedError):
            refit(trained.examples, tmp_path, stop_at=stop_at)
    model, reports = refit(trained.examples, tmp_path)
    assert reports == trained.reports
    assert bytes(model.booster.save_raw("ubj")) == bytes(trained.model.booster.save_raw("ubj"))
    test = trained.rows("test")
    assert predict(model, test).equals(predict(trained.model, test))


def test_a_fit_killed_with_signal_9_goes_on_and_ends_at_the_same_bits(trained, refit, tmp_path):
    learning_rows(trained.examples).write_parquet(tmp_path / "examples.parquet")
    code = """
import os, signal, sys
from pathlib import Path
import polars as pl
from modelyard.project import FitRun
from pipelines.fraud_detection.train import FitParameters, fit
folder = Path(sys.argv[1])
params = FitParameters.model_validate_json((folder / "params.json").read_bytes())
def report(step, value):
    if step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
run = FitRun(seed=0, folder=folder / "fit", report=report, n_threads=1)
fit(pl.read_parquet(folder / "examples.parquet"), params, run)
"""
    params = FitParameters.model_validate(
        trained.model.params.model_dump()
        | {"booster": trained.model.params.booster.model_dump() | {"rounds": None}}
        | {"network": trained.model.params.network.model_dump() | {"best_epoch": None}}
        | {"blend": {}, "alert": {"cards_per_day": trained.model.params.alert.cards_per_day}}
    )
    (tmp_path / "params.json").write_text(params.model_dump_json())
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "fit" / "booster" / "state.json").exists()
    model, _ = refit(trained.examples, tmp_path / "fit", params)
    test = trained.rows("test")
    assert predict(model, test).equals(predict(trained.model, test))


def test_a_damaged_checkpoint_of_the_trees_starts_them_again(trained, refit, tmp_path, caplog):
    (tmp_path / "booster").mkdir()
    (tmp_path / "booster" / "state.json").write_text('{"trees": "round')
    model, _ = refit(trained.examples, tmp_path)
    assert "damaged" in caplog.text
    assert bytes(model.booster.save_raw("ubj")) == bytes(trained.model.booster.save_raw("ubj"))


def test_one_class_is_refused(trained, refit, tmp_path):
    genuine = trained.examples.with_columns(pl.lit(False).alias("is_fraud"))
    with pytest.raises(DataContractError, match=r"0 of .* training rows are frauds"):
        refit(genuine, tmp_path)


def test_validation_rows_without_frauds_decide_nothing(trained, refit, tmp_path, caplog):
    calm = trained.examples.filter((pl.col("split") != "valid") | ~pl.col("is_fraud"))
    model, reports = refit(calm, tmp_path)
    assert reports == []
    assert model.params.blend == BlendParameters()
    assert "they decide nothing" in caplog.text


def test_platt_scaling_is_the_logistic_regression():
    random = np.random.default_rng(0)
    logits = random.normal(-2, 2, 20_000)
    is_fraud = random.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    reference = LogisticRegression(C=1e9).fit(logits[:, None], is_fraud)
    assert platt(logits, is_fraud) == pytest.approx((reference.coef_[0, 0], reference.intercept_[0]), abs=5e-3)


def test_platt_scaling_of_separable_and_of_reversed_log_odds_is_finite():
    logits = np.linspace(-3, 3, 50)
    slope, intercept = platt(logits, logits > 0)
    assert 0 < slope < 100
    assert abs(intercept) < 100
    assert platt(-logits, logits > 0) == (1.0, 0.0)


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
        "booster.row_share": 0.8,
        "booster.column_share": 0.3,
        "booster.l2": 1.0,
        "network.width": 64,
        "network.learning_rate": 2e-3,
        "network.dropout": 0.1,
    }
    study.enqueue_trial(configured)
    assert search_space(study.ask(), params) == params
    other = search_space(study.ask(), params)
    assert other != params
    assert (other.blend, other.alert) == (params.blend, params.alert)
