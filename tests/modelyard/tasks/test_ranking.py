"""Ranking metrics are scikit-learn's, ties included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from modelyard.tasks.ranking import average_precision, curve, roc_auc


def test_a_curve_begins_at_nothing_and_ends_at_everything():
    found = curve(np.array([True, False, True, False]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert found.thresholds.tolist() == [np.inf, 0.9, 0.5, 0.1]
    assert found.true_positives.tolist() == [0, 1, 2, 2]
    assert found.false_positives.tolist() == [0, 0, 1, 2]


def test_a_curve_of_no_rows_is_its_first_point():
    found = curve(np.array([], dtype=bool), np.array([]))
    assert found.thresholds.tolist() == [np.inf]
    assert found.true_positives.tolist() == [0]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=60).filter(
        lambda pairs: len({label for label, _ in pairs}) == 2
    )
)
def test_ranking_metrics_are_those_of_scikit_learn_ties_included(pairs):
    labels, scores = (np.array(values) for values in zip(*pairs, strict=True))
    scores = scores.astype(float)
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
