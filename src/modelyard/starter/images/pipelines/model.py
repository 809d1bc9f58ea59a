"""A small residual network on the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.model_files import load_network, load_parameters, save_model
from modelyard.parameters import Parameters
from modelyard.tasks.calibration import sigmoid
from modelyard.tasks.images.augmentation import AugmentationParameters
from modelyard.training.parameters import LoopParameters
from pipelines.starter_project.data import FORMAT

if TYPE_CHECKING:
    from pipelines.starter_project.network import FailureNetwork


class FitParameters(Parameters):
    """The network and its training."""

    width: int = Field(8, ge=2, le=256, description="Channels after the first convolution; each block doubles them.")
    augmentation: AugmentationParameters = Field(
        AugmentationParameters(flip_share=0.5, rotation_deg=10, translation_share=0.1, brightness_share=0.1),
        description="How pictures are varied while training.",
    )
    loop: LoopParameters = Field(
        LoopParameters(epochs=12, batch_size=64, learning_rate=5e-3), description="How the network is trained."
    )


@dataclass(frozen=True, kw_only=True)
class FailureModel:
    """A trained network.

    Args:
        params: What trained it, with the epoch that validation chose filled in.
        network: Flat pictures (N, H * W) to log-odds (N,).
    """

    params: FitParameters
    network: FailureNetwork


def untrained_model(learning: pl.DataFrame, params: FitParameters) -> FailureModel:
    """Returns a model whose first weights are drawn from torch's generator; it needs nothing of the training rows."""
    from pipelines.starter_project.network import FailureNetwork

    return FailureModel(params=params, network=FailureNetwork(FORMAT.shape, params.width, params.augmentation))


def arrays_of(model: FailureModel, examples: pl.DataFrame) -> dict[str, NDArray[np.uint8]]:
    """Returns what the network takes: ``image``, uint8 of shape (N, H * W)."""
    return {"image": examples["image"].to_numpy()}


def probabilities(model: FailureModel, examples: pl.DataFrame) -> NDArray[np.float64]:
    """Returns how likely each part fails within a week, shape (N,)."""
    from modelyard.training.prediction import predict

    return sigmoid(predict(model.network, arrays_of(model, examples), batch_size=256).astype(np.float64))


def save(model: FailureModel, folder: Path) -> None:
    """Writes the parameters as JSON and the weights as safetensors into an empty folder."""
    save_model(folder, params=model.params, network=model.network)


def load(folder: Path) -> FailureModel:
    """Reads what :func:`save` wrote; a missing or damaged file is a ``StorageError``."""
    model = untrained_model(pl.DataFrame(), load_parameters(folder, FitParameters))
    load_network(folder, model.network)
    return model
