"""Probabilities that mean what they say: scaling of logits, how to measure it, and sets and intervals with coverage.

What is fitted here is fitted on validation rows, never on the rows that the model learnt from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

_MAX_STEPS = 100


def sigmoid(logits: Floats) -> Floats:
    """Returns the probability of log-odds, of the same shape, without overflow."""
    probability: Floats = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    return probability


def softmax(logits: Floats) -> Floats:
    """Returns the probabilities of logits along the last axis, of the same shape, without overflow."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probability: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return probability


def platt(logits: Floats, is_positive: Booleans) -> tuple[float, float]:
    """Returns slope and intercept with which ``sigmoid(slope * logits + intercept)`` is calibrated.

    Platt 1999, "Probabilistic outputs for support vector machines", with his smoothed targets, which keep the slope
    finite where the classes are separable; by Newton's method with the line search of Lin, Lin and Weng 2007, "A note
    on Platt's probabilistic outputs" (https://doi.org/10.1007/s10994-007-5018-6), which converges from everywhere.

    Args:
        logits: Log-odds of rows that were not trained on, shape (N,), N > 0.
        is_positive: Labels, shape (N,).

    Returns:
        Slope > 0 and intercept; (1, 0) where the best slope is not positive, because the logits rank nothing.
    """
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    target = np.where(is_positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    # On standardised logits the start is near and the equations are well conditioned, whatever the logits' scale.
    center, scale = float(logits.mean()), max(float(logits.std()), 1e-12)
    design = np.stack([(logits - center) / scale, np.ones_like(logits)], axis=1)

    def loss(weights: Floats) -> float:
        score = design @ weights
        return float((np.logaddexp(0, score) - target * score).sum())

    weights = np.array([0.0, np.log((n_positive + 1) / (n_negative + 1))])
    for _ in range(_MAX_STEPS):
        probability = sigmoid(design @ weights)
        gradient = design.T @ (probability - target)
        if np.abs(gradient).max() < 1e-9 * len(logits):
            break
        hessian = (design * (probability * (1 - probability))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        # Armijo's condition: halve the step until the loss falls by a share of what its slope promises.
        size, before = 1.0, loss(weights)
        while size > 1e-10 and loss(weights - size * step) > before - 1e-4 * size * float(gradient @ step):
            size /= 2
        weights = weights - size * step
    slope = float(weights[0]) / scale
    return (slope, float(weights[1]) - slope * center) if slope > 0 else (1.0, 0.0)


def temperature(logits: Floats, label: Integers) -> float:
    """Returns the number by which logits are divided so that their softmax is calibrated.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2. The log loss is convex in the inverse temperature,
    so bisection on its derivative finds the minimum.

    Args:
        logits: Of rows that were not trained on, shape (N, K), N > 0.
        label: Class numbers, shape (N,).

    Returns:
        Between 0.01 and 100; the bounds are met where every row is right, or the logits say nothing.
    """
    rows = np.arange(len(label))

    def derivative(inverse: float) -> float:
        return float(((softmax(inverse * logits) * logits).sum(axis=1) - logits[rows, label]).mean())

    low, high = np.log(1 / 100), np.log(1 / 0.01)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if derivative(float(np.exp(middle))) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))


class ReliabilityBins(NamedTuple):
    """Predicted and observed shares over bins of equally many rows, in the order of the probability.

    Args:
        predicted: Mean probability of each bin, shape (B,).
        observed: Share of positive rows in it, shape (B,).
        n_rows: Rows in it, shape (B,), none zero.
    """

    predicted: Floats
    observed: Floats
    n_rows: Integers


def reliability_bins(is_positive: Booleans, probability: Floats, n_bins: int = 10) -> ReliabilityBins:
    """Returns what a reliability diagram shows; for K classes give whether the call was right and its confidence.

    Args:
        is_positive: Shape (N,).
        probability: Shape (N,).
        n_bins: Bins at most; bins of equally many rows are as precise where probabilities crowd as elsewhere.
    """
    order = np.argsort(probability, kind="stable")
    edges = np.unique(np.linspace(0, len(order), n_bins + 1).astype(np.int64))
    n_rows = np.diff(edges)
    if not len(order):
        return ReliabilityBins(np.zeros(0), np.zeros(0), n_rows)
    sums = [np.add.reduceat(values[order].astype(np.float64), edges[:-1]) for values in (probability, is_positive)]
    return ReliabilityBins(sums[0] / n_rows, sums[1] / n_rows, n_rows)


def expected_calibration_error(is_positive: Booleans, probability: Floats, n_bins: int = 10) -> float:
    """Returns the mean gap between predicted and observed share over :func:`reliability_bins`; NaN without rows.

    Naeini et al. 2015, https://doi.org/10.1609/aaai.v29i1.9602, with bins of equally many rows (Nguyen and O'Connor
    2015, https://arxiv.org/abs/1508.05154).
    """
    bins = reliability_bins(is_positive, probability, n_bins)
    n = int(bins.n_rows.sum())
    return float((np.abs(bins.observed - bins.predicted) * bins.n_rows).sum() / n) if n else float("nan")


def conformal_quantile(scores: Floats, coverage: float) -> float:
    """Returns the bound that the nonconformity score of a new row keeps with probability ``coverage`` or more.

    Split conformal prediction: Vovk, Gammerman and Shafer 2005; Lei et al. 2018, https://arxiv.org/abs/1604.04173.

    Args:
        scores: How badly each calibration row fits its prediction, shape (N,); rows exchangeable with new ones.
        coverage: In (0, 1).

    Returns:
        The ceil((N + 1) * coverage)-th smallest score; infinity where N is too small for this coverage.
    """
    rank = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else float("inf")


def conformal_sets(probability: Floats, max_score: float) -> Booleans:
    """Returns which classes belong to each row's prediction set, shape (N, K); a set may be empty.

    Sadinle, Lei and Wasserman 2019, https://arxiv.org/abs/1609.00451.

    Args:
        probability: Shape (N, K).
        max_score: :func:`conformal_quantile` of 1 - the probability of the true class of calibration rows.
    """
    is_in: Booleans = 1 - probability <= max_score
    return is_in


def conformal_widening(low: Floats, high: Floats, observed: Floats, coverage: float) -> float:
    """Returns by how much to widen predicted intervals on both sides so that they cover new values; may be negative.

    Romano, Patterson and Candes 2019, https://arxiv.org/abs/1905.03222. With ``low`` and ``high`` both the predicted
    value it is half the width of the interval around it.

    Args:
        low: Lower ends on calibration rows, shape (N,).
        high: Upper ends, shape (N,).
        observed: What came, shape (N,).
        coverage: In (0, 1).
    """
    return conformal_quantile(np.maximum(low - observed, observed - high), coverage)
