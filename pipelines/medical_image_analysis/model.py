"""What is registered: a few small residual networks that vote, calibrated, with a threshold and a margin around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.tasks.ensemble import Ensemble, ensemble_logits, load_ensemble
from modelyard.tasks.images.augmentation import AugmentationParameters
from modelyard.tasks.images.binary_classifier import ClassifierParameters
from modelyard.training.parameters import LoopParameters
from pipelines.medical_image_analysis.data import FORMAT

if TYPE_CHECKING:
    from torch import Tensor

    from modelyard.tasks.images.resnet import SmallResNet


class FitParameters(ClassifierParameters):
    """Everything that training needs."""

    ensemble_size: int = Field(2, ge=1, le=50, description="Networks that vote; they differ in their seed.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=12, patience=6, batch_size=64, learning_rate=3e-3, weight_decay=0.02),
        description="Training of each network.",
    )
    augmentation: AugmentationParameters = Field(
        AugmentationParameters(
            rotation_deg=10,
            translation_share=0.08,
            scale_share=0.1,
            contrast_share=0.2,
            brightness_share=0.08,
            noise=0.01,
        ),
        description="How training pictures are varied: never mirrored, as the heart would change sides.",
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
    shape = {"in_channels": 1, "n_outputs": 1, "width": params.width, "n_blocks": 2}
    return SmallResNet(**shape, dropout=params.dropout, standard=standard)


def to_pictures(pixels: Tensor) -> Tensor:
    """Returns flat grey values (B, 784) of 0 to 255 as pictures (B, 1, 28, 28) of 0 to 1."""
    from modelyard.tasks.images.resnet import as_pictures

    return as_pictures(pixels, FORMAT.shape)


def logits_of(networks: Sequence[SmallResNet], examples: pl.DataFrame) -> NDArray[np.float64]:
    """Returns each network's log-odds of pneumonia for the rows' ``image``, shape (M, N)."""
    pixels = {"pixels": examples["image"].to_numpy()}
    return ensemble_logits(networks, pixels, lambda network, batch: network(to_pictures(batch["pixels"])))


def load(folder: Path) -> Ensemble[FitParameters]:
    """Reads what :func:`modelyard.tasks.ensemble.save_ensemble` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
    """
    return load_ensemble(folder, FitParameters, build_network)
