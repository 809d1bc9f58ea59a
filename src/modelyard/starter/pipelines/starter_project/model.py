"""A small network on the features; its first layer standardises them, so that its weights are the whole model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.errors import StorageError
from modelyard.feature_store.schema import feature_names
from modelyard.files import write_text
from modelyard.parameters import Parameters

from .features import FEATURE_VIEWS

if TYPE_CHECKING:
    from torch import nn

INPUTS = ("age_d", "temperature_c", "vibration_mm_s", *feature_names(FEATURE_VIEWS))
"""What the network sees: three columns of the record, and the features."""


class FitParameters(Parameters):
    """The network and its training."""

    hidden_width: int = Field(32, ge=2, le=1024, description="Units of each of the two hidden layers.")
    epochs: int = Field(12, ge=1, description="Passes over the training rows that the learning-rate schedule spans.")
    best_epoch: int | None = Field(None, ge=1, description="Epochs really trained. None: early stopping decides.")
    patience: int = Field(4, ge=1, description="Epochs without a better validation value before training stops.")
    batch_size: int = Field(256, ge=2, description="Rows of one optimiser step.")
    learning_rate: float = Field(5e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")


@dataclass(frozen=True, kw_only=True)
class FailureModel:
    """A trained network.

    Args:
        params: What trained it, with the epoch that early stopping chose filled in as ``best_epoch``.
        network: float32 inputs of shape (N, len(INPUTS)) to logits of shape (N, 1).
    """

    params: FitParameters
    network: nn.Sequential


def build_network(params: FitParameters) -> nn.Sequential:
    """The untrained network; its first weights are drawn from torch's generator."""
    from torch import nn

    width = params.hidden_width
    return nn.Sequential(
        nn.BatchNorm1d(len(INPUTS), affine=False),
        nn.Linear(len(INPUTS), width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 1),
    )


def save(model: FailureModel, folder: Path) -> None:
    """Writes the weights as safetensors and the parameters as JSON into an empty folder."""
    from modelyard.training.weights import save_weights

    save_weights(model.network, folder / "weights.safetensors")
    write_text(folder / "params.json", model.params.model_dump_json(indent=2))


def load(folder: Path) -> FailureModel:
    """Reads what :func:`save` wrote.

    Raises:
        StorageError: A file is missing or damaged.
    """
    from modelyard.training.weights import load_weights

    try:
        params = FitParameters.model_validate_json((folder / "params.json").read_bytes())
    except (OSError, ValueError) as error:
        raise StorageError(
            f"The model's parameters cannot be read: {error}",
            where=str(folder / "params.json"),
            way_out="restore the folder, or train the model again",
        ) from error
    network = load_weights(build_network(params), folder / "weights.safetensors")
    return FailureModel(params=params, network=network.eval())
