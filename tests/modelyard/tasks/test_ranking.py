"""Ranking metrics that three projects share; that AP and AUC are scikit-learn's is tested where they are used."""

import numpy as np

from modelyard.tasks.ranking import curve


def test_a_curve_begins_at_nothing_and_ends_at_everything():
    found = curve(np.array([True, False, True, False]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert found.thresholds.tolist() == [np.inf, 0.9, 0.5, 0.1]
    assert found.true_positives.tolist() == [0, 1, 2, 2]
    assert found.false_positives.tolist() == [0, 0, 1, 2]


def test_a_curve_of_no_rows_is_its_first_point():
    found = curve(np.array([], dtype=bool), np.array([]))
    assert found.thresholds.tolist() == [np.inf]
    assert found.true_positives.tolist() == [0]
