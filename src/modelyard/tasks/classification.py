"""What classifiers share: metrics of two and of K classes, class weights, a floor, and checks of labels.

Every metric has the name and the value of scikit-learn's (tested), is quick enough for hundreds of bootstrap
resamples, and is NaN where the rows cannot answer. How well scores rank is in :mod:`modelyard.tasks.ranking`, whether
probabilities are calibrated in :mod:`modelyard.tasks.calibration`, what is decided in :mod:`modelyard.tasks.decisions`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import DataContractError
from modelyard.scoring import rows_of
from modelyard.tasks.calibration import expected_calibration_error
from modelyard.tasks.ranking import average_precision, roc_auc

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


def binary_metrics(is_positive: Booleans, probability: Floats, is_predicted: Booleans) -> dict[str, float]:
    """Returns metrics of two classes.

    Args:
        is_positive: Labels, shape (N,).
        probability: Of the positive class, shape (N,).
        is_predicted: Whether the positive class is predicted, shape (N,).

    Returns:
        ``roc_auc``, ``average_precision``; of the predictions ``accuracy``, ``balanced_accuracy``, ``precision``,
        ``recall``, ``specificity``, ``f1``, ``matthews_corrcoef``; of the probabilities ``log_loss``,
        ``brier_score``, ``expected_calibration_error``.
    """
    return {
        "roc_auc": roc_auc(is_positive, probability),
        "average_precision": average_precision(is_positive, probability),
        **prediction_metrics(is_positive, is_predicted),
        **probability_metrics(is_positive, probability),
    }


def prediction_metrics(is_positive: Booleans, is_predicted: Booleans) -> dict[str, float]:
    """Returns metrics of two classes that need no probabilities; labels and predictions have the shape (N,).

    They are ``accuracy``, ``balanced_accuracy``, ``precision``, ``recall``, ``specificity``, ``f1`` and
    ``matthews_corrcoef``.
    """
    true_positives, n_predicted = int((is_positive & is_predicted).sum()), int(is_predicted.sum())
    n_positive, n = int(is_positive.sum()), len(is_positive)
    true_negatives = n - n_positive - n_predicted + true_positives
    recall, specificity = _ratio(true_positives, n_positive), _ratio(true_negatives, n - n_positive)
    return {
        "accuracy": _ratio(true_positives + true_negatives, n),
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": _ratio(true_positives, n_predicted),
        "recall": recall,
        "specificity": specificity,
        "f1": _ratio(2 * true_positives, n_positive + n_predicted),
        "matthews_corrcoef": matthews_corrcoef(is_positive, is_predicted),
    }


def matthews_corrcoef(is_positive: Booleans, is_predicted: Booleans) -> float:
    """Returns the correlation of labels and predictions, shapes (N,); 0 where one of them is constant, NaN for N = 0.

    Matthews 1975, https://doi.org/10.1016/0005-2795(75)90109-9.
    """
    n, n_positive, n_predicted = len(is_positive), int(is_positive.sum()), int(is_predicted.sum())
    covariance = n * int((is_positive & is_predicted).sum()) - n_positive * n_predicted
    variances = n_positive * (n - n_positive) * n_predicted * (n - n_predicted)
    return covariance / float(variances) ** 0.5 if variances else (0.0 if n else float("nan"))


def probability_metrics(is_positive: Booleans, probability: Floats, n_bins: int = 10) -> dict[str, float]:
    """Returns ``log_loss``, ``brier_score`` and ``expected_calibration_error`` (of ``n_bins``), shapes (N,)."""
    if not len(is_positive):
        return dict.fromkeys(("log_loss", "brier_score", "expected_calibration_error"), float("nan"))
    bounded = np.clip(probability, 1e-12, 1 - 1e-12)
    return {
        "log_loss": float(-np.mean(np.where(is_positive, np.log(bounded), np.log1p(-bounded)))),
        "brier_score": float(np.mean((probability - is_positive) ** 2)),
        "expected_calibration_error": expected_calibration_error(is_positive, probability, n_bins),
    }


def multiclass_metrics(label: Integers, probability: Floats, predicted: Integers | None = None) -> dict[str, float]:
    """Returns metrics of K classes.

    Args:
        label: Class numbers, shape (N,).
        probability: Of each class, shape (N, K).
        predicted: Class numbers, shape (N,). None: the likeliest.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``f1_macro`` and ``matthews_corrcoef`` of the predictions; ``roc_auc_ovr``
        (mean over the classes, each against the rest); ``log_loss``; ``expected_calibration_error`` of the
        likeliest class's probability. Means are over the classes that are there.
    """
    n, k = probability.shape
    predicted = probability.argmax(axis=1) if predicted is None else predicted
    counts = confusion_matrix(label, predicted, k)
    hits, of_class, of_prediction = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    is_there = of_class > 0
    recalls, overlap = hits[is_there] / of_class[is_there], of_class + of_prediction
    # Gorodkin 2004: the correlation of K classes, from the sums of the confusion matrix.
    covariance = float(n * hits.sum() - (of_class * of_prediction).sum())
    variances = float(n**2 - (of_class**2).sum()) * float(n**2 - (of_prediction**2).sum())
    confidence, is_right = probability.max(axis=1), probability.argmax(axis=1) == label
    own = probability[np.arange(n), label]
    areas = [roc_auc(label == number, probability[:, number]) for number in range(k)]
    nan = float("nan")
    return {
        "accuracy": _ratio(float(hits.sum()), n),
        "balanced_accuracy": float(recalls.mean()) if n else nan,
        "f1_macro": float((2 * hits[overlap > 0] / overlap[overlap > 0]).mean()) if n else nan,
        "matthews_corrcoef": _ratio(covariance, variances**0.5),
        "roc_auc_ovr": float(np.nanmean(areas)) if not np.isnan(areas).all() else nan,
        "log_loss": float(-np.log(np.clip(own, 1e-12, 1)).mean()) if n else nan,
        "expected_calibration_error": expected_calibration_error(is_right, confidence),
    }


def confusion_matrix(label: Integers, predicted: Integers, n_classes: int) -> Integers:
    """Returns how many rows of each class (rows) were predicted as each class (columns), shape (K, K)."""
    counts: Integers = np.bincount(n_classes * label + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)
    return counts


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def class_weights(label: NDArray[Any]) -> NDArray[np.float32]:
    """Returns a weight for each row, shape (N,), mean 1, with which all classes together weigh the same in the loss."""
    _, number, counts = np.unique(label, return_inverse=True, return_counts=True)
    weights: NDArray[np.float32] = (len(label) / (len(counts) * counts))[number].astype(np.float32)
    return weights


def binned_shares(train: Floats, is_positive: Booleans, test: Floats, n_bins: int = 20) -> Floats:
    """Returns a probability for each test value: the share of positive training rows with about the same value.

    A floor for models that see more than one number. Each share is smoothed by one row of each class (Laplace), so
    that it is never 0 or 1.

    Args:
        train: One number of each training row, shape (N,).
        is_positive: Their labels, shape (N,).
        test: The same number of the test rows, shape (L,).
        n_bins: Bins of equally many training rows.
    """
    inner = np.quantile(train, np.linspace(0, 1, n_bins + 1)[1:-1])
    number = np.searchsorted(inner, train)
    counts = np.bincount(number, minlength=n_bins)
    positives = np.bincount(number, weights=is_positive, minlength=n_bins)
    shares: Floats = ((positives + 1) / (counts + 2))[np.searchsorted(inner, test)]
    return shares


def learnable_splits(examples: pl.DataFrame, target: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns the rows of ``train``, and those of ``valid``: none if they are all of one class and decide nothing.

    Args:
        examples: Has ``split`` and the target.
        target: Column of the label.

    Raises:
        DataContractError: The training rows are of one class.
    """
    train, valid = rows_of(examples, "train"), rows_of(examples, "valid")
    if train[target].drop_nulls().n_unique() < 2:
        raise DataContractError(
            "All training rows are of one class: there is nothing to tell apart.",
            where=f"column '{target}', split 'train'",
            way_out="bring rows of another class, or check what ingestion takes for which class",
        )
    if valid.height and valid[target].drop_nulls().n_unique() < 2:
        logger.warning("the validation rows are of one class: they decide nothing")
        valid = valid.clear()
    return train, valid


def class_balance_expectations(
    target: str, min_share: float, classes: Sequence[bool | str] = (True, False)
) -> list[Expectation]:
    """Returns the expectations that every class is there and, of two classes, that neither is rarer than can be right.

    Args:
        target: Column of the label.
        min_share: Share of the rows below which a class of two is too rare.
        classes: Values of the label; ``min_share`` is checked where they are True and False.
    """
    import great_expectations.expectations as gxe

    values = list(classes)
    expectations: list[Expectation] = [
        gxe.ExpectColumnDistinctValuesToContainSet(
            column=target,
            value_set=values,
            description=f"There are rows of all {len(values)} classes: from one class nothing can be learned.",
        )
    ]
    if set(values) == {True, False}:
        expectations.append(
            gxe.ExpectColumnMeanToBeBetween(
                column=target,
                min_value=min_share,
                max_value=1 - min_share,
                description=f"Each class has at least {min_share:.0%} of the rows: else labels were mixed up.",
            )
        )
    return expectations
