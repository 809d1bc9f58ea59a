"""How well does a score rank exams? Areas and curves, quick enough for hundreds of bootstrap resamples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]


class Curve(NamedTuple):
    """Counts at every distinct score taken as threshold, from the highest score down, after a first point (0, 0).

    Args:
        thresholds: Shape (K,); the first is infinite.
        true_positives: Ill exams with at least this score.
        false_positives: Other exams with at least this score.
    """

    thresholds: Floats
    true_positives: Floats
    false_positives: Floats


def curve(is_ill: Booleans, score: Floats) -> Curve:
    """See :class:`Curve`."""
    import numpy as np

    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    is_last = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, dtype=bool)
    hits = np.cumsum(is_ill[order])[is_last].astype(np.float64)
    alarms = np.cumsum(~is_ill[order])[is_last].astype(np.float64)
    return Curve(
        np.concatenate([[np.inf], ranked[is_last]]),
        np.concatenate([[0.0], hits]),
        np.concatenate([[0.0], alarms]),
    )


def roc_auc(is_ill: Booleans, score: Floats) -> float:
    """Chance that an ill exam is ranked above another one (ties count one half); NaN for one class."""
    import numpy as np

    _, hits, alarms = curve(is_ill, score)
    if not len(is_ill) or not hits[-1] or not alarms[-1]:
        return float("nan")
    return float(np.trapezoid(hits, alarms) / (hits[-1] * alarms[-1]))


def average_precision(is_ill: Booleans, score: Floats) -> float:
    """Mean precision over the ill exams, as scikit-learn computes it; NaN without any."""
    import numpy as np

    _, hits, alarms = curve(is_ill, score)
    if not len(is_ill) or not hits[-1]:
        return float("nan")
    return float(np.sum(np.diff(hits) * hits[1:] / (hits[1:] + alarms[1:])) / hits[-1])


def sensitivity_at(is_ill: Booleans, score: Floats, specificity: float) -> float:
    """Largest share of ill exams found by a threshold that leaves at least ``specificity`` of the others alone."""
    _, hits, alarms = curve(is_ill, score)
    if not len(is_ill) or not hits[-1] or not alarms[-1]:
        return float("nan")
    return float(hits[1 - alarms / alarms[-1] >= specificity - 1e-12].max() / hits[-1])
