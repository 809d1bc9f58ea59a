"""From logits to a decision: a calibrated probability, the class that is predicted, or deferral to a person.

Deferral is selective prediction: Geifman and El-Yaniv 2017, https://arxiv.org/abs/1705.08500. A model that is not sure
enough abstains, and is judged by its errors on the rows that it decides. Shapes: N rows, M networks, K classes.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.calibration import platt, sigmoid, softmax, temperature
from modelyard.tasks.ranking import curve

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

Classes = TypeVar("Classes", bound="ClassDecisions")

_DEFER_SHARE = Field(0.1, ge=0, lt=1, description="Share of the validation rows that are deferred to a person.")


class Decisions(Parameters):
    """Calibration, threshold and margin of two classes; what is None is filled in by validation."""

    defer_share: float = _DEFER_SHARE
    slope: float | None = Field(None, gt=0, description="Platt's factor of the log-odds. None: 1.")
    intercept: float | None = Field(
        None,
        description="Platt's summand of the log-odds. None: 0.",
        json_schema_extra={"unbounded": "log-odds have any sign and size"},
    )
    threshold: float | None = Field(
        None, gt=0, lt=1, description="Probability from which on the positive class is predicted. None: 0.5."
    )
    defer_margin: float | None = Field(
        None, ge=0, description="Distance from the threshold, in log-odds, within which a person decides. None: 0."
    )


class ClassDecisions(Parameters):
    """Calibration and margin of K classes; what is None is filled in by validation."""

    defer_share: float = _DEFER_SHARE
    temperature: float | None = Field(None, gt=0, description="Divisor of the logits. None: 1.")
    defer_margin: float | None = Field(
        None,
        ge=0,
        description="Gap between the log-probabilities of the two likeliest classes within which a person decides. "
        "None: 0.",
    )


class OpenSetDecisions(ClassDecisions):
    """Beside them a bound beyond which a row shows none of the classes; what is None is filled in by validation."""

    unknown_share: float = Field(
        0.05, ge=0, lt=1, description="Share of the validation rows, all of known classes, that are called unknown."
    )
    max_unknown_score: float | None = Field(
        None,
        description="Score above which a row is of no known class. None: no row is.",
        json_schema_extra={"unbounded": "logits have any sign and size"},
    )


def probabilities(logits: Floats, decisions: Decisions) -> Floats:
    """Returns calibrated probabilities of the positive class for log-odds of any shape."""
    slope = 1.0 if decisions.slope is None else decisions.slope
    return sigmoid(slope * logits + (decisions.intercept or 0.0))


def class_probabilities(logits: Floats, decisions: ClassDecisions) -> Floats:
    """Returns calibrated probabilities for logits of shape (..., K)."""
    return softmax(logits / (decisions.temperature or 1.0))


def margin(probability: Floats, decisions: Decisions) -> Floats:
    """Returns the distance from the threshold in log-odds, shape (N,): how sure a prediction is."""
    threshold = decisions.threshold or 0.5
    bounded = np.clip(probability, 1e-9, 1 - 1e-9)
    distance: Floats = np.abs(np.log(bounded / (1 - bounded)) - np.log(threshold / (1 - threshold)))
    return distance


def class_margin(probability: Floats) -> Floats:
    """Returns the gap between the log-probabilities of the two likeliest classes, (N, K) to (N,)."""
    likeliest = np.log(np.maximum(np.partition(probability, -2, axis=1)[:, -2:], 1e-12))
    gap: Floats = likeliest[:, 1] - likeliest[:, 0]
    return gap


def predictions(logits: Floats, decisions: Decisions) -> pl.DataFrame:
    """Returns what an ensemble predicts.

    Args:
        logits: Log-odds of the positive class by each network, shape (M, N); their mean is calibrated.
        decisions: See :class:`Decisions`.

    Returns:
        N rows: ``score`` (calibrated probability, float64 in [0, 1]), ``disagreement`` (standard deviation of the
        networks' own probabilities), ``margin`` (:func:`margin`), ``is_predicted`` (the positive class, at the
        threshold) and ``is_deferred`` (nearer to the threshold than ``defer_margin``: a person decides).
    """
    probability = probabilities(logits.mean(axis=0), decisions)
    distance = margin(probability, decisions)
    return pl.DataFrame(
        {
            "score": probability,
            "disagreement": probabilities(logits, decisions).std(axis=0),
            "margin": distance,
            "is_predicted": probability >= (decisions.threshold or 0.5),
            "is_deferred": distance < (decisions.defer_margin or 0.0),
        }
    )


def undeferred(probability: Floats, threshold: float = 0.5) -> pl.DataFrame:
    """Returns the columns of :func:`predictions` for a rule that defers nothing, such as a floor; shape (N,)."""
    return predictions(np.log(probability / (1 - probability))[None], Decisions(threshold=threshold))


def decide(logits: Floats, is_positive: Booleans, decisions: Decisions) -> Decisions:
    """Fills in what is open from validation rows.

    The threshold maximises sensitivity plus specificity (Youden 1950, Index for rating diagnostic tests, Cancer 3),
    which does not depend on the share of positive rows. The margin defers ``defer_share`` of these rows.

    Args:
        logits: Mean log-odds of the networks, shape (N,).
        is_positive: Labels, shape (N,), of both classes.
        decisions: What is given stays.
    """
    if decisions.slope is None or decisions.intercept is None:
        slope, intercept = platt(logits, is_positive)
        decisions = decisions.model_copy(update={"slope": slope, "intercept": intercept})
    probability = probabilities(logits, decisions)
    if decisions.threshold is None:
        decisions = decisions.model_copy(update={"threshold": _youden(probability, is_positive)})
    if decisions.defer_margin is None:
        quantile = float(np.quantile(margin(probability, decisions), decisions.defer_share))
        decisions = decisions.model_copy(update={"defer_margin": quantile})
    return decisions


def decide_classes(logits: Floats, label: Integers, decisions: Classes) -> Classes:
    """Fills in what is open from validation rows: logits (N, K) and class numbers (N,); what is given stays."""
    if decisions.temperature is None:
        decisions = decisions.model_copy(update={"temperature": temperature(logits, label)})
    if decisions.defer_margin is None:
        gaps = class_margin(class_probabilities(logits, decisions))
        quantile = float(np.quantile(gaps, decisions.defer_share))
        decisions = decisions.model_copy(update={"defer_margin": quantile})
    return decisions


def unknown_score(logits: Floats) -> Floats:
    """Returns how little a row looks like any known class: minus its largest logit, (N, K) to (N,).

    Hendrycks et al. 2022, "Scaling out-of-distribution detection for real-world settings", MaxLogit,
    https://arxiv.org/abs/1911.11132: two classes that are equally likely make a row unsure, not unknown.
    """
    score: Floats = -logits.max(axis=-1)
    return score


def decide_open_set(logits: Floats, label: Integers, decisions: OpenSetDecisions) -> OpenSetDecisions:
    """Fills in what is open from validation rows of known classes: logits (N, K) and class numbers (N,)."""
    filled = decide_classes(logits, label, decisions)
    if decisions.max_unknown_score is None:
        quantile = float(np.quantile(unknown_score(logits), 1 - decisions.unknown_share))
        filled = filled.model_copy(update={"max_unknown_score": quantile})
    return filled


def _youden(probability: Floats, is_positive: Booleans) -> float:
    """Returns the middle of the gap below the best threshold, so that no row lies on it."""
    thresholds, true_positives, false_positives = curve(is_positive, probability)
    best = int(np.argmax(true_positives / true_positives[-1] - false_positives / false_positives[-1]))
    here = min(float(thresholds[best]), 1.0)
    below = float(thresholds[best + 1]) if best + 1 < len(thresholds) else 0.0
    return min(max((here + below) / 2, 1e-6), 1 - 1e-6)


def risk_coverage(is_right: Booleans, confidence: Floats) -> Floats:
    """Returns the share of wrong predictions among the k most confident rows, for k = 1 to N.

    Args:
        is_right: Whether each prediction was right, shape (N,).
        confidence: Higher is surer, shape (N,), such as :func:`margin`.

    Returns:
        The risk at coverage k / N, shape (N,); its mean is the area under the risk-coverage curve.
    """
    order = np.argsort(-confidence, kind="stable")
    risk: Floats = np.cumsum(~is_right[order]) / np.arange(1, len(order) + 1)
    return risk


def selective_metrics(is_right: Booleans, confidence: Floats, is_deferred: Booleans) -> dict[str, float]:
    """Returns how good predictions are when the unsure ones may be deferred; NaN where the rows cannot answer.

    Args:
        is_right: Whether each prediction was right, shape (N,).
        confidence: Higher is surer, shape (N,).
        is_deferred: Which predictions the model would rather not make, shape (N,).

    Returns:
        ``deferred_share``, ``selective_accuracy`` (of the rows that are not deferred), ``risk_coverage_area``.
    """
    nan = float("nan")
    kept = is_right[~is_deferred]
    return {
        "deferred_share": float(is_deferred.mean()) if len(is_deferred) else nan,
        "selective_accuracy": float(kept.mean()) if len(kept) else nan,
        "risk_coverage_area": float(risk_coverage(is_right, confidence).mean()) if len(is_right) else nan,
    }
