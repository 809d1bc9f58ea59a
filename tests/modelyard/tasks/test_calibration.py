"""Scaled logits are calibrated, gaps are measured, and conformal sets and intervals cover what they promise."""

import numpy as np
import pytest

from modelyard.tasks.calibration import (
    conformal_quantile,
    conformal_sets,
    conformal_widening,
    expected_calibration_error,
    platt,
    reliability_bins,
    sigmoid,
    softmax,
    temperature,
)

RNG = np.random.default_rng(0)
HONEST = RNG.normal(0, 2, 4_000)
IS_POSITIVE = RNG.random(4_000) < sigmoid(HONEST)


@pytest.mark.parametrize(("factor", "offset"), [(1, 0), (3, 1), (0.01, 50), (1_000, -4_000)])
def test_platt_undoes_any_scale_and_offset_of_log_odds(factor, offset):
    slope, intercept = platt(factor * HONEST + offset, IS_POSITIVE)
    assert (factor * slope, intercept + slope * offset) == pytest.approx((1, 0), abs=0.1)


def test_platt_is_the_logistic_regression_of_smoothed_labels():
    from sklearn.linear_model import LogisticRegression

    n_positive, n_negative = IS_POSITIVE.sum(), (~IS_POSITIVE).sum()
    # A smoothed target is a row of each class, weighted.
    target = np.where(IS_POSITIVE, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    rows = np.concatenate([HONEST, HONEST])[:, None]
    labels, weights = np.repeat([1, 0], len(HONEST)), np.concatenate([target, 1 - target])
    found = LogisticRegression(C=1e12, tol=1e-12, max_iter=1000).fit(rows, labels, weights)
    assert platt(HONEST, IS_POSITIVE) == pytest.approx((found.coef_[0, 0], found.intercept_[0]), abs=1e-5)


def test_platt_stays_finite_where_the_classes_are_separable_and_ignores_what_ranks_nothing():
    slope, intercept = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    assert 0 < slope < 10
    assert intercept == pytest.approx(0, abs=1e-6)
    assert platt(-HONEST, IS_POSITIVE) == (1.0, 0.0)
    assert platt(np.full(4, 7.0), np.array([True, False, True, False])) == (1.0, 0.0)


def test_temperature_undoes_overconfidence_and_is_bounded():
    logits = RNG.normal(0, 2, (3_000, 4))
    label = (softmax(logits).cumsum(axis=1) > RNG.random((3_000, 1))).argmax(axis=1)
    assert temperature(3 * logits, label) == pytest.approx(3, rel=0.1)
    assert temperature(logits, logits.argmax(axis=1)) == pytest.approx(0.01)
    assert temperature(-logits, label) == pytest.approx(100)


def test_probabilities_of_huge_logits_do_not_overflow():
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(np.array([-1e9, 0, 1e9])).tolist() == pytest.approx([0, 0.5, 1])
        assert softmax(np.array([[1e9, 0.0]])).tolist() == [[1, 0]]


def test_the_calibration_error_is_the_mean_gap_of_bins_of_equally_many_rows():
    is_positive, probability = np.array([False, True, True, True]), np.array([0.1, 0.3, 0.6, 0.8])
    bins = reliability_bins(is_positive, probability, 2)
    assert bins.predicted.tolist() == pytest.approx([0.2, 0.7])
    assert bins.observed.tolist() == [0.5, 1.0]
    assert bins.n_rows.tolist() == [2, 2]
    assert expected_calibration_error(is_positive, probability, 2) == pytest.approx(0.3)
    assert expected_calibration_error(IS_POSITIVE, sigmoid(HONEST)) < 0.03
    assert np.isnan(expected_calibration_error(is_positive[:0], probability[:0]))


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_conformal_sets_cover_the_true_class_as_often_as_promised(coverage):
    logits = RNG.normal(0, 2, (8_000, 5))
    label = (softmax(logits).cumsum(axis=1) > RNG.random((8_000, 1))).argmax(axis=1)
    probability = softmax(2 * logits)  # overconfident: coverage holds for any model
    known, new = slice(0, 4_000), slice(4_000, 8_000)
    scores = 1 - probability[known][np.arange(4_000), label[known]]
    sets = conformal_sets(probability[new], conformal_quantile(scores, coverage))
    assert sets[np.arange(4_000), label[new]].mean() == pytest.approx(coverage, abs=0.025)


def test_conformal_intervals_cover_and_shrink_what_is_too_wide():
    mean, observed = RNG.normal(0, 3, 8_000), RNG.standard_t(5, 8_000)
    observed = mean + observed
    known, new = slice(0, 4_000), slice(4_000, 8_000)
    for half in (0.0, 0.5, 9.0):
        more = conformal_widening(mean[known] - half, mean[known] + half, observed[known], 0.9)
        assert (np.abs(observed[new] - mean[new]) <= half + more).mean() == pytest.approx(0.9, abs=0.02)
    assert more < 0


def test_too_few_rows_promise_nothing():
    assert conformal_quantile(np.arange(8.0), 0.9) == np.inf
    assert conformal_quantile(np.arange(9.0), 0.9) == 8
