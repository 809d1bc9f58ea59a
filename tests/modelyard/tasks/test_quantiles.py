"""Quantiles: the interval score of the literature, coverage of open intervals, and quantiles that do not cross."""

import numpy as np
import pytest

from modelyard.tasks.quantiles import interval_coverage, pinball, uncrossed, wis


def interval_score(low, high, alpha, outcome):
    """Gneiting and Raftery 2007, equation 43."""
    below, above = np.maximum(low - outcome, 0), np.maximum(outcome - high, 0)
    return (high - low) + 2 / alpha * (below + above)


def test_the_weighted_interval_score_is_that_of_its_definition():
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    random = np.random.default_rng(0)
    quantiles, outcome = np.sort(random.normal(size=(50, 5)), axis=1), 2 * random.normal(size=50)
    low_90, low_50, median, high_50, high_90 = quantiles.T
    sums = 0.5 * np.abs(outcome - median)
    sums += 0.1 / 2 * interval_score(low_90, high_90, 0.1, outcome)
    sums += 0.5 / 2 * interval_score(low_50, high_50, 0.5, outcome)
    assert wis(quantiles, levels, outcome) == pytest.approx(sums / 2.5)


def test_of_the_median_alone_it_is_the_error():
    assert wis(np.array([[3.0], [5.0]]), [0.5], np.array([4.0, 5.0])).tolist() == [1, 0]


def test_levels_that_bound_no_intervals_are_refused():
    with pytest.raises(ValueError, match="not symmetric"):
        wis(np.zeros((1, 2)), [0.1, 0.5], np.zeros(1))


def test_an_open_interval_holds_everything_above():
    low, high = np.array([0.0, 0.0, 2.0]), np.array([np.inf, 1.0, np.inf])
    assert interval_coverage(low, high, np.array([1e9, 2.0, 1.0])) == pytest.approx(1 / 3)


def test_uncrossing_never_makes_the_loss_larger():
    random = np.random.default_rng(1)
    crossed, outcome, levels = random.normal(size=(200, 3)), random.normal(size=200), np.array([0.1, 0.5, 0.9])
    ordered = uncrossed(crossed)
    assert (np.diff(ordered, axis=1) >= 0).all()
    assert (
        pinball(ordered, levels, outcome).sum(axis=1) <= pinball(crossed, levels, outcome).sum(axis=1) + 1e-12
    ).all()
    assert np.array_equal(uncrossed(ordered), ordered)
