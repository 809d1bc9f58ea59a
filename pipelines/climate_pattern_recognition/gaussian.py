"""How good is a Gaussian forecast? Its continuous ranked probability score, and its quantiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

_SQRT_PI = math.sqrt(math.pi)
_SQRT_2PI = math.sqrt(2 * math.pi)


def crps(mean: Floats, spread: Floats, outcome: Floats) -> Floats:
    """Continuous ranked probability score of normal distributions, any shape; NaN where the outcome is.

    Gneiting and Raftery 2007, Journal of the American Statistical Association 102, 359, equation 21.
    """
    import numpy as np
    from scipy.special import ndtr  # type: ignore[import-untyped]  # scipy ships no types

    error = (outcome - mean) / spread
    density = np.exp(-0.5 * error**2) / _SQRT_2PI
    score: Floats = spread * (error * (2 * ndtr(error) - 1) + 2 * density - 1 / _SQRT_PI)
    return score


def crps_tensor(mean: Tensor, spread: Tensor, outcome: Tensor) -> Tensor:
    """The same for tensors, with gradients."""
    import torch

    error = (outcome - mean) / spread
    density = torch.exp(-0.5 * error**2) / _SQRT_2PI
    return spread * (error * torch.erf(error / math.sqrt(2)) + 2 * density - 1 / _SQRT_PI)


def quantile(mean: float, spread: float, share: float) -> float:
    """The value that ``share`` of the outcomes stay below."""
    from statistics import NormalDist

    return NormalDist(mean, spread).inv_cdf(share)
