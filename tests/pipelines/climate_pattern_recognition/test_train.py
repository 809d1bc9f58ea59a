"""Training: it learns, stays below the ceiling, repeats itself to the bit, and goes on where it was stopped."""

import json

import numpy as np
import optuna
import polars as pl
import pytest

from modelyard.errors import DataContractError, StorageError
from modelyard.scoring import learning_rows
from pipelines.climate_pattern_recognition.data import known_ceiling
from pipelines.climate_pattern_recognition.evaluate import ScoreParameters, floor, predict, score
from pipelines.climate_pattern_recognition.gaussian import crps
from pipelines.climate_pattern_recognition.inputs import learning_arrays
from pipelines.climate_pattern_recognition.model import Answers, load, save
from pipelines.climate_pattern_recognition.rules import fit_rules
from pipelines.climate_pattern_recognition.train import BlendParameters, FitParameters, choose_blend, search_space


def test_the_model_lies_between_floor_and_ceiling(trained, small):
    test = trained.rows("test")
    ours = score(test.hstack(predict(trained.model, test)), ScoreParameters())
    trivial = score(test.hstack(floor(trained.rows("train"), test)), ScoreParameters())
    assert trivial["crps_skill"] == 0
    assert 0.01 < ours["crps_skill"] < known_ceiling(small)["crps_skill"] < 0.3
    assert ours["crps"] < trivial["crps"]
    assert ours["crps_skill_over_persistence"] > 0.1
    assert ours["crps_skill_over_climatology"] > 0.1


def test_the_loss_falls(trained):
    states = sorted((trained.folder / "network").glob("epoch_*/state.json"))
    losses = [epoch["train_loss"] for epoch in json.loads(states[-1].read_text())["history"]]
    assert losses[-1] < losses[0]


def test_a_saved_model_comes_back_and_predicts_the_same(trained, tmp_path):
    save(trained.model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "network.safetensors"]
    loaded, test = load(tmp_path), trained.rows("test")
    assert loaded.params == trained.model.params
    assert predict(loaded, test).equals(predict(trained.model, test))
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(StorageError, match="cannot be read"):
        load(tmp_path)


def test_a_stopped_fit_goes_on_and_ends_at_the_same_bits(trained, refit, tmp_path):
    with pytest.raises(InterruptedError):
        refit(trained.examples, tmp_path, stop_at=2)
    model, reports = refit(trained.examples, tmp_path)
    assert reports == trained.reports
    test = trained.rows("test")
    assert predict(model, test).equals(predict(trained.model, test))


def test_without_validation_rows_the_parameters_are_followed_exactly(trained, refit, tmp_path):
    decided = trained.model.params
    assert None not in decided.blend.model_dump().values()
    assert decided.loop.best_epoch is not None
    both = learning_rows(trained.examples).with_columns(pl.lit("train").alias("split"))
    model, reports = refit(both, tmp_path, decided)
    assert (model.params, reports) == (decided, [])


def test_too_few_issue_times_and_two_oscillations_are_refused(trained, refit, tmp_path):
    train = trained.rows("train")
    with pytest.raises(DataContractError, match="fewer than 60"):
        refit(train.head(100), tmp_path)
    mixed = train.with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("enso")).otherwise("oscillation").alias("oscillation")
    )
    with pytest.raises(DataContractError, match="2 oscillations: enso, mjo"):
        refit(mixed, tmp_path)


def test_the_rules_answer_for_rows_that_their_weights_have_not_seen(trained):
    learning = learning_arrays(trained.rows("train"), trained.model.leads)
    rules, unseen = fit_rules(learning)
    inputs = np.nan_to_num((learning.inputs - rules.input_mean) / rules.input_spread)
    seen = np.einsum("md,dli->mli", inputs, rules.wide_weights[:-1]) + rules.wide_weights[-1]
    known = np.isfinite(learning.targets)
    assert ((unseen - learning.targets)[known] ** 2).mean() > ((seen - learning.targets)[known] ** 2).mean()
    assert rules.linear_spread == pytest.approx(rules.linear_spread.clip(0.05, 5))


def test_validation_believes_who_is_right(trained):
    rows = learning_arrays(trained.rows("valid"), trained.model.leads)
    truth = np.nan_to_num(rows.targets.astype(np.float64))
    right = np.stack([truth, np.full_like(truth, 0.5)], axis=-1)
    wrong = np.stack([truth + 3, np.full_like(truth, 0.5)], axis=-1)
    assert choose_blend(Answers(wrong, right, right), rows, BlendParameters()).wide_share == 1.0
    assert choose_blend(Answers(right, right, wrong), rows, BlendParameters()).network_share == 0.0
    assert choose_blend(Answers(right, right, right), rows, BlendParameters()).spread_factor == 0.6
    given = BlendParameters(wide_share=0.3, network_share=0.2, spread_factor=1.1)
    assert choose_blend(Answers(right, right, wrong), rows, given) == given


def test_crps_is_the_mean_absolute_error_minus_half_the_mean_difference_of_drawn_numbers():
    random = np.random.default_rng(0)
    drawn, other = random.normal(1, 2, 200_000), random.normal(1, 2, 200_000)
    wanted = np.abs(drawn - 2.5).mean() - 0.5 * np.abs(drawn - other).mean()
    assert crps(np.array(1.0), np.array(2.0), np.array(2.5)) == pytest.approx(wanted, abs=0.01)
    assert np.isnan(crps(np.array(1.0), np.array(2.0), np.array(np.nan)))


def test_the_search_space_changes_what_it_says():
    study = optuna.create_study()
    configured = {
        "network.width": 64,
        "network.dropout": 0.2,
        "loop.learning_rate": 3e-3,
        "loop.weight_decay": 0.05,
    }
    study.enqueue_trial(configured)
    assert search_space(study.ask(), FitParameters()) == FitParameters()
    assert search_space(study.ask(), FitParameters()) != FitParameters()
