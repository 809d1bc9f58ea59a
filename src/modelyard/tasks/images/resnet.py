"""Residual networks for small pictures.

Imported only inside functions: this module needs torch. Shapes: B batch, C channels, H and W pixels, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_MIN_STD = 0.02
"""Standard deviation below which a picture is not stretched further: its noise would become its content."""


class ResidualBlock(nn.Module):
    """Two convolutions around a short cut (He et al. 2016, https://arxiv.org/abs/1512.03385, figure 3)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out))
        is_same = n_in == n_out and stride == 1
        self.short_cut: nn.Module = (
            nn.Identity()
            if is_same
            else nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, n_in, H, W) to (B, n_out, H / stride, W / stride)."""
        return functional.relu(self.second(self.first(maps)) + self.short_cut(maps))


class SmallResNet(nn.Module):
    """A residual network with one block for each halving of the picture.

    Args:
        in_channels: Of a picture.
        n_outputs: Numbers for each picture (K); 1 gives log-odds of shape (B,).
        width: Channels after the first convolution; each block doubles them.
        n_blocks: Residual blocks.
        stem_stride: 2 halves large pictures before the first block.
        dropout: Share of pooled channels that are dropped while training.
        standard: Mean and standard deviation by which all pictures are standardised, kept with the weights. None: each
            picture by its own, so that exposure, which all of a picture shares, cannot be mistaken for its class.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        *,
        in_channels: int,
        n_outputs: int,
        width: int,
        n_blocks: int,
        stem_stride: int = 1,
        dropout: float = 0.0,
        standard: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", None if standard is None else torch.tensor(standard[0]))
        self.register_buffer("std", None if standard is None else torch.tensor(standard[1]))
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stem_stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            *(ResidualBlock(width * 2**number, width * 2 ** (number + 1), 2) for number in range(n_blocks))
        )
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * width * 2**n_blocks, n_outputs)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, C, H, W), black 0 and white 1, to logits (B, K), or (B,) of one output."""
        return self.head(self.features(pictures))

    def features(self, pictures: Tensor) -> Tensor:
        """Returns the maps that the head reads: (B, width * 2 ** n_blocks, H', W')."""
        mean, std = self.mean, self.std
        if mean is None or std is None:
            std, mean = torch.std_mean(pictures, dim=(1, 2, 3), keepdim=True)
        maps: Tensor = self.blocks(self.stem((pictures - mean) / std.clamp(min=_MIN_STD)))
        return maps

    def head(self, maps: Tensor) -> Tensor:
        """Returns logits of maps; the mean sees what covers the picture, the maximum a small spot."""
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits.squeeze(1)


class ResNet9(nn.Module):
    """A residual network of eight convolutions and one linear layer for pictures of 28 to 64 pixels.

    Page 2018, "How to train your ResNet" (https://github.com/davidcpage/cifar10-fast), with the mean beside the maximum
    at its end. It spends most of its work where the picture has been halved once or twice, and so is quicker for what
    it reaches than networks of equal blocks.

    Args:
        in_channels: Of a picture.
        n_classes: Logits for each picture (K).
        width: Channels after the first convolution; twice, four and eight times as many follow, each after a halving.
        stem_stride: 2 halves larger pictures before everything else.
        dropout: Share of pooled channels that are dropped while training.
        standard: Mean and standard deviation of each channel of the training pictures, kept with the weights. None:
            each picture is standardised by its own.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        *,
        in_channels: int,
        n_classes: int,
        width: int,
        stem_stride: int = 1,
        dropout: float = 0.0,
        standard: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        for name, values in zip(("mean", "std"), standard or (None, None), strict=True):
            self.register_buffer(name, None if values is None else torch.tensor(values).view(1, -1, 1, 1))
        self.layers = nn.Sequential(
            _convolution(in_channels, width, stride=stem_stride),
            _convolution(width, 2 * width, is_pooled=True),
            _Residual(2 * width),
            _convolution(2 * width, 4 * width, is_pooled=True),
            _convolution(4 * width, 8 * width, is_pooled=True),
            _Residual(8 * width),
        )
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(16 * width, n_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, C, H, W), black 0 and white 1, to logits (B, K)."""
        return self.head(self.features(pictures))

    def features(self, pictures: Tensor) -> Tensor:
        """Returns the maps that the head reads: (B, 8 * width, H / 8, W / 8)."""
        mean, std = self.mean, self.std
        if mean is None or std is None:
            std, mean = torch.std_mean(pictures, dim=(1, 2, 3), keepdim=True)
        standard = (pictures - mean) / std.clamp(min=_MIN_STD)
        # Convolutions keep the layout of what they read; on a CPU this one is 40 % quicker, in float32 too.
        maps: Tensor = self.layers(standard.contiguous(memory_format=torch.channels_last))
        return maps

    def head(self, maps: Tensor) -> Tensor:
        """Returns logits of maps."""
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits


class _Residual(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(_convolution(n, n), _convolution(n, n))

    def forward(self, maps: Tensor) -> Tensor:
        summed: Tensor = maps + self.convolutions(maps)
        return summed


def _convolution(n_in: int, n_out: int, *, stride: int = 1, is_pooled: bool = False) -> nn.Sequential:
    # The largest of four values is taken before they are normalised: a quarter of the work, hardly another network.
    pool = [nn.MaxPool2d(2)] if is_pooled else []
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), *pool, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)
    )


def as_pictures(pixels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Returns flat values (B, H * W * C) of 0 to 255 as pictures (B, C, H, W) of 0 to 1; ``shape`` is (H, W[, C])."""
    pictures = pixels.view(-1, *shape).float() / 255
    return pictures[:, None] if len(shape) == 2 else pictures.permute(0, 3, 1, 2)
