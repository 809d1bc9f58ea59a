"""How is a tile varied while training? Seen from above there is no up and no left, so it is turned and mirrored too.

Imported only inside functions: this module needs torch. Shapes: B batch, 3 colours, H and W pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from pipelines.satellite_image_analysis.train import AugmentationParameters


def vary(tiles: Tensor, params: AugmentationParameters) -> Tensor:
    """Mirrors, turns, zooms, shifts, exposes and tints each tile of a batch differently.

    Args:
        tiles: Black 0 and white 1, shape (B, 3, H, W).
        params: How much at most.

    Returns:
        New tiles of the same shape; drawn from torch's generator.
    """
    exposed = _expose(_move(tiles, params), params)
    return exposed + params.noise * torch.randn_like(exposed)


def turned(tiles: Tensor, number: int) -> Tensor:
    """One of the eight ways to lay a square down (0 to 7), for all tiles alike."""
    mirrored = tiles.flip(3) if number % 2 else tiles
    return mirrored.rot90(number // 2, (2, 3))


def _uniform(n: int, largest: float, like: Tensor) -> Tensor:
    """(n,) numbers between -largest and largest."""
    return (2 * torch.rand(n, device=like.device) - 1) * largest


def _move(tiles: Tensor, params: AugmentationParameters) -> Tensor:
    n = len(tiles)
    angle = _uniform(n, math.radians(params.turn_degree), tiles)
    zoom = torch.exp(_uniform(n, math.log1p(params.zoom_share), tiles))
    # Coordinates of grid_sample run over 2 from edge to edge.
    shift_x, shift_y = (_uniform(n, 2 * params.shift_share, tiles) for _ in range(2))
    mirror = torch.where(torch.rand(n, device=tiles.device) < 0.5, -zoom, zoom)
    rows = [
        torch.stack([mirror * angle.cos(), -zoom * angle.sin(), shift_x], dim=1),
        torch.stack([mirror * angle.sin(), zoom * angle.cos(), shift_y], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(tiles.shape), align_corners=False)
    return functional.grid_sample(tiles, grid, padding_mode="reflection", align_corners=False)


def _expose(tiles: Tensor, params: AugmentationParameters) -> Tensor:
    n = len(tiles)
    gain = (1 + _uniform(n, params.contrast_share, tiles))[:, None, None, None]
    offset = _uniform(n, params.brightness_share, tiles)[:, None, None, None]
    tint = _uniform(3 * n, params.tint_share, tiles).view(n, 3, 1, 1)
    middle = tiles.mean(dim=(1, 2, 3), keepdim=True)
    return middle + gain * (tiles - middle) + offset + tint
