"""Boosting: it learns, stops early, follows parameters exactly, and a kill changes no bit of the trees."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from modelyard.project import FitRun
from modelyard.tasks.boosting import BoosterParameters, booster_logits, fit_booster, format_metric, gain_shares
from modelyard.tasks.ranking import roc_auc

QUICK = BoosterParameters(n_estimators=60, early_stopping_rounds=20, max_depth=3, learning_rate=0.3)


def toy(n: int = 600, seed: int = 0):
    """Rows whose first column decides, with some noise and missing values."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 4)).astype(np.float32)
    y = random.random(n) < 1 / (1 + np.exp(-3 * x[:, 0]))
    x[random.random(x.shape) < 0.05] = np.nan
    return x, y


X, Y = toy()
VALID_X, VALID_Y = toy(seed=1)


def score(booster: xgb.Booster) -> float:
    return roc_auc(VALID_Y, booster_logits(booster, VALID_X))


def run_in(folder: Path, stop_at: int | None = None, **changes: object):
    reports: list[tuple[int, float]] = []

    def report(step: int, value: float) -> None:
        reports.append((step, value))
        if step == stop_at:
            raise InterruptedError

    run = FitRun(seed=0, folder=folder, report=report, n_threads=1)
    return dataclasses.replace(run, **changes), reports


def test_it_learns_reports_each_block_and_keeps_the_best_round(tmp_path):
    run, reports = run_in(tmp_path)
    booster, best = fit_booster(X, Y, QUICK, run, score)
    assert roc_auc(VALID_Y, booster_logits(booster, VALID_X)) > 0.85
    steps, values = zip(*reports, strict=True)
    assert list(steps) == list(range(1, len(steps) + 1))
    assert len(steps) <= QUICK.n_reports
    assert best + 1 == 10 * (1 + int(np.argmax(values)))
    assert booster.num_boosted_rounds() == best + 1
    assert len(steps) * 10 - (best + 1) in (QUICK.early_stopping_rounds, QUICK.n_estimators - best - 1)
    assert score(booster) == max(values)


def test_without_a_score_the_parameters_are_followed_exactly(tmp_path):
    run, reports = run_in(tmp_path)
    booster, best = fit_booster(X, Y, QUICK.model_copy(update={"best_iteration": 24}), run)
    assert (best, booster.num_boosted_rounds(), reports) == (24, 25, [])
    everything, last = fit_booster(X, Y, QUICK, run_in(tmp_path / "all")[0])
    assert (last, everything.num_boosted_rounds()) == (59, 60)
    assert np.allclose(booster_logits(everything, VALID_X, 25), booster_logits(booster, VALID_X), atol=1e-6)


def test_a_stopped_fit_goes_on_and_ends_at_the_same_bits(tmp_path):
    whole, reports = run_in(tmp_path / "whole")
    reference, best = fit_booster(X, Y, QUICK, whole, score)
    with pytest.raises(InterruptedError):
        fit_booster(X, Y, QUICK, run_in(tmp_path / "cut", stop_at=2)[0], score)
    run, again = run_in(tmp_path / "cut")
    booster, same = fit_booster(X, Y, QUICK, run, score)
    assert (same, again) == (best, reports)
    assert booster.save_raw("ubj") == reference.save_raw("ubj")


def test_a_fit_killed_with_signal_9_goes_on_and_ends_at_the_same_bits(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_boosting import QUICK, X, Y, run_in, score
from modelyard.tasks.boosting import fit_booster
import dataclasses
run = dataclasses.replace(run_in(Path(sys.argv[1]))[0],
    report=lambda step, value: os.kill(os.getpid(), signal.SIGKILL) if step == 2 else None)
fit_booster(X, Y, QUICK, run, score)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "killed"), str(Path(__file__).parent)]
    assert subprocess.run(command, env=os.environ, check=False).returncode == -signal.SIGKILL
    run, reports = run_in(tmp_path / "killed")
    booster, _ = fit_booster(X, Y, QUICK, run, score)
    reference, _ = fit_booster(X, Y, QUICK, run_in(tmp_path / "whole")[0], score)
    assert booster.save_raw("ubj") == reference.save_raw("ubj")
    assert len(reports) > 2


