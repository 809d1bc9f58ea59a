"""The network: residual blocks on a tile that is read relative to its region's light.

Imported only inside functions: this module needs torch. Shapes: B batch, H and W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.satellite_image_analysis.pictures import CHANNELS, SIDE


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


class TileNetwork(nn.Module):
    """A small residual network of colour tiles.

    Args:
        width: Channels after the first convolution; the last maps have eight times as many.
        dropout: Share of pooled channels that are dropped while training.
        usual_levels: Mean brightness and mean contrast of training tiles, used where a region's are not known.
    """

    usual_levels: Tensor

    def __init__(self, *, width: int, dropout: float, usual_levels: tuple[float, float]) -> None:
        super().__init__()
        self.register_buffer("usual_levels", torch.tensor(usual_levels))
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 4 * width, 2),
            ResidualBlock(4 * width, 8 * width, 2),
        )
        self.dropout = nn.Dropout(dropout)
        self.answer = nn.Linear(16 * width, 1)

    def forward(self, tiles: Tensor, levels: Tensor) -> Tensor:
        """Tiles (B, 3, H, W), black 0 and white 1, and levels (B, 2), NaN where unknown, to log-odds (B,)."""
        return self.head(self.maps(tiles, levels))

    def maps(self, tiles: Tensor, levels: Tensor) -> Tensor:
        """What the head reads: (B, 8 width, H / 16, W / 16)."""
        levels = torch.where(levels.isnan(), self.usual_levels, levels)[:, :, None, None, None]
        relative = (tiles - levels[:, 0]) / levels[:, 1].clamp(min=0.02)
        answer: Tensor = self.blocks(self.stem(relative))
        return answer

    def head(self, maps: Tensor) -> Tensor:
        """Maps to log-odds (B,); the mean sees water all around, the maximum a broken roof."""
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        answer: Tensor = self.answer(self.dropout(pooled))
        return answer.squeeze(1)


def as_tiles(pixels: Tensor, side: int) -> Tensor:
    """Flat values (B, 128 * 128 * 3) of 0 to 255 to tiles (B, 3, side, side) of 0 to 1, shrunk by averaging."""
    tiles = pixels.view(-1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2).float() / 255
    return tiles if side == SIDE else functional.adaptive_avg_pool2d(tiles, side)


def attention(network: TileNetwork, tiles: Tensor, levels: Tensor) -> Tensor:
    """Where the answer comes from: Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391).

    Args:
        network: In evaluation mode.
        tiles: As for the network, (B, 3, H, W).
        levels: As for the network, (B, 2).

    Returns:
        What speaks for damage at each place, 0 to 1 in each tile, (B, H, W).
    """
    with torch.enable_grad():
        maps = network.maps(tiles, levels).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(network.head(maps).sum(), maps)
    heat = (gradient.mean(dim=(2, 3), keepdim=True) * maps.detach()).sum(dim=1, keepdim=True).relu()
    heat = functional.interpolate(heat, tiles.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return heat / heat.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
