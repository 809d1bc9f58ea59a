"""Pictures that show none of a model's classes, made from nothing or from pictures that do: it must doubt them.

Hendrycks, Mazeika and Dietterich 2019, "Deep anomaly detection with outlier exposure", https://arxiv.org/abs/1812.04606,
with the strangers that need no other data set. Shapes: B and S pictures, C channels, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

BLANK_KINDS = ("plain", "noise")
"""Kinds that :func:`blank_pictures` makes."""


def blank_pictures(n: int, shape: tuple[int, ...], kind: str, seed: int = 0) -> NDArray[np.uint8]:
    """Returns pictures with nothing on them.

    Args:
        n: How many (N).
        shape: Of a picture, (H, W) or (H, W, C).
        kind: ``plain``: one colour each, some of them grey, with a shade from edge to edge; ``noise``: values that know
            nothing of each other.
        seed: The same gives the same pixels.

    Returns:
        uint8 of shape (N, *shape).
    """
    rng = np.random.default_rng([seed, BLANK_KINDS.index(kind)])
    if kind == "noise":
        centre = rng.uniform(64, 192, (n, *(1 for _ in shape)))
        values = centre + rng.uniform(10, 64, centre.shape) * rng.standard_normal((n, *shape))
    else:
        colours = rng.uniform(0, 255, (n, 1, 1, *shape[2:]))
        colours[::2] = colours[::2].mean(axis=-1, keepdims=True) if len(shape) == 3 else colours[::2]
        slope = np.linspace(-1, 1, shape[0]).reshape(1, shape[0], 1, *(1 for _ in shape[2:]))
        values = colours + rng.uniform(-10, 10, (n, *(1 for _ in shape))) * slope * np.ones((n, *shape))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def synthetic_strangers(pictures: Tensor, n: int) -> Tensor:
    """Returns pictures to learn from that show no class: plain, noise, and pictures with their blocks shuffled.

    Args:
        pictures: A batch, (B, C, H, W), B >= ``n``; its first pictures are shuffled.
        n: How many (S).

    Returns:
        Shape (S, C, H, W), drawn from torch's generator.
    """
    import torch

    if n == 0:
        return pictures[:0]
    # Of few strangers the kinds differ from batch to batch.
    number = (torch.arange(n) + torch.randint(6, (1,))).to(pictures.device)
    like = pictures[:n]
    one = (n, 1, 1, 1)
    plain = torch.rand((n, like.shape[1], 1, 1), device=like.device)
    grey = plain.mean(dim=1, keepdim=True).expand_as(plain)
    plain = torch.where((number % 2 == 0).view(one), grey, plain).expand_as(like)
    noise = torch.rand(one, device=like.device) + 0.25 * torch.rand(one, device=like.device) * torch.randn_like(like)
    made = [plain, noise.clamp(0, 1), _shuffled(like)]
    return torch.stack(made)[number % len(made), torch.arange(n, device=pictures.device)]


def _shuffled(pictures: Tensor) -> Tensor:
    """Returns the pictures with their 4 x 4 blocks in another order, the same for all; edges that fit no block stay."""
    import torch

    blocks = 4
    high, wide = (side // blocks for side in pictures.shape[2:])
    inner = pictures[:, :, : blocks * high, : blocks * wide]
    n, n_channels = pictures.shape[:2]
    cut = inner.reshape(n, n_channels, blocks, high, blocks, wide).permute(2, 4, 0, 1, 3, 5).flatten(0, 1)
    cut = cut[torch.randperm(blocks * blocks, device=pictures.device)].reshape(blocks, blocks, *cut.shape[1:])
    shuffled = pictures.clone()
    shuffled[:, :, : blocks * high, : blocks * wide] = cut.permute(2, 3, 0, 4, 1, 5).reshape(inner.shape)
    return shuffled
