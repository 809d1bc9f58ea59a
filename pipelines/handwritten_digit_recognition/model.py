"""What is registered: networks that vote on a prepared digit, calibrated, with two bounds of doubt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import Field

from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.augmentation import AugmentationParameters
from modelyard.tasks.images.multiclass_classifier import MulticlassParameters, load_multiclass, logits_of, predictions
from modelyard.training.parameters import LoopParameters
from pipelines.handwritten_digit_recognition.preparation import FORMAT

if TYPE_CHECKING:
    from torch import Tensor


class FitParameters(MulticlassParameters):
    """Everything that training needs."""

    stranger_share: float = Field(
        0.1, ge=0, le=1, description="Made pictures of no class beside each batch, in shares of its size."
    )
    label_smoothing: float = Field(
        0.05, ge=0, lt=1, description="Share of each label's probability that is spread over all classes."
    )
    is_mirrored_too: bool = Field(False, description="Stays False: a mirrored digit is none, or another one.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=10, batch_size=64, learning_rate=5e-3, weight_decay=0.05, warmup_share=0.2),
        description="Training of each network.",
    )
    augmentation: AugmentationParameters = Field(
        AugmentationParameters(
            rotation_deg=12, translation_share=0.05, scale_share=0.12, padding="zeros", erased_share=0.0
        ),
        description="How training pictures are varied; never mirrored.",
    )


def answer(model: Ensemble[FitParameters], rows: pl.DataFrame) -> pl.DataFrame:
    """Returns what the model answers for rows with ``image``: the columns of ``predictions()``."""
    return predictions(model, logits_of(model.networks, rows, model.params, FORMAT.shape))


def to_pictures(pixels: Tensor) -> Tensor:
    """Returns flat values (B, 784) of 0 to 255 as pictures (B, 1, 28, 28) of 0 to 1."""
    from modelyard.tasks.images.resnet import as_pictures

    return as_pictures(pixels, FORMAT.shape)


def load(folder: Path) -> Ensemble[FitParameters]:
    """Reads what :func:`modelyard.tasks.ensemble.save_ensemble` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
    """
    return load_multiclass(folder, FitParameters, FORMAT.shape)
