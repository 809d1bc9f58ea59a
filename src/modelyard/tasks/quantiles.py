"""Quantile forecasts: their loss, their coverage, and the score that combines several intervals.

The pinball loss is a proper score (Gneiting and Raftery 2007, Journal of the American Statistical Association 102,
359): no forecast scores better, on average, than the quantiles of the distribution that the outcomes come from.

Shapes: Q quantile levels behind any other axes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    Values = TypeVar("Values", NDArray[np.float64], Tensor)

Floats = NDArray[np.float64]


def pinball(quantiles: "Values", levels: "Values", outcome: "Values") -> "Values":
    """Returns the pinball loss of each quantile, shape (..., Q), in the unit of the outcome; arrays or tensors.

    Koenker and Bassett 1978, Econometrica 46, 33. Its mean over rows is least at the true quantile.

    Args:
        quantiles: Shape (..., Q).
        levels: Share of outcomes that should lie below each, shape (Q,).
        outcome: Shape (...).
    """
    error = outcome[..., None] - quantiles
    loss: Values = levels * error - error.clip(max=0)
    return loss


def wis(quantiles: Floats, levels: Sequence[float], outcome: Floats) -> Floats:
    """Returns the weighted interval score, shape (...), in the unit of the outcome; of the median alone, its error.

    Bracher et al. 2021, https://doi.org/10.1371/journal.pcbi.1008618: with central intervals and the median it is twice
    the mean pinball loss, which is how it is computed here and how FluSight scores.

    Args:
        quantiles: Shape (..., Q).
        levels: Q levels, symmetric about 0.5.
        outcome: Shape (...).

    Raises:
        ValueError: The levels are not symmetric: they bound no central intervals.
    """
    if not np.allclose(np.sort(levels), np.sort(1 - np.asarray(levels))):
        raise ValueError(f"the levels {list(levels)} are not symmetric about 0.5")
    score: Floats = 2 * pinball(quantiles, np.asarray(levels), outcome).mean(axis=-1)
    return score


def interval_coverage(low: Floats, high: Floats, outcome: Floats) -> float:
    """Returns the share of the known outcomes (not NaN) in their interval, bounds included; NaN where none is known."""
    is_known = np.isfinite(outcome)
    is_inside = (low <= outcome) & (outcome <= high)
    return float(is_inside[is_known].mean()) if is_known.any() else float("nan")


def uncrossed(quantiles: Floats) -> Floats:
    """Returns quantiles ascending along the last axis, shape (..., Q): their pinball loss is no larger than before.

    Quantiles that were fitted one by one may cross. Chernozhukov, Fernández-Val and Galichon 2010,
    https://doi.org/10.3982/ECTA7880.
    """
    ordered: Floats = np.sort(quantiles, axis=-1)
    return ordered
