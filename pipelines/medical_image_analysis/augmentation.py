"""How is a picture varied while training? As patients stand and scanners expose differently; never mirrored.

A mirror image would have the heart on the wrong side. Imported only inside functions: this module needs torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from pipelines.medical_image_analysis.train import AugmentationParameters


def vary(pictures: Tensor, params: AugmentationParameters) -> Tensor:
    """Turns, zooms, shifts and exposes each picture of a batch differently.

    Args:
        pictures: Black 0 and white 1, shape (B, H, W).
        params: How much at most.

    Returns:
        New pictures of the same shape; drawn from torch's generator.
    """
    n = len(pictures)
    exposed = _expose(_move(pictures, params), params)
    return exposed + params.noise * torch.randn_like(exposed) if n else exposed


def _uniform(n: int, largest: float, like: Tensor) -> Tensor:
    """(n,) numbers between -largest and largest."""
    return (2 * torch.rand(n, device=like.device) - 1) * largest


def _move(pictures: Tensor, params: AugmentationParameters) -> Tensor:
    n = len(pictures)
    angle = _uniform(n, math.radians(params.turn_degree), pictures)
    zoom = torch.exp(_uniform(n, math.log1p(params.zoom_share), pictures))
    # Coordinates of grid_sample run over 2 from edge to edge.
    shift_x, shift_y = (_uniform(n, 2 * params.shift_share, pictures) for _ in range(2))
    rows = [
        torch.stack([zoom * angle.cos(), -zoom * angle.sin(), shift_x], dim=1),
        torch.stack([zoom * angle.sin(), zoom * angle.cos(), shift_y], dim=1),
    ]
    images = pictures[:, None]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)[:, 0]


def _expose(pictures: Tensor, params: AugmentationParameters) -> Tensor:
    n = len(pictures)
    gain = (1 + _uniform(n, params.contrast_share, pictures))[:, None, None]
    offset = _uniform(n, params.brightness_share, pictures)[:, None, None]
    middle = pictures.mean(dim=(1, 2), keepdim=True)
    return middle + gain * (pictures - middle) + offset
