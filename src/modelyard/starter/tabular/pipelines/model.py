"""A small network on the latest reading and on what the last 28 days tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.feature_store.schema import feature_names
from modelyard.model_files import load_network, load_parameters, save_model
from modelyard.parameters import Parameters
from modelyard.tasks.calibration import sigmoid
from modelyard.training.parameters import LoopParameters
from pipelines.starter_project.features import FEATURE_VIEWS

if TYPE_CHECKING:
    from pipelines.starter_project.network import FailureNetwork

INPUTS = ("age_d", "temperature_c", "vibration_mm_s", *feature_names(FEATURE_VIEWS))
"""What the network sees: three columns of the record, and the features."""


class FitParameters(Parameters):
    """The network and its training."""

    width: int = Field(32, ge=2, le=1024, description="Units of each of the two hidden layers.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=12, patience=4, learning_rate=5e-3), description="How the network is trained."
    )


@dataclass(frozen=True, kw_only=True)
class FailureModel:
    """A trained network.

    Args:
        params: What trained it, with the epoch that validation chose filled in.
        network: Inputs (N, len(INPUTS)) to log-odds (N,).
    """

    params: FitParameters
    network: FailureNetwork


def untrained_model(learning: pl.DataFrame, params: FitParameters) -> FailureModel:
    """Returns a model whose first weights are drawn from torch's generator; it needs nothing of the training rows."""
    from pipelines.starter_project.network import FailureNetwork

    return FailureModel(params=params, network=FailureNetwork(len(INPUTS), params.width))


def arrays_of(model: FailureModel, examples: pl.DataFrame) -> dict[str, NDArray[np.float32]]:
    """Returns what the network takes: ``inputs``, float32 of shape (N, len(INPUTS))."""
    return {"inputs": examples.select(pl.col(name).cast(pl.Float32) for name in INPUTS).to_numpy()}


def probabilities(model: FailureModel, examples: pl.DataFrame) -> NDArray[np.float64]:
    """Returns how likely each part fails within a week, shape (N,)."""
    from modelyard.training.prediction import predict

    return sigmoid(predict(model.network, arrays_of(model, examples)).astype(np.float64))


def save(model: FailureModel, folder: Path) -> None:
    """Writes the parameters as JSON and the weights as safetensors into an empty folder."""
    save_model(folder, params=model.params, network=model.network)


def load(folder: Path) -> FailureModel:
    """Reads what :func:`save` wrote; a missing or damaged file is a ``StorageError``."""
    model = untrained_model(pl.DataFrame(), load_parameters(folder, FitParameters))
    load_network(folder, model.network)
    return model
