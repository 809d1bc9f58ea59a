"""How are pictures varied while training? Moved and exposed at random, each picture of a batch differently.

Shapes: B batch, C channels, H and W pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from modelyard.parameters import Parameters

if TYPE_CHECKING:
    from torch import Tensor


class AugmentationParameters(Parameters):
    """By how much pictures are varied while training, at most; the defaults change nothing."""

    flip_share: float = Field(0.0, ge=0, le=1, description="Share of the pictures that are mirrored, left and right.")
    rotation_deg: float = Field(0.0, ge=0, le=180, description="Rotation to either side, degrees.")
    translation_share: float = Field(0.0, ge=0, le=1, description="Shift along each axis, in shares of the side.")
    scale_share: float = Field(0.0, ge=0, le=2, description="Larger or smaller by this share.")
    padding: Literal["border", "reflection", "zeros"] = Field(
        "border", description="What is seen beyond the edge of a picture that was moved."
    )
    contrast_share: float = Field(0.0, ge=0, lt=1, description="Contrast up or down by this share.")
    brightness_share: float = Field(0.0, ge=0, le=1, description="Brighter or darker by this share of white.")
    tint_share: float = Field(0.0, ge=0, le=1, description="Each channel more or less by this share of white.")
    noise: float = Field(0.0, ge=0, le=1, description="Standard deviation of added noise, 1 is white.")
    erased_share: float = Field(
        0.0, ge=0, lt=1, description="Side of a square that is erased at a random place, in shares of the picture's."
    )


def augment(pictures: Tensor, params: AugmentationParameters) -> Tensor:
    """Flips, rotates, scales, translates, exposes and tints each picture differently, adds noise and erases a square.

    Pictures that are neither rotated nor scaled move by whole pixels, so that nothing is blurred.

    Args:
        pictures: Black 0 and white 1, shape (B, C, H, W).
        params: How much at most.

    Returns:
        New pictures of the same shape; drawn from torch's generator.
    """
    import torch

    # Autocast would round the coordinates of the moved pixels to bfloat16, which has 8 bits for 128 of them.
    with torch.autocast(pictures.device.type, enabled=False):
        exposed = _expose(_move(pictures, params), params)
        noisy = exposed + params.noise * torch.randn_like(exposed)
        return _erase(noisy, params.erased_share) if params.erased_share else noisy


def dihedral(pictures: Tensor, number: int) -> Tensor:
    """Returns the pictures in one of the eight ways to lay a square down (0 to 7; 0 changes nothing), all alike."""
    mirrored = pictures.flip(3) if number % 2 else pictures
    return mirrored.rot90(number // 2, (2, 3))


def _uniform(n: int, largest: float, like: Tensor) -> Tensor:
    """Returns (n,) numbers between -largest and largest."""
    import torch

    return (2 * torch.rand(n, device=like.device) - 1) * largest


def _move(pictures: Tensor, params: AugmentationParameters) -> Tensor:
    import torch
    from torch.nn import functional

    n = len(pictures)
    angle = _uniform(n, math.radians(params.rotation_deg), pictures)
    scale = torch.exp(_uniform(n, math.log1p(params.scale_share), pictures))
    # Coordinates of grid_sample run over 2 from edge to edge.
    shift_x, shift_y = (_uniform(n, 2 * params.translation_share, pictures) for _ in range(2))
    if not params.rotation_deg and not params.scale_share:
        height, width = pictures.shape[2:]
        shift_x, shift_y = (shift_x * width / 2).round() * 2 / width, (shift_y * height / 2).round() * 2 / height
    is_flipped = torch.rand(n, device=pictures.device) < params.flip_share
    across = torch.where(is_flipped, -scale, scale)
    rows = [
        torch.stack([across * angle.cos(), -scale * angle.sin(), shift_x], dim=1),
        torch.stack([across * angle.sin(), scale * angle.cos(), shift_y], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode=params.padding, align_corners=False)


def _expose(pictures: Tensor, params: AugmentationParameters) -> Tensor:
    n, n_channels = pictures.shape[:2]
    gain = (1 + _uniform(n, params.contrast_share, pictures))[:, None, None, None]
    offset = _uniform(n, params.brightness_share, pictures)[:, None, None, None]
    if params.tint_share:
        offset = offset + _uniform(n_channels * n, params.tint_share, pictures).view(n, n_channels, 1, 1)
    middle = pictures.mean(dim=(1, 2, 3), keepdim=True)
    return middle + gain * (pictures - middle) + offset


def _erase(pictures: Tensor, share: float) -> Tensor:
    """Replaces a square by the picture's mean (DeVries and Taylor 2017, cutout, https://arxiv.org/abs/1708.04552).

    Its centre is anywhere, so that a part of it may lie beyond the edge.
    """
    import torch

    n, _, *sides = pictures.shape
    inside = [
        ((torch.arange(side, device=pictures.device) - torch.rand(n, 1, device=pictures.device) * side).abs())
        < share * side / 2
        for side in sides
    ]
    is_erased = (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
    return torch.where(is_erased, pictures.mean(dim=(1, 2, 3), keepdim=True), pictures)
