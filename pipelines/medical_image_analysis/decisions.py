"""What follows from the networks' log-odds: a calibrated probability, a call, or a referral to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.ranking import curve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]


class Decisions(Parameters):
    """Calibration and thresholds; what is None is filled in by validation."""

    refer_share: float = Field(0.1, ge=0, lt=1, description="Share of the validation exams that a person looks at.")
    slope: float | None = Field(None, gt=0, description="Factor of the mean log-odds. None: 1.")
    intercept: float | None = Field(None, ge=-50, le=50, description="Added to the mean log-odds. None: 0.")
    threshold: float | None = Field(
        None, gt=0, lt=1, description="Probability from which on an exam is called pneumonia. None: 0.5."
    )
    refer_margin: float | None = Field(
        None, ge=0, description="Distance from the threshold, in log-odds, within which a person decides. None: 0."
    )


def probabilities(logits: Floats, decisions: Decisions) -> Floats:
    """Calibrated probabilities of mean log-odds, both of shape (N,)."""
    import numpy as np

    slope = 1.0 if decisions.slope is None else decisions.slope
    intercept = 0.0 if decisions.intercept is None else decisions.intercept
    result: Floats = 1 / (1 + np.exp(-np.clip(slope * logits + intercept, -500, 500)))
    return result


def calls(probability: Floats, decisions: Decisions) -> tuple[Booleans, Booleans]:
    """Whether each exam is called pneumonia, and whether a person is to decide instead; both of shape (N,)."""
    threshold = 0.5 if decisions.threshold is None else decisions.threshold
    margin = 0.0 if decisions.refer_margin is None else decisions.refer_margin
    return probability >= threshold, sureness(probability, threshold) < margin


def sureness(probability: Floats, threshold: float) -> Floats:
    """Distance from the threshold in log-odds, shape (N,)."""
    import numpy as np

    bounded = np.clip(probability, 1e-9, 1 - 1e-9)
    distance: Floats = np.abs(np.log(bounded / (1 - bounded)) - np.log(threshold / (1 - threshold)))
    return distance


def decide(logits: Floats, is_ill: Booleans, decisions: Decisions) -> Decisions:
    """Fills in what is open from validation rows.

    The threshold maximises sensitivity plus specificity (Youden 1950, Index for rating diagnostic tests, Cancer 3),
    which does not depend on how many exams are ill. The margin is such that ``refer_share`` of these rows are referred.

    Args:
        logits: Mean log-odds, shape (N,).
        is_ill: Labels, shape (N,), of both classes.
        decisions: What is given stays.
    """
    import numpy as np

    if decisions.slope is None or decisions.intercept is None:
        slope, intercept = platt(logits, is_ill)
        decisions = decisions.model_copy(update={"slope": slope, "intercept": intercept})
    probability = probabilities(logits, decisions)
    if decisions.threshold is None:
        decisions = decisions.model_copy(update={"threshold": _youden(probability, is_ill)})
    if decisions.refer_margin is None and decisions.threshold is not None:
        distance = sureness(probability, decisions.threshold)
        decisions = decisions.model_copy(update={"refer_margin": float(np.quantile(distance, decisions.refer_share))})
    return decisions


def _youden(probability: Floats, is_ill: Booleans) -> float:
    """Middle of the gap below the best threshold, so that no exam lies on it."""
    import numpy as np

    thresholds, hits, alarms = curve(is_ill, probability)
    best = int(np.argmax(hits / hits[-1] - alarms / alarms[-1]))
    here = min(float(thresholds[best]), 1.0)
    below = float(thresholds[best + 1]) if best + 1 < len(thresholds) else 0.0
    return min(max((here + below) / 2, 1e-6), 1 - 1e-6)


def platt(logits: Floats, is_ill: Booleans) -> tuple[float, float]:
    """Slope and intercept that make log-odds calibrated (Platt 1999, with his smoothed targets), by Newton's method.

    A slope that is not positive (nothing was learnt) becomes (1, 0).
    """
    import numpy as np

    n_ill, n_other = int(is_ill.sum()), int((~is_ill).sum())
    wanted = np.where(is_ill, (n_ill + 1) / (n_ill + 2), 1 / (n_other + 2))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (probability - wanted)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + 1e-6 * np.eye(2)
        weights = weights - np.clip(np.linalg.solve(curvature, gradient), -1, 1)
    slope, intercept = weights.tolist()
    return (slope, float(np.clip(intercept, -50, 50))) if slope > 0 else (1.0, 0.0)


def sensitivity_at(is_ill: Booleans, score: Floats, specificity: float) -> float:
    """Largest share of ill exams found by a threshold that leaves at least ``specificity`` of the others alone."""
    _, hits, alarms = curve(is_ill, score)
    if not len(is_ill) or not hits[-1] or not alarms[-1]:
        return float("nan")
    return float(hits[1 - alarms / alarms[-1] >= specificity - 1e-12].max() / hits[-1])
