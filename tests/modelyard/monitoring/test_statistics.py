"""The tests on counts, against other people's implementations and against simulation."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency

from modelyard.monitoring.statistics import (
    Clustering,
    chi_square,
    cluster_size,
    design_effect,
    effect_in_window,
    holm,
    jensen_shannon,
)


def test_independent_rows_give_pearsons_test():
    before, now = np.array([50, 80, 120, 30]), np.array([20, 60, 70, 40])
    expected = chi2_contingency(np.stack([before, now]), correction=False)
    statistic, freedom, p_value = chi_square(before, now, (1.0, 1.0))
    assert statistic == pytest.approx(expected.statistic)
    assert freedom == expected.dof
    assert p_value == pytest.approx(expected.pvalue)


def test_a_design_effect_divides_the_statistic():
    before, now = np.array([500, 800, 1200]), np.array([200, 600, 700])
    plain, corrected = (chi_square(before, now, (effect, effect)) for effect in (1.0, 4.0))
    assert plain[0] / corrected[0] == pytest.approx(4.0)


def test_rare_bins_are_tested_together():
    before, now = np.array([1000, 1000, 1, 1, 1, 2]), np.array([1000, 1000, 2, 1, 1, 1])
    assert chi_square(before, now, (1.0, 1.0))[1] == 2


def test_nothing_to_compare_is_no_difference():
    assert chi_square(np.array([0, 0]), np.array([3, 4]), (1.0, 1.0)) == (0.0, 0, 1.0)
    assert chi_square(np.array([9, 0]), np.array([3, 0]), (1.0, 1.0))[2] == 1.0
    assert jensen_shannon(np.array([0, 0]), np.array([3, 4])) == 0.0


def test_the_distance_is_scipys():
    before, now = np.array([50, 0, 120, 30]), np.array([20, 60, 0, 40])
    assert jensen_shannon(before, now) == pytest.approx(jensenshannon(before, now, base=2))
    assert jensen_shannon(before, before * 7) == pytest.approx(0.0, abs=1e-7)
    assert jensen_shannon(np.array([5, 0]), np.array([0, 5])) == 1.0


def test_rows_that_come_in_copies_count_once():
    random = np.random.default_rng(0)
    bins = np.repeat(random.integers(0, 4, 2000), 5)
    codes = np.repeat(np.arange(2000), 5)
    assert design_effect(bins, 4, codes) == pytest.approx(5.0, rel=0.05)
    assert design_effect(bins, 4, random.permutation(codes)) == pytest.approx(1.0, abs=0.1)


def test_clusters_that_the_window_fills_less_weigh_less():
    of = {"customer": Clustering(effect=5.0, size=9.0)}
    assert effect_in_window(of, {"customer": 9.0}) == 5.0
    assert effect_in_window(of, {"customer": 4.5}) == 3.0
    assert effect_in_window({}, {}) == 1.0
    assert cluster_size(np.array([0, 0, 0, 1])) == 2.5  # three rows are in a cluster of three, one is alone


def test_clustered_rows_from_one_population_seldom_differ():
    """Of 400 pairs of samples in which a customer's rows resemble each other, about 1 % fall below 1 %."""
    random = np.random.default_rng(1)

    def sample():
        habit = np.repeat(random.integers(0, 4, 150), 20)
        bins = np.where(random.random(3000) < 0.6, habit, random.integers(0, 4, 3000))
        return bins, np.repeat(np.arange(150), 20)

    corrected, plain = [], []
    for _ in range(400):
        (a, codes), (b, _) = sample(), sample()
        counts = np.bincount(a, minlength=4), np.bincount(b, minlength=4)
        effect = design_effect(a, 4, codes)
        corrected.append(chi_square(*counts, (effect, effect))[2])
        plain.append(chi_square(*counts, (1.0, 1.0))[2])
    assert np.mean(np.array(corrected) < 0.01) < 0.03
    assert np.mean(np.array(plain) < 0.01) > 0.3


def test_holms_adjustment():
    # By hand: sorted 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, never falling.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
