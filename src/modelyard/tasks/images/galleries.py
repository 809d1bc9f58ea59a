"""Pictures side by side: those that a model is least sure about, and where it sees its class.

Pictures are uint8 of shape (N, H, W), grey, or (N, H, W, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modelyard.tasks.figures import gallery, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from modelyard.tasks.images.grad_cam import HasMaps

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

OUTCOMES = ("true positive", "true negative", "false positive", "false negative")


def least_sure(
    pictures: Pixels,
    margin: Floats,
    probability: Floats,
    is_positive: Booleans,
    is_predicted: Booleans,
    classes: tuple[str, str],
    title: str,
) -> Figure:
    """Returns the 18 pictures with the smallest margin; wrong predictions have red titles.

    Args:
        pictures: N of them.
        margin: How sure the model is, shape (N,).
        probability: Of the positive class, shape (N,).
        is_positive: Labels, shape (N,).
        is_predicted: Predictions, shape (N,).
        classes: Names of the negative and of the positive class.
        title: Above the figure.
    """
    figure, places = gallery(3, 6, title)
    for place, row in zip(places, np.argsort(margin, kind="stable")[: len(places)], strict=False):
        caption = f"{classes[int(is_positive[row])]}, p {probability[row]:.0%}"
        picture(place, pictures[row], caption, is_wrong=bool(is_predicted[row] != is_positive[row]))
    return figure


def grad_cam_by_outcome(
    pictures: Pixels,
    heat: Callable[[Integers], NDArray[np.float32]],
    probability: Floats,
    is_positive: Booleans,
    is_predicted: Booleans,
    title: str,
) -> Figure:
    """Returns up to six pictures of each outcome, the most certain ones, under what speaks for the positive class.

    Args:
        pictures: N of them.
        heat: ``heat(rows)`` returns the Grad-CAM of some rows, 0 to 1, shape (R, h, w).
        probability: Shape (N,).
        is_positive: Labels, shape (N,).
        is_predicted: Predictions, shape (N,).
        title: Above the figure.
    """
    figure, places = gallery(len(OUTCOMES), 6, title)
    masks = (is_positive & is_predicted, ~is_positive & ~is_predicted, ~is_positive & is_predicted)
    for number, (name, mask) in enumerate(zip(OUTCOMES, (*masks, is_positive & ~is_predicted), strict=True)):
        rows = np.flatnonzero(mask)
        rows = rows[np.argsort(-np.abs(probability[rows] - 0.5), kind="stable")][:6]
        if not len(rows):
            continue
        for place, row, warm in zip(places[6 * number :], rows, heat(rows), strict=False):
            picture(place, pictures[row], f"{name}, p {probability[row]:.0%}", heat=warm)
    return figure


def mean_grad_cam(networks: Sequence[HasMaps], pictures: Tensor) -> NDArray[np.float32]:
    """Returns the mean Grad-CAM of an ensemble's first output for pictures (B, C, H, W) of 0 to 1, shape (B, H, W)."""
    import torch

    from modelyard.tasks.images.grad_cam import grad_cam

    heat = torch.stack([grad_cam(network, pictures) for network in networks]).mean(dim=0)
    values: NDArray[np.float32] = heat.numpy()
    return values
