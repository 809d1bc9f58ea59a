"""How well scores rank the positive rows, by one sort each: quick enough for hundreds of bootstrap resamples.

The values are those of scikit-learn's functions of the same names, ties included (tested).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]


def counts_above(is_positive: Booleans, scores: Floats) -> tuple[Integers, Integers]:
    """Positives and rows at or above each distinct score, from the highest score down; two arrays of shape (U,)."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)[: len(ranked)]  # none without rows
    return np.cumsum(is_positive[order], dtype=np.int64)[ends], ends + 1


class Curve(NamedTuple):
    """Counts at every distinct score taken as threshold, from the highest score down, after a first point (0, 0).

    Args:
        thresholds: Shape (K,); the first is infinite.
        true_positives: Positive rows with at least this score.
        false_positives: Negative rows with at least this score.
    """

    thresholds: Floats
    true_positives: Floats
    false_positives: Floats


def curve(is_positive: Booleans, scores: Floats) -> Curve:
    """See :class:`Curve`."""
    import numpy as np

    positives, rows = counts_above(is_positive, scores)
    return Curve(
        np.concatenate([[np.inf], np.unique(scores)[::-1]]),
        np.concatenate([[0.0], positives]),
        np.concatenate([[0.0], rows - positives]),
    )


def average_precision(is_positive: Booleans, scores: Floats) -> float:
    """Mean of the precision at each positive, rows of equal score entering together; NaN without any.

    Args:
        is_positive: Shape (N,).
        scores: Higher is more likely positive, shape (N,).
    """
    if not is_positive.any():
        return float("nan")
    import numpy as np

    positives, rows = counts_above(is_positive, scores)
    return float((np.diff(positives, prepend=0) * (positives / rows)).sum() / positives[-1])


def roc_auc(is_positive: Booleans, scores: Floats) -> float:
    """Share of pairs of a positive and a negative row that are ranked rightly, equal scores half; NaN with one class.

    Args:
        is_positive: Shape (N,).
        scores: Higher is more likely positive, shape (N,).
    """
    if is_positive.all() or not is_positive.any():
        return float("nan")
    import numpy as np

    positives, rows = counts_above(is_positive, scores)
    negatives = rows - positives
    above = positives - np.diff(positives, prepend=0) / 2
    return float((np.diff(negatives, prepend=0) * above).sum() / (positives[-1] * negatives[-1]))
