"""The network: residual blocks on a picture that is read relative to its scanner's level.

Imported only inside functions: this module needs torch. Shapes: B batch, C channels, H and W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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


class RadiographNetwork(nn.Module):
    """A small residual network of grey pictures.

    Args:
        width: Channels after the first convolution; the last maps have four times as many.
        dropout: Share of pooled channels that are dropped while training.
        usual_levels: Mean brightness and mean contrast of training pictures, used where a scanner's are not known.
    """

    usual_levels: Tensor

    def __init__(self, *, width: int, dropout: float, usual_levels: tuple[float, float]) -> None:
        super().__init__()
        self.register_buffer("usual_levels", torch.tensor(usual_levels))
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 4 * width, 2),
        )
        self.dropout = nn.Dropout(dropout)
        self.answer = nn.Linear(8 * width, 1)

    def forward(self, pictures: Tensor, levels: Tensor) -> Tensor:
        """Pictures (B, H, W), black 0 and white 1, and levels (B, 2), NaN where unknown, to log-odds (B,)."""
        return self.head(self.maps(pictures, levels))

    def maps(self, pictures: Tensor, levels: Tensor) -> Tensor:
        """What the head reads: (B, 4 width, H / 4, W / 4)."""
        levels = torch.where(levels.isnan(), self.usual_levels, levels)[:, :, None, None]
        relative = (pictures - levels[:, 0]) / levels[:, 1].clamp(min=0.02)
        answer: Tensor = self.blocks(self.stem(relative[:, None]))
        return answer

    def head(self, maps: Tensor) -> Tensor:
        """Maps to log-odds (B,); the mean sees a veil over the whole lung, the maximum a small dense spot."""
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        answer: Tensor = self.answer(self.dropout(pooled))
        return answer.squeeze(1)


def as_pictures(pixels: Tensor, side: int) -> Tensor:
    """Flat grey values (B, H * W) of 0 to 255 to pictures (B, H, W) of 0 to 1."""
    return pixels.view(-1, side, side).float() / 255


def attention(network: RadiographNetwork, pictures: Tensor, levels: Tensor) -> Tensor:
    """Where the answer comes from: Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391).

    Args:
        network: In evaluation mode.
        pictures: As for the network, (B, H, W).
        levels: As for the network, (B, 2).

    Returns:
        What speaks for a pneumonia at each place, 0 to 1 in each picture, (B, H, W).
    """
    with torch.enable_grad():
        maps = network.maps(pictures, levels).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(network.head(maps).sum(), maps)
    heat = (gradient.mean(dim=(2, 3), keepdim=True) * maps.detach()).sum(dim=1, keepdim=True).relu()
    heat = functional.interpolate(heat, pictures.shape[1:], mode="bilinear", align_corners=False)[:, 0]
    return heat / heat.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
