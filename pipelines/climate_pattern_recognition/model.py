"""What is registered: the baselines and the network beside them, and the parameters that rebuild both."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.model_files import load_arrays, load_network, load_parameters, save_model
from modelyard.parameters import Parameters
from modelyard.training.parameters import LoopParameters
from pipelines.climate_pattern_recognition.baselines import Baselines, Forecast
from pipelines.climate_pattern_recognition.inputs import INPUTS, input_matrix, lead_positions, target_months

if TYPE_CHECKING:
    from pipelines.climate_pattern_recognition.network import ForecastNetwork

Floats = NDArray[np.float64]

FORECASTS = ("forecast", "linear", "persistence", "climatology")
"""Ours and the simple ones, in the order of the predictions' columns."""


class NetworkParameters(Parameters):
    """The network's shape."""

    ensemble_size: int = Field(6, ge=1, le=64, description="Networks whose answers are averaged.")
    width: int = Field(64, ge=1, le=512, description="Hidden units of each network.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of inputs and hidden units dropped while training.")


class BlendParameters(Parameters):
    """How baselines and network become one forecast; all of it is filled in by validation."""

    wide_share: float | None = Field(
        None, ge=0, le=1, description="How far to go from the linear baseline to the wide one. None: all the way."
    )
    network_share: float | None = Field(
        None, ge=0, le=1, description="Share of the network's correction that is added. None: all of it."
    )
    spread_factor: float | None = Field(None, gt=0, le=10, description="Factor of the spread. None: 1.")


class FitParameters(Parameters):
    """Everything that training needs."""

    network: NetworkParameters = Field(NetworkParameters(), description="The network's shape.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=15, patience=5, batch_size=256, learning_rate=3e-3, weight_decay=0.05),
        description="Its training.",
    )
    blend: BlendParameters = Field(BlendParameters(), description="How baselines and network become one forecast.")


class Scope(Parameters):
    """What a model forecasts; it follows from its training rows."""

    oscillation: str = Field(description="A name of `OSCILLATIONS`.")
    leads: tuple[int, ...] = Field(description="Steps ahead, ascending.", json_schema_extra={"unbounded": "read off"})


@dataclass(frozen=True, kw_only=True)
class ForecastModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        scope: What it forecasts.
        baselines: The simple forecasts.
        network: On the CPU, in evaluation mode.
    """

    params: FitParameters
    scope: Scope
    baselines: Baselines
    network: "ForecastNetwork"


def build_network(params: NetworkParameters, baselines: Baselines) -> "ForecastNetwork":
    """Returns the untrained network; its first weights are drawn from torch's generator."""
    import torch

    from pipelines.climate_pattern_recognition.network import ForecastNetwork

    return ForecastNetwork(
        n_inputs=len(INPUTS),
        wide_spread=torch.from_numpy(baselines.wide_spread),
        ensemble_size=params.ensemble_size,
        width=params.width,
        dropout=params.dropout,
    )


class Candidates(NamedTuple):
    """Forecasts that are blended: means and spreads at every lead, float64 of shape (M, L, 2, 2) each.

    Args:
        linear: The linear baseline's.
        wide: The wide baseline's.
        network: The average over the network's ensemble.
    """

    linear: Floats
    wide: Floats
    network: Floats

    def blended(self, wide_share: float, network_share: float) -> Floats:
        """Goes so much of the way from the linear baseline to the wide one, and adds so much of the correction."""
        blend = self.linear + wide_share * (self.wide - self.linear) + network_share * (self.network - self.wide)
        return blend


def candidates_of(baselines: Baselines, network: "ForecastNetwork", inputs: NDArray[np.float32]) -> Candidates:
    """Returns what baselines and network forecast for M issue times; ``inputs`` (M, D)."""
    from modelyard.training.prediction import predict

    linear, wide = baselines.linear(inputs), baselines.wide(inputs)
    arrays = {"inputs": baselines.standardised(inputs), "start": wide[0].astype(np.float32)}
    averaged = predict(network, arrays, forward=lambda net, batch: net(**batch).mean(dim=1))
    return Candidates(np.stack(linear, axis=-1), np.stack(wide, axis=-1), averaged.astype(np.float64))


def forecasts_of(model: ForecastModel, examples: pl.DataFrame) -> dict[str, Forecast]:
    """Returns all :data:`FORECASTS`, shape (N, 2) each; NaN where the model has not learnt the oscillation or the lead.

    Args:
        model: A trained model.
        examples: Records with features, at least one row.
    """
    inputs, (lead, is_known) = input_matrix(examples), lead_positions(examples, model.scope.leads)
    is_known &= (examples["oscillation"] == model.scope.oscillation).fill_null(False).to_numpy()
    blend = model.params.blend
    wide_share, network_share, factor = (
        1.0 if it is None else it for it in (blend.wide_share, blend.network_share, blend.spread_factor)
    )
    candidates = candidates_of(model.baselines, model.network, inputs)
    ours = candidates.blended(wide_share, network_share)[np.arange(len(lead)), lead]
    found = {"forecast": (ours[..., 0], factor * ours[..., 1])}
    found |= model.baselines.forecasts(inputs, lead, target_months(examples))
    unknown = np.where(is_known, 0.0, np.nan)[:, None]
    return {name: (mean + unknown, spread + unknown) for name, (mean, spread) in found.items()}


def save(model: ForecastModel, folder: Path) -> None:
    """Writes the parameters, the scope, the baselines and the network into an empty folder."""
    save_model(
        folder, params=model.params, scope=model.scope, baselines=model.baselines._asdict(), network=model.network
    )


def load(folder: Path) -> ForecastModel:
    """Reads what :func:`save` wrote; the model forecasts the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
        ConfigurationError: The model was trained on other inputs than this version of the code derives.
    """
    params = load_parameters(folder, FitParameters)
    scope = load_parameters(folder, Scope, "scope")
    baselines = Baselines(**load_arrays(folder, "baselines"))
    network = load_network(folder, build_network(params.network, baselines))
    return ForecastModel(params=params, scope=scope, baselines=baselines, network=network)
