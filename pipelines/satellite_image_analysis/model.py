"""What is registered: networks that vote on several views of a tile, calibrated, with a threshold and a margin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.tasks.ensemble import Ensemble, ensemble_logits, load_ensemble
from modelyard.tasks.images.augmentation import AugmentationParameters, dihedral
from modelyard.tasks.images.binary_classifier import ClassifierParameters
from modelyard.training.parameters import LoopParameters
from pipelines.satellite_image_analysis.data import FORMAT

if TYPE_CHECKING:
    from torch import Tensor

    from modelyard.tasks.images.resnet import SmallResNet
    from modelyard.training.batches import Batch


class FitParameters(ClassifierParameters):
    """Everything that training needs."""

    input_side: Literal[32, 64, 96, 128] = Field(64, description="Pixels on each side that the networks see.")
    n_views: int = Field(2, ge=1, le=8, description="Ways to lay a tile down whose answers are averaged.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=12, patience=6, batch_size=32, learning_rate=3e-3, weight_decay=0.02),
        description="Training of each network.",
    )
    augmentation: AugmentationParameters = Field(
        AugmentationParameters(
            flip_share=0.5,
            rotation_deg=180,
            translation_share=0.05,
            scale_share=0.1,
            padding="reflection",
            contrast_share=0.2,
            brightness_share=0.08,
            tint_share=0.03,
            noise=0.01,
        ),
        description="How training tiles are varied: seen from above there is no up and no left.",
    )


def build_network(params: FitParameters, mean: float = 0.5, std: float = 0.2) -> SmallResNet:
    """Returns an untrained network; its first weights are drawn from torch's generator.

    Args:
        params: Its shape.
        mean: Of the training pictures, 0 to 1; ``std``, their standard deviation. Loaded weights bring their own.
        std: See ``mean``.
    """
    from modelyard.tasks.images.resnet import SmallResNet

    standard = (mean, std) if params.standardise_by == "training" else None
    shape = {"in_channels": 3, "n_outputs": 1, "width": params.width, "n_blocks": 3, "stem_stride": 2}
    return SmallResNet(**shape, dropout=params.dropout, standard=standard)


def to_tiles(pixels: Tensor, side: int) -> Tensor:
    """Returns flat values (B, 49152) of 0 to 255 as tiles (B, 3, side, side) of 0 to 1, shrunk by averaging."""
    from torch.nn.functional import adaptive_avg_pool2d

    from modelyard.tasks.images.resnet import as_pictures

    tiles = as_pictures(pixels, FORMAT.shape)
    return tiles if side == FORMAT.side else adaptive_avg_pool2d(tiles, side)


def logits_of(networks: Sequence[SmallResNet], examples: pl.DataFrame, params: FitParameters) -> NDArray[np.float64]:
    """Returns each network's log-odds of damage, the mean over ``n_views`` ways to lay the tile down, shape (M, N)."""
    import torch

    def forward(network: SmallResNet, batch: Batch) -> Tensor:
        tiles = to_tiles(batch["pixels"], params.input_side)
        return torch.stack([network(dihedral(tiles, number)) for number in range(params.n_views)]).mean(dim=0)

    return ensemble_logits(networks, {"pixels": examples["image"].to_numpy()}, forward, batch_size=64)


def load(folder: Path) -> Ensemble[FitParameters]:
    """Reads what :func:`modelyard.tasks.ensemble.save_ensemble` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
    """
    return load_ensemble(folder, FitParameters, build_network)