def test_damaged_checkpoints_are_passed_over_and_the_trees_are_the_same(tmp_path, caplog):
    reference, _ = fit_booster(X, Y, QUICK, run_in(tmp_path)[0], score)
    for file in (tmp_path / "booster").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-100])  # XGBoost would end the process on such trees
    booster, _ = fit_booster(X, Y, QUICK, run_in(tmp_path)[0], score)
    assert "damaged" in caplog.text
    assert booster.save_raw("ubj") == reference.save_raw("ubj")


def test_a_checkpoint_of_other_inputs_is_not_continued(tmp_path, caplog):
    fit_booster(X, Y, QUICK, run_in(tmp_path)[0], score)
    booster, _ = fit_booster(X, ~Y, QUICK, run_in(tmp_path)[0], lambda found: -score(found))
    assert "run with other data" in caplog.text
    assert roc_auc(~VALID_Y, booster_logits(booster, VALID_X)) > 0.85


def test_the_seed_decides_and_nothing_else(tmp_path):
    one, two, other = (
        fit_booster(X, Y, QUICK, run_in(tmp_path / name, seed=seed)[0])[0].save_raw("ubj")
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert one == two
    assert one != other


def test_numbers_can_be_learnt_too(tmp_path):
    booster, _ = fit_booster(X, np.nan_to_num(X[:, 0]) + 5, QUICK, run_in(tmp_path)[0], objective="reg:squarederror")
    error = booster_logits(booster, VALID_X) - (np.nan_to_num(VALID_X[:, 0]) + 5)
    assert np.sqrt(np.mean(error**2)) < 0.2


def test_the_deciding_column_has_the_largest_share_of_the_gain(tmp_path):
    booster, _ = fit_booster(X, Y, QUICK, run_in(tmp_path)[0])
    shares = gain_shares(booster, ["deciding", "one", "two", "three"])
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.__getitem__) == "deciding"
    stumps, _ = fit_booster(np.zeros_like(X), Y, QUICK, run_in(tmp_path / "nothing")[0])
    assert gain_shares(stumps, ["a", "b", "c", "d"]) == {}


def test_no_rows_have_no_answers(tmp_path):
    booster, _ = fit_booster(X, Y, QUICK, run_in(tmp_path)[0])
    assert booster_logits(booster, X[:0]).shape == (0,)


def test_a_metric_is_written_for_the_log():
    assert (format_metric(None), format_metric(0.25)) == ("unknown", "0.2500")


def test_options_reach_xgboost_a_law_is_kept_and_quantiles_are_two_columns(tmp_path):
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (500, 2)).astype(np.float32)
    y = x[:, 0] - 2 * x[:, 1] ** 2 + 0.3 * random.normal(size=500)
    run = FitRun(seed=0, folder=tmp_path / "law", report=lambda step, value: None, n_threads=1)
    law = {"monotone_constraints": "(1,0)"}
    trees, _ = fit_booster(x, y, QUICK, run, None, "reg:squarederror", law)
    assert (booster_logits(trees, x + np.array([0.2, 0], np.float32)) >= booster_logits(trees, x) - 1e-9).all()
    free, _ = fit_booster(x, y, QUICK, dataclasses.replace(run, folder=tmp_path / "free"), None, "reg:squarederror")
    assert (booster_logits(free, x + np.array([0.2, 0], np.float32)) < booster_logits(free, x) - 1e-3).any()
    both = {"quantile_alpha": [0.1, 0.9], "base_score": [0.0, 0.0]}
    run = dataclasses.replace(run, folder=tmp_path / "quantiles")
    found = booster_logits(fit_booster(x, y, QUICK, run, None, "reg:quantileerror", both)[0], x)
    assert found.shape == (500, 2)
    assert np.mean((found[:, 0] <= y) & (y <= found[:, 1])) > 0.7
