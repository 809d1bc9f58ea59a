"""What is good: ill exams are found, few others are alarmed, probabilities are honest, and doubts are admitted."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.classification import binary_metrics, binned_shares
from modelyard.tasks.decisions import predictions, selective_metrics, undeferred
from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.ranking import curve
from pipelines.medical_image_analysis.model import FitParameters, logits_of

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

_FIRST = (
    "roc_auc",
    "sensitivity_at_specificity",
    "accuracy",
    "recall",
    "specificity",
    "expected_calibration_error",
    "selective_accuracy",
)
"""The metrics that a summary shows."""


class ScoreParameters(Parameters):
    """How the metrics look at errors."""

    specificity: float = Field(0.9, gt=0, lt=1, description="At this specificity the sensitivity is reported.")
    treat_probability: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Probability from which on one would treat: 0.3 means that a missed pneumonia is as bad as 2.3"
        " needless treatments.",
    )


def predict(model: Ensemble[FitParameters], examples: pl.DataFrame) -> pl.DataFrame:
    """How likely each exam shows a pneumonia, and whether the model dares to say so.

    Args:
        model: A trained model.
        examples: Has ``image``, at least one row.

    Returns:
        Row for row the columns of :func:`modelyard.tasks.decisions.predictions`: ``score``, ``disagreement``,
        ``margin``, ``is_predicted`` (pneumonia), ``is_deferred`` (a person decides).
    """
    return predictions(logits_of(model.networks, examples), model.params.decisions)


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    Args:
        rows: Records with what :func:`predict` returns.
        params: See :class:`ScoreParameters`.

    Returns:
        Those of :func:`modelyard.tasks.classification.binary_metrics` and
        :func:`modelyard.tasks.decisions.selective_metrics`, ``sensitivity_at_specificity`` and ``net_benefit`` at
        ``treat_probability``. NaN where the rows cannot answer.
    """
    names = ("is_pneumonia", "score", "is_predicted", "is_deferred", "margin")
    is_pneumonia, probability, is_predicted, is_deferred, margin = (rows[name].to_numpy() for name in names)
    treat = np.array([params.treat_probability])
    found = {
        **binary_metrics(is_pneumonia, probability, is_predicted),
        "sensitivity_at_specificity": sensitivity_at(is_pneumonia, probability, params.specificity),
        "net_benefit": float(net_benefit(is_pneumonia, probability, treat)[0]) if rows.height else float("nan"),
        **selective_metrics(is_predicted == is_pneumonia, margin, is_deferred),
    }
    return {name: found[name] for name in _FIRST} | found


def sensitivity_at(is_ill: Booleans, probability: Floats, specificity: float) -> float:
    """Returns the largest share of ill exams found by a threshold that alarms few others.

    Args:
        is_ill: Shape (N,).
        probability: Shape (N,).
        specificity: Least share of the other exams that are not alarmed.
    """
    _, true_positives, false_positives = curve(is_ill, probability)
    if not len(is_ill) or not true_positives[-1] or not false_positives[-1]:
        return float("nan")
    is_allowed = 1 - false_positives / false_positives[-1] >= specificity - 1e-12
    return float(true_positives[is_allowed].max() / true_positives[-1])


def net_benefit(is_ill: Booleans, probability: Floats, thresholds: Floats) -> Floats:
    """Returns true positives minus false ones weighted by the threshold's odds, for each exam; shape (K,).

    Vickers and Elkin 2006, https://doi.org/10.1177/0272989X06295361. Treating nobody has 0.

    Args:
        is_ill: Shape (N,), N > 0.
        probability: Shape (N,).
        thresholds: Probabilities from which on one would treat, shape (K,), each in (0, 1).
    """
    is_treated = probability[None, :] >= thresholds[:, None]
    true_positives, false_positives = (is_treated & is_ill).mean(axis=1), (is_treated & ~is_ill).mean(axis=1)
    benefit: Floats = true_positives - false_positives * thresholds / (1 - thresholds)
    return benefit


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The trivial rule: an exam is as suspicious as training exams were whose lungs are about as bright.

    Args:
        train: Has ``lung_brightness_ratio``, ``is_pneumonia``.
        test: Has ``lung_brightness_ratio``.

    Returns:
        The columns of :func:`predict`; nothing is deferred.
    """
    seen, asked = (rows["lung_brightness_ratio"].to_numpy() for rows in (train, test))
    return undeferred(binned_shares(seen, train["is_pneumonia"].to_numpy(), asked))
