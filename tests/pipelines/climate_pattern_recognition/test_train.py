"""Training: better than the simple forecasts, what validation chooses, and what is refused."""

import numpy as np
import optuna
import polars as pl
import pytest

from modelyard.errors import DataContractError
from pipelines.climate_pattern_recognition.baselines import fit_baselines
from pipelines.climate_pattern_recognition.evaluate import ScoreParameters, floor, score
from pipelines.climate_pattern_recognition.inputs import arrays_of
from pipelines.climate_pattern_recognition.model import BlendParameters, Candidates, FitParameters
from pipelines.climate_pattern_recognition.train import choose_blend, search_space


def test_the_model_is_better_than_every_simple_forecast(trained):
    test = trained.rows("test")
    ours = score(test.hstack(trained.predictions), ScoreParameters())
    trivial = score(test.hstack(floor(trained.rows("train"), test)), ScoreParameters())
    assert trivial["crps_skill"] == 0
    assert ours["crps_skill"] > 0.01
    assert ours["crps"] < trivial["crps"]
    assert ours["crps_skill_over_persistence"] > 0.1
    assert ours["crps_skill_over_climatology"] > 0.1


def test_validation_leaves_nothing_open(trained):
    assert None not in trained.model.params.blend.model_dump().values()


def test_too_few_issue_times_and_two_oscillations_are_refused(trained, refit, tmp_path):
    train = trained.rows("train")
    with pytest.raises(DataContractError, match="fewer than 60"):
        refit(train.head(100), tmp_path)
    mixed = train.with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("enso")).otherwise("oscillation").alias("oscillation")
    )
    with pytest.raises(DataContractError, match="2 oscillations: enso, mjo"):
        refit(mixed, tmp_path)


def test_baselines_forecast_training_rows_by_weights_that_have_not_seen_them(trained):
    arrays = arrays_of(trained.rows("train"), trained.model.scope.leads)
    baselines, unseen = fit_baselines(arrays)
    seen, _ = baselines.wide(arrays.inputs)
    known = np.isfinite(arrays.targets)
    assert ((unseen - arrays.targets)[known] ** 2).mean() > ((seen - arrays.targets)[known] ** 2).mean()
    assert baselines.linear_spread == pytest.approx(baselines.linear_spread.clip(0.05, 5))


def test_validation_chooses_who_is_right(trained):
    rows = arrays_of(trained.rows("valid"), trained.model.scope.leads)
    truth = np.nan_to_num(rows.targets.astype(np.float64))
    right = np.stack([truth, np.full_like(truth, 0.5)], axis=-1)
    wrong = np.stack([truth + 3, np.full_like(truth, 0.5)], axis=-1)
    assert choose_blend(Candidates(wrong, right, right), rows, BlendParameters()).wide_share == 1.0
    assert choose_blend(Candidates(right, right, wrong), rows, BlendParameters()).network_share == 0.0
    assert choose_blend(Candidates(right, right, right), rows, BlendParameters()).spread_factor == 0.6
    given = BlendParameters(wide_share=0.3, network_share=0.2, spread_factor=1.1)
    assert choose_blend(Candidates(right, right, wrong), rows, given) == given


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
