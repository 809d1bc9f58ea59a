"""Where in a picture does a network's answer come from? Grad-CAM: Selvaraju et al. 2017.

https://arxiv.org/abs/1610.02391. Imported only inside functions: this module needs torch.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class HasMaps(Protocol):
    """A network whose answer is read from maps, such as :class:`modelyard.tasks.images.resnet.SmallResNet`."""

    def features(self, pictures: Tensor) -> Tensor:
        """Pictures (B, C, H, W) to maps (B, D, H', W')."""

    def head(self, maps: Tensor) -> Tensor:
        """Maps to logits (B, K), or (B,)."""


def grad_cam(network: HasMaps, pictures: Tensor, output: int | Tensor = 0) -> Tensor:
    """Returns what speaks for an answer at each place of a picture.

    Args:
        network: In evaluation mode.
        pictures: As for the network, (B, C, H, W).
        output: Number of the output that is explained; of each picture its own where it is a tensor of shape (B,).

    Returns:
        Shape (B, H, W), 0 to 1 in each picture.
    """
    heat = functional.interpolate(
        _relevance(network, pictures, output), pictures.shape[2:], mode="bilinear", align_corners=False
    )[:, 0]
    return _scaled(heat)


def coarse_grad_cam(network: HasMaps, pictures: Tensor, output: int | Tensor = 0) -> Tensor:
    """Returns the same as :func:`grad_cam` at the size of the network's maps, (B, H', W')."""
    return _scaled(_relevance(network, pictures, output)[:, 0])


def _relevance(network: HasMaps, pictures: Tensor, output: int | Tensor) -> Tensor:
    """Returns the maps' sum, weighted with what each does for the output, where it is positive, (B, 1, H', W')."""
    with torch.enable_grad():
        maps = network.features(pictures).detach().requires_grad_()
        logits = network.head(maps)
        explained = logits if logits.ndim == 1 else logits[torch.arange(len(logits)), output]
        (gradient,) = torch.autograd.grad(explained.sum(), maps)
    return (gradient.mean(dim=(2, 3), keepdim=True) * maps.detach()).sum(dim=1, keepdim=True).relu()


def _scaled(heat: Tensor) -> Tensor:
    """Returns maps (B, H, W), the largest number of each 1; one without any is 0."""
    return heat / heat.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
