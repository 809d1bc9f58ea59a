"""Metrics are scikit-learn's, floors are shares of bins, and labels that cannot be right are found."""

import numpy as np
import polars as pl
import pytest

from modelyard.errors import DataContractError
from modelyard.tasks.calibration import softmax
from modelyard.tasks.classification import (
    binary_metrics,
    binned_shares,
    class_balance_expectations,
    class_weights,
    confusion_matrix,
    learnable_splits,
    multiclass_metrics,
)

RNG = np.random.default_rng(0)


def test_metrics_of_two_classes_are_those_of_scikit_learn():
    from sklearn import metrics

    label, probability = RNG.random(300) < 0.3, RNG.integers(1, 30, 300) / 30
    predicted = probability > 0.4
    assert binary_metrics(label, probability, predicted) == pytest.approx(
        {
            "roc_auc": metrics.roc_auc_score(label, probability),
            "average_precision": metrics.average_precision_score(label, probability),
            "accuracy": metrics.accuracy_score(label, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(label, predicted),
            "precision": metrics.precision_score(label, predicted),
            "recall": metrics.recall_score(label, predicted),
            "specificity": metrics.recall_score(~label, ~predicted),
            "f1": metrics.f1_score(label, predicted),
            "matthews_corrcoef": metrics.matthews_corrcoef(label, predicted),
            "log_loss": metrics.log_loss(label, probability),
            "brier_score": metrics.brier_score_loss(label, probability),
            "expected_calibration_error": np.mean(
                [
                    abs(label[part].mean() - probability[part].mean())
                    for part in np.array_split(np.argsort(probability, kind="stable"), 10)
                ]
            ),
        }
    )


def test_metrics_of_k_classes_are_those_of_scikit_learn():
    from sklearn import metrics

    label = RNG.integers(0, 4, 400)
    probability = softmax(RNG.normal(0, 1, (400, 4)) + 1.5 * np.eye(4)[label])
    predicted = probability.argmax(axis=1)
    found = multiclass_metrics(label, probability)
    del found["expected_calibration_error"]
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(label, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(label, predicted),
            "f1_macro": metrics.f1_score(label, predicted, average="macro"),
            "matthews_corrcoef": metrics.matthews_corrcoef(label, predicted),
            "roc_auc_ovr": metrics.roc_auc_score(label, probability, multi_class="ovr"),
            "log_loss": metrics.log_loss(label, probability),
        }
    )
    assert np.array_equal(confusion_matrix(label, predicted, 4), metrics.confusion_matrix(label, predicted))


def test_what_rows_cannot_answer_is_nan():
    found = binary_metrics(np.array([True]), np.array([0.9]), np.array([True]))
    assert np.isnan([found["roc_auc"], found["specificity"]]).all()
    assert (found["accuracy"], found["recall"], found["matthews_corrcoef"]) == (1, 1, 0)
    none = np.zeros(0, bool)
    assert np.isnan(list(binary_metrics(none, np.zeros(0), none).values())).all()
    assert np.isnan(list(multiclass_metrics(np.zeros(0, np.int64), np.zeros((0, 3))).values())).all()
    one = multiclass_metrics(np.array([1, 1]), np.array([[0.2, 0.8, 0], [0.1, 0.6, 0.3]]))
    assert (one["accuracy"], one["balanced_accuracy"]) == (1, 1)
    assert np.isnan(one["roc_auc_ovr"])


def test_all_classes_weigh_the_same():
    label = np.array(["a", "b", "b", "c", "c", "c"])
    weights = class_weights(label)
    assert [float(weights[label == name].sum()) for name in "abc"] == pytest.approx([2, 2, 2])
    assert weights.dtype == np.float32


def test_a_floor_is_the_share_of_training_rows_with_about_the_same_value():
    values = np.arange(100.0)
    shares = binned_shares(values, values >= 50, np.array([-5.0, 10.0, 90.0, 500.0]), n_bins=10)
    assert shares.tolist() == pytest.approx([1 / 12, 1 / 12, 11 / 12, 11 / 12])


def test_splits_of_one_class_teach_nothing_and_decide_nothing(caplog):
    rows = pl.DataFrame({"split": ["train", "train", "valid", "test"], "is_ill": [True, False, True, True]})
    train, valid = learnable_splits(rows, "is_ill")
    assert (train.height, valid.height) == (2, 0)
    assert "decide nothing" in caplog.text
    with pytest.raises(DataContractError, match="one class"):
        learnable_splits(rows.filter("is_ill"), "is_ill")


def test_labels_are_expected_to_have_all_classes_in_shares_that_can_be_right():
    both = class_balance_expectations("is_ill", 0.02)
    assert [type(each).__name__ for each in both] == [
        "ExpectColumnDistinctValuesToContainSet",
        "ExpectColumnMeanToBeBetween",
    ]
    assert (both[1].min_value, both[1].max_value) == (0.02, 0.98)
    (only,) = class_balance_expectations("genre", 0.02, ("folk", "jazz"))
    assert only.value_set == ["folk", "jazz"]
