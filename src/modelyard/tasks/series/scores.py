"""How good is a forecast that is a distribution? The CRPS, for arrays and as a loss of torch.

It is a proper score (Gneiting and Raftery 2007, Journal of the American Statistical Association 102,
359): no forecast scores better, on average, than the distribution that the outcomes come from.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from modelyard.tasks.quantiles import pinball

if TYPE_CHECKING:
    from torch import Tensor

    Values = TypeVar("Values", NDArray[np.float64], Tensor)

Floats = NDArray[np.float64]

_SQRT_PI = math.sqrt(math.pi)
_SQRT_2PI = math.sqrt(2 * math.pi)


def crps_gaussian(mean: Floats, std: Floats, outcome: Floats) -> Floats:
    """Returns the continuous ranked probability score of normal distributions, any shape; NaN where the outcome is.

    In the unit of the outcome, 0 is perfect. Gneiting and Raftery 2007, equation 21 with the sign turned.
    """
    from scipy.special import ndtr  # type: ignore[import-untyped]  # scipy ships no types

    error = (outcome - mean) / std
    density = np.exp(-0.5 * error**2) / _SQRT_2PI
    score: Floats = std * (error * (2 * ndtr(error) - 1) + 2 * density - 1 / _SQRT_PI)
    return score


def crps_gaussian_loss(mean: "Tensor", std: "Tensor", outcome: "Tensor") -> "Tensor":
    """Returns :func:`crps_gaussian` of tensors, with gradients; any shape, the outcomes finite."""
    import torch

    error = (outcome - mean) / std
    density = torch.exp(-0.5 * error**2) / _SQRT_2PI
    return std * (error * torch.erf(error / math.sqrt(2)) + 2 * density - 1 / _SQRT_PI)


def crps_from_quantiles(quantiles: "Values", levels: "Values", outcome: "Values") -> "Values":
    """Returns an estimate of the CRPS from equally spaced quantiles, shape (...): twice their mean pinball loss.

    It gets the exact value as the levels (k + 0.5) / Q, k < Q, become dense (Gneiting and Ranjan 2011, Journal of
    Business & Economic Statistics 29, 411).

    Args:
        quantiles: Shape (..., Q).
        levels: Shape (Q,).
        outcome: Shape (...).
    """
    score: Values = 2 * pinball(quantiles, levels, outcome).mean(-1)
    return score


def gaussian_quantiles(mean: Floats, std: Floats, levels: Sequence[float]) -> Floats:
    """Returns quantiles of normal distributions, shape (..., Q), from means and standard deviations of shape (...)."""
    from scipy.special import ndtri

    found: Floats = mean[..., None] + std[..., None] * ndtri(np.asarray(levels))
    return found
