"""Validation fills in what is open, unsure rows are deferred, and risk falls with coverage."""

import numpy as np
import pytest

from modelyard.tasks.calibration import sigmoid, softmax
from modelyard.tasks.decisions import (
    ClassDecisions,
    Decisions,
    OpenSetDecisions,
    class_margin,
    class_probabilities,
    decide,
    decide_classes,
    decide_open_set,
    margin,
    predictions,
    probabilities,
    risk_coverage,
    selective_metrics,
    undeferred,
    unknown_score,
)

LOGITS, IS_POSITIVE = np.array([-2.0, -1.0, 0.5, 1.0, 2.0]), np.array([False, False, False, True, True])


def test_validation_fills_in_only_what_is_open():
    given = Decisions(slope=1.0, intercept=0.0, defer_share=0.2)
    decided = decide(LOGITS, IS_POSITIVE, given)
    assert (decided.slope, decided.intercept) == (1.0, 0.0)
    assert probabilities(np.array([0.5]), given)[0] < decided.threshold < probabilities(np.array([1.0]), given)[0]
    assert decide(LOGITS, IS_POSITIVE, decided) == decided
    assert Decisions.model_validate_json(decided.model_dump_json()) == decided


def test_the_share_that_validation_chose_is_deferred():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 1_000)
    decided = decide(logits, rng.random(1_000) < sigmoid(logits), Decisions(defer_share=0.1))
    found = predictions(logits[None], decided)
    assert found["is_deferred"].mean() == pytest.approx(0.1, abs=0.002)
    sure = found["margin"].to_numpy()
    assert np.array_equal(sure, margin(found["score"].to_numpy(), decided))
    assert sure[found["is_deferred"].to_numpy()].max() < sure[~found["is_deferred"].to_numpy()].min()


def test_an_ensemble_predicts_by_its_mean_and_says_how_far_its_networks_disagree():
    found = predictions(np.array([[2.0, -1.0], [0.0, -1.0]]), Decisions())
    assert found["score"].to_list() == pytest.approx(sigmoid(np.array([1.0, -1.0])).tolist())
    assert found["is_predicted"].to_list() == [True, False]
    assert found["disagreement"].to_list() == pytest.approx([np.std(sigmoid(np.array([2.0, 0.0]))), 0.0])
    assert not found["is_deferred"].any()


def test_a_rule_that_defers_nothing_keeps_its_probabilities():
    found = undeferred(np.array([0.2, 0.5, 0.9]))
    assert found["score"].to_list() == pytest.approx([0.2, 0.5, 0.9])
    assert found["is_predicted"].to_list() == [False, True, True]
    assert not found["is_deferred"].any()


def test_k_classes_are_calibrated_and_deferred_by_the_gap_of_the_two_likeliest():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2_000, 3))
    label = (softmax(logits).cumsum(axis=1) > rng.random((2_000, 1))).argmax(axis=1)
    decided = decide_classes(2 * logits, label, ClassDecisions(defer_share=0.25))
    assert decided.temperature == pytest.approx(2, rel=0.15)
    gaps = class_margin(class_probabilities(2 * logits, decided))
    assert (gaps < decided.defer_margin).mean() == pytest.approx(0.25, abs=0.002)
    assert decide_classes(logits, label, decided) == decided
    assert class_margin(np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])).tolist() == pytest.approx(
        [np.log(2), np.log(1e12)]
    )


def test_risk_and_selective_metrics_counted_by_hand():
    is_right, confidence = np.array([True, True, False, False]), np.array([0.4, 0.3, 0.2, 0.1])
    assert risk_coverage(is_right, confidence).tolist() == pytest.approx([0, 0, 1 / 3, 0.5])
    found = selective_metrics(is_right, confidence, np.array([False, False, False, True]))
    assert found == pytest.approx(
        {"deferred_share": 0.25, "selective_accuracy": 2 / 3, "risk_coverage_area": (1 / 3 + 0.5) / 4}
    )
    none = np.zeros(0, bool)
    assert np.isnan(list(selective_metrics(none, np.zeros(0), none).values())).all()


def test_a_share_of_known_rows_is_called_unknown_and_strangers_are():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 400)
    logits = rng.normal(size=(400, 3))
    logits[np.arange(400), label] += 6
    decided = decide_open_set(logits, label, OpenSetDecisions(unknown_share=0.05))
    assert (unknown_score(logits) > decided.max_unknown_score).mean() == pytest.approx(0.05, abs=0.005)
    assert (unknown_score(rng.normal(size=(400, 3))) > decided.max_unknown_score).mean() > 0.9
    assert decided.temperature is not None
    assert decided.defer_margin is not None
    given = OpenSetDecisions(max_unknown_score=1.5)
    assert decide_open_set(logits, label, given).max_unknown_score == 1.5
