"""How well scores rank frauds, by one sort each: quick enough for hundreds of bootstrap resamples.

The values are those of scikit-learn's functions of the same names, ties included (tested).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]


def counts_above(is_fraud: Booleans, scores: Floats) -> tuple[Integers, Integers]:
    """Frauds and rows at or above each distinct score, from the highest score down; two arrays of shape (U,)."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    return np.cumsum(is_fraud[order], dtype=np.int64)[ends], ends + 1


def average_precision(is_fraud: Booleans, scores: Floats) -> float:
    """Mean of the precision at each fraud, rows of equal score entering together; NaN without frauds.

    Args:
        is_fraud: Shape (N,).
        scores: Higher is more suspicious, shape (N,).
    """
    if not is_fraud.any():
        return float("nan")
    import numpy as np

    frauds, rows = counts_above(is_fraud, scores)
    return float((np.diff(frauds, prepend=0) * (frauds / rows)).sum() / frauds[-1])


def roc_auc(is_fraud: Booleans, scores: Floats) -> float:
    """Share of pairs of a fraud and a genuine row that are ranked rightly, equal scores half; NaN with one class.

    Args:
        is_fraud: Shape (N,).
        scores: Higher is more suspicious, shape (N,).
    """
    if is_fraud.all() or not is_fraud.any():
        return float("nan")
    import numpy as np

    frauds, rows = counts_above(is_fraud, scores)
    genuine = rows - frauds
    above = frauds - np.diff(frauds, prepend=0) / 2
    return float((np.diff(genuine, prepend=0) * above).sum() / (frauds[-1] * genuine[-1]))
